/* SPDX-License-Identifier: MIT */
/*
 * The options that decide how the pool serves a request, and the configuration they make. Programs
 * and replays configure their pools here, so both behave alike.
 *
 * Threading: pure functions.
 */
#ifndef SHIM_OPTIONS_OPTIONS_POOL_H
#define SHIM_OPTIONS_OPTIONS_POOL_H

#include "pool/pool.h"
#include "shim/options/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Applies the options to a configuration that pool_config_init() has filled. */
void options_pool_configure(const struct options *options, struct pool_config *config);

/** Writes the options of the pool that are not built-in, as key:value,key:value; empty: all are. */
void options_pool_format(const struct options *options, char *ret_text, size_t text_bytes);

/** Whether an option decides how the pool serves a request. */
bool options_pool_has(size_t option);

#ifdef __cplusplus
}
#endif

#endif

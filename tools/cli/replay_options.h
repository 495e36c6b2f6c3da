/* SPDX-License-Identifier: MIT */
/*
 * Option values common to the verbs that replay traces.
 */
#ifndef TOOLS_CLI_REPLAY_OPTIONS_H
#define TOOLS_CLI_REPLAY_OPTIONS_H

#include <stdint.h>

/** Parses a number from `least` to `most`. Returns 0, or the exit code of the error that it
 * printed. */
int replay_option_number(const char *verb, const char *option, const char *text, uint64_t least,
                         uint64_t most, uint64_t *ret_number);

/** The size of a device, not 0. As above. */
int replay_option_capacity(const char *verb, const char *text, uint64_t *ret_bytes);

#endif

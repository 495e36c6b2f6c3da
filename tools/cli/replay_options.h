/* SPDX-License-Identifier: MIT */
/*
 * Values of options that the verbs which replay traces have in common.
 */
#ifndef TOOLS_CLI_REPLAY_OPTIONS_H
#define TOOLS_CLI_REPLAY_OPTIONS_H

#include <stdint.h>

/** A number from `least` to `most`. 0, or the exit code of the error that was printed. */
int replay_option_number(const char *verb, const char *option, const char *text, uint64_t least,
                         uint64_t most, uint64_t *ret_number);

/** The size of a device, not 0. As above. */
int replay_option_capacity(const char *verb, const char *text, uint64_t *ret_bytes);

#endif

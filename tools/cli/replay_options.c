/* SPDX-License-Identifier: MIT */
#include "tools/cli/replay_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "shim/options/options.h"
#include "tools/cli/verb.h"

int replay_option_number(const char *verb, const char *option, const char *text, uint64_t least,
                         uint64_t most, uint64_t *ret_number)
{
    uint64_t number;
    char *end;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > most || number < least)
        return verb_error(verb, EXIT_TROUBLE, "%s %s: not a number from %" PRIu64 " to %" PRIu64,
                          option, text, least, most);
    *ret_number = number;
    return 0;
}

int replay_option_capacity(const char *verb, const char *text, uint64_t *ret_bytes)
{
    struct option_size size;

    if (option_size_parse(text, false, &size) < 0 || !size.bytes)
        return verb_error(verb, EXIT_TROUBLE, "--capacity %s: not a size: give 8GiB", text);
    *ret_bytes = size.bytes;
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Parses sizes and times as people write them. Decimal fractions are parsed in integers: strtod
 * depends on the program's locale and may allocate. A fraction keeps six digits, more than any
 * size needs.
 */
#include "shim/options/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FRACTION     UINT64_C(1000000)
#define ZERO_BESIDES "0, or "
#define MULTIPLE_OF  "a multiple of "

/** Parses a non-negative decimal into millionths; `ret_rest` is the text after it. */
static int decimal_parse(const char *text, unsigned __int128 *ret_millionths, const char **ret_rest)
{
    unsigned __int128 value = 0;
    uint64_t place = FRACTION / 10;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    for (; isdigit((unsigned char)*text); text++) {
        value = value * 10 + (unsigned)(*text - '0');
        if (value > UINT64_MAX)
            return -ERANGE;
    }
    value *= FRACTION;
    if (*text == '.') {
        if (!isdigit((unsigned char)*++text))
            return -EINVAL;
        for (; isdigit((unsigned char)*text); text++, place /= 10)
            value += (unsigned)(*text - '0') * place;
    }
    *ret_millionths = value;
    *ret_rest = text;
    return 0;
}

/** Returns the log2 of a unit, or -1. Decimal units are refused, because KB means two things. */
static int unit_shift(const char *unit)
{
    static const char letters[] = "BKMGT";
    const char *letter;

    if (!*unit)
        return 0;
    letter = strchr(letters, toupper((unsigned char)*unit));
    if (!letter || (unit[1] && (letter == letters || strcasecmp(unit + 1, "iB") != 0)))
        return -1;
    return (int)(letter - letters) * 10;
}

int option_size_parse(const char *text, bool percent_allowed, struct option_size *ret_size)
{
    unsigned __int128 value;
    int shift, error = decimal_parse(text, &value, &text);

    if (error < 0)
        return error;
    while (*text == ' ')
        text++;
    if (!strcmp(text, "%")) {
        if (!percent_allowed || value > 100 * FRACTION)
            return -EINVAL;
        *ret_size = (struct option_size){.device_ppm = (uint32_t)(value / 100)};
        return 0;
    }
    shift = unit_shift(text);
    if (shift < 0)
        return -EINVAL;
    value = (value << shift) / FRACTION;
    if (value > UINT64_MAX)
        return -ERANGE;
    *ret_size = (struct option_size){.bytes = (uint64_t)value};
    return 0;
}

/** The text before `end` as a size. */
static int bound_parse(const char *text, const char *end, uint64_t *ret_bytes)
{
    char word[32];
    struct option_size size;
    size_t length = (size_t)(end - text);

    if (length >= sizeof word)
        return -EINVAL;
    memcpy(word, text, length);
    word[length] = 0;
    if (option_size_parse(word, false, &size) < 0)
        return -EINVAL;
    *ret_bytes = size.bytes;
    return 0;
}

static bool size_is_within(uint64_t bytes, const char *accepted)
{
    const char *dots = strstr(accepted, "..");
    uint64_t least, most;

    return !dots || (bound_parse(accepted, dots, &least) == 0 &&
                     bound_parse(dots + 2, dots + 2 + strcspn(dots + 2, ", "), &most) == 0 &&
                     bytes >= least && bytes <= most);
}

static bool size_is_multiple(uint64_t bytes, const char *accepted)
{
    const char *of = strstr(accepted, MULTIPLE_OF);
    uint64_t unit;

    if (!of)
        return true;
    of += strlen(MULTIPLE_OF);
    return bound_parse(of, of + strcspn(of, ", "), &unit) == 0 && unit && bytes % unit == 0;
}

int option_size_parse_within(const char *text, const char *accepted, struct option_size *ret_size)
{
    struct option_size size;
    int error = option_size_parse(text, strchr(accepted, '%'), &size);

    if (error < 0)
        return error;
    if (!strncmp(accepted, ZERO_BESIDES, strlen(ZERO_BESIDES))) {
        accepted += strlen(ZERO_BESIDES);
        if (!size.bytes) {
            *ret_size = size;
            return 0;
        }
    }
    if (!size_is_within(size.bytes, accepted) || !size_is_multiple(size.bytes, accepted) ||
        (strstr(accepted, "power of two") && size.bytes & (size.bytes - 1)))
        return -EINVAL;
    *ret_size = size;
    return 0;
}

static const struct {
    const char *unit;
    uint64_t ns;
} times[] = {
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", 1000000},
    {"us", 1000},
    {"ns", 1},
};

#define TIMES (sizeof times / sizeof *times)

int option_duration_parse(const char *text, uint64_t *ret_ns)
{
    unsigned __int128 value;
    int error = decimal_parse(text, &value, &text);

    if (error < 0)
        return error;
    while (*text == ' ')
        text++;
    if (!*text && !value) {
        *ret_ns = 0;
        return 0;
    }
    for (size_t i = 0; i < TIMES; i++)
        if (!strcmp(text, times[i].unit)) {
            if (value / FRACTION > UINT64_MAX / times[i].ns)
                return -ERANGE;
            value = value * times[i].ns / FRACTION;
            if (value > UINT64_MAX)
                return -ERANGE;
            *ret_ns = (uint64_t)value;
            return 0;
        }
    return -EINVAL;
}

void option_duration_format(uint64_t ns, char *ret_text, size_t ret_text_bytes)
{
    size_t i = 0;

    while (i + 1 < TIMES && ns % times[i].ns)
        i++;
    if (ns)
        snprintf(ret_text, ret_text_bytes, "%llu%s", (unsigned long long)(ns / times[i].ns),
                 times[i].unit);
    else
        snprintf(ret_text, ret_text_bytes, "0");
}

/* SPDX-License-Identifier: MIT */
/*
 * Sizes as people write them. Decimal fractions are read by hand in integers: strtod depends on the
 * program's locale and may allocate. A fraction keeps six digits, more than any size needs.
 */
#include "shim/options/options.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define FRACTION UINT64_C(1000000)

/** A non-negative decimal in millionths; `ret_rest` is what follows it. */
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

/** log2 of a unit, or -1. Decimal units are refused: KB means two things. */
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
    int shift, r = decimal_parse(text, &value, &text);

    if (r < 0)
        return r;
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

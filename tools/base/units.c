/* SPDX-License-Identifier: MIT */
/*
 * Every text is made from integers or doubles by snprintf in the C locale.
 */
#include "tools/base/units.h"

#include <stdio.h>
#include <string.h>

struct unit_text unit_bytes(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct unit_text result;
    double value = (double)bytes;
    unsigned unit = 0;

    for (; value >= 1023.95 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    snprintf(result.text, sizeof result.text, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return result;
}

struct unit_text unit_duration(uint64_t ns)
{
    struct unit_text result;
    uint64_t seconds = ns / 1000000000;

    if (ns < 1000)
        snprintf(result.text, sizeof result.text, "%llu ns", (unsigned long long)ns);
    else if (ns < 1000000)
        snprintf(result.text, sizeof result.text, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(result.text, sizeof result.text, "%.1f ms", (double)ns / 1e6);
    else if (seconds < 60)
        snprintf(result.text, sizeof result.text, "%.2f s", (double)ns / 1e9);
    else
        snprintf(result.text, sizeof result.text, "%llu min %02llu s",
                 (unsigned long long)(seconds / 60), (unsigned long long)(seconds % 60));
    return result;
}

struct unit_text unit_count(uint64_t count)
{
    struct unit_text result;
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = result.text;

    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return result;
}

struct unit_text unit_nouns(uint64_t count, const char *noun)
{
    struct unit_text result = unit_count(count);
    size_t length = strlen(result.text);

    snprintf(result.text + length, sizeof result.text - length, " %.19s%s", noun,
             count == 1 ? "" : "s");
    return result;
}

struct unit_text unit_blocks(uint64_t count)
{
    return unit_nouns(count, "block");
}

struct unit_text unit_percent(uint64_t part, uint64_t whole)
{
    struct unit_text result;

    if (whole)
        snprintf(result.text, sizeof result.text, "%.1f %%", 100.0 * (double)part / (double)whole);
    else
        snprintf(result.text, sizeof result.text, "-");
    return result;
}

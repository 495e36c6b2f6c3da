/* SPDX-License-Identifier: MIT */
#include "tools/budget/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/options/options.h"

#define PPM 1000000

const struct metric_row metric_rows[METRIC_COUNT] = {
#define METRIC(key, unit, direction, scope, report, value)                                         \
    {#key, METRIC_UNIT_##unit, METRIC_##direction, METRIC_OF_##scope, report},
    METRICS(METRIC)
#undef METRIC
};

void metrics_measure(const struct analysis *a, uint64_t ret_values[METRIC_COUNT])
{
#define METRIC(key, unit, direction, scope, report, value) ret_values[METRIC_##key] = (value);
    METRICS(METRIC)
#undef METRIC
}

void metrics_bounds(const struct analysis *a, bool ret_bounds[METRIC_COUNT])
{
    memset(ret_bounds, 0, METRIC_COUNT * sizeof *ret_bounds);
    ret_bounds[METRIC_peak_live] = a->carried.peak_bound &&
                                   a->requested.peak == a->carried.peak_bound;
    ret_bounds[METRIC_peak_driver] = a->carried.left_out;
    ret_bounds[METRIC_driver_calls] = a->carried.left_out;
    ret_bounds[METRIC_fragmentation_overhead] = a->carried.left_out;
}

uint64_t metric_share(uint64_t part, uint64_t whole)
{
    return whole ? (uint64_t)((unsigned __int128)part * PPM / whole) : PPM;
}

int metric_find(const char *key, size_t length)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        if (strlen(metric_rows[i].key) == length && !strncmp(metric_rows[i].key, key, length))
            return i;
    return -ENOENT;
}

struct unit_text metric_text(enum metric_unit unit, uint64_t value)
{
    struct unit_text result;

    switch (unit) {
    case METRIC_UNIT_BYTES: return unit_bytes(value);
    case METRIC_UNIT_COUNT: return unit_count(value);
    case METRIC_UNIT_PERCENT: break;
    }
    snprintf(result.text, sizeof result.text, "%.4g %%", (double)value / METRIC_PERCENT_PPM);
    return result;
}

const char *metric_accepted(enum metric_unit unit)
{
    static const char *const accepted[] = {
        [METRIC_UNIT_BYTES] = "a size such as 0, 64 KiB or 1.5 GiB",
        [METRIC_UNIT_COUNT] = "a count such as 0 or 1200",
        [METRIC_UNIT_PERCENT] = "a share from 0% to 100%",
    };

    return accepted[unit];
}

/** Digits only: strtoull alone would accept signs and spaces. */
static int count_parse(const char *text, uint64_t *ret_value)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return -EINVAL;
    if (errno)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int metric_parse(enum metric_unit unit, const char *text, uint64_t *ret_value)
{
    struct option_size size;
    int error;

    if (unit == METRIC_UNIT_COUNT)
        return count_parse(text, ret_value);
    error = option_size_parse(text, unit == METRIC_UNIT_PERCENT, &size);
    if (error < 0)
        return error;
    if (unit == METRIC_UNIT_PERCENT && !strchr(text, '%'))
        return -EINVAL;
    *ret_value = unit == METRIC_UNIT_PERCENT ? size.device_ppm : size.bytes;
    return 0;
}

/** "+3%" with what follows it. */
static int relative_parse(const char *text, uint64_t *ret_ppm, const char **ret_rest)
{
    char *end;
    double percent;

    if (*text < '0' || *text > '9' || text[strspn(text, "0123456789. ")] != '%')
        return -EINVAL;
    percent = strtod(text, &end);
    end += strspn(end, " ");
    if (*end != '%' || percent > 1e9)
        return -EINVAL;
    *ret_ppm = (uint64_t)(percent * METRIC_PERCENT_PPM + 0.5);
    *ret_rest = end + 1;
    return 0;
}

int tolerance_parse(enum metric_unit unit, const char *text, struct tolerance *ret_tolerance,
                    const char **ret_why)
{
    struct tolerance tolerance = {0};

    text += strspn(text, " ");
    *ret_why = "growth begins with a plus: +5%, not 105%";
    if (*text != '+')
        return -EINVAL;
    *ret_why = "not a growth";
    if (relative_parse(text + 1, &tolerance.relative_ppm, &text) < 0)
        return -EINVAL;
    text += strspn(text, " ");
    if (*text == ',') {
        text += 1 + strspn(text + 1, " ");
        *ret_why = "after the comma, give the smallest growth that counts";
        if (strncmp(text, "min ", 4) != 0)
            return -EINVAL;
        text += 4 + strspn(text + 4, " ");
        if (metric_parse(unit, text, &tolerance.absolute) < 0)
            return -EINVAL;
    } else if (*text) {
        return -EINVAL;
    }
    *ret_tolerance = tolerance;
    return 0;
}

uint64_t tolerance_allowed(const struct tolerance *tolerance, uint64_t base)
{
    unsigned __int128 relative = (unsigned __int128)base * tolerance->relative_ppm / PPM;
    uint64_t bounded = relative > UINT64_MAX ? UINT64_MAX : (uint64_t)relative;

    return bounded > tolerance->absolute ? bounded : tolerance->absolute;
}

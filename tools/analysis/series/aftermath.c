/* SPDX-License-Identifier: MIT */
/*
 * A fall may consist of many frees with allocations in between. It is over when the level rose by
 * a fraction of the peak, or when several allocations in a row brought no new minimum.
 */
#include "tools/analysis/series/aftermath.h"

#include "tools/base/units.h"

#define RISE_PERCENT     5 /* of the peak, above the lowest level: no more a fall */
#define RISE_ALLOCATIONS 4

/** Handles a new maximum: the former peak becomes an earlier rise, if the level ever left it. */
static void peak_begin(struct aftermath *aftermath, uint64_t bytes)
{
    uint64_t dip = aftermath->since_bytes;

    if (dip < aftermath->peak_bytes) {
        bool joined = aftermath->earlier_bytes &&
                      aftermath->earlier_bytes >
                          percent_of(aftermath->peak_bytes, AFTERMATH_NEAR_PERCENT);

        if (joined && aftermath->dip_bytes < dip)
            dip = aftermath->dip_bytes;
        aftermath->earlier_bytes = aftermath->peak_bytes;
        aftermath->dip_bytes = dip;
    }
    aftermath->peak_bytes = aftermath->since_bytes = bytes;
    aftermath->over = aftermath->falling = false;
}

/** Whether the level is still falling after it went from a peak down to `lowest`. */
static bool is_falling(const struct aftermath *aftermath, const struct timeline_point *now)
{
    return now->requested_bytes <= aftermath->lowest.requested_bytes ||
           (now->requested_bytes - aftermath->lowest.requested_bytes <=
                percent_of(aftermath->peak_bytes, RISE_PERCENT) &&
            now->allocations - aftermath->lowest.allocations < RISE_ALLOCATIONS);
}

void aftermath_add(struct aftermath *aftermath, const struct timeline_point *now)
{
    const uint64_t bytes = now->requested_bytes;

    if (bytes > aftermath->peak_bytes) {
        peak_begin(aftermath, bytes);
        return;
    }
    if (bytes < aftermath->since_bytes)
        aftermath->since_bytes = bytes;
    if (!aftermath->over && bytes <= percent_of(aftermath->peak_bytes, AFTERMATH_NEAR_PERCENT)) {
        aftermath->over = aftermath->falling = true;
        aftermath->lowest = aftermath->highest = *now;
    }
    if (!aftermath->over)
        return;
    if (aftermath->falling && bytes < aftermath->lowest.requested_bytes)
        aftermath->lowest = aftermath->highest = *now;
    aftermath->falling = aftermath->falling && is_falling(aftermath, now);
    if (bytes >= aftermath->highest.requested_bytes)
        aftermath->highest = *now;
}

bool aftermath_is_short(const struct aftermath *aftermath)
{
    const uint64_t near = percent_of(aftermath->peak_bytes, AFTERMATH_NEAR_PERCENT);
    const uint64_t left = percent_of(aftermath->peak_bytes, AFTERMATH_LEFT_PERCENT);

    return aftermath->over && aftermath->highest.requested_bytes > 0 &&
           aftermath->highest.requested_bytes <= left &&
           !(aftermath->earlier_bytes > near && aftermath->dip_bytes <= left);
}

/* SPDX-License-Identifier: MIT */
/*
 * loss(a, b): bytes that blocks of more than a and at most b units lose when b serves them all.
 * best[k][b] = min over a of best[k - 1][a] + loss(a, b); loss comes from running sums, so the
 * total is 128 * 128 * 32 steps.
 */
#include "tools/tune/classes.h"

#include <float.h>
#include <string.h>

#include "pool/base/size_class.h"

/* Weight over all sizes, in proportion to all live blocks: a size twice as long is half as
 * likely.
 */
#define UNSEEN_SHARE 0.02
#define LEAST_UNITS  2u

void class_histogram_add(struct class_histogram *histogram, const struct replay_trace *trace)
{
    double scale = trace->event_count ? 1.0 / (double)trace->event_count : 0;

    for (size_t i = 0; i < trace->event_count; i++) {
        const struct replay_event *event = &trace->events[i];
        uint64_t bytes = trace->sizes[event->buffer];
        size_t unit = (bytes - 1) / CLASSES_UNIT_BYTES;
        double left = (double)(trace->event_count - i) * scale;

        if ((event->kind != REPLAY_ALLOCATE && event->kind != REPLAY_FREE) ||
            bytes > SIZE_SMALL_MAX)
            continue;
        /* A block adds itself for the rest of the trace; its free subtracts the remainder. */
        histogram->live[unit] += event->kind == REPLAY_ALLOCATE ? left : -left;
        histogram->request[unit] += (double)bytes * (event->kind == REPLAY_ALLOCATE ? left : -left);
    }
}

static void weights_make(const struct class_histogram *histogram, double weight[CLASSES_UNITS])
{
    double all = 0, shares = 0;

    for (unsigned unit = 0; unit < CLASSES_UNITS; unit++) {
        weight[unit] = histogram->live[unit] > 0 ? histogram->live[unit] : 0;
        all += weight[unit];
        shares += 1.0 / (unit + 1);
    }
    for (unsigned unit = 0; unit < CLASSES_UNITS; unit++)
        weight[unit] += (all > 0 ? all : 1) * UNSEEN_SHARE / (unit + 1) / shares;
}

struct sums {
    double weight[CLASSES_UNITS + 1], units[CLASSES_UNITS + 1]; /* below an index */
};

/* Units lost when blocks of more than `from` and up to `to` units occupy `to`. */
static double loss(const struct sums *sums, unsigned from, unsigned to)
{
    return to * (sums->weight[to] - sums->weight[from]) - (sums->units[to] - sums->units[from]);
}

void classes_choose(const struct class_histogram *histogram, unsigned count,
                    struct option_classes *ret_classes)
{
    static double best[OPTION_CLASSES_MAX + 1][CLASSES_UNITS + 1];
    static uint8_t before[OPTION_CLASSES_MAX + 1][CLASSES_UNITS + 1];
    double weight[CLASSES_UNITS];
    struct sums sums = {{0}, {0}};
    unsigned used = count, at = CLASSES_UNITS;

    weights_make(histogram, weight);
    for (unsigned unit = 0; unit < CLASSES_UNITS; unit++) {
        sums.weight[unit + 1] = sums.weight[unit] + weight[unit];
        sums.units[unit + 1] = sums.units[unit] + weight[unit] * (unit + 1);
    }
    for (unsigned to = 0; to <= CLASSES_UNITS; to++)
        best[0][to] = to ? DBL_MAX : 0;
    for (unsigned k = 1; k <= count; k++)
        for (unsigned to = 0; to <= CLASSES_UNITS; to++) {
            best[k][to] = DBL_MAX;
            for (unsigned from = 0; to >= LEAST_UNITS && from < to; from++) {
                double with = best[k - 1][from] == DBL_MAX
                                  ? DBL_MAX
                                  : best[k - 1][from] + loss(&sums, from, to);

                if (with < best[k][to]) {
                    best[k][to] = with;
                    before[k][to] = (uint8_t)from;
                }
            }
        }
    ret_classes->count = (uint16_t)used;
    for (; used > 0; used--) {
        ret_classes->bytes[used - 1] = (uint16_t)(at * CLASSES_UNIT_BYTES);
        at = before[used][at];
    }
}

double classes_rounding(const struct class_histogram *histogram,
                        const struct option_classes *classes)
{
    struct size_classes table;
    double bytes = 0;

    if (size_classes_init(classes->bytes, classes->count, &table) < 0)
        return DBL_MAX;
    for (unsigned unit = 0; unit < CLASSES_UNITS; unit++)
        if (histogram->live[unit] > 0)
            bytes += histogram->live[unit] * table.bytes[table.of[unit]] - histogram->request[unit];
    return bytes;
}

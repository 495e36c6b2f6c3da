/* SPDX-License-Identifier: MIT */
/*
 * Size classes for a program: the sizes that small requests are rounded up to.
 *
 * The histogram has, for each multiple of 256 B, the average number of live blocks of this size
 * over the traces. Given at most N classes, dynamic programming finds those with the least
 * rounding. A small weight on every size keeps sizes that no trace has from being rounded up very
 * far.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_TUNE_CLASSES_H
#define TOOLS_TUNE_CLASSES_H

#include "shim/options/options.h"
#include "tools/replay/replay_trace.h"

#define CLASSES_UNIT_BYTES 256u
#define CLASSES_UNITS      128u

/** Of requests of up to 32 KiB. Empty when zeroed. */
struct class_histogram {
    double live[CLASSES_UNITS];    /* blocks that need so many units less one, on average */
    double request[CLASSES_UNITS]; /* bytes that they ask for, on average */
};

/** Adds a trace; each counts the same, whatever its length. */
void class_histogram_add(struct class_histogram *histogram, const struct replay_trace *trace);

/** Finds the best classes, at most `count` (2 to 32), 32 KiB the last. */
void classes_choose(const struct class_histogram *histogram, unsigned count,
                    struct option_classes *ret_classes);

/** Returns the bytes that a histogram loses by rounding; classes of count 0: the built-in ones. */
double classes_rounding(const struct class_histogram *histogram,
                        const struct option_classes *classes);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Binary search in rows that are in ascending order of a uint64_t field.
 *
 * Threading: plain data.
 */
#ifndef TOOLS_BASE_BOUND_H
#define TOOLS_BASE_BOUND_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Number of the first row with at least a key; `count` if there is none. */
#define LOWER_BOUND(rows, count, field, key)                                                       \
    bound_find((rows), sizeof *(rows), offsetof(__typeof__(*(rows)), field), (count), (key), 0)

/** Number of the first row above a key; `count` if there is none. */
#define UPPER_BOUND(rows, count, field, key)                                                       \
    bound_find((rows), sizeof *(rows), offsetof(__typeof__(*(rows)), field), (count), (key), 1)

static inline size_t bound_find(const void *rows, size_t row_bytes, size_t offset, size_t count,
                                uint64_t key, int above)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t value;

        memcpy(&value, (const char *)rows + middle * row_bytes + offset, sizeof value);
        if (value < key || (above && value == key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#endif

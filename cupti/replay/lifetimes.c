/* SPDX-License-Identifier: MIT */
/*
 * Classes end at 1, 3, 10, 30 … microseconds.
 */
#include "cupti/replay/lifetimes.h"

uint64_t lifetime_class_ns(size_t row)
{
    uint64_t ns = row % 2 ? 3000 : 1000;

    if (row + 1 >= LIFETIME_CLASSES)
        return UINT64_MAX;
    for (size_t i = 0; i < row / 2; i++)
        ns *= 10;
    return ns;
}

void lifetimes_add(struct lifetimes *lifetimes, uint64_t lived_ns, uint64_t bytes)
{
    size_t row = 0;

    while (lived_ns > lifetime_class_ns(row))
        row++;
    lifetimes->row[row].blocks++;
    lifetimes->row[row].bytes += bytes;
    lifetimes->blocks++;
    lifetimes->bytes += bytes;
}

size_t lifetimes_median(const struct lifetimes *lifetimes)
{
    uint64_t seen = 0;
    size_t row = 0;

    while (row + 1 < LIFETIME_CLASSES &&
           (seen += lifetimes->row[row].blocks) < (lifetimes->blocks + 1) / 2)
        row++;
    return row;
}

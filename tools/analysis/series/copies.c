/* SPDX-License-Identifier: MIT */
#include "tools/analysis/series/copies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOON 4 /* allocations */

int copies_allocate(struct copies *copies, size_t row, uint64_t order, uint64_t bytes)
{
    if (row >= copies->rows) {
        size_t rows = copies->rows ? copies->rows : 64;
        struct copies_site *grown;

        while (rows <= row)
            rows *= 2;
        grown = realloc(copies->row, rows * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memset(grown + copies->rows, 0, (rows - copies->rows) * sizeof *grown);
        copies->row = grown;
        copies->rows = rows;
    }
    copies->row[row].order = order;
    copies->row[row].bytes = bytes;
    return 0;
}

void copies_free(struct copies *copies, size_t row, uint64_t order, uint64_t bytes, uint64_t now,
                 uint64_t peak_order, uint64_t peak_serial)
{
    struct copies_site *site = row < copies->rows ? &copies->row[row] : NULL;

    if (!site || !site->order)
        return;
    if (site->order == order) {
        site->order = 0;
        return;
    }
    if (order > site->order || now - site->order >= SOON)
        return;
    if (bytes >= site->bytes) {
        site->exchanges++;
        site->order = 0;
        return;
    }
    site->copies++;
    if (bytes > site->old_bytes)
        site->old_bytes = bytes;
    if (peak_order >= site->order) {
        if (site->at_peak_serial != peak_serial)
            site->at_peak_bytes = 0;
        site->at_peak_serial = peak_serial;
        site->at_peak_bytes += bytes;
    }
    site->order = 0;
}

void copies_done(struct copies *copies)
{
    free(copies->row);
    *copies = (struct copies){0};
}

/* SPDX-License-Identifier: MIT */
/*
 * Arrays that double when they are full.
 *
 * Threading: plain data.
 */
#ifndef TOOLS_BASE_GROW_H
#define TOOLS_BASE_GROW_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/**
 * Makes room for one more row after `count`; an empty array begins with `first` rows. Errors:
 * -ENOMEM, and the array is as it was.
 */
#define ARRAY_GROW(rows, count, room, first)                                                       \
    array_grow(&(rows), sizeof *(rows), (count), &(room), (first))

static inline int array_grow(void *rows_pointer, size_t row_bytes, size_t count, size_t *room,
                             size_t first)
{
    size_t wanted = *room ? 2 * *room : first;
    void *rows;

    if (count < *room)
        return 0;
    memcpy(&rows, rows_pointer, sizeof rows);
    rows = reallocarray(rows, wanted, row_bytes);
    if (!rows)
        return -ENOMEM;
    memcpy(rows_pointer, &rows, sizeof rows);
    *room = wanted;
    return 0;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A table of devices: their memory, and which of them a trace fits.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_DEVICES_H
#define TOOLS_REPLAY_DEVICES_H

#include <stddef.h>
#include <stdint.h>

struct device_row {
    char name[64];
    uint64_t usable_bytes;
    const char *source; /* of the figure */
};

/** Returns the built-in table (devices.def), ascending; free() it. NULL: out of memory. */
struct device_row *devices_built_in(size_t *ret_count);

/**
 * Reads a table from a file: lines `name = bytes`, # begins a comment, sizes as in options.
 * Errors: -EINVAL with the line in `ret_why`; -ENOMEM; others as infile_read().
 */
int devices_read(const char *path, struct device_row **ret_rows, size_t *ret_count, char *ret_why,
                 size_t why_bytes);

#endif

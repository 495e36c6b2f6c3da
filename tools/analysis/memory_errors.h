/* SPDX-License-Identifier: MIT */
/*
 * Memory errors of the program, as its guards found them (option `guard`).
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_ANALYSIS_MEMORY_ERRORS_H
#define TOOLS_ANALYSIS_MEMORY_ERRORS_H

#include <stdint.h>

#include "cupti/format/memory_error.h"
#include "cupti/format/trace_format.h"

#define MEMORY_ERRORS_KEPT   100 /* with their sites; all are counted */
#define MEMORY_SUSPECTS_KEPT 256

struct memory_errors_row {
    uint64_t time_ns, address, requested_bytes;
    int64_t offset; /* of the first byte changed, from the block's first */
    unsigned kind;  /* enum memory_error_kind, or one that is not known */
    uint8_t found, expected;
    uint32_t context, device;
    uint64_t allocation_site, free_site; /* 0: unknown */
};

/** A block that a fault may have to do with. */
struct memory_suspect {
    uint64_t error; /* index of the fault's row */
    struct memory_errors_row row;
};

struct memory_errors {
    uint64_t count;    /* without suspects */
    uint64_t suspects; /* those that are kept */
    struct memory_errors_row row[MEMORY_ERRORS_KEPT];
    struct memory_suspect suspect[MEMORY_SUSPECTS_KEPT];
};

void memory_errors_add(struct memory_errors *errors, const struct trace_record *record);

/** Rows that are kept. */
static inline uint64_t memory_errors_kept(const struct memory_errors *errors)
{
    return errors->count < MEMORY_ERRORS_KEPT ? errors->count : MEMORY_ERRORS_KEPT;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Records memory errors of the program that the guards found.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_OBSERVE_MEMORY_ERROR_H
#define SHIM_OBSERVE_MEMORY_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include "cupti/format/memory_error.h"

struct memory_error {
    enum memory_error_kind kind;
    uint64_t address; /* of the block */
    size_t requested_bytes;
    int64_t offset; /* of the first byte that was changed, from the block's first */
    uint8_t found, expected;
    uint32_t context;
    uint16_t device;
    uint32_t allocation_site, free_site; /* 0: unknown; free_site: the block is live */
};

/** Number of errors found in this process, recorded or not. */
uint64_t memory_error_count(void);
void memory_error_count_add(void);

/** Records how many blocks could not be compared so far. */
void memory_error_unverified_record(uint64_t blocks);

void memory_error_record(const struct memory_error *error);

#endif

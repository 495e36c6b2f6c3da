/* SPDX-License-Identifier: MIT */
/*
 * Finds the block at an address, as the program knows it.
 *
 * The program allocates blocks; the driver knows only the segments around them. An address in a
 * segment belongs to a live block, within its requested bytes, or to nothing at all. The same
 * applies to memory of another process that was opened by a token. Everywhere else the driver's
 * answer counts.
 *
 * Threading: every function from any thread, outside the gate.
 */
#ifndef SHIM_SHARE_RANGES_H
#define SHIM_SHARE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/resolve/cuda_abi.h"

enum range_kind {
    RANGE_DRIVER, /* as the driver says */
    RANGE_BLOCK,  /* a block of its own inside a driver allocation */
    RANGE_HOLE,   /* inside a driver allocation, but nothing to the program */
};

struct address_range {
    enum range_kind kind;
    bool imported; /* opened, not allocated here */
    bool synchronous;
    bool mapped;   /* lies on mappings of ours; `allocation` is the first of them */
    uint64_t base; /* of the block; this and what follows is 0 for other kinds */
    size_t bytes;
    uint64_t allocation; /* base of the driver allocation */
    uint32_t context;    /* of an imported block: number of the context; 0: unknown */
    uint64_t id;         /* likewise */
};

/** An address where CUDA memory never lies: the real functions are asked about it for a hole. */
#define RANGE_NOWHERE ((uint64_t)1)

struct address_range address_range_of(uint64_t address);

/** Returns the mapping of ours that holds an address of a block. False: it is gone. */
bool address_range_page(const struct address_range *range, uint64_t address, uint64_t *ret_base,
                        uint64_t *ret_bytes);

/** Returns the number of the context that a block belongs to; 0: unknown. */
uint32_t address_range_context(const struct address_range *range);

/** Returns the context that a block belongs to; NULL: unknown. */
CUcontext address_range_handle(const struct address_range *range);

/** Returns a number that no other memory of the process has had. -ENOMEM; -ENOENT freed
 * meanwhile. */
int address_range_id(const struct address_range *range, uint64_t *ret_id);

#endif

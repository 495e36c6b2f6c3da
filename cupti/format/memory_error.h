/* SPDX-License-Identifier: MIT */
/*
 * Encoding of a MEMORY_ERROR record: the kind, the byte found and the byte expected share a field.
 *
 * Threading: pure functions.
 */
#ifndef CUPTI_FORMAT_MEMORY_ERROR_H
#define CUPTI_FORMAT_MEMORY_ERROR_H

#include <stdint.h>

/** The counter record for blocks that could not be compared; absent for 0. */
#define MEMORY_ERROR_UNVERIFIED "guard_unverified_blocks"

enum memory_error_kind {
    MEMORY_ERROR_OVERRUN = 1,  /* a write behind a block */
    MEMORY_ERROR_UNDERRUN = 2, /* a write in front of the block */
    MEMORY_ERROR_FREED = 3,    /* a write after its free */
    /* An access of the device to addresses without memory. It belongs to no block, because its
     * address is unknown; suspects follow it. */
    MEMORY_ERROR_FAULT = 4,
    /* Not an error itself: a block that the preceding fault may concern; its offset is 1 if it
     * was freed before. */
    MEMORY_ERROR_SUSPECT = 5
};

/** Returns the name in reports; "memory error" for an unknown kind. */
static inline const char *memory_error_name(unsigned kind)
{
    switch (kind) {
    case MEMORY_ERROR_OVERRUN: return "overrun";
    case MEMORY_ERROR_UNDERRUN: return "underrun";
    case MEMORY_ERROR_FREED: return "write after free";
    case MEMORY_ERROR_FAULT: return "illegal address";
    case MEMORY_ERROR_SUSPECT: return "suspect";
    default: return "memory error";
    }
}

static inline uint32_t memory_error_pack(unsigned kind, uint8_t found, uint8_t expected)
{
    return (kind & 0xff) | (uint32_t)found << 8 | (uint32_t)expected << 16;
}

static inline unsigned memory_error_kind_of(uint32_t packed)
{
    return packed & 0xff;
}

static inline uint8_t memory_error_found(uint32_t packed)
{
    return (uint8_t)(packed >> 8);
}

static inline uint8_t memory_error_expected(uint32_t packed)
{
    return (uint8_t)(packed >> 16);
}

#endif

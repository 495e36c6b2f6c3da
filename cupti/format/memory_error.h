/* SPDX-License-Identifier: MIT */
/*
 * How a MEMORY_ERROR record says what was found: kind, byte found and byte expected share a field.
 *
 * Threading: pure functions.
 */
#ifndef CUPTI_FORMAT_MEMORY_ERROR_H
#define CUPTI_FORMAT_MEMORY_ERROR_H

#include <stdint.h>

/** The figure of the record that counts blocks which could not be compared; there is none for 0. */
#define MEMORY_ERROR_UNVERIFIED "guard_unverified_blocks"

enum memory_error_kind {
    MEMORY_ERROR_OVERRUN = 1,  /* a write behind a block */
    MEMORY_ERROR_UNDERRUN = 2, /* a write in front of it */
    MEMORY_ERROR_FREED = 3,    /* a write after its free */
    /* An access of the device to addresses without memory; of no block, as its address is not
     * known. Suspects follow it. */
    MEMORY_ERROR_FAULT = 4,
    /* No error of its own: a block that the fault before it may have to do with; its offset is 1
     * when it was freed before. */
    MEMORY_ERROR_SUSPECT = 5
};

/** What it is called in reports; "memory error" for a kind that is not known. */
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

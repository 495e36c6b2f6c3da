/* SPDX-License-Identifier: MIT */
/*
 * A lane is a block being filled, and the one thread that fills it.
 *
 * A thread that emits owns a lane until it ends. The lane of an ended thread, with its half-full
 * block, goes to the next thread that needs one. To find ended threads, the kernel is asked for the
 * owner's thread id: no destructor of ours runs in the program's threads. While `busy` is set, the
 * owner is inside the writer. Closing sets `closed`, makes every processor see it, and seals the
 * blocks of the lanes that are not busy.
 *
 * Threading: fields other than tid and busy belong to the owner. They belong to the closing thread
 * when the lane is free, or not busy after the barrier.
 */
#ifndef CUPTI_WRITE_TRACE_LANE_H
#define CUPTI_WRITE_TRACE_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cupti/format/trace_format.h"

#define TRACE_LANES 65536

struct trace_lane {
    _Alignas(64) atomic_uint tid;     /* owner; 0: never owned */
    atomic_uint busy;                 /* the owner is writing */
    uint32_t used;                    /* slots used of the block */
    struct trace_block_header *block; /* NULL: none yet */
    void *scratch;                    /* TRACE_SCRATCH_BYTES for the owner; NULL: none yet */
};

/** Lanes of one writer, in zeroed pages that are committed as they are used. */
struct trace_lanes {
    struct trace_lane *lane;
    atomic_uint count; /* lanes ever used */
    atomic_uint probe; /* where the search for an ended owner goes on */
};

/** Returns the calling thread's lane, its former one if it had one. NULL: too many threads. */
struct trace_lane *trace_lane_claim(struct trace_lanes *lanes, uint32_t tid);

/** Returns the first of `slots` free slots of the lane's block, or NULL when they do not fit. */
static inline struct trace_record *trace_lane_reserve(struct trace_lane *lane, uint32_t slots)
{
    uint32_t used = lane->used;

    if (!lane->block || used + slots > TRACE_BLOCK_SLOTS)
        return NULL;
    lane->used = used + slots;
    return (struct trace_record *)(void *)(lane->block + 1) + used;
}

/** Gives a lane its next block. */
void trace_lane_start(struct trace_lane *lane, void *block, uint32_t sequence);

/** Writes count and checksum of the lane's block and releases it. */
void trace_lane_seal(struct trace_lane *lane);

/** Writes a record with its thread and time filled in; it becomes valid only when it is
 * complete. */
static inline void trace_record_publish(struct trace_record *slot,
                                        const struct trace_record *record, uint32_t thread,
                                        uint64_t time_ns)
{
    uint64_t first;

    __builtin_prefetch(slot + 2, 1); /* in time: a call later nothing waits for its line */
    memcpy((char *)slot + sizeof first, (const char *)record + sizeof first,
           sizeof *slot - sizeof first);
    slot->thread = thread;
    slot->time_ns = time_ns;
    memcpy(&first, record, sizeof first);
    __atomic_store_n((uint64_t *)(void *)slot, first, __ATOMIC_RELEASE);
}

#endif

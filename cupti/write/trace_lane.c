/* SPDX-License-Identifier: MIT */
/*
 * A new thread tries a few lanes in turn for one that belonged to an ended thread, and otherwise
 * takes a fresh one. So the number of half-full blocks stays within a small factor of the number
 * of live threads, and starting a thread stays cheap however many there are.
 */
#include "cupti/write/trace_lane.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"

#define PROBES 4

static bool thread_has_ended(uint32_t tid)
{
    return syscall(SYS_tgkill, getpid(), tid, 0) < 0 && errno == ESRCH;
}

/** Finds a lane this thread owned before, perhaps under an earlier thread with the same id. */
static struct trace_lane *lane_of_thread(struct trace_lanes *lanes, uint32_t count, uint32_t tid)
{
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load_explicit(&lanes->lane[i].tid, memory_order_acquire) == tid)
            return &lanes->lane[i];
    return NULL;
}

static struct trace_lane *lane_of_ended_thread(struct trace_lanes *lanes, uint32_t count,
                                               uint32_t tid)
{
    int saved_errno = errno;
    struct trace_lane *found = NULL;

    for (uint32_t i = 0; i < PROBES && i < count && !found; i++) {
        struct trace_lane *lane =
            &lanes->lane[atomic_fetch_add_explicit(&lanes->probe, 1, memory_order_relaxed) % count];
        uint32_t owner = atomic_load_explicit(&lane->tid, memory_order_acquire);

        if (owner && thread_has_ended(owner) &&
            atomic_compare_exchange_strong_explicit(&lane->tid, &owner, tid, memory_order_acq_rel,
                                                    memory_order_relaxed))
            found = lane;
    }
    /* The former owner's writes came before its last release of `busy`. */
    if (found)
        (void)atomic_load_explicit(&found->busy, memory_order_acquire);
    errno = saved_errno;
    return found;
}

static struct trace_lane *lane_fresh(struct trace_lanes *lanes, uint32_t tid)
{
    uint32_t index = atomic_load_explicit(&lanes->count, memory_order_relaxed);

    do
        if (index >= TRACE_LANES)
            return NULL;
    while (!atomic_compare_exchange_weak_explicit(&lanes->count, &index, index + 1,
                                                  memory_order_acq_rel, memory_order_relaxed));
    atomic_store_explicit(&lanes->lane[index].tid, tid, memory_order_release);
    return &lanes->lane[index];
}

struct trace_lane *trace_lane_claim(struct trace_lanes *lanes, uint32_t tid)
{
    uint32_t count = atomic_load_explicit(&lanes->count, memory_order_acquire);
    struct trace_lane *lane = lane_of_thread(lanes, count, tid);

    if (!lane)
        lane = lane_of_ended_thread(lanes, count, tid);
    if (!lane)
        return lane_fresh(lanes, tid);
    /* A thread may end inside the writer, in a signal handler that does not return. */
    atomic_store_explicit(&lane->busy, 0, memory_order_relaxed);
    return lane;
}

void trace_lane_start(struct trace_lane *lane, void *block, uint32_t sequence)
{
    struct trace_block_header *header = block;

    header->sequence = sequence;
    header->thread = atomic_load_explicit(&lane->tid, memory_order_relaxed);
    __atomic_store_n(&header->magic, TRACE_BLOCK_MAGIC, __ATOMIC_RELEASE);
    lane->block = header;
    lane->used = 0;
}

void trace_lane_seal(struct trace_lane *lane)
{
    struct trace_block_header *header = lane->block;

    if (!header)
        return;
    header->checksum = crc32c(header + 1, (size_t)lane->used * TRACE_SLOT_BYTES);
    __atomic_store_n(&header->count, lane->used, __ATOMIC_RELEASE);
    lane->block = NULL;
    lane->used = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The writer: lanes for events (trace_lane.h), one more for definitions (trace_intern.h), both over
 * one growing file (trace_store.h).
 *
 * `alive` lies in a page that the kernel zeroes in a child after fork, so a child is inert even if
 * no fork handler ran. A thread sets its lane's `busy` and then checks `alive`. Closing clears
 * `alive`, makes every processor pass a barrier, and then checks `busy`: at least one sees the
 * other. A block with an owner that stays busy remains open, which a reader accepts. Nothing is
 * freed at close, because late threads may still come.
 *
 * Threading: as trace_writer.h says.
 */
#include "cupti/write/trace_writer.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"
#include "cupti/base/likely.h"
#include "cupti/base/pages.h"
#include "cupti/write/trace_clock.h"
#include "cupti/write/trace_intern.h"
#include "cupti/write/trace_lane.h"
#include "cupti/write/trace_origin.h"
#include "cupti/write/trace_ring.h"
#include "cupti/write/trace_store.h"

#define CLOSE_PATIENCE 1000 /* times the processor is yielded to threads inside the writer */

struct trace_writer {
    atomic_uint *alive;  /* in a page of its own, emptied in a child after fork */
    uint32_t generation; /* distinguishes writers of one process; immutable */
    bool barrier;        /* the kernel has the barrier; immutable */
    struct trace_clock clock;
    struct trace_lanes lanes;
    struct trace_file_header *header; /* mapped; dropped, stop_errno, flags are atomic */
    struct trace_store store;
    struct trace_intern intern;
    struct trace_ring ring; /* of a file with a limit */
};

/** The lane that this thread used last, and its writer. */
struct lane_memory {
    struct trace_lane *lane;
    uint32_t generation; /* 0: of none */
};

static __thread struct lane_memory lane_memory __attribute__((tls_model("initial-exec")));
static atomic_uint last_generation;

static bool writer_is_alive(const struct trace_writer *writer)
{
    return atomic_load_explicit(writer->alive, memory_order_relaxed);
}

static void writer_drop(struct trace_writer *writer)
{
    __atomic_fetch_add(&writer->header->dropped, 1, __ATOMIC_RELAXED);
}

/** Notes in the file why the recording stopped. */
static void writer_tell_error(struct trace_writer *writer)
{
    int error = atomic_load_explicit(&writer->store.error, memory_order_relaxed);

    if (error < 0)
        __atomic_store_n(&writer->header->stop_errno, (uint32_t)-error, __ATOMIC_RELAXED);
}

/** A thread's first visit, or its first to this writer. */
__attribute__((noinline)) static struct trace_lane *lane_attach(struct trace_writer *writer)
{
    struct trace_lane *lane = trace_lane_claim(&writer->lanes, (uint32_t)syscall(SYS_gettid));

    lane_memory = (struct lane_memory){lane, lane ? writer->generation : 0};
    return lane;
}

/** Begins work inside the writer. NULL: the writer is inert, or this thread is inside already. */
static inline struct trace_lane *writer_enter(struct trace_writer *writer)
{
    struct trace_lane *lane = lane_memory.lane;

    if (!writer || !writer_is_alive(writer))
        return NULL;
    if (unlikely(lane_memory.generation != writer->generation))
        lane = lane_attach(writer);
    if (!lane || atomic_load_explicit(&lane->busy, memory_order_relaxed)) {
        writer_drop(writer);
        return NULL;
    }
    atomic_store_explicit(&lane->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (writer_is_alive(writer))
        return lane;
    atomic_store_explicit(&lane->busy, 0, memory_order_release);
    return NULL;
}

static inline void writer_leave(struct trace_lane *lane)
{
    atomic_store_explicit(&lane->busy, 0, memory_order_release);
}

/** Gives a lane its next block when the old one is full. */
__attribute__((noinline)) static struct trace_record *lane_renew(struct trace_writer *writer,
                                                                 struct trace_lane *lane)
{
    int saved_errno = errno, error;
    uint32_t sequence;
    void *block;

    if (writer->ring.store)
        error = trace_ring_block(&writer->ring, &block, &sequence);
    else
        error = trace_store_block(&writer->store, TRACE_STORE_EVENTS, &block, &sequence);
    if (error < 0) {
        writer_tell_error(writer);
    } else {
        trace_lane_seal(lane);
        trace_lane_start(lane, block, sequence);
    }
    errno = saved_errno;
    return error < 0 ? NULL : trace_lane_reserve(lane, 1);
}

/** False when there is no room for the record. An inert writer needs none. */
static inline bool writer_emit(struct trace_writer *writer, const struct trace_record *record)
{
    struct trace_lane *lane = writer_enter(writer);
    struct trace_record *slot;

    if (!lane)
        return true;
    slot = trace_lane_reserve(lane, 1);
    if (unlikely(!slot))
        slot = lane_renew(writer, lane);
    if (slot)
        trace_record_publish(slot, record, atomic_load_explicit(&lane->tid, memory_order_relaxed),
                             record->time_ns ? record->time_ns : trace_clock_now(&writer->clock));
    writer_leave(lane);
    return slot;
}

void trace_writer_emit(struct trace_writer *writer, const struct trace_record *record)
{
    if (unlikely(!writer_emit(writer, record)))
        writer_drop(writer);
}

/** Tells a definition that could not be written. */
static uint32_t definition_told(struct trace_writer *writer, uint32_t id)
{
    if (!id) {
        writer_drop(writer);
        writer_tell_error(writer);
    }
    return id;
}

uint32_t trace_writer_string(struct trace_writer *writer, const char *text)
{
    int saved_errno = errno;
    struct trace_lane *lane = text ? writer_enter(writer) : NULL;
    uint32_t id;

    if (!lane)
        return 0;
    id = definition_told(
        writer, trace_intern_string(&writer->intern, text, trace_clock_now(&writer->clock)));
    writer_leave(lane);
    errno = saved_errno;
    return id;
}

/** Resolves and writes a site that is not in the table. */
__attribute__((noinline)) static uint32_t site_write(struct trace_writer *writer,
                                                     const void *code_address)
{
    int saved_errno = errno;
    struct trace_lane *lane = writer_enter(writer);
    uint32_t id;

    if (!lane)
        return 0;
    id = definition_told(writer,
                         trace_intern_site(&writer->intern, (uint64_t)(uintptr_t)code_address, 0,
                                           trace_clock_now(&writer->clock)));
    writer_leave(lane);
    errno = saved_errno;
    return id;
}

uint32_t trace_writer_site(struct trace_writer *writer, const void *code_address)
{
    uint32_t id;

    if (!writer || !code_address || !writer_is_alive(writer))
        return 0;
    id = site_table_find(&writer->intern.table,
                         trace_intern_key((uint64_t)(uintptr_t)code_address, 0));
    return id ? id : site_write(writer, code_address);
}

uint32_t trace_writer_stack_find(struct trace_writer *writer, const struct trace_stack *stack)
{
    if (!writer || !writer_is_alive(writer))
        return 0;
    return site_table_find(&writer->intern.stacks, trace_intern_stack_key(stack));
}

uint32_t trace_writer_stack(struct trace_writer *writer, const struct trace_stack *stack)
{
    int saved_errno = errno;
    struct trace_lane *lane = stack->codes ? writer_enter(writer) : NULL;
    bool cut = false;
    uint32_t id;

    if (!lane)
        return 0;
    id = definition_told(
        writer, trace_intern_stack(&writer->intern, stack, trace_clock_now(&writer->clock), &cut));
    if (cut)
        __atomic_fetch_add(&writer->header->cut_stacks, 1, __ATOMIC_RELAXED);
    writer_leave(lane);
    errno = saved_errno;
    return id;
}

__attribute__((noinline)) static void *scratch_map(struct trace_writer *writer)
{
    int saved_errno = errno;
    struct trace_lane *lane = writer_enter(writer);
    void *scratch = NULL;

    if (lane) {
        if (!lane->scratch)
            lane->scratch = pages_map(TRACE_SCRATCH_BYTES);
        scratch = lane->scratch;
        writer_leave(lane);
    }
    errno = saved_errno;
    return scratch;
}

void *trace_writer_scratch(struct trace_writer *writer)
{
    if (likely(lane_memory.generation == writer->generation && lane_memory.lane &&
               lane_memory.lane->scratch))
        return lane_memory.lane->scratch;
    return scratch_map(writer);
}

uint64_t trace_writer_now(const struct trace_writer *writer)
{
    /* The clock corrects itself while it is read; the writer does not change by that. */
    return trace_clock_now((struct trace_clock *)&writer->clock);
}

const char *trace_writer_path(const struct trace_writer *writer)
{
    return writer->store.path;
}

int trace_writer_error(const struct trace_writer *writer)
{
    return writer_is_alive(writer)
               ? -atomic_load_explicit(&writer->store.error, memory_order_relaxed)
               : 0;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/** Writes block 0. The magic comes last: a file without it was never begun. */
static int header_write(struct trace_writer *writer)
{
    struct trace_file_header header = {.magic = TRACE_FILE_MAGIC,
                                       .version = writer->ring.store ? TRACE_VERSION_LIMITED
                                                                     : TRACE_VERSION,
                                       .block_bytes = TRACE_BLOCK_BYTES,
                                       .start_realtime_ns = realtime_ns(),
                                       .pid = (uint32_t)getpid(),
                                       .flags = TRACE_FLAG_SCALED,
                                       .origin = trace_origin()};
    uint32_t sequence;
    void *block;
    int error = trace_store_block(&writer->store, TRACE_STORE_FILE_HEADER, &block, &sequence);

    if (error < 0)
        return error;
    header.checksum = crc32c(&header, offsetof(struct trace_file_header, flags));
    memcpy((char *)block + sizeof header.magic, (char *)&header + sizeof header.magic,
           sizeof header - sizeof header.magic);
    __atomic_store_n((uint64_t *)block, header.magic, __ATOMIC_RELEASE);
    writer->header = block;
    return 0;
}

static int writer_init(struct trace_writer *writer)
{
    int error;

    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    writer->alive = pages_map(page_bytes);
    writer->lanes.lane = pages_map(sizeof *writer->lanes.lane * TRACE_LANES);
    if (!writer->alive || !writer->lanes.lane)
        return -ENOMEM;
    madvise(writer->alive, page_bytes, MADV_WIPEONFORK);
    writer->barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    writer->generation = atomic_fetch_add(&last_generation, 1) + 1;
    error = trace_intern_init(&writer->intern, &writer->store, (uint32_t)syscall(SYS_gettid));
    if (error == 0 && writer->store.most_blocks)
        error = trace_ring_init(&writer->ring, &writer->store, writer->intern.module_of);
    return error;
}

int trace_writer_open(const char *path, struct trace_writer **ret_writer)
{
    return trace_writer_open_limited(path, 0, ret_writer);
}

int trace_writer_open_limited(const char *path, uint64_t most_bytes,
                              struct trace_writer **ret_writer)
{
    struct trace_writer *writer;
    int error;

    if (most_bytes && most_bytes < TRACE_LIMIT_LEAST)
        return -EINVAL;
    writer = pages_map(sizeof *writer);
    if (!writer)
        return -ENOMEM;
    error = trace_store_open(&writer->store, path, most_bytes);
    if (error < 0)
        goto unmap;
    error = writer_init(writer);
    if (error == 0)
        error = header_write(writer);
    if (error < 0)
        goto remove;
    trace_clock_init(&writer->clock);
    atomic_store_explicit(writer->alive, 1, memory_order_release);
    *ret_writer = writer;
    return 0;
remove:
    unlink(writer->store.path);
    trace_store_abandon(&writer->store);
unmap:
    munmap(writer, sizeof *writer);
    return error;
}

/** Waits a bounded time for a lane's owner to leave the writer. */
static bool lane_becomes_idle(const struct trace_lane *lane, int *patience)
{
    while (atomic_load_explicit(&lane->busy, memory_order_acquire)) {
        if (--*patience < 0)
            return false;
        sched_yield();
    }
    return true;
}

static void lanes_seal(struct trace_writer *writer)
{
    uint32_t count = atomic_load_explicit(&writer->lanes.count, memory_order_acquire);
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    int patience = CLOSE_PATIENCE;
    bool everywhere = writer->barrier &&
                      syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;

    for (uint32_t i = 0; i < count; i++) {
        struct trace_lane *lane = &writer->lanes.lane[i];

        if ((everywhere || lane->tid == tid) && lane_becomes_idle(lane, &patience))
            trace_lane_seal(lane);
    }
}

void trace_writer_close(struct trace_writer *writer)
{
    struct trace_record end = {.kind = TRACE_EVENT_END};
    int saved_errno = errno;

    if (!writer || !writer_is_alive(writer))
        return;
    end.value = __atomic_load_n(&writer->header->dropped, __ATOMIC_RELAXED);
    writer_emit(writer, &end);
    atomic_store_explicit(writer->alive, 0, memory_order_seq_cst);
    lanes_seal(writer);
    trace_intern_close(&writer->intern);
    __atomic_fetch_or(&writer->header->flags, TRACE_FLAG_CLOSED, __ATOMIC_RELEASE);
    trace_store_finish(&writer->store);
    errno = saved_errno;
}

void trace_writer_fork_child(struct trace_writer *writer)
{
    if (!writer)
        return;
    atomic_store_explicit(writer->alive, 0, memory_order_relaxed);
    trace_store_abandon(&writer->store);
}

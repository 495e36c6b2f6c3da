/* SPDX-License-Identifier: MIT */
/*
 * The device of the transfers' unit tests. Its memory, page-locked memory and memory of another
 * context are stretches of one array; everything else is pageable. Work waits in its stream until
 * the test runs it, a unit at a time or all; then fences pass. Calls fail on demand.
 *
 * Sources and descriptors are read when the work runs, as a device does.
 *
 * Threading: one lock around everything.
 */
#ifndef TESTS_UNIT_TRANSFER_FAKE_H
#define TESTS_UNIT_TRANSFER_FAKE_H

#include <pthread.h>

#include "pool/transfer/queue.h"

#define FAKE_STREAMS        8u
#define FAKE_WORKS          8192u
#define FAKE_STREAM(number) ((cupool_stream)(uintptr_t)(number))
#define FAKE_DEVICE_BYTES   ((size_t)1 << 20)
#define FAKE_PINNED_BYTES   ((size_t)1 << 20)
#define FAKE_FOREIGN_BYTES  ((size_t)4096)

enum fake_call {
    FAKE_PLACE,
    FAKE_COPY,
    FAKE_BATCH,
    FAKE_KERNEL,
    FAKE_RECORD,
    FAKE_QUERY,
    FAKE_WAIT,
    FAKE_DRAIN,
    FAKE_CALLS,
};

struct fake_work {
    uint64_t to, from, bytes;
    const void *descriptors; /* of a launch */
    uint64_t count;
    uint64_t fence; /* the stream waits for it */
};

struct fake {
    uint8_t *device, *pinned, *second, *foreign; /* second: another registration, behind pinned */
    struct {
        struct fake_work works[FAKE_WORKS];
        uint32_t first, last;
        uint64_t newest, passed; /* fences by their order in the stream */
    } streams[FAKE_STREAMS];
    uint32_t stream_count; /* those made; the caller's are the last ones */
    int held;              /* 1: work waits for fake_run() */
    int no_batch, no_kernel, kernel_unsupported, host;
    uintptr_t captured;
    uint64_t gone; /* a fence that must not be asked any more; 0: none */
    uint64_t calls[FAKE_CALLS], all_calls;
    uint64_t fail_at; /* the call of all that fails; 0: none */
    int fail_error;
    int fences, ring, broken;
    uint64_t clock_ns, pauses;
    uint64_t copy_ns, batch_ns, batch_each_ns, kernel_ns, kernel_kib_ns, copy_kib_ns; /* costs */
    pthread_mutex_t lock;
};

void fake_make(struct fake *fake);
void fake_end(struct fake *fake);
struct transfer_backend fake_backend(struct fake *fake);

/** Runs at most `count` units of each stream. Returns how many ran. */
unsigned fake_run(struct fake *fake, unsigned count);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A device made of counters: it hands out addresses, never memory.
 *
 * It counts every call, keeps a clock that only calls advance, completes fences when told to (or at
 * once), has a capacity, and can be told to misbehave: to fail the n-th call, to be capturing, to
 * have no events, to return misaligned addresses. Fences are numbered; waiting for the device or
 * giving a segment back counts as a fence that has completed, as with the real driver. Mapped
 * memory follows the driver's rules: handles are mapped and unmapped whole, never over each other,
 * and unmapping completes nothing.
 *
 * Thread-safe. Fields above the line are settings, to be changed while no other thread uses it.
 */
#ifndef TESTS_UNIT_POOL_FAKE_BACKEND_H
#define TESTS_UNIT_POOL_FAKE_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"

enum fake_call {
    FAKE_SEGMENT_ALLOCATE,
    FAKE_SEGMENT_FREE,
    FAKE_FENCE_RECORD,
    FAKE_FENCE_QUERY,
    FAKE_FENCE_WAIT,
    FAKE_DEVICE_WAIT,
    FAKE_DEVICE_SETTLE,
    FAKE_MEMORY_FILL,
    FAKE_RANGE_RESERVE,
    FAKE_RANGE_RELEASE,
    FAKE_PAGE_CREATE,
    FAKE_PAGE_RELEASE,
    FAKE_PAGE_MAP,
    FAKE_PAGE_ENABLE,
    FAKE_PAGE_UNMAP,
    FAKE_MEMORY_COPY,
    FAKE_CALL_COUNT,
};

struct fake_fill {
    uint64_t address;
    size_t bytes;
    uint8_t value;
    uint64_t completed; /* highest completed fence at that moment */
};

struct fake_segment {
    uint64_t address;
    size_t bytes;
    bool live;
};

/** Physical memory; bytes 0: given back. */
struct fake_handle {
    uint64_t bytes, address; /* address 0: not mapped */
    uint64_t *tags;          /* what stands in each 2 MiB: fake_tag_set() */
};

/** 2 MiB of a range, and its mapping. */
struct fake_page {
    uint32_t handle; /* from 1; 0: nothing */
    bool enabled;
};

struct fake_range {
    uint64_t address, bytes; /* bytes 0: given back */
    struct fake_page *pages;
};

#define FAKE_RANGES_MAX 8u

/* What fake_pool() asks for. */
#define FAKE_RANGE_BYTES ((uint64_t)8 << 30)
#define FAKE_FILLS_MAX   4096u

struct fake_backend {
    uint64_t capacity_bytes; /* 0: endless */
    bool complete_at_once;   /* fences are passed as soon as they are recorded */
    unsigned late_queries;   /* or after this many queries; 0: at once */
    bool capturing;          /* fences and device_wait: -EBUSY */
    bool open_fences;        /* fences meanwhile stay open: they cover later work, too */
    bool only_peers;         /* work behind fences is that of peers: a free waits for none */
    bool linked;             /* they were given access */
    bool without_events;     /* fence_record: -ENOTSUP */
    uint64_t misalign_bytes; /* added to every segment address */
    uint64_t fail_at;        /* number of the call that fails, from 1; 0: none */
    int fail_error;
    void (*on_wait)(struct fake_backend *fake);         /* called by fence_wait, without a lock */
    void (*on_segment_free)(struct fake_backend *fake); /* likewise by segment_free */
    /** Likewise before addresses are unmapped. */
    void (*on_unmap)(struct fake_backend *fake, uint64_t address, uint64_t bytes);
    uint64_t range_most; /* a larger reservation is refused; 0: none is */
    bool without_pages;  /* the device maps nothing: the operations are NULL */
    void *user;
    /* ---- */
    pthread_mutex_t mutex;
    uint64_t calls[FAKE_CALL_COUNT];
    uint64_t calls_total;
    uint64_t used_bytes, peak_bytes;
    _Atomic uint64_t clock_ns;
    uint64_t fences_recorded, fences_live;
    unsigned late_left;         /* queries until the last fence is signalled */
    _Atomic uint64_t stamp;     /* number of the last fence recorded */
    _Atomic uint64_t completed; /* number of the last fence completed */
    struct fake_segment *segments;
    size_t segment_count, segment_room;
    struct fake_range ranges[FAKE_RANGES_MAX];
    struct fake_handle *handles; /* by number - 1 */
    size_t handle_count, handle_room;
    struct fake_fill fills[FAKE_FILLS_MAX];
    size_t fill_count;
    uint64_t next_address;
    unsigned errors;  /* contract violations by the pool */
    uint64_t held_at; /* fences from this one on are behind work that does not end; 0: none */
    unsigned hangs;   /* calls that would have waited for such work without a bound */
};

void fake_init(struct fake_backend *fake);
void fake_done(struct fake_backend *fake);

/** The vtable on a fake. */
struct pool_backend fake_backend(struct fake_backend *fake);

/** Everything recorded so far has completed. */
void fake_complete(struct fake_backend *fake);

/** A kernel that does not end has been submitted, until fake_release(). */
void fake_hold(struct fake_backend *fake);
void fake_release(struct fake_backend *fake);

/** Whether every page of a mapped range that the bytes touch is mapped and may be used. */
bool fake_accessible(struct fake_backend *fake, uint64_t address, uint64_t bytes);

/** Writes and reads one number for 2 MiB mapped at an address. */
void fake_tag_set(struct fake_backend *fake, uint64_t address, uint64_t tag);
uint64_t fake_tag_get(struct fake_backend *fake, uint64_t address);

/** What pools on a fake are backed by; the driver unless a test is built for mapped memory. */
extern enum pool_backing fake_backing;

/** Segments, handles and ranges that were taken and not given back. */
size_t fake_segments_live(const struct fake_backend *fake);

/** A pool on the fake with the default configuration, changed by `change` if not NULL. */
struct pool *fake_pool(struct fake_backend *fake, void (*change)(struct pool_config *config));

#endif

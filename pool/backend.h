/* SPDX-License-Identifier: MIT */
/*
 * The device as the pool sees it: about a dozen operations and their contracts.
 *
 * The shim implements them with the real driver, unit tests with a fake that counts, keeps a fake
 * clock and fails on demand, replay with a model. Every operation returns 0 or a negative errno and
 * writes its outputs only on success. Operations may be called from any thread; the pool never
 * holds a class lock or the extents lock around one of them, except memory_fill and clock_ns, which
 * must not call back into the pool. Addresses are device addresses; the pool never dereferences
 * them.
 *
 * The range and page operations belong to the mapped-page backing; a backend without it leaves
 * them NULL.
 */
#ifndef POOL_BACKEND_H
#define POOL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A point in the device's work, owned by the backend; 0 is "no fence". */
typedef uint64_t pool_fence;

#define POOL_WAIT_FOREVER UINT64_MAX

/** Physical memory of one page run in the mapped backing, owned by the backend. */
typedef uint64_t pool_page_handle;

struct pool_backend {
    void *state; /* first argument of every operation */

    /**
     * Allocates memory from the device, `bytes` a multiple of 2 MiB. The pool gives back what is
     * not 2 MiB-aligned. -ENOMEM: the device has not that much; -ENOTSUP: it has, but not so
     * aligned; -EPERM: the context must not be called now (capture, teardown); -EIO: the context is
     * broken or gone.
     */
    int (*segment_allocate)(void *state, size_t bytes, uint64_t *ret_address);
    /**
     * Frees a whole segment. May wait for all work of the device, as the driver's free does: the
     * pool holds no lock meanwhile, and during an allocation calls it only while the device is
     * idle or cannot be asked.
     */
    int (*segment_free)(void *state, uint64_t address, size_t bytes);

    /**
     * Records a fence after all work submitted so far to any stream of the context. -EBUSY: not
     * now (a stream captures, a context is ending); -ENOTSUP: the driver has no such event.
     */
    int (*fence_record)(void *state, pool_fence *ret_fence);
    /** Returns 1 when everything before the fence has completed, 0 when not, -EBUSY while
     * capturing. */
    int (*fence_query)(void *state, pool_fence fence);
    /**
     * Blocks until everything before the fence has completed, but no longer than `most_ns`
     * (POOL_WAIT_FOREVER: however long it takes, as the driver's own free would). 1 when it has,
     * 0 when not, -EBUSY while capturing.
     */
    int (*fence_wait)(void *state, pool_fence fence, uint64_t most_ns);
    /** True while the fence is not recorded, because a stream captures: it may cover work that is
     * submitted later. 0: whether one of now would not be. May be NULL: fences are recorded at
     * once, or -EBUSY. */
    bool (*fence_open)(void *state, pool_fence fence);
    /** Gives the fence back. Never fails, never waits. */
    void (*fence_release)(void *state, pool_fence fence);
    /** Blocks until all work of the context has completed. -EBUSY: a stream captures, and it cannot
     * be waited for. */
    int (*device_wait)(void *state);
    /** The same, but no longer than `most_ns`, and also while a stream captures: 1 all completed, 0
     * not, or an error. May be NULL: segment_free() waits instead, however long it takes. */
    int (*device_settle)(void *state, uint64_t most_ns);
    /**
     * Whether segment_free() and page_unmap() would find no work to wait for, although a fence is
     * not signalled: a fence also covers peers, a free waits for none. 0: they would wait; 1: they
     * would not; 2: nor is any peer busy that was given access to memory of the pool. May be NULL:
     * fences cover nothing else.
     */
    int (*own_idle)(void *state);

    /**
     * Sets device memory before any later work. With `after_work`, after all earlier work, which
     * it waits for; otherwise at once, because nothing uses the memory any more.
     */
    int (*memory_fill)(void *state, uint64_t address, size_t bytes, uint8_t value, bool after_work);
    /** Memory that segment_allocate() can still give, and the device's size. May be NULL. */
    int (*memory_info)(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes);
    /** Monotonic time in nanoseconds. */
    uint64_t (*clock_ns)(void *state);

    /* Mapped-page backing; NULL without it. */
    int (*range_reserve)(void *state, size_t bytes, uint64_t *ret_address);
    int (*range_release)(void *state, uint64_t address, size_t bytes);
    int (*page_create)(void *state, size_t bytes, pool_page_handle *ret_handle);
    int (*page_release)(void *state, pool_page_handle handle);
    /** Maps a whole handle. Not accessible before page_enable. */
    int (*page_map)(void *state, uint64_t address, size_t bytes, pool_page_handle handle);
    /** Makes adjacent mappings accessible to the device, and to peers that have access. May
     * wait. */
    int (*page_enable)(void *state, uint64_t address, size_t bytes);
    /** Unmaps adjacent mappings, all or none. May wait for the device. */
    int (*page_unmap)(void *state, uint64_t address, size_t bytes);
    /**
     * Copies device memory while nothing else runs; the copy is complete on return. NULL: no
     * memory is moved.
     */
    int (*memory_copy)(void *state, uint64_t target, uint64_t source, size_t bytes);
};

#endif

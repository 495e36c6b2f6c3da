/* SPDX-License-Identifier: MIT */
/*
 * Contexts and their pools.
 *
 * A context is known from the first allocation in it until the program destroys or resets it. The
 * driver reuses handles, so an entry also holds the driver's id of the context. Every end of a
 * context increments a generation, which invalidates what threads remember. Entries are never
 * freed: a record or a fence may still name a context that has ended. But they leave the list, so
 * that a program that makes and ends contexts all the time does not walk past all of them.
 *
 * A call that ends a context may be refused, and a CUPTI client may free and allocate inside it. So
 * the pool stays until the call is back. Until then its blocks can be freed, but the driver is not
 * called for it, it serves no allocation, and no entry is made for the context.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_CONTEXT_CONTEXT_H
#define SHIM_CONTEXT_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cupti/base/likely.h"
#include "pool/pool.h"
#include "shim/resolve/real.h"
#include "shim/context/thread_state.h"

#define CONTEXT_EVENTS_KEPT 32

enum context_life {
    CONTEXT_LIVES,
    CONTEXT_ENDS, /* a call that ends it, or may, is under way: the driver is not called for it */
    CONTEXT_GONE, /* must not be used any more */
};

struct context {
    CUcontext handle;               /* immutable */
    uint64_t id;                    /* the driver's; 0 when it has none; immutable */
    int device;                     /* ordinal; immutable */
    uint32_t number;                /* small, from 1, never reused; immutable */
    struct pool *pool;              /* NULL without pooling; immutable until gone */
    atomic_int life;                /* enum context_life */
    atomic_bool over;               /* the driver has ended it: what outlives it may be returned */
    atomic_bool primary;            /* of its device; only known if the driver has no ids */
    atomic_bool broken;             /* a sticky error was seen: the driver answers everything */
    _Atomic uint64_t segment_bytes; /* taken from the driver by the pool */
    _Atomic uint64_t peers;         /* devices that may access its memory, one bit each */
    _Atomic(struct vmm *) vmm;      /* mapped memory of the pool (backend/backend_vmm.h), or NULL */
    atomic_bool reclaimed_now;      /* a thread returns that memory, after the end */
    atomic_int waiting; /* threads outside the gate that wait for its work or its pool's */
    _Atomic(struct context *) next; /* written under the list's lock; leads to all older ones */

    pthread_mutex_t backend_lock;
    CUevent events[CONTEXT_EVENTS_KEPT]; /* spare ones; guarded by backend_lock */
    int event_count;                     /* guarded by backend_lock */
    CUstream fill_stream;                /* guarded by backend_lock */
    struct fence *open_fences;           /* of captures; guarded by backend_lock */
    struct fence *before_captures;       /* of the work before them; guarded by backend_lock */
    atomic_int waiter;                   /* a state of the thread in backend/free_wait.c */
    int waiter_outcome;                  /* written by that thread before it is done */
    _Atomic uint64_t waiter_began_ns;
    _Atomic uint64_t test_block; /* kept in backend/ordered_free.c */
};

struct vmm;

extern _Atomic(struct context *) context_list; /* newest first, with gone ones with mapped memory */
extern _Atomic uint64_t context_generation;
extern atomic_int context_broken_count;
extern atomic_int context_ending_count; /* calls under way that end a context, or may */

static inline enum context_life context_life(const struct context *context)
{
    return (enum context_life)atomic_load_explicit(&context->life, memory_order_acquire);
}

/** Listener for the life of contexts. Called by the thread that noticed the event. */
struct context_listener {
    /** A context was found. The list is locked, and does not contain the context yet. */
    void (*made)(struct context *context);
    /** Its pool, right after `made`; NULL: it has none. */
    struct pool *(*pool_make)(struct context *context, const struct driver_functions *driver);
    /** The context has just broken. Called under whatever lock the driver was called with. */
    void (*broke)(struct context *context, CUresult result);
    /** It is gone, and its pool can still be asked. */
    void (*ending)(struct context *context);
    /** Its pool is gone, too. */
    void (*ended)(struct context *context);
};

/** Sets the listener, which must stay valid; once, before the first context is obtained. */
void context_listen(const struct context_listener *wanted);

struct context *context_obtain(const struct driver_functions *driver, CUcontext current);

/** Returns the thread's current context; NULL when it has no live one. */
static inline struct context *context_current(const struct driver_functions *driver)
{
    struct thread_state *self = &thread_state;
    CUcontext handle = NULL;

    if (REAL_ASK(driver->cuCtxGetCurrent(&handle)) != CUDA_SUCCESS || !handle)
        return NULL;
    if (likely(self->context_handle == handle &&
               self->context_generation ==
                   atomic_load_explicit(&context_generation, memory_order_acquire)))
        return self->context;
    return context_obtain(driver, handle);
}

/** Returns the context that this thread used last; NULL when it has ended. */
static inline struct context *context_last(void)
{
    const struct thread_state *self = &thread_state;

    return self->context_generation == atomic_load(&context_generation) ? self->context : NULL;
}

/** Whether a context that is current has not been destroyed. */
bool context_lives(const struct driver_functions *driver, CUcontext handle);

/** 1: the device has a primary context; 0: it has none; -EIO: the driver does not say. */
int context_primary_state(const struct driver_functions *driver, CUdevice device);

/** Finds the primary context of a device by retaining it, which makes an inactive one active. */
CUcontext context_primary(const struct driver_functions *driver, CUdevice device);

/** After the real call that may have ended a context: threads look again whether theirs lives. What
 * they saw since context_end_begin() may be the context before its end. */
void context_look_again(void);

/** Enters a context that is not current: a peer whose work may access our memory. */
void context_note(const struct driver_functions *driver, CUcontext handle);

/** Walks the contexts that are not gone. */
struct context *context_first(void);
struct context *context_next(const struct context *context);

/** Returns the entry of a handle that is not gone; NULL when it is not known. */
struct context *context_find(CUcontext handle);

/** Returns the context that owns this pool. */
struct context *context_of_pool(const struct pool *pool);

/** How long the end of a context waits for threads that wait for work that does not end. */
#define CONTEXT_END_WAIT_NS (UINT64_C(4) * 1000000000)

/** A call that ends a context, or may; lives in the frame of its hook. */
struct context_end {
    CUcontext handle;
    struct context *context;  /* the entry of the handle, perhaps only since; NULL: it has none */
    struct context *outer;    /* the one that this thread was ending already, or NULL */
    struct context_end *next; /* guarded by a lock */
};

/** Before the real call. Afterwards no thread is inside the pool's calls of the driver, and none
 * begins another; but one that waits for work that does not end is not awaited for long. */
void context_end_begin(struct context_end *end, CUcontext handle);

/** After a real call that may have ended the context, or not. */
bool context_end_came(const struct driver_functions *driver, const struct context_end *end);

/** After the real call: forgets the context and drops its pool without a driver call, or, if it
 * has not ended, takes both in use again. */
void context_end_finish(struct context_end *end, bool ended);

/** Whether the driver has ended a context while another thread's hook for that is not back yet:
 * its addresses may belong to others. */
bool context_ended_meanwhile(const struct driver_functions *driver, const struct context *context);

/** Forgets every context of a device that the driver reports as gone. Call it after the real
 * call. False: there was none. */
bool context_drop_ended(const struct driver_functions *driver, CUdevice device);

/**
 * After a driver call of the program: an error that a fault on the device leaves behind does not
 * say in which context, because a stream or an event may belong to another than the current one. So
 * each known context is asked, and those that answer with such an error are noted as broken.
 * Without a lock that another thread may hold around a driver call.
 */
void context_observe_result(CUresult result);

/** After a driver call of our own in the current context, which alone is asked. Under any lock. */
void context_observe_own(CUresult result);

/** In the child after fork. True when the parent had a context; its memory is not the child's. */
bool context_fork_child(void);

/** Bytes that the pools of a device could hand out. */
uint64_t context_available_bytes(int device);

/** Bytes that the pools of a device hold and that no live block occupies. */
uint64_t context_spare_bytes(int device);

/** Returns all free memory of a device's pools to the driver. Returns the bytes. */
uint64_t context_trim(int device);

#endif

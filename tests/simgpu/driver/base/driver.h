/* SPDX-License-Identifier: MIT */
/*
 * Shared by every part of the simulated driver: one lock, one condition, the life of the driver in
 * this process, and handles that can be verified.
 *
 * driver_lock guards all state of the driver unless a field says otherwise. Entry points take it
 * (call.h); functions below them run with it held, whatever their name, unless they say "no lock".
 * Work on streams runs without it. driver_progress is broadcast whenever work completes or a state
 * changes that somebody may wait for.
 *
 * Handles (contexts, streams, events ...) live in memory that is never freed, so a stale handle can
 * be examined: its magic shows what it is now.
 */
#ifndef SIMGPU_DRIVER_BASE_DRIVER_H
#define SIMGPU_DRIVER_BASE_DRIVER_H

#include "tests/simgpu/driver/base/call_id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#ifndef CUDA_API_PER_THREAD_DEFAULT_STREAM
#ifndef SIMGPU_STREAM_API
#define __CUDA_API_VERSION_INTERNAL
#endif
#endif
#define __CUDA_API_PUSH_VISIBILITY_DEFAULT
#include <cuda.h>

#define MIB            ((size_t)1 << 20)
#define PAGE_BYTES     (2 * MIB) /* the device's: granularity of physical memory */
#define ROUND_UP(n, g) (((n) + (g)-1) / (g) * (g))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum driver_state { DRIVER_UNLOADED, DRIVER_LOADED, DRIVER_READY, DRIVER_FORKED };

extern _Atomic int driver_state;
extern pthread_mutex_t driver_lock;
extern pthread_cond_t driver_progress;

/** Read the environment and the profile, once per process. No lock. */
void driver_load(void);

enum handle_magic {
    HANDLE_FREE = 0x66726565,
    HANDLE_CONTEXT = 0x63747831,
    HANDLE_STREAM = 0x73747231,
    HANDLE_EVENT = 0x65767431,
    HANDLE_MODULE = 0x6d6f6431,
    HANDLE_FUNCTION = 0x66756e31,
    HANDLE_GRAPH = 0x67726831,
    HANDLE_NODE = 0x6e6f6431,
    HANDLE_EXEC = 0x67657831,
    HANDLE_POOL = 0x706f6f31,
    HANDLE_ARRAY = 0x61727231,
    HANDLE_MIPMAP = 0x6d697031,
    HANDLE_LIBRARY = 0x6c696231,
    HANDLE_PHYSICAL = 0x70687931,
    HANDLE_GREEN = 0x67726531,
    HANDLE_RESOURCE = 0x72657331,
    HANDLE_TEXTURE = 0x74657831,
    HANDLE_SURFACE = 0x73726631,
    HANDLE_EXTERNAL_MEMORY = 0x786d6d31,
    HANDLE_EXTERNAL_SEMAPHORE = 0x78736d31,
    HANDLE_LOGS_CALLBACK = 0x6c6f6731,
};

/** First member of every handle's struct. */
struct handle {
    _Atomic uint32_t magic;
    SLIST_ENTRY(handle) next_free;
    SLIST_ENTRY(handle) next_made;
};

/** Free objects of one type; their fields keep the values of their last life. */
struct handle_cache {
    enum handle_magic magic;
    size_t bytes;
    SLIST_HEAD(, handle) free;
    SLIST_HEAD(, handle)
    made; /* all of them: a program that keeps a handle in disguise leaks none */
};

/** A new object, zeroed when it comes from the system; NULL when there is no memory. */
void *handle_take(struct handle_cache *cache);
/** Back for later use; a look at it from now on finds HANDLE_FREE. */
void handle_give(struct handle_cache *cache, void *object);
/** Is this a live handle of that type? NULL and small numbers are not. No lock. */
bool handle_is(const void *object, enum handle_magic magic);

#endif

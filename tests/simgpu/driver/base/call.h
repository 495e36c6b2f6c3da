/* SPDX-License-Identifier: MIT */
/*
 * The frame around every entry point. CALL(name, work, format, ...) counts the call, refuses it
 * before cuInit and after fork, lets SIMGPU_FAULT fail it, runs `work` (an expression of type
 * CUresult) with the driver's lock held, adds its cost, and writes its line in the log. Functions
 * of the driver call each other below this frame, so only the program's calls are counted.
 *
 * CALL_UNLOCKED runs work without the lock; CALL_ANYTIME is also allowed before cuInit.
 */
#ifndef SIMGPU_DRIVER_BASE_CALL_H
#define SIMGPU_DRIVER_BASE_CALL_H

#include <unistd.h>

#include "tests/simgpu/driver/base/fault.h"
#include "tests/simgpu/driver/base/log.h"
#include "tests/simgpu/driver/base/observed.h"
#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/base/thread.h"

static inline void call_add_ns(struct thread *self, uint64_t ns)
{
    uint64_t now = atomic_load_explicit(&self->virtual_ns, memory_order_relaxed);

    atomic_store_explicit(&self->virtual_ns, now + ns, memory_order_relaxed);
}

/** Count it; CUDA_SUCCESS if it may go on. */
static inline CUresult call_enter(enum call_id id, bool anytime)
{
    struct thread *self = thread_self();
    uint32_t calls = atomic_load_explicit(&self->calls[id], memory_order_relaxed);

    atomic_store_explicit(&self->calls[id], calls + 1, memory_order_relaxed);
    call_add_ns(self, profile.cost[id].base_ns);
    if (!anytime && unlikely(driver_state != DRIVER_READY))
        return CUDA_ERROR_NOT_INITIALIZED;
    return unlikely(fault_armed) ? fault_check(id) : CUDA_SUCCESS;
}

/** Memory calls: say how much, so that the cost follows. */
static inline void call_bytes(enum call_id id, uint64_t bytes)
{
    if (profile.cost[id].mib_ns)
        call_add_ns(thread_self(), bytes * profile.cost[id].mib_ns / MIB);
}

#define CALL_ID_(name) CALL_##name
#define CALL_ID(name)  CALL_ID_(name)
#define CALL_TEXT_(x)  #x

#define CALL_FRAME(name, anytime, work, ...)                                                       \
    CUresult result_ = call_enter(CALL_ID(name), anytime);                                         \
    if (unlikely(observed))                                                                        \
        observed_pc = (uintptr_t)__builtin_return_address(0);                                      \
    if (result_ == CUDA_SUCCESS)                                                                   \
        result_ = (work);                                                                          \
    if (unlikely(observed_waiting))                                                                \
        observed_tell_made();                                                                      \
    if (unlikely(log_enabled))                                                                     \
        log_call(CALL_ID(name), result_, "" __VA_ARGS__);                                          \
    return result_

#define CALL_UNLOCKED(name, work, ...) CALL_FRAME(name, false, work, __VA_ARGS__)
#define CALL_ANYTIME(name, work, ...)  CALL_FRAME(name, true, work, __VA_ARGS__)
#define CALL(name, work, ...)          CALL_FRAME(name, false, CALL_LOCKED(work), __VA_ARGS__)

/* A thread that is cancelled would leave the lock held. */
#define CALL_LOCKED(work)                                                                          \
    ({                                                                                             \
        int cancel_state_;                                                                         \
        if (unlikely(profile.cancel_points))                                                       \
            pthread_testcancel();                                                                  \
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_);                            \
        if (unlikely(profile.call_us))                                                             \
            usleep((useconds_t)profile.call_us);                                                   \
        pthread_mutex_lock(&driver_lock);                                                          \
        CUresult locked_ = (work);                                                                 \
        pthread_mutex_unlock(&driver_lock);                                                        \
        pthread_setcancelstate(cancel_state_, NULL);                                               \
        locked_;                                                                                   \
    })

/** An output for the log: its value on success, else 0. */
#define OUT(pointer) (result_ == CUDA_SUCCESS && (pointer) ? *(pointer) : 0)
#define HEX(value)   ((unsigned long long)(uintptr_t)(value))

#endif

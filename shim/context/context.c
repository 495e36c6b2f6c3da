/* SPDX-License-Identifier: MIT */
/*
 * The list of contexts: how one is found, and how it ends. See context.h.
 *
 * The list grows at its head only, and an entry that leaves it still leads to the older ones, so it
 * is walked without a lock; list_lock serializes changes. Ending a pool needs the gate, because any
 * thread may be inside the pool.
 *
 * Ends under way are on a list of their own. An entry that is made beside an end is found by that
 * end, which looks again, or finds out itself that its context has ended: it looks once it is
 * listed. Nothing else is locked under ends_lock, which a CUPTI client may need inside a call of
 * the driver.
 */
#include "shim/context/context.h"

#include <errno.h>
#include <stdlib.h>

#include "cupti/base/backoff.h"
#include "cupti/base/uncancelled.h"
#include "shim/context/capture.h"
#include "shim/context/gate.h"
#include "shim/context/green.h"
#include "shim/options/mode.h"

_Atomic(struct context *) context_list;
_Atomic uint64_t context_generation = 1;
atomic_int context_broken_count;
atomic_int context_ending_count;

/* Immutable once the mode is published; without one there are no contexts. */
static const struct context_listener *listener;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t last_number; /* guarded by list_lock */
static pthread_mutex_t ends_lock = PTHREAD_MUTEX_INITIALIZER;
static struct context_end *ends; /* under way; guarded by ends_lock */

void context_listen(const struct context_listener *wanted)
{
    listener = wanted;
}

static struct context *after(const struct context *context)
{
    return atomic_load_explicit(&context->next, memory_order_acquire);
}

static struct context *living_from(struct context *context)
{
    while (context && context_life(context) == CONTEXT_GONE)
        context = after(context);
    return context;
}

struct context *context_first(void)
{
    return living_from(atomic_load_explicit(&context_list, memory_order_acquire));
}

struct context *context_next(const struct context *context)
{
    return living_from(after(context));
}

struct context *context_find(CUcontext handle)
{
    struct context *context = context_first();

    while (context && context->handle != handle)
        context = context_next(context);
    return context;
}

struct context *context_of_pool(const struct pool *pool)
{
    struct context *context = context_first();

    while (context && context->pool != pool)
        context = context_next(context);
    return context;
}

/* Returns the id of a live context; the driver gives none for a dead one. */
static bool context_is_alive(const struct driver_functions *driver, CUcontext handle,
                             uint64_t *ret_id)
{
    unsigned long long id = 0;

    if (driver->cuCtxGetId && REAL_ASK(driver->cuCtxGetId(handle, &id)) != CUDA_SUCCESS)
        return false;
    *ret_id = id;
    return true;
}

/* Takes entries that nobody looks for any more from the list. */
static void gone_unlist_locked(void)
{
    _Atomic(struct context *) *link = &context_list;
    struct context *context;

    while ((context = atomic_load_explicit(link, memory_order_relaxed))) {
        if (context_life(context) == CONTEXT_GONE &&
            !atomic_load_explicit(&context->vmm, memory_order_acquire))
            atomic_store_explicit(link, after(context), memory_order_release);
        else
            link = &context->next;
    }
}

/* The handle is current, or a green context of it. */
static struct context *context_create_locked(const struct driver_functions *driver,
                                             CUcontext handle, uint64_t id)
{
    CUdevice device;

    if (!listener || REAL_ASK(driver->cuCtxGetDevice(&device)) != CUDA_SUCCESS)
        return NULL;
    struct context *context = calloc(1, sizeof(*context));
    if (!context)
        return NULL;
    context->handle = handle;
    context->id = id;
    context->device = device;
    context->number = ++last_number;
    pthread_mutex_init(&context->backend_lock, NULL);
    listener->made(context);
    context->pool = listener->pool_make(context, driver);
    gone_unlist_locked();
    atomic_store_explicit(&context->next, atomic_load(&context_list), memory_order_relaxed);
    atomic_store_explicit(&context_list, context, memory_order_release);
    return context;
}

/* Without ids (before CUDA 12) the driver still says which handles are dead. */
static bool is_dead_unnamed(const struct driver_functions *driver, CUcontext handle)
{
    unsigned int version;
    CUresult result = driver->cuCtxGetApiVersion
                          ? REAL_ASK(driver->cuCtxGetApiVersion(handle, &version))
                          : CUDA_SUCCESS;

    return result == CUDA_ERROR_INVALID_CONTEXT || result == CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

bool context_lives(const struct driver_functions *driver, CUcontext handle)
{
    uint64_t id;

    return driver->cuCtxGetId ? context_is_alive(driver, green_owner(handle), &id)
                              : !is_dead_unnamed(driver, handle);
}

void context_look_again(void)
{
    atomic_fetch_add(&context_generation, 1);
}

int context_primary_state(const struct driver_functions *driver, CUdevice device)
{
    unsigned int flags;
    int active = 0;

    return REAL_ASK(driver->cuDevicePrimaryCtxGetState(device, &flags, &active)) == CUDA_SUCCESS
               ? active != 0
               : -EIO;
}

CUcontext context_primary(const struct driver_functions *driver, CUdevice device)
{
    CUresult (*release)(CUdevice) = driver->cuDevicePrimaryCtxRelease_v2
                                        ? driver->cuDevicePrimaryCtxRelease_v2
                                        : driver->cuDevicePrimaryCtxRelease;
    CUcontext handle = NULL;

    if (!release || !driver->cuDevicePrimaryCtxRetain ||
        REAL_ASK(driver->cuDevicePrimaryCtxRetain(&handle, device)) != CUDA_SUCCESS)
        return NULL;
    if (REAL_ASK(release(device)) != CUDA_SUCCESS) /* it would live for good */
        (void)REAL_ASK(release(device));
    return handle;
}

/* Before the real call: threads that wait for its work, a few seconds at most, as for one that was
 * left in the driver (backend/free_wait.c). */
static void waiting_await(const struct context *context)
{
    uint64_t end_ns = monotonic_ns() + CONTEXT_END_WAIT_NS;
    struct backoff backoff = {0};

    while (atomic_load(&context->waiting) && backoff_pause(&backoff, end_ns))
        ;
}

/* Closes the gate when no thread is inside the pool, waiting outside the gate either. The work of
 * an ended context is over, so that does not last. */
static void gate_close_for(const struct context *context)
{
    struct backoff backoff = {0};

    gate_close();
    while (atomic_load(&context->waiting)) {
        gate_open();
        (void)backoff_pause(&backoff, UINT64_MAX);
        gate_close();
    }
}

/* Forgets a context and its pool. */
static void drop(struct context *context)
{
    int before = atomic_exchange(&context->life, CONTEXT_GONE);

    if (before == CONTEXT_GONE)
        return;
    if (before == CONTEXT_LIVES)
        atomic_fetch_add(&context_ending_count, 1);
    atomic_fetch_add(&context_generation, 1);
    listener->ending(context);
    gate_close_for(context);
    if (atomic_load(&context->broken)) /* in the gate nobody notes it any more */
        atomic_fetch_sub(&context_broken_count, 1);
    pool_destroy(context->pool, POOL_END_ABANDON);
    gate_open();
    atomic_fetch_sub(&context_ending_count, 1);
    listener->ended(context);
}

/* The driver has ended it. */
static void drop_over(struct context *context)
{
    atomic_store_explicit(&context->over, true, memory_order_release);
    drop(context);
}

static bool is_ending_locked(CUcontext handle)
{
    const struct context_end *end = ends;

    while (end && end->handle != handle)
        end = end->next;
    return end;
}

static bool is_ending(CUcontext handle)
{
    pthread_mutex_lock(&ends_lock);
    bool ending = is_ending_locked(handle);
    pthread_mutex_unlock(&ends_lock);
    return ending;
}

void context_end_begin(struct context_end *end, CUcontext handle)
{
    int lives = CONTEXT_LIVES;

    *end = (struct context_end){.handle = handle, .outer = thread_state.ending};
    pthread_mutex_lock(&ends_lock);
    end->next = ends;
    ends = end;
    struct context *context = end->context = context_find(handle);
    if (context && atomic_compare_exchange_strong(&context->life, &lives, CONTEXT_ENDS))
        atomic_fetch_add(&context_ending_count, 1);
    pthread_mutex_unlock(&ends_lock);
    if (!context)
        return;
    thread_state.ending = context;
    atomic_fetch_add(&context_generation, 1);
    gate_close();
    gate_open();
    waiting_await(context);
}

static void take_in_use_locked(struct context *context)
{
    int ending = CONTEXT_ENDS;

    if (context && !is_ending_locked(context->handle) &&
        atomic_compare_exchange_strong(&context->life, &ending, CONTEXT_LIVES))
        atomic_fetch_sub(&context_ending_count, 1);
}

void context_end_finish(struct context_end *end, bool ended)
{
    struct context *context = end->context ? end->context : context_find(end->handle);

    end->context = context;
    if (ended && context)
        drop_over(context);
    pthread_mutex_lock(&ends_lock);
    struct context_end **link = &ends;
    while (*link && *link != end)
        link = &(*link)->next;
    if (*link) /* a child of a fork inside the call has none */
        *link = end->next;
    take_in_use_locked(context);
    pthread_mutex_unlock(&ends_lock);
    thread_state.ending = end->outer;
}

/* The driver also says whether a device has a primary context; whose handle that was, context_api.c
 * found out before it ended. */
static bool has_ended_unnamed(const struct driver_functions *driver, const struct context *context)
{
    return is_dead_unnamed(driver, context->handle) ||
           (atomic_load(&context->primary) && context_primary_state(driver, context->device) == 0);
}

static bool has_ended(const struct driver_functions *driver, const struct context *context)
{
    uint64_t id;

    if (!driver->cuCtxGetId)
        return has_ended_unnamed(driver, context);
    return !context_is_alive(driver, context->handle, &id) || id != context->id;
}

bool context_end_came(const struct driver_functions *driver, const struct context_end *end)
{
    const struct context *context = end->context ? end->context : context_find(end->handle);

    return context && has_ended(driver, context);
}

struct context *context_obtain(const struct driver_functions *driver, CUcontext current)
{
    UNCANCELLED;
    struct thread_state *self = &thread_state;
    uint64_t generation = atomic_load(&context_generation);
    CUcontext handle = green_owner(current);
    uint64_t id;
    bool made = false;

    if (!context_is_alive(driver, handle, &id))
        return NULL;
    pthread_mutex_lock(&list_lock);
    struct context *context = context_find(handle);
    struct context *stale = context && context->id != id ? context : NULL;
    if (stale || (!context && !is_ending(handle))) {
        context = context_create_locked(driver, handle, id);
        made = context;
    }
    pthread_mutex_unlock(&list_lock);
    if (stale) {
        drop_over(stale);
        generation = atomic_load(&context_generation);
    }
    if (made && has_ended(driver, context)) {
        drop_over(context);
        context = NULL;
    }
    if (context) {
        self->context = context;
        self->lived_generation = generation;
        self->context_handle = current;
        self->context_generation = generation;
    }
    return context;
}

void context_note(const struct driver_functions *driver, CUcontext handle)
{
    CUcontext popped;

    if (!handle || context_find(handle) ||
        REAL_ASK(driver->cuCtxPushCurrent_v2(handle)) != CUDA_SUCCESS)
        return;
    context_obtain(driver, handle);
    (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
}

bool context_ended_meanwhile(const struct driver_functions *driver, const struct context *context)
{
    return context_life(context) == CONTEXT_ENDS && context != thread_state.ending &&
           has_ended(driver, context);
}

bool context_drop_ended(const struct driver_functions *driver, CUdevice device)
{
    bool any = false;

    for (struct context *context = context_first(); context; context = context_next(context)) {
        if (context->device != device || !has_ended(driver, context))
            continue;
        drop_over(context);
        any = true;
    }
    return any;
}

/* What the driver says of the current context: a call that changes nothing and waits for no work.
 */
static CUresult state_of_current(const struct driver_functions *driver)
{
    size_t left, total;

    return driver->cuMemGetInfo_v2 ? REAL_ASK(driver->cuMemGetInfo_v2(&left, &total))
                                   : CUDA_SUCCESS;
}

static CUresult state_of(const struct driver_functions *driver, const struct context *context)
{
    CUcontext popped;
    CUresult result = REAL_ASK(driver->cuCtxPushCurrent_v2(context->handle));

    if (result != CUDA_SUCCESS)
        return result;
    result = state_of_current(driver);
    (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
    return result;
}

static void mark_broken(struct context *context, CUresult result)
{
    if (!real_error_is_sticky(result) || atomic_exchange(&context->broken, true))
        return;
    atomic_fetch_add(&context_broken_count, 1);
    listener->broke(context, result);
}

static bool is_sound(const struct context *context)
{
    return context_life(context) == CONTEXT_LIVES &&
           !atomic_load_explicit(&context->broken, memory_order_relaxed);
}

static void ask_current(const struct driver_functions *driver)
{
    CUcontext handle = NULL;

    if (REAL_ASK(driver->cuCtxGetCurrent(&handle)) != CUDA_SUCCESS || !handle)
        return;
    struct context *context = context_find(green_owner(handle));
    if (context && is_sound(context))
        mark_broken(context, state_of_current(driver));
}

void context_observe_own(CUresult result)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (driver && real_error_is_sticky(result))
        ask_current(driver);
}

/* In the gate no context that lives ends: its end waits at the gate first. Where that is not to be
 * had at once, the current one is likeliest. */
void context_observe_result(CUresult result)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUstreamCaptureMode mode;

    if (!driver || !real_error_is_sticky(result) || mode_now() == SHIM_OFF || !context_first())
        return;
    bool relaxed = capture_mode_relax(driver, &mode);
    if (gate_try_enter()) {
        for (struct context *context = context_first(); context; context = context_next(context))
            if (is_sound(context))
                mark_broken(context, state_of(driver, context));
        gate_leave();
    } else {
        ask_current(driver);
    }
    if (relaxed)
        capture_mode_restore(driver, mode);
}

bool context_fork_child(void)
{
    for (struct context *context = atomic_load(&context_list); context; context = after(context))
        atomic_store(&context->waiting, 0);
    pthread_mutex_init(&list_lock, NULL);
    pthread_mutex_init(&ends_lock, NULL);
    ends = NULL;
    thread_state.ending = NULL;
    atomic_store(&context_ending_count, 0);
    return atomic_load(&context_list);
}

static uint64_t pools_sum(int device, uint64_t (*bytes_of)(const struct pool *pool))
{
    uint64_t bytes = 0;

    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        if (context->device == device && context->pool)
            bytes += bytes_of(context->pool);
    gate_leave();
    return bytes;
}

uint64_t context_available_bytes(int device)
{
    return pools_sum(device, pool_available_bytes);
}

uint64_t context_spare_bytes(int device)
{
    return pools_sum(device, pool_spare_bytes);
}

uint64_t context_trim(int device)
{
    uint64_t bytes = 0;

    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context)) {
        size_t returned = 0;

        if (context->device == device && context->pool &&
            pool_trim(context->pool, 0, &returned) == 0)
            bytes += returned;
    }
    gate_leave();
    return bytes;
}

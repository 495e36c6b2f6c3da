/* SPDX-License-Identifier: MIT */
/*
 * Receives CUPTI's activity records. Buffers are separate pieces of malloc's memory: if another
 * client takes over CUPTI's callbacks unnoticed, it is handed our buffers and frees them as its
 * own.
 *
 * CUPTI's clock is compared with the trace's before the records of a buffer are written, so a step
 * of CUPTI's clock affects only the times of records still in progress. Between two comparisons the
 * clocks may drift apart: the trace's is measured while the program runs.
 */
#include "cupti/activity/activity.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cupti/base/uncancelled.h"
#include "cupti/format/trace_record.h"

#define BUFFERS          32
#define BUFFER_BYTES     ((size_t)64 << 10)
#define BUFFER_ALIGN     8 /* ACTIVITY_RECORD_ALIGNMENT */
#define FLUSH_PERIOD_MS  1000
#define CLOCK_SAMPLES    3
#define CLOCK_DRIFT_PART 1000 /* more of a span than one part in this many is a step */

enum stage { STAGE_IDLE, STAGE_ON, STAGE_OVER };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of flushing and ending */
static struct cupti_abi_functions cupti;                 /* immutable once on */
static struct trace_writer *trace;                       /* immutable once on */
static void *subscriber;                                 /* guarded by lock once on */
static uint32_t version, library_id;                     /* immutable once on */
static atomic_bool started;
static atomic_int stage;
static atomic_bool unflushed; /* records may be with CUPTI */
static atomic_bool armed;
static pid_t owner; /* immutable once armed */

static uint8_t *buffer[BUFFERS]; /* immutable once on */
static atomic_bool lent[BUFFERS];

static void state_record(enum trace_cupti state, uint64_t count, uint64_t clock_error_ns)
{
    trace_writer_emit(trace, &(struct trace_record){.kind = TRACE_EVENT_CUPTI_STATE,
                                                    .api = trace_api_id(library_id),
                                                    .value = state,
                                                    .size = count,
                                                    .address = version,
                                                    .latency = trace_latency(clock_error_ns)});
}

/* Clocks. */

struct clock_pair {
    uint64_t trace_ns, cupti_ns, error_ns;
};

static struct clock_pair compared; /* last; guarded by clock_lock */
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;

/** Two comparisons, between which the clocks run evenly. */
struct clock_span {
    struct clock_pair begin, end;
};

/** Reads both clocks at nearly the same moment: the quickest of a few attempts. */
static struct clock_pair clock_compare(void)
{
    struct clock_pair best = {.error_ns = UINT64_MAX};

    for (int i = 0; i < CLOCK_SAMPLES; i++) {
        uint64_t before = trace_writer_now(trace), cupti_ns = 0, after;
        int result = cupti.cuptiGetTimestamp(&cupti_ns);

        after = trace_writer_now(trace);
        if (result == CUPTI_ABI_SUCCESS && (after - before) / 2 < best.error_ns)
            best = (struct clock_pair){before + (after - before) / 2, cupti_ns,
                                       (after - before) / 2};
    }
    return best;
}

/** Compares the clocks now, and returns the span since the last comparison. */
static struct clock_span clock_span_now(void)
{
    struct clock_span span = {.end = clock_compare()};

    pthread_mutex_lock(&clock_lock);
    span.begin = compared;
    if (span.end.error_ns != UINT64_MAX)
        compared = span.end;
    pthread_mutex_unlock(&clock_lock);
    return span;
}

/** False if a clock stepped, or if there is no earlier comparison. */
static bool span_is_even(const struct clock_span *span)
{
    uint64_t trace_ns = span->end.trace_ns - span->begin.trace_ns;
    uint64_t cupti_ns = span->end.cupti_ns - span->begin.cupti_ns;
    uint64_t apart_ns = trace_ns > cupti_ns ? trace_ns - cupti_ns : cupti_ns - trace_ns;

    return span->begin.cupti_ns && span->end.trace_ns > span->begin.trace_ns &&
           span->end.cupti_ns > span->begin.cupti_ns && apart_ns <= trace_ns / CLOCK_DRIFT_PART;
}

/** Never before the trace began, nor after now. */
static uint64_t time_convert(const struct clock_span *span, uint64_t cupti_ns)
{
    const struct clock_pair *begin = &span->begin, *end = &span->end;
    uint64_t ago = end->cupti_ns > cupti_ns ? end->cupti_ns - cupti_ns : 0;

    if (end->error_ns == UINT64_MAX)
        return 0;
    if (span_is_even(span))
        ago = cupti_ns < begin->cupti_ns
                  ? end->trace_ns - begin->trace_ns + (begin->cupti_ns - cupti_ns)
                  : (uint64_t)((unsigned __int128)ago * (end->trace_ns - begin->trace_ns) /
                               (end->cupti_ns - begin->cupti_ns));
    return ago > end->trace_ns ? 1 : end->trace_ns - ago;
}

/* Records. */

static enum trace_memory memory_of(const struct cupti_abi_memory *memory)
{
    if (memory->is_async && memory->memory_kind == CUPTI_ABI_MEMORY_PINNED)
        return TRACE_MEMORY_HOST_ASYNC;
    if (memory->is_async)
        return TRACE_MEMORY_ASYNC;
    switch (memory->memory_kind) {
    case CUPTI_ABI_MEMORY_DEVICE: return TRACE_MEMORY_DEVICE;
    case CUPTI_ABI_MEMORY_MANAGED: return TRACE_MEMORY_MANAGED;
    case CUPTI_ABI_MEMORY_PINNED: return TRACE_MEMORY_PINNED;
    case CUPTI_ABI_MEMORY_ARRAY: return TRACE_MEMORY_ARRAY;
    case CUPTI_ABI_MEMORY_DEVICE_STATIC:
    case CUPTI_ABI_MEMORY_MANAGED_STATIC: return TRACE_MEMORY_STATIC;
    default: return TRACE_MEMORY_NONE;
    }
}

static void pool_state(uint32_t device, uint64_t address, uint64_t bytes, uint64_t used_bytes,
                       uint32_t what, uint64_t time_ns)
{
    trace_writer_emit(trace, &(struct trace_record){.kind = TRACE_EVENT_DRIVER_POOL,
                                                    .memory = TRACE_MEMORY_MEMPOOL,
                                                    .device = (uint16_t)device,
                                                    .time_ns = time_ns,
                                                    .address = address,
                                                    .size = bytes,
                                                    .value = used_bytes,
                                                    .latency = what});
}

static void memory_take(const struct cupti_abi_memory *memory, const struct clock_span *span)
{
    struct trace_record record = {
        .kind = memory->operation == CUPTI_ABI_OPERATION_RELEASE ? TRACE_EVENT_DRIVER_FREE
                                                                 : TRACE_EVENT_DRIVER_ALLOCATE,
        .memory = (uint8_t)memory_of(memory),
        .device = (uint16_t)memory->device,
        .time_ns = time_convert(span, memory->timestamp),
        .size = memory->bytes,
        .address = memory->address,
        .context = memory->context,
        .stream = memory->stream,
    };

    if (memory->pc) /* one byte before the return address lies in the call */
        record.site = trace_writer_site(trace, (const void *)(uintptr_t)(memory->pc - 1));
    trace_writer_emit(trace, &record);
    if (memory->pool_type == CUPTI_ABI_POOL_LOCAL)
        pool_state(memory->device, memory->pool_address, memory->pool_size, memory->pool_used, 0,
                   record.time_ns);
}

static void pool_take(const struct cupti_abi_pool *pool, const struct clock_span *span)
{
    uint32_t what = pool->operation == CUPTI_ABI_POOL_TRIMMED     ? 1
                    : pool->operation == CUPTI_ABI_POOL_DESTROYED ? 2
                                                                  : 0;

    if (pool->type == CUPTI_ABI_POOL_LOCAL)
        pool_state(pool->device, pool->address, pool->size, pool->used, what,
                   time_convert(span, pool->timestamp));
}

static void buffer_take(uint8_t *bytes, size_t valid_bytes)
{
    struct clock_span span = clock_span_now();
    struct cupti_abi_record *record = NULL;

    while (cupti.cuptiActivityGetNextRecord(bytes, valid_bytes, &record) == CUPTI_ABI_SUCCESS)
        if (record->kind == CUPTI_ABI_KIND_MEMORY2)
            memory_take((const struct cupti_abi_memory *)record, &span);
        else if (record->kind == CUPTI_ABI_KIND_MEMORY_POOL)
            pool_take((const struct cupti_abi_pool *)record, &span);
}

/* What CUPTI calls. */

static void requested(uint8_t **ret_buffer, size_t *ret_bytes, size_t *ret_records)
{
    *ret_buffer = NULL;
    *ret_bytes = BUFFER_BYTES;
    *ret_records = 0;
    if (atomic_load(&stage) != STAGE_ON)
        return;
    for (int i = 0; i < BUFFERS; i++)
        if (buffer[i] && !atomic_exchange(&lent[i], true)) {
            atomic_store(&unflushed, true);
            *ret_buffer = buffer[i];
            return;
        }
}

static void completed(void *context, uint32_t stream, uint8_t *returned, size_t bytes,
                      size_t valid_bytes)
{
    int saved_errno = errno, i = 0;

    while (i < BUFFERS && buffer[i] != returned)
        i++;
    if (i == BUFFERS)
        return; /* not one of ours: the owner is unknown */
    if (valid_bytes <= BUFFER_BYTES)
        buffer_take(returned, valid_bytes);
    atomic_store(&lent[i], false);
    errno = saved_errno;
}

static void called(void *userdata, int domain, uint32_t id, const void *data)
{
    const struct cupti_abi_resource *resource = data;
    uint32_t context = 0;
    int saved_errno = errno;

    if (domain == CUPTI_ABI_DOMAIN_RESOURCE && atomic_load(&stage) == STAGE_ON &&
        cupti.cuptiGetContextId(resource->context, &context) == CUPTI_ABI_SUCCESS)
        trace_writer_emit(trace, &(struct trace_record){.kind = TRACE_EVENT_DRIVER_CONTEXT,
                                                        .context = context,
                                                        .size = id == CUPTI_ABI_CONTEXT_CREATED});
    errno = saved_errno;
}

/* Beginning. */

static bool buffers_make(void)
{
    for (int i = 0; i < BUFFERS; i++) {
        void *made;

        if (posix_memalign(&made, BUFFER_ALIGN, BUFFER_BYTES) != 0)
            return i > 0;
        buffer[i] = made;
    }
    return true;
}

static enum trace_cupti state_of(int result)
{
    switch (result) {
    case CUPTI_ABI_SUCCESS: return TRACE_CUPTI_ON;
    case CUPTI_ABI_ERROR_MULTIPLE_SUBSCRIBERS: return TRACE_CUPTI_TAKEN;
    case CUPTI_ABI_ERROR_INSUFFICIENT_PRIVILEGES:
    case CUPTI_ABI_ERROR_VIRTUALIZED_PRIVILEGES: return TRACE_CUPTI_DENIED;
    default: return TRACE_CUPTI_FAILED;
    }
}

/** All threads share the buffers: how many are in use does not grow with the program. */
static void buffers_share(void)
{
    uint8_t off = 0;
    size_t bytes = sizeof off;

    if (cupti.cuptiActivitySetAttribute)
        cupti.cuptiActivitySetAttribute(CUPTI_ABI_ATTR_PER_THREAD_BUFFER, &bytes, &off);
}

static int kinds_enable(void)
{
    int result = cupti.cuptiActivityRegisterCallbacks(requested, completed);

    if (result == CUPTI_ABI_SUCCESS)
        result = cupti.cuptiActivityEnable(CUPTI_ABI_KIND_MEMORY2);
    if (result != CUPTI_ABI_SUCCESS)
        return result;
    /* Without these the rest is still worth having. */
    cupti.cuptiActivityEnable(CUPTI_ABI_KIND_MEMORY_POOL);
    cupti.cuptiEnableCallback(1, subscriber, CUPTI_ABI_DOMAIN_RESOURCE, CUPTI_ABI_CONTEXT_CREATED);
    cupti.cuptiEnableCallback(1, subscriber, CUPTI_ABI_DOMAIN_RESOURCE,
                              CUPTI_ABI_CONTEXT_DESTROY_STARTING);
    if (cupti.cuptiActivityFlushPeriod)
        cupti.cuptiActivityFlushPeriod(FLUSH_PERIOD_MS);
    return CUPTI_ABI_SUCCESS;
}

/** Subscribes first, because CUPTI has one subscriber: a client that has it already is left
 * alone. */
static int subscribe(void)
{
    int result = cupti.cuptiSubscribe(&subscriber, called, NULL);

    if (result != CUPTI_ABI_SUCCESS)
        return result;
    buffers_share();
    atomic_store(&stage, STAGE_ON);
    result = buffers_make() ? kinds_enable() : CUPTI_ABI_ERROR_UNKNOWN;
    if (result == CUPTI_ABI_SUCCESS)
        return result;
    atomic_store(&stage, STAGE_OVER);
    cupti.cuptiUnsubscribe(subscriber);
    subscriber = NULL;
    return result;
}

static bool version_is_known(void)
{
    return cupti.cuptiGetVersion(&version) == CUPTI_ABI_SUCCESS &&
           version >= CUPTI_ABI_VERSION_FIRST && version < CUPTI_ABI_VERSION_PAST;
}

static void start(activity_look_up *look_up)
{
    static char path[PATH_MAX]; /* a process starts once */
    int error = activity_library_open(look_up, &cupti, path, sizeof path), result;

    library_id = *path ? trace_writer_string(trace, path) : 0;
    if (error < 0 || !version_is_known()) {
        state_record(error == -ENOENT  ? TRACE_CUPTI_NO_LIBRARY
                     : error == -EXDEV ? TRACE_CUPTI_FOREIGN
                                       : TRACE_CUPTI_VERSION,
                     0, 0);
        return;
    }
    result = subscribe();
    state_record(state_of(result), (uint64_t)result,
                 result == CUPTI_ABI_SUCCESS ? clock_span_now().end.error_ns : 0);
}

void activity_start(struct trace_writer *writer, activity_look_up *look_up)
{
    int saved_errno = errno;

    if (writer && !atomic_exchange(&started, true)) {
        trace = writer;
        start(look_up);
    }
    errno = saved_errno;
}

bool activity_is_on(void)
{
    return atomic_load_explicit(&stage, memory_order_relaxed) == STAGE_ON;
}

/* Flushing and the end. */

static bool all_returned(void)
{
    for (int i = 0; i < BUFFERS; i++)
        if (atomic_load(&lent[i]))
            return false;
    return true;
}

static void flush_locked(uint32_t flag)
{
    size_t dropped = 0;

    atomic_store(&unflushed, false); /* before: a buffer asked for meanwhile says so again */
    if (cupti.cuptiActivityFlushAll(flag) != CUPTI_ABI_SUCCESS || !all_returned())
        atomic_store(&unflushed, true);
    if (cupti.cuptiActivityGetNumDroppedRecords(NULL, 0, &dropped) == CUPTI_ABI_SUCCESS && dropped)
        state_record(TRACE_CUPTI_DROPPED, dropped, 0);
}

void activity_tick(void)
{
    int saved_errno = errno;

    if (!activity_is_on() || pthread_mutex_trylock(&lock) != 0)
        return;
    if (activity_is_on())
        flush_locked(0);
    pthread_mutex_unlock(&lock);
    errno = saved_errno;
}

/** Disables the kinds first, so that nothing requests a buffer any more. */
static void end_locked(enum trace_cupti state)
{
    cupti.cuptiActivityDisable(CUPTI_ABI_KIND_MEMORY2);
    cupti.cuptiActivityDisable(CUPTI_ABI_KIND_MEMORY_POOL);
    flush_locked(CUPTI_ABI_FLUSH_FORCED);
    atomic_store(&stage, STAGE_OVER);
    state_record(atomic_load(&unflushed) ? TRACE_CUPTI_UNFLUSHED : TRACE_CUPTI_FLUSHED, 0, 0);
    if (state == TRACE_CUPTI_GAVE_WAY) {
        cupti.cuptiUnsubscribe(subscriber);
        subscriber = NULL;
        state_record(state, 0, 0);
    }
}

void activity_give_way(void)
{
    int saved_errno = errno;

    if (!activity_is_on())
        return;
    pthread_mutex_lock(&lock);
    if (activity_is_on())
        end_locked(TRACE_CUPTI_GAVE_WAY);
    pthread_mutex_unlock(&lock);
    errno = saved_errno;
}

static void at_exit(void)
{
    UNCANCELLED;

    if (getpid() != owner)
        return; /* a child that no fork handler saw */
    if (activity_is_on() && pthread_mutex_trylock(&lock) == 0) {
        if (activity_is_on())
            end_locked(TRACE_CUPTI_FLUSHED);
        pthread_mutex_unlock(&lock);
    }
}

void activity_arm(void)
{
    if (!activity_is_on() || atomic_exchange(&armed, true))
        return;
    owner = getpid();
    if (atexit(at_exit) != 0)
        atomic_store(&armed, false);
}

void activity_close(void)
{
    if (activity_is_on()) {
        /* Without a buffer there was no record. */
        atomic_store(&stage, STAGE_OVER);
        state_record(atomic_load(&unflushed) ? TRACE_CUPTI_UNFLUSHED : TRACE_CUPTI_FLUSHED, 0, 0);
    }
}

void activity_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_mutex_init(&clock_lock, NULL);
    if (atomic_load(&started))
        atomic_store(&stage, STAGE_OVER);
}

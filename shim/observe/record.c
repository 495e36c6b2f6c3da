/* SPDX-License-Identifier: MIT */
/*
 * Builds trace records. See record.h.
 *
 * Strings (function names, names of figures) get their ids on first use, and are remembered in
 * tables indexed by their row. Two threads that ask at once get the same id.
 */
#include "shim/observe/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cupti/activity/activity.h"
#include "cupti/base/uncancelled.h"
#include "cupti/format/trace_record.h"
#include "cupti/replay/memory_kind.h"
#include "shim/observe/call_info.h"
#include "shim/context/capture.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/observe/live.h"
#include "shim/observe/mark_signal.h"
#include "shim/memory/place.h"
#include "shim/observe/pool_figures.h"
#include "shim/observe/postmortem.h"
#include "shim/observe/record_process.h"
#include "shim/options/say.h"

#define TICK_NS       UINT64_C(100000000)
#define COUNTERS_NS   UINT64_C(1000000000)
#define DEVICES_MAX   64
#define PATH_BYTES    4096
#define COMMAND_BYTES 4096

_Atomic(struct trace_writer *) record_trace;
atomic_bool record_opened;
_Atomic uint64_t record_next_tick_ns; /* the first call is due */

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint api_ids[HOOK_COUNT];
static atomic_bool device_recorded[DEVICES_MAX];

static uint64_t trace_limit(void)
{
    uint64_t bytes = shim_options()->trace_max.bytes;

    return bytes && bytes < TRACE_LIMIT_LEAST ? TRACE_LIMIT_LEAST : bytes;
}

static struct trace_writer *writer_open_locked(const char *pattern)
{
    static char path[PATH_BYTES], line[PATH_BYTES + 64]; /* guarded by open_lock */
    struct trace_writer *writer = NULL;
    int error = trace_path_expand(pattern, path, sizeof(path));

    if (error == 0)
        error = trace_writer_open_limited(path, trace_limit(), &writer);
    if (error == 0)
        return writer;
    snprintf(line, sizeof(line), "no trace: %s: %s", pattern, trace_writer_reason(error));
    say_line(line);
    return NULL;
}

void record_open(void)
{
    UNCANCELLED;
    const char *pattern = shim_options()->trace;

    pthread_mutex_lock(&open_lock);
    if (!atomic_load(&record_opened)) {
        static char command[COMMAND_BYTES];

        record_command_line(command, sizeof(command));
        live_open(command);
        if (pattern[0] && strcmp(pattern, "off") != 0) {
            struct trace_writer *writer = writer_open_locked(pattern);

            if (writer)
                record_process(writer, command);
            atomic_store(&record_trace, writer);
            mark_signal_install(writer);
        }
        atomic_store_explicit(&record_opened, true, memory_order_release);
    }
    pthread_mutex_unlock(&open_lock);
    /* No capture can have begun: its beginning is a hook, too. */
    if (shim_options()->cupti != OPTION_CUPTI_OFF)
        activity_start(atomic_load(&record_trace), real_dlsym);
}

static struct trace_writer *trace(void)
{
    return atomic_load_explicit(&record_trace, memory_order_acquire);
}

static uint16_t api_id(const struct call *call)
{
    uint32_t id = atomic_load_explicit(&api_ids[call->hook], memory_order_relaxed);

    if (!id) {
        id = trace_writer_string(call->writer, hooks[call->hook].name);
        atomic_store_explicit(&api_ids[call->hook], id, memory_order_relaxed);
    }
    return trace_api_id(id);
}

/* Returns the context of a record that names none: the one this thread's allocations used last.
 * This saves asking the driver on every free. */
static const struct context *context_here(void)
{
    const struct thread_state *self = &thread_state;

    if (self->context &&
        self->context_generation == atomic_load_explicit(&context_generation, memory_order_relaxed))
        return self->context;
    const struct driver_functions *driver = real_driver_if_loaded();
    return driver ? context_current(driver) : NULL;
}

static struct trace_record record_of(const struct call *call, enum trace_event kind)
{
    const struct context *context = context_here();
    uint64_t now = trace_writer_now(call->writer);
    struct trace_record record = {
        .kind = kind,
        .api = api_id(call),
        .site = kind == TRACE_EVENT_ALLOCATE || kind == TRACE_EVENT_INVALID_FREE ? call_stack(call)
                                                                                 : call_site(call),
        .context = context ? context->number : 0,
        .device = context ? (uint16_t)context->device : 0,
    };

    trace_record_date(&record, call->begin_ns, now);
    return record;
}

/* True if the memory ends with the current context; other memory outlives it. */
static bool ends_with_context(const struct record_block *block)
{
    return block->place != PLACE_MANAGED && memory_kind(block->memory)->with_context;
}

static void emit_block(const struct call *call, enum trace_event kind,
                       const struct record_block *block, uint64_t value)
{
    struct trace_record record = record_of(call, kind);

    record.memory = block->memory;
    record.outcome = block->outcome;
    if (block->instant)
        record.latency = 0;
    if (block->context)
        record.context = block->context;
    if (block->place > 0)
        record.device = (uint16_t)place_device(block->place);
    if (block->memory != TRACE_MEMORY_DEVICE && !ends_with_context(block))
        record.context = 0;
    record.address = block->address;
    record.size = block->requested_bytes;
    record.stream = (uint32_t)(uintptr_t)block->stream;
    record.value = value;
    trace_writer_emit(call->writer, &record);
}

/* Publishes, at the end of this call, records that readers would otherwise see only after the
 * next call. */
static void live_note(const struct call *call, int64_t bytes)
{
    if (live_is_on() && live_moved(bytes, call->begin_ns))
        atomic_store_explicit(&record_next_tick_ns, 0, memory_order_relaxed);
}

void record_publish(void)
{
    if (live_is_on() && !live_publish())
        atomic_store_explicit(&record_next_tick_ns, 0, memory_order_relaxed);
}

void record_allocate(const struct call *call, const struct record_block *block)
{
    live_note(call, (int64_t)block->allocated_bytes);
    if (call->writer)
        emit_block(call, TRACE_EVENT_ALLOCATE, block, block->allocated_bytes);
}

void record_free(const struct call *call, const struct record_block *block)
{
    live_note(call, -(int64_t)block->allocated_bytes);
    if (call->writer)
        emit_block(call, TRACE_EVENT_FREE, block, block->allocated_bytes);
}

static void emit_refused(const struct call *call, enum trace_event kind,
                         const struct record_block *block, int error)
{
    if (!call->writer)
        return;
    struct record_block refused = *block;
    refused.outcome = TRACE_OUTCOME_FAILED;
    emit_block(call, kind, &refused, (uint64_t)error);
}

void record_allocate_refused(const struct call *call, const struct record_block *block, int error)
{
    emit_refused(call, TRACE_EVENT_ALLOCATE, block, error);
    postmortem_note(call, block, error);
}

void record_free_refused(const struct call *call, const struct record_block *block, int error)
{
    emit_refused(call, TRACE_EVENT_FREE, block, error);
}

void record_invalid_free(const struct call *call, uint64_t address, int error,
                         uint64_t allocation_site, uint64_t free_site)
{
    if (!call->writer)
        return;
    struct trace_record record = record_of(call, TRACE_EVENT_INVALID_FREE);
    record.outcome = TRACE_OUTCOME_FAILED;
    record.address = address;
    record.value = (uint64_t)error;
    record.size = allocation_site;
    record.stream = (uint32_t)free_site;
    trace_writer_emit(call->writer, &record);
}

void record_memory_info(const struct call *call, size_t free_bytes, size_t total_bytes)
{
    const struct driver_functions *driver = real_driver_if_loaded();

    if (!call->writer)
        return;
    if (driver)
        context_current(driver); /* the answer is about its device: see context_here */
    struct trace_record record = record_of(call, TRACE_EVENT_MEMORY_INFO);
    record.size = free_bytes;
    record.value = total_bytes;
    trace_writer_emit(call->writer, &record);
}

void record_mempool_trim(const struct call *call, const void *pool, size_t returned_bytes)
{
    if (!call->writer)
        return;
    struct trace_record record = record_of(call, TRACE_EVENT_TRIM);
    record.memory = TRACE_MEMORY_MEMPOOL;
    record.address = (uint64_t)(uintptr_t)pool;
    record.size = returned_bytes;
    trace_writer_emit(call->writer, &record);
}

void record_device(int ordinal)
{
    const struct driver_functions *driver = real_driver();
    struct trace_writer *writer = trace();
    char name[256] = "";
    size_t total = 0;
    int version = 0;

    if ((!writer && !live_is_on()) || !driver || ordinal < 0 || ordinal >= DEVICES_MAX ||
        atomic_exchange(&device_recorded[ordinal], true))
        return;
    driver->cuDeviceTotalMem_v2(&total, ordinal);
    live_device(ordinal, total);
    if (!writer)
        return;
    driver->cuDeviceGetName(name, sizeof(name) - 1, ordinal);
    driver->cuDriverGetVersion(&version);
    trace_writer_emit(writer, &(struct trace_record){
                                  .kind = TRACE_EVENT_DEVICE,
                                  .device = (uint16_t)ordinal,
                                  .size = total,
                                  .value = trace_writer_string(writer, name),
                                  .address = (uint64_t)version,
                                  .site = (uint64_t)real_runtime_version(),
                              });
}

void record_context(const struct context *context, bool created)
{
    struct trace_writer *writer = trace();

    if (!writer)
        return;
    trace_writer_emit(writer, &(struct trace_record){
                                  .kind = TRACE_EVENT_CONTEXT,
                                  .context = context->number,
                                  .device = (uint16_t)context->device,
                                  .value = created,
                              });
    if (created)
        activity_arm();
}

void record_backing(const struct context *context, struct pool *pool, bool frees_wait,
                    const char *reason)
{
    struct trace_writer *writer = trace();
    struct pool_memory memory;

    if (!writer)
        return;
    pool_memory_get(pool, &memory);
    trace_writer_emit(writer, &(struct trace_record){
                                  .kind = TRACE_EVENT_BACKING,
                                  .context = context->number,
                                  .device = (uint16_t)context->device,
                                  .value = memory.range_bytes,
                                  .api = trace_writer_string(writer, reason),
                                  .size = memory.page_bytes,
                                  .address = memory.range_address,
                                  .outcome = frees_wait ? TRACE_OUTCOME_WAITED : TRACE_OUTCOME_NONE,
                              });
}

void record_pool_event(const struct context *context, const struct pool_event *event)
{
    record_pool_event_of(context, TRACE_MEMORY_DEVICE, event);
}

void record_pool_event_of(const struct context *context, enum trace_memory memory,
                          const struct pool_event *event)
{
    static const enum trace_event kinds[] = {
        [POOL_EVENT_SEGMENT_ALLOCATE] = TRACE_EVENT_SEGMENT_ALLOCATE,
        [POOL_EVENT_SEGMENT_FREE] = TRACE_EVENT_SEGMENT_FREE,
        [POOL_EVENT_FENCE] = TRACE_EVENT_FENCE,
        [POOL_EVENT_WAIT] = TRACE_EVENT_WAIT,
        [POOL_EVENT_QUERY] = TRACE_EVENT_FENCE_QUERY,
        [POOL_EVENT_ROOM] = TRACE_EVENT_ROOM,
        [POOL_EVENT_TRIM] = TRACE_EVENT_TRIM,
        [POOL_EVENT_FAILURE] = TRACE_EVENT_FAILURE,
        [POOL_EVENT_MAP] = TRACE_EVENT_MAP,
        [POOL_EVENT_UNMAP] = TRACE_EVENT_UNMAP,
        [POOL_EVENT_STITCH] = TRACE_EVENT_STITCH,
        [POOL_EVENT_BREAK] = TRACE_EVENT_BREAK,
        [POOL_EVENT_REFUSAL] = TRACE_EVENT_REFUSAL,
        [POOL_EVENT_REQUEST] = TRACE_EVENT_REQUEST,
    };
    struct trace_writer *writer = trace();

    if (!writer)
        return;
    bool failure = event->kind == POOL_EVENT_FAILURE && context->pool;
    uint64_t now = trace_writer_now(writer);
    struct trace_record record = {
        .kind = kinds[event->kind],
        .memory = memory,
        .context = context->number,
        .device = (uint16_t)context->device,
        .address = event->address,
        .size = event->bytes,
        .stream = event->detail,
        .value = failure ? pool_available_bytes(context->pool) : (uint64_t) - (int64_t)event->error,
    };
    trace_record_date(&record, now > event->duration_ns ? now - event->duration_ns : 0, now);
    trace_writer_emit(writer, &record);
}

struct counters {
    struct trace_writer *writer;
    const struct context *context;
};

static void emit_counter(void *state, const struct pool_figure *figure, struct pool_gauge value)
{
    const struct counters *counters = state;

    trace_writer_emit(counters->writer,
                      &(struct trace_record){
                          .kind = TRACE_EVENT_COUNTER,
                          .api = trace_api_id(trace_writer_string(counters->writer, figure->name)),
                          .context = counters->context->number,
                          .device = (uint16_t)counters->context->device,
                          .size = value.current,
                          .address = value.peak,
                          .value = value.at_peak,
                      });
}

void record_counters(const struct context *context)
{
    struct counters counters = {trace(), context};

    if (counters.writer && context->pool)
        pool_figures_visit(context->pool, emit_counter, &counters);
}

static void record_all_counters(void)
{
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        record_counters(context);
    gate_leave();
}

void record_tick(uint64_t now_ns)
{
    static _Atomic uint64_t counters_due = COUNTERS_NS;
    uint64_t due = atomic_load_explicit(&record_next_tick_ns, memory_order_relaxed);

    if (now_ns < due ||
        !atomic_compare_exchange_strong(&record_next_tick_ns, &due, now_ns + TICK_NS))
        return;
    UNCANCELLED;
    mark_signal_flush(trace());
    if (!live_publish())
        atomic_store_explicit(&record_next_tick_ns, 0, memory_order_relaxed);
    if (now_ns >= atomic_load_explicit(&counters_due, memory_order_relaxed)) {
        atomic_store_explicit(&counters_due, now_ns + COUNTERS_NS, memory_order_relaxed);
        record_all_counters();
        if (!capture_is_active())
            activity_tick();
    }
}

void record_close(void)
{
    struct trace_writer *writer = trace();

    live_close();
    if (!writer)
        return;
    mark_signal_flush(writer);
    record_all_counters();
    record_skipped(writer);
    activity_close();
    atomic_store(&record_trace, NULL);
    trace_writer_close(writer);
}

void record_fork_child(void)
{
    activity_fork_child();
    live_fork_child();
    trace_writer_fork_child(atomic_exchange(&record_trace, NULL));
    /* The child writes another trace, with its own ids. */
    pthread_mutex_init(&open_lock, NULL);
    for (int i = 0; i < HOOK_COUNT; i++)
        atomic_store_explicit(&api_ids[i], 0, memory_order_relaxed);
    for (int i = 0; i < DEVICES_MAX; i++)
        atomic_store_explicit(&device_recorded[i], false, memory_order_relaxed);
    atomic_store(&record_next_tick_ns, TICK_NS);
    atomic_store(&record_opened, false);
}

size_t record_range_bytes_at(uint64_t address)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    CUdeviceptr base;
    size_t bytes;

    if (!driver || !driver->cuMemGetAddressRange_v2 ||
        REAL_ASK(driver->cuMemGetAddressRange_v2(&base, &bytes, (CUdeviceptr)address)) !=
            CUDA_SUCCESS)
        return 0;
    return bytes;
}

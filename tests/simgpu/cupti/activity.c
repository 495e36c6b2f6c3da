/* SPDX-License-Identifier: MIT */
/*
 * The activity functions of the kinds MEMORY2 and MEMORY_POOL, and the records of both.
 */
#include "tests/simgpu/cupti/state.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Types of 12.0 to 12.9. */
#include <cupti_activity_deprecated.h>

static atomic_bool memory_on, pool_on;
static atomic_uint correlation;
static uint8_t per_thread = 1, zeroed; /* kept, without effect */
static size_t device_buffer_bytes = 3200000;

static atomic_bool *switch_of(CUpti_ActivityKind kind)
{
    return kind == CUPTI_ACTIVITY_KIND_MEMORY2       ? &memory_on
           : kind == CUPTI_ACTIVITY_KIND_MEMORY_POOL ? &pool_on
                                                     : NULL;
}

static CUptiResult turn(const char *function, CUpti_ActivityKind kind, bool on)
{
    CUptiResult result = state_enter(function);

    if (result == CUPTI_SUCCESS &&
        (kind <= CUPTI_ACTIVITY_KIND_INVALID || kind >= CUPTI_ACTIVITY_KIND_COUNT))
        result = CUPTI_ERROR_INVALID_KIND;
    if (result == CUPTI_SUCCESS)
        result = state_attach();
    if (result == CUPTI_SUCCESS && !switch_of(kind))
        result = CUPTI_ERROR_NOT_COMPATIBLE; /* here; the real library has it */
    if (result == CUPTI_SUCCESS)
        *switch_of(kind) = on;
    return result;
}

CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind)
{
    return turn("cuptiActivityEnable", kind, true);
}

CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind)
{
    return turn("cuptiActivityDisable", kind, false);
}

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc requested,
                                           CUpti_BuffersCallbackCompleteFunc completed)
{
    CUptiResult result = state_enter("cuptiActivityRegisterCallbacks");

    return result == CUPTI_SUCCESS ? buffers_register(requested, completed) : result;
}

CUptiResult cuptiActivityFlushAll(uint32_t flag)
{
    CUptiResult result = state_enter("cuptiActivityFlushAll");

    if (result == CUPTI_SUCCESS && !state_driver())
        result = CUPTI_ERROR_NOT_INITIALIZED;
    if (result == CUPTI_SUCCESS && !buffers_registered())
        result = CUPTI_ERROR_INVALID_OPERATION;
    /* Every record is complete when it is written, so a forced flush finds no more. */
    if (result == CUPTI_SUCCESS)
        buffers_flush();
    return result;
}

/* Full buffers are returned at once, so the period has nothing to do. */
CUptiResult cuptiActivityFlushPeriod(uint32_t time)
{
    return state_enter("cuptiActivityFlushPeriod");
}

CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext context, uint32_t stream, size_t *ret)
{
    CUptiResult result = state_enter("cuptiActivityGetNumDroppedRecords");

    if (result == CUPTI_SUCCESS && !ret)
        result = CUPTI_ERROR_INVALID_PARAMETER;
    if (result == CUPTI_SUCCESS)
        *ret = buffers_dropped_take();
    return result;
}

static size_t memory_record_bytes(void)
{
    return state_version() >= CUPTI_VERSION_13_0 ? sizeof(CUpti_ActivityMemory4)
                                                 : sizeof(CUpti_ActivityMemory3);
}

static size_t pool_record_bytes(void)
{
    return state_version() >= CUPTI_VERSION_13_0 ? sizeof(CUpti_ActivityMemoryPool3)
                                                 : sizeof(CUpti_ActivityMemoryPool2);
}

static size_t record_bytes(const uint8_t *record)
{
    switch (*(const CUpti_ActivityKind *)record) {
    case CUPTI_ACTIVITY_KIND_MEMORY2: return memory_record_bytes();
    case CUPTI_ACTIVITY_KIND_MEMORY_POOL: return pool_record_bytes();
    default: return 0;
    }
}

CUptiResult cuptiActivityGetNextRecord(uint8_t *buffer, size_t bytes, CUpti_Activity **record)
{
    CUptiResult result = state_enter("cuptiActivityGetNextRecord");

    if (result != CUPTI_SUCCESS)
        return result;
    if (!record || !buffer)
        return CUPTI_ERROR_INVALID_PARAMETER;
    uint8_t *next = *record ? (uint8_t *)*record + record_bytes((uint8_t *)*record) : buffer;
    if (next >= buffer + bytes)
        return CUPTI_ERROR_MAX_LIMIT_REACHED;
    if (!record_bytes(next))
        return CUPTI_ERROR_INVALID_KIND;
    *record = (CUpti_Activity *)next;
    return CUPTI_SUCCESS;
}

static void *attribute_of(CUpti_ActivityAttribute attribute, size_t *ret_bytes)
{
    switch (attribute) {
    case CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_SIZE:
        *ret_bytes = sizeof device_buffer_bytes;
        return &device_buffer_bytes;
    case CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER: *ret_bytes = 1; return &zeroed;
    case CUPTI_ACTIVITY_ATTR_PER_THREAD_ACTIVITY_BUFFER: *ret_bytes = 1; return &per_thread;
    default: return NULL;
    }
}

static CUptiResult attribute_access(const char *function, CUpti_ActivityAttribute attribute,
                                    size_t *bytes, void *value, void **ret)
{
    size_t wanted;
    CUptiResult result = state_enter(function);

    if (result != CUPTI_SUCCESS)
        return result;
    if (!bytes || !value || !(*ret = attribute_of(attribute, &wanted)))
        return CUPTI_ERROR_INVALID_PARAMETER;
    if (*bytes < wanted)
        return CUPTI_ERROR_PARAMETER_SIZE_NOT_SUFFICIENT;
    *bytes = wanted;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetAttribute(CUpti_ActivityAttribute attribute, size_t *bytes, void *value)
{
    void *kept;
    CUptiResult result = attribute_access("cuptiActivityGetAttribute", attribute, bytes, value,
                                          &kept);

    if (result == CUPTI_SUCCESS)
        memcpy(value, kept, *bytes);
    return result;
}

CUptiResult cuptiActivitySetAttribute(CUpti_ActivityAttribute attribute, size_t *bytes, void *value)
{
    void *kept;
    CUptiResult result = attribute_access("cuptiActivitySetAttribute", attribute, bytes, value,
                                          &kept);

    if (result == CUPTI_SUCCESS)
        memcpy(kept, value, *bytes);
    return result;
}

void activity_drop(void)
{
    memory_on = pool_on = false;
}

CUptiResult cuptiFinalize(void)
{
    CUptiResult result = state_enter("cuptiFinalize");

    if (result != CUPTI_SUCCESS)
        return result;
    activity_drop();
    callbacks_drop();
    state_detach();
    buffers_drop();
    return CUPTI_SUCCESS;
}

/* Records. The older ones are the first part of the newer ones. */

static_assert(offsetof(CUpti_ActivityMemory4, source) == sizeof(CUpti_ActivityMemory3),
              "Memory4 is Memory3 and the source");
static_assert(offsetof(CUpti_ActivityMemoryPool3, isManagedPool) ==
                  sizeof(CUpti_ActivityMemoryPool2),
              "MemoryPool3 is MemoryPool2 and the kind of pool");

static CUpti_ActivityMemoryKind memory_kind(enum observer_memory memory)
{
    static const CUpti_ActivityMemoryKind kinds[] = {
        [OBSERVER_DEVICE] = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE,
        [OBSERVER_MANAGED] = CUPTI_ACTIVITY_MEMORY_KIND_MANAGED,
        [OBSERVER_PINNED] = CUPTI_ACTIVITY_MEMORY_KIND_PINNED,
        [OBSERVER_ARRAY] = CUPTI_ACTIVITY_MEMORY_KIND_ARRAY,
        [OBSERVER_STATIC] = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC,
    };

    return kinds[memory];
}

static uint64_t now_ns(void)
{
    uint64_t now;

    cuptiGetTimestamp(&now);
    return now;
}

static void memory_add(const struct observer_event *event)
{
    CUpti_ActivityMemory4 record = {
        .kind = CUPTI_ACTIVITY_KIND_MEMORY2,
        .memoryOperationType = event->kind == OBSERVER_ALLOCATE
                                   ? CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION
                                   : CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE,
        .memoryKind = memory_kind(event->memory),
        .correlationId = ++correlation,
        .address = event->address,
        .bytes = event->bytes,
        .timestamp = now_ns(),
        .PC = event->pc,
        .processId = (uint32_t)getpid(),
        .deviceId = event->device,
        .contextId = event->context_id ? event->context_id : CUPTI_INVALID_CONTEXT_ID,
        .streamId = event->is_async ? event->stream_id : CUPTI_INVALID_STREAM_ID,
        .name = event->name,
        .isAsync = event->is_async,
    };

    if (event->pool) {
        record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
        record.memoryPoolConfig.address = event->pool;
        record.memoryPoolConfig.releaseThreshold = event->pool_threshold_bytes;
        record.memoryPoolConfig.pool.size = event->pool_bytes;
        record.memoryPoolConfig.utilizedSize = event->pool_used_bytes;
    }
    buffers_add(&record, memory_record_bytes());
}

static void pool_add(const struct observer_event *event)
{
    static const CUpti_ActivityMemoryPoolOperationType operations[] = {
        [OBSERVER_POOL_CREATED] = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_CREATED,
        [OBSERVER_POOL_DESTROYED] = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED,
        [OBSERVER_POOL_TRIMMED] = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED,
    };
    CUpti_ActivityMemoryPool3 record = {
        .kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL,
        .memoryPoolOperationType = operations[event->kind],
        .memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL,
        .correlationId = ++correlation,
        .processId = (uint32_t)getpid(),
        .deviceId = event->device,
        .minBytesToKeep = event->keep_bytes,
        .address = event->pool,
        .size = event->pool_bytes,
        .releaseThreshold = event->pool_threshold_bytes,
        .timestamp = now_ns(),
        .utilizedSize = event->pool_used_bytes,
    };

    buffers_add(&record, pool_record_bytes());
}

void records_add(const struct observer_event *event)
{
    bool is_memory = event->kind == OBSERVER_ALLOCATE || event->kind == OBSERVER_FREE;

    if (is_memory && memory_on)
        memory_add(event);
    else if (!is_memory && pool_on)
        pool_add(event);
}

/* SPDX-License-Identifier: MIT */
/*
 * CUPTI's memory activity and resource callbacks, compared with the headers of CUDA 13.0.
 * Runs once for each layout of records (SIMGPU_CUPTI_VERSION).
 */
#include <cupti.h>
#include <cupti_activity_deprecated.h>
#include <pthread.h>
#include <stdint.h>

#include "tests/simgpu/tests/driver/support.h"

#define CUPTI_EXPECT(expected, call)                                                               \
    do {                                                                                           \
        CUptiResult got_ = (call);                                                                 \
        if (got_ != (expected)) {                                                                  \
            fprintf(stderr, "%s:%d: %s: %d instead of %s\n", __FILE__, __LINE__, #call, got_,      \
                    #expected);                                                                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CUPTI_OK(call) CUPTI_EXPECT(CUPTI_SUCCESS, call)

#define BUFFER_BYTES 4096
#define RECORDS_MAX  4096

static CUpti_ActivityMemory3 memory[RECORDS_MAX]; /* what both layouts begin with */
static CUpti_ActivityMemoryPool2 pool[RECORDS_MAX];
static size_t memories, pools, requested, completed, records_most;
static bool give_none;
static size_t records_max;
static unsigned callbacks[CUPTI_CBID_RESOURCE_GRAPH_NODE_SET_PARAMS + 1];
static CUcontext callback_context;

static void request(uint8_t **buffer, size_t *size, size_t *max)
{
    *buffer = give_none ? NULL : aligned_alloc(8, BUFFER_BYTES);
    *size = BUFFER_BYTES;
    *max = records_max;
    requested += !give_none;
}

static void complete(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    CUpti_Activity *record = NULL;
    size_t records = 0;

    CHECK(!context && size == BUFFER_BYTES && valid <= size);
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        records++;
        if (record->kind == CUPTI_ACTIVITY_KIND_MEMORY2)
            memory[memories++ % RECORDS_MAX] = *(CUpti_ActivityMemory3 *)record;
        else if (record->kind == CUPTI_ACTIVITY_KIND_MEMORY_POOL)
            pool[pools++ % RECORDS_MAX] = *(CUpti_ActivityMemoryPool2 *)record;
    }
    CUPTI_EXPECT(CUPTI_ERROR_MAX_LIMIT_REACHED, cuptiActivityGetNextRecord(buffer, valid, &record));
    records_most = records > records_most ? records : records_most;
    completed++;
    free(buffer);
}

static void called(void *userdata, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                   const void *data)
{
    const CUpti_ResourceData *resource = data;
    CUcontext current;

    CHECK(userdata == &memories && domain == CUPTI_CB_DOMAIN_RESOURCE);
    OK(cuCtxGetCurrent(&current)); /* the driver may be called */
    callback_context = resource->context;
    callbacks[id]++;
}

static const CUpti_ActivityMemory3 *last(void)
{
    CUPTI_OK(cuptiActivityFlushAll(0));
    CHECK(memories > 0);
    return &memory[(memories - 1) % RECORDS_MAX];
}

static void refusals(void)
{
    CUpti_SubscriberHandle subscriber = NULL, second = NULL;

    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER, cuptiGetVersion(NULL));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER, cuptiSubscribe(NULL, called, NULL));
    CUPTI_EXPECT(CUPTI_ERROR_NOT_INITIALIZED, cuptiActivityFlushAll(0));
    CUPTI_OK(cuptiSubscribe(&subscriber, called, &memories));
    CUPTI_EXPECT(CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED,
                 cuptiSubscribe(&second, called, NULL));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_OPERATION, cuptiActivityFlushAll(0));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER, cuptiActivityRegisterCallbacks(NULL, complete));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_KIND, cuptiActivityEnable(CUPTI_ACTIVITY_KIND_COUNT));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER,
                 cuptiEnableDomain(1, second, CUPTI_CB_DOMAIN_RESOURCE));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER, cuptiUnsubscribe(NULL));
    CUPTI_OK(cuptiUnsubscribe(subscriber));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER, cuptiUnsubscribe(subscriber));
}

static uint64_t clock_of_test(void)
{
    return 42;
}

/* What PyTorch's profiler sets up before it collects. */
static void requests(void)
{
    const char *name = NULL;
    uint64_t id = 0, now = 0;

    CUPTI_OK(cuptiGetCallbackName(CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_cuMemAlloc_v2,
                                  &name));
    CHECK(name && !strcmp(name, "cuMemAlloc_v2"));
    CUPTI_OK(cuptiGetCallbackName(CUPTI_CB_DOMAIN_RUNTIME_API,
                                  CUPTI_RUNTIME_TRACE_CBID_cudaMalloc_v3020, &name));
    CHECK(name && !strcmp(name, "cudaMalloc_v3020"));
    CUPTI_EXPECT(CUPTI_ERROR_INVALID_PARAMETER,
                 cuptiGetCallbackName(CUPTI_CB_DOMAIN_DRIVER_API, 1 << 30, &name));
    CUPTI_OK(cuptiActivityPushExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, 7));
    CUPTI_OK(cuptiActivityPushExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, 8));
    CUPTI_EXPECT(CUPTI_ERROR_QUEUE_EMPTY, cuptiActivityPopExternalCorrelationId(
                                              CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM1, &id));
    CUPTI_OK(cuptiActivityPopExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &id));
    CHECK(id == 8);
    CUPTI_OK(cuptiActivityPopExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, NULL));
    CUPTI_EXPECT(CUPTI_ERROR_QUEUE_EMPTY, cuptiActivityPopExternalCorrelationId(
                                              CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &id));
    CUPTI_OK(cuptiActivityEnableDriverApi(CUPTI_DRIVER_TRACE_CBID_cuCtxGetCurrent, 0));
    CUPTI_OK(cuptiActivityEnableRuntimeApi(CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020, 0));
    CUPTI_OK(cuptiActivityEnableCudaEventDeviceTimestamps(1));
    CUPTI_OK(cuptiActivityRegisterTimestampCallback(clock_of_test));
    CUPTI_OK(cuptiGetTimestamp(&now));
    CHECK(now == 42);
}

static void attributes(void)
{
    uint8_t value = 9;
    size_t bytes = sizeof value, none = 0;

    CUPTI_OK(
        cuptiActivityGetAttribute(CUPTI_ACTIVITY_ATTR_PER_THREAD_ACTIVITY_BUFFER, &bytes, &value));
    CHECK(value == 1);
    value = 0;
    CUPTI_OK(
        cuptiActivitySetAttribute(CUPTI_ACTIVITY_ATTR_PER_THREAD_ACTIVITY_BUFFER, &bytes, &value));
    CUPTI_EXPECT(CUPTI_ERROR_PARAMETER_SIZE_NOT_SUFFICIENT,
                 cuptiActivityGetAttribute(CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_SIZE, &none, &value));
}

static void resources(CUcontext *ret)
{
    CUstream stream;

    OK(cuCtxCreate(ret, NULL, 0, 0));
    CHECK(callbacks[CUPTI_CBID_RESOURCE_CONTEXT_CREATED] == 1 && callback_context == *ret);
    OK(cuStreamCreate(&stream, 0));
    CHECK(callbacks[CUPTI_CBID_RESOURCE_STREAM_CREATED] == 1);
    OK(cuStreamDestroy(stream));
    CHECK(callbacks[CUPTI_CBID_RESOURCE_STREAM_DESTROY_STARTING] == 1);
}

static void plain(CUcontext context)
{
    CUdeviceptr pointer, managed;
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR descriptor = {32, 4, CU_AD_FORMAT_FLOAT, 1};
    void *pinned;
    uint32_t id;
    uint64_t before, after;

    CUPTI_OK(cuptiGetContextId(context, &id));
    CUPTI_OK(cuptiGetTimestamp(&before));
    OK(cuMemAlloc(&pointer, 12345));
    CUPTI_OK(cuptiGetTimestamp(&after));
    CHECK(last()->address == pointer && last()->bytes == 12345 && !last()->isAsync);
    CHECK(last()->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION);
    CHECK(last()->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_DEVICE && last()->contextId == id);
    CHECK(last()->streamId == CUPTI_INVALID_STREAM_ID && last()->PC != 0);
    CHECK(before <= last()->timestamp && last()->timestamp <= after);
    OK(cuMemFree(pointer));
    CHECK(last()->address == pointer && last()->bytes == 12345);
    CHECK(last()->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE);
    FAILS(cuMemFree(pointer));
    CHECK(last()->correlationId == memory[(memories - 1) % RECORDS_MAX].correlationId);
    size_t seen = memories;
    OK(cuMemAllocManaged(&managed, 4096, CU_MEM_ATTACH_GLOBAL));
    CHECK(last()->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_MANAGED && memories == seen + 1);
    OK(cuMemFree(managed));
    OK(cuMemHostAlloc(&pinned, 100, 0));
    CHECK(last()->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_PINNED);
    CHECK(last()->address == (uintptr_t)pinned);
    OK(cuMemFreeHost(pinned));
    OK(cuArrayCreate(&array, &descriptor));
    CHECK(last()->memoryKind == CUPTI_ACTIVITY_MEMORY_KIND_ARRAY);
    OK(cuArrayDestroy(array));
    (void)last();
    CHECK(memories == seen + 6);
}

static void stream_ordered(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUmemoryPool made;
    CUdeviceptr pointer;
    CUstream stream;
    uint32_t id;

    OK(cuStreamCreate(&stream, 0));
    CUPTI_OK(cuptiGetStreamIdEx(NULL, stream, 0, &id));
    OK(cuMemPoolCreate(&made, &props));
    OK(cuMemAllocFromPoolAsync(&pointer, 1000, made, stream));
    CHECK(last()->isAsync == 1 && last()->streamId == id);
    CHECK(pools == 1);
    CHECK(pool[0].memoryPoolOperationType == CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_CREATED);
    CHECK(last()->memoryPoolConfig.address == pool[0].address);
    CHECK(last()->memoryPoolConfig.utilizedSize >= 1000);
    CHECK(last()->memoryPoolConfig.pool.size >= last()->memoryPoolConfig.utilizedSize);
    OK(cuMemFreeAsync(pointer, stream));
    CHECK(last()->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE);
    OK(cuStreamSynchronize(stream));
    OK(cuMemPoolTrimTo(made, 0));
    OK(cuMemPoolDestroy(made));
    CUPTI_OK(cuptiActivityFlushAll(1));
    CHECK(pools == 3);
    CHECK(pool[1].memoryPoolOperationType == CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED);
    CHECK(pool[1].size == 0 && pool[1].utilizedSize == 0);
    CHECK(pool[2].memoryPoolOperationType == CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED);
    OK(cuStreamDestroy(stream));
}

static void allocate(unsigned pairs)
{
    CUdeviceptr pointer;

    for (unsigned i = 0; i < pairs; i++) {
        OK(cuMemAlloc(&pointer, 512));
        OK(cuMemFree(pointer));
    }
}

static void buffering(void)
{
    size_t dropped, before = (last(), memories), most_before;

    allocate(500);
    CUPTI_OK(cuptiActivityFlushAll(0));
    CHECK(memories == before + 1000 && requested == completed);
    CUPTI_OK(cuptiActivityGetNumDroppedRecords(NULL, 0, &dropped));
    CHECK(dropped == 0);
    records_max = 3;
    most_before = records_most;
    records_most = 0;
    allocate(10);
    CUPTI_OK(cuptiActivityFlushAll(0));
    CHECK(records_most == 3 && most_before > 3 && memories == before + 1020);
    give_none = true;
    allocate(5);
    CUPTI_OK(cuptiActivityGetNumDroppedRecords(NULL, 0, &dropped));
    CHECK(dropped == 10);
    CUPTI_OK(cuptiActivityGetNumDroppedRecords(NULL, 0, &dropped));
    CHECK(dropped == 0);
    give_none = false;
    records_max = 0;
}

static void *hammer(void *argument)
{
    OK(cuCtxSetCurrent(argument));
    allocate(300);
    return NULL;
}

static void threads(CUcontext context)
{
    pthread_t thread[4];
    size_t before = (last(), memories);

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, hammer, context) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    CUPTI_OK(cuptiActivityFlushAll(0));
    CHECK(memories == before + 2400);
}

/* The real library, where there is one, walks the records alike: it needs no driver for that. */
static void same_walk(void)
{
    CUptiResult (*next)(uint8_t *, size_t, CUpti_Activity **);
    CUpti_ActivityMemory4 records[3] = {{.kind = CUPTI_ACTIVITY_KIND_MEMORY2},
                                        {.kind = CUPTI_ACTIVITY_KIND_MEMORY2},
                                        {.kind = CUPTI_ACTIVITY_KIND_MEMORY2}};
    void *real = dlopen(REAL_LIBCUPTI, RTLD_NOW | RTLD_LOCAL);

    *(void **)&next = real ? dlsym(real, "cuptiActivityGetNextRecord") : NULL;
    for (int i = 0; next && i < 2; i++) {
        CUpti_Activity *record = NULL;
        __typeof__(next) walk = i ? cuptiActivityGetNextRecord : next;

        for (int k = 0; k < 3; k++) {
            CUPTI_OK(walk((uint8_t *)records, sizeof records, &record));
            CHECK(record == (CUpti_Activity *)&records[k]);
        }
        CUPTI_EXPECT(CUPTI_ERROR_MAX_LIMIT_REACHED,
                     walk((uint8_t *)records, sizeof records, &record));
    }
}

int main(void)
{
    CUpti_SubscriberHandle subscriber;
    CUcontext context;
    uint32_t version;

    CUPTI_OK(cuptiGetVersion(&version));
    refusals();
    attributes();
    OK(cuInit(0));
    CUPTI_OK(cuptiSubscribe(&subscriber, called, &memories));
    CUPTI_OK(cuptiEnableCallback(1, subscriber, CUPTI_CB_DOMAIN_RESOURCE,
                                 CUPTI_CBID_RESOURCE_CONTEXT_CREATED));
    CUPTI_OK(cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_RESOURCE));
    CUPTI_OK(cuptiActivityRegisterCallbacks(request, complete));
    CUPTI_OK(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMORY2));
    CUPTI_OK(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMORY_POOL));
    CUPTI_OK(cuptiActivityFlushPeriod(10));
    resources(&context);
    plain(context);
    stream_ordered();
    buffering();
    threads(context);
    if (version >= 130000)
        same_walk();
    OK(cuCtxDestroy(context));
    CHECK(callbacks[CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING] == 1);
    CUPTI_OK(cuptiActivityDisable(CUPTI_ACTIVITY_KIND_MEMORY2));
    CUPTI_OK(cuptiFinalize());
    CUPTI_EXPECT(CUPTI_ERROR_NOT_INITIALIZED, cuptiActivityFlushAll(0));
    CUPTI_OK(cuptiSubscribe(&subscriber, called, &memories));
    requests();
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A CUPTI client inside its program, as profilers of frameworks are: it subscribes, hands out
 * buffers of malloc's, and prints the results. Its output is the same with another client
 * beside it that gives way.
 *
 * usage: cupti_client first|second linked|loaded|default|drift
 *     first   before the first call of CUDA; second: after memory was taken
 *     linked  through the library it is linked with; loaded: by dlopen and dlsym; default: by dlsym
 *             in the default scope; drift: no client, it only gives CUPTI a clock that runs slow
 */
#include <cuda_runtime_api.h>
#include <cupti.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    __typeof__(cuptiSubscribe) *subscribe;
    __typeof__(cuptiActivityRegisterCallbacks) *register_callbacks;
} cupti;

static unsigned contexts, operations;
static unsigned long long bytes_taken;
static size_t requested, completed;

static void request(uint8_t **buffer, size_t *size, size_t *records)
{
    *size = 1 << 14;
    *buffer = malloc(*size);
    *records = 0;
    requested++;
}

static void complete(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    CUpti_Activity *record = NULL;
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        const CUpti_ActivityMemory4 *memory = (const CUpti_ActivityMemory4 *)record;
        operations++;
        if (memory->memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION)
            bytes_taken += memory->bytes;
    }
    completed++;
    free(buffer);
}

static void called(void *userdata, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                   const void *data)
{
    contexts += id == CUPTI_CBID_RESOURCE_CONTEXT_CREATED;
}

static void functions_find(const char *how)
{
    void *library = !strcmp(how, "loaded") ? dlopen("libcupti.so.13", RTLD_NOW) : RTLD_DEFAULT;
    cupti.subscribe = cuptiSubscribe;
    cupti.register_callbacks = cuptiActivityRegisterCallbacks;
    if (!strcmp(how, "linked"))
        return;
    *(void **)&cupti.subscribe = dlsym(library, "cuptiSubscribe");
    *(void **)&cupti.register_callbacks = dlsym(library, "cuptiActivityRegisterCallbacks");
}

static void begin(const char *how)
{
    CUpti_SubscriberHandle subscriber;
    functions_find(how);
    printf("subscribe %d\n", cupti.subscribe(&subscriber, called, NULL));
    printf("callbacks %d\n", cupti.register_callbacks(request, complete));
    printf("resources %d\n", cuptiEnableCallback(1, subscriber, CUPTI_CB_DOMAIN_RESOURCE,
                                                 CUPTI_CBID_RESOURCE_CONTEXT_CREATED));
    printf("memory %d\n", cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMORY2));
}

static void work(int rounds)
{
    void *pointer;
    for (int i = 0; i < rounds; i++)
        if (cudaMalloc(&pointer, 1 << 20) || cudaFree(pointer))
            exit(1);
}

static uint64_t slow_clock(void)
{
    static uint64_t first_ns;
    struct timespec now;
    uint64_t ns;

    clock_gettime(CLOCK_REALTIME, &now);
    ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    first_ns = first_ns ? first_ns : ns;
    return ns - (ns - first_ns) * 9 / 10000;
}

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* The third allocation needs no call of the driver, and makes the peak. */
static int drift(void)
{
    void *pointer;

    if (cuptiActivityRegisterTimestampCallback(slow_clock) || cudaMalloc(&pointer, 1000) ||
        cudaMalloc(&pointer, 100 << 20))
        return 1;
    sleep_us(100);
    if (cudaMalloc(&pointer, 1000))
        return 1;
    sleep_us(900000);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (!strcmp(argv[2], "drift"))
        return drift();
    if (!strcmp(argv[1], "second"))
        work(200);
    begin(argv[2]);
    work(500);
    printf("flush %d\n", cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED));
    printf("%u operations, %llu bytes, %u contexts, buffers returned: %s\n", operations,
           bytes_taken, contexts, requested == completed ? "all" : "not all");
    return 0;
}

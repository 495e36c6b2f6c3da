/* SPDX-License-Identifier: MIT */
/*
 * Threads that are cancelled (pthread_cancel) in one kind of call each. Wherever the request acts,
 * a cleanup handler can free what the thread holds, and the other threads, contexts that end and
 * new memory are not affected.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cuda.h>
#include <cuda_runtime_api.h>

#define ROUNDS      3000
#define STEPS       40
#define BLOCK_BYTES ((size_t)3 << 20)
#define HANG_S      120

struct thread {
    const char *kind;
    void *held;
    int freed;
    void *blocks[STEPS];
    int count;
};

/* Small ones too often for a hit to be all there is; the trace grows meanwhile. */
static void hits(struct thread *self)
{
    void *block;
    for (int i = 0; i < ROUNDS; i++)
        if (cudaMalloc(&block, 1000 + (size_t)i) == cudaSuccess)
            cudaFree(block);
}

static void misses(struct thread *self)
{
    for (int i = 0; i < STEPS; i++) {
        void *block = NULL;
        if (cudaMalloc(&block, BLOCK_BYTES + (size_t)i * 512) == cudaSuccess)
            self->blocks[self->count++] = block;
    }
}

static void refused(struct thread *self)
{
    void *block;
    for (int i = 0; i < STEPS; i++)
        cudaMalloc(&block, (size_t)1 << 50);
    cudaFree((char *)self->held + 1);
    cudaGetLastError();
}

static void others(struct thread *self)
{
    void *block;
    size_t pitch;
    for (int i = 0; i < STEPS; i++) {
        if (cudaMallocManaged(&block, 5000, cudaMemAttachGlobal) == cudaSuccess)
            cudaFree(block);
        if (cudaMallocHost(&block, 5000) == cudaSuccess)
            cudaFreeHost(block);
        if (cudaMallocPitch(&block, &pitch, 100 + (size_t)i, 7) == cudaSuccess)
            cudaFree(block);
        if (cudaMallocAsync(&block, 5000, NULL) == cudaSuccess)
            cudaFreeAsync(block, NULL);
    }
}

static void questions(struct thread *self)
{
    struct cudaPointerAttributes attributes;
    cudaIpcMemHandle_t handle;
    size_t free_bytes, total;
    for (int i = 0; i < STEPS; i++) {
        cudaMemGetInfo(&free_bytes, &total);
        cudaPointerGetAttributes(&attributes, self->held);
        cudaIpcGetMemHandle(&handle, self->held);
        cudaDeviceSynchronize();
    }
}

static void contexts(struct thread *self)
{
    CUcontext context;
    CUdeviceptr block;
    for (int i = 0; i < 4; i++) {
        if (cuCtxCreate(&context, NULL, 0, 0) != CUDA_SUCCESS)
            continue;
        cuMemAlloc(&block, BLOCK_BYTES);
        cuCtxDestroy(context);
    }
}

static const struct {
    const char *name;
    void (*calls)(struct thread *self);
} kinds[] = {{"hits", hits},     {"misses", misses},       {"refused", refused},
             {"others", others}, {"questions", questions}, {"contexts", contexts}};

static bool is_first(const struct thread *self)
{
    return !strcmp(self->kind, "first");
}

static void clean_up(void *argument)
{
    struct thread *self = argument;
    self->freed = cudaFree(self->held) == cudaSuccess;
}

static void *body(void *argument)
{
    struct thread *self = argument;
    pthread_cleanup_push(clean_up, self);
    if (is_first(self)) /* of the process: everything is opened and started in it */
        pthread_cancel(pthread_self());
    if (cudaMalloc(&self->held, 70000) == cudaSuccess) {
        pthread_cancel(pthread_self());
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            if (!strcmp(kinds[i].name, self->kind))
                kinds[i].calls(self);
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

/* What the others do afterwards. */
static int works(void)
{
    CUcontext context, current;
    CUdeviceptr inside;
    void *block;
    int errors = cudaFree(NULL) != cudaSuccess;
    errors += cuCtxGetCurrent(&current) != CUDA_SUCCESS;
    errors += cudaMalloc(&block, 2 * BLOCK_BYTES) != cudaSuccess;
    errors += cudaMemset(block, 1, 2 * BLOCK_BYTES) != cudaSuccess;
    errors += cudaFree(block) != cudaSuccess;
    errors += cuCtxCreate(&context, NULL, 0, 0) != CUDA_SUCCESS;
    errors += cuMemAlloc(&inside, BLOCK_BYTES) != CUDA_SUCCESS;
    errors += cuCtxDestroy(context) != CUDA_SUCCESS;
    errors += cuCtxSetCurrent(current) != CUDA_SUCCESS;
    return errors;
}

int main(int argc, char **argv)
{
    struct thread thread = {.kind = argc > 1 ? argv[1] : ""};
    pthread_t id;
    void *result = NULL;
    alarm(HANG_S);
    if (argc < 2 || (!is_first(&thread) && cudaFree(NULL) != cudaSuccess) ||
        pthread_create(&id, NULL, body, &thread) || pthread_join(id, &result))
        return 2;
    int kept = 0, errors = works();
    for (int i = 0; i < thread.count; i++)
        kept += cudaFree(thread.blocks[i]) != cudaSuccess;
    printf("%s: cancelled %d, its block freed %d, lost %d, errors %d\n", thread.kind,
           result == PTHREAD_CANCELED, thread.freed, kept, errors);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Threads that are cancelled (pthread_cancel) in one kind of call each. Wherever the request acts,
 * a cleanup handler can free what the thread holds, and the other threads, contexts that end and
 * new memory are not affected.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "include/cupool.h"

#define ROUNDS      3000
#define STEPS       40
#define BLOCK_BYTES ((size_t)3 << 20)
#define HANG_S      120

#define CHILD_STATUS 7

struct thread {
    const char *kind;
    void *held;
    int freed;
    void *blocks[STEPS];
    int count;
    cudaStream_t stream;
    pid_t child;
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

/* Blocks that others may have opened, and that have an attribute. */
static void export_all(struct thread *self)
{
    unsigned int on = 1;
    cudaIpcMemHandle_t handle;
    misses(self);
    for (int i = 0; i < self->count; i++) {
        cudaIpcGetMemHandle(&handle, self->blocks[i]);
        cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, (CUdeviceptr)self->blocks[i]);
    }
}

static void free_all(struct thread *self)
{
    while (self->count > 0)
        cudaFree(self->blocks[--self->count]);
}

static void free_in_order(struct thread *self)
{
    while (self->count > 0)
        cudaFreeAsync(self->blocks[--self->count], NULL);
}

/* A capture that does not forbid the calls, but each of them asks the driver about it. */
static void capture(struct thread *self)
{
    misses(self);
    if (cudaStreamCreateWithFlags(&self->stream, cudaStreamNonBlocking) == cudaSuccess)
        cudaStreamBeginCapture(self->stream, cudaStreamCaptureModeRelaxed);
}

static void capture_with_frees(struct thread *self)
{
    capture(self);
    free_in_order(self);
}

/* The end of a capture; what waited for it is done at once. */
static void capture_end(struct thread *self)
{
    cudaGraph_t graph;
    if (!self->stream)
        return;
    cudaStreamEndCapture(self->stream, &graph);
    self->stream = NULL;
}

/* Nothing of ours but the attribute: whether the request may act again is not put right by others.
 */
static void attributes(struct thread *self)
{
    unsigned int on = 1;
    cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, (CUdeviceptr)self->held);
}

static void checks(struct thread *self)
{
    (void)self;
    cupool_check();
}

/* The program itself does not allow the request, of the kind that would act anywhere: nothing in
 * the calls before may allow it. */
static void disabled(struct thread *self)
{
    (void)self;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void not_yet(struct thread *self)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cancel(pthread_self());
    hits(self);
    misses(self);
    refused(self);
    others(self);
    questions(self);
    contexts(self);
    attributes(self);
    free_all(self);
}

static void cache(struct thread *self)
{
    misses(self);
    free_all(self);
}

static void trims(struct thread *self)
{
    (void)self;
    cupool_defragment();
    cupool_trim(0);
}

static void forks(struct thread *self)
{
    self->child = fork();
    if (self->child == 0)
        _exit(CHILD_STATUS);
}

/* `calls` are made while the request is pending. */
static const struct {
    const char *name;
    void (*calls)(struct thread *self);
    void (*prepare)(struct thread *self);
} kinds[] = {{"hits", hits, NULL},
             {"misses", misses, NULL},
             {"refused", refused, NULL},
             {"others", others, NULL},
             {"questions", questions, NULL},
             {"contexts", contexts, NULL},
             {"exported", free_all, export_all},
             {"ordered", free_in_order, misses},
             {"captured", free_in_order, capture},
             {"capture_ends", capture_end, capture_with_frees},
             {"attributes", attributes, NULL},
             {"checks", checks, NULL},
             {"disabled", disabled, not_yet},
             {"trims", trims, cache},
             {"forks", forks, NULL}};

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
        size_t i = 0;
        while (i < sizeof(kinds) / sizeof(kinds[0]) && strcmp(kinds[i].name, self->kind))
            i++;
        bool known = i < sizeof(kinds) / sizeof(kinds[0]);
        if (known && kinds[i].prepare)
            kinds[i].prepare(self);
        pthread_cancel(pthread_self());
        if (known)
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
    cudaGraph_t graph;
    int kept = 0, status = 0, errors = 0;
    if (thread.stream)
        errors += cudaStreamEndCapture(thread.stream, &graph) != cudaSuccess;
    errors += works();
    if (thread.child)
        errors += waitpid(thread.child, &status, 0) != thread.child || !WIFEXITED(status) ||
                  WEXITSTATUS(status) != CHILD_STATUS;
    for (int i = 0; i < thread.count; i++)
        kept += cudaFree(thread.blocks[i]) != cudaSuccess;
    printf("%s: cancelled %d, its block freed %d, lost %d, errors %d\n", thread.kind,
           result == PTHREAD_CANCELED, thread.freed, kept, errors);
    fflush(stdout);
    pthread_cancel(pthread_self()); /* nothing on the way out is a point of the program's own */
    return 0;
}

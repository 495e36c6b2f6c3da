/* SPDX-License-Identifier: MIT */
/*
 * Every way to submit work that writes to a block, on every kind of stream: a block freed while
 * that work is pending is not reused before it is done, and is afterwards, without a wait. Others
 * of its size are freed with it, enough to make an allocator ask for them.
 *
 * Bare, the free itself waits, so the stream is let go from another thread and only contents are
 * printed. With the argument "held" it says when the address was handed out: for a library whose
 * free does not wait. With "held-peer" the work is a peer's from the beginning, when an allocator
 * has nothing else to give. Needs a stream that can be held, so a simulated device.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BYTES  ((size_t)128 << 10)
#define OTHERS 100

/* One block of threads that writes a byte everywhere. */
static const char kernel_text[] =
    ".version 6.0\n.target sm_50\n.address_size 64\n"
    ".visible .entry conformance_fill(.param .u64 to, .param .u32 value, .param .u32 bytes)\n{\n"
    ".reg .pred %p;\n.reg .u32 %v, %n, %i, %s;\n.reg .u64 %a, %o;\n"
    "ld.param.u64 %a, [to];\ncvta.to.global.u64 %a, %a;\n"
    "ld.param.u32 %v, [value];\nld.param.u32 %n, [bytes];\n"
    "mov.u32 %i, %tid.x;\nmov.u32 %s, %ntid.x;\n"
    "loop:\nsetp.ge.u32 %p, %i, %n;\n@%p bra end;\n"
    "cvt.u64.u32 %o, %i;\nadd.u64 %o, %a, %o;\nst.global.u8 [%o], %v;\n"
    "add.u32 %i, %i, %s;\nbra loop;\nend:\nret;\n}\n";

static uint64_t (*calls)(const char *);

static CUfunction kernel;
static CUdeviceptr ones;      /* device memory that holds 1 everywhere */
static void *ones_of_host;    /* page-locked, likewise */
static CUgraphExec graph_run; /* of the current block */

static int by_kernel(CUdeviceptr block, CUstream stream)
{
    unsigned value = 1, bytes = BYTES;
    void *arguments[] = {&block, &value, &bytes};

    return DRIVER(cuLaunchKernel)(kernel, 1, 1, 1, 64, 1, 1, 0, stream, arguments, NULL);
}

static int by_memset(CUdeviceptr block, CUstream stream)
{
    return DRIVER(cuMemsetD8Async)(block, 1, BYTES, stream);
}

static int by_copy(CUdeviceptr block, CUstream stream)
{
    return DRIVER(cuMemcpyDtoDAsync)(block, ones, BYTES, stream);
}

static int by_upload(CUdeviceptr block, CUstream stream)
{
    return DRIVER(cuMemcpyHtoDAsync)(block, ones_of_host, BYTES, stream);
}

static void CUDA_CB nothing(void *unused)
{
}

static int by_host_function(CUdeviceptr block, CUstream stream)
{
    int error = DRIVER(cuLaunchHostFunc)(stream, nothing, NULL);

    return error ? error : by_memset(block, stream);
}

static int by_graph(CUdeviceptr block, CUstream stream)
{
    return DRIVER(cuGraphLaunch)(graph_run, stream);
}

static const struct {
    const char *name;
    int (*submit)(CUdeviceptr block, CUstream stream);
} ways[] = {
    {"kernel", by_kernel},
    {"memset", by_memset},
    {"copy", by_copy},
    {"upload", by_upload},
    {"host function", by_host_function},
    {"graph", by_graph},
};

static const char *const kinds[] = {"blocking", "non-blocking", "per-thread", "legacy", "peer"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static CUstream streams[KINDS];
static CUcontext own, peer;

/* The graph is of the context that launches it. */
static void graph_make(CUdeviceptr block)
{
    CUstream stream;
    CUgraph graph = NULL;

    DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING);
    DRIVER(cuStreamBeginCapture)(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    by_memset(block, stream);
    DRIVER(cuStreamEndCapture)(stream, &graph);
    if (DRIVER(cuGraphInstantiate)(&graph_run, graph, 0))
        graph_run = NULL;
    DRIVER(cuGraphDestroy)(graph);
    DRIVER(cuStreamDestroy)(stream);
}

static void *release_soon(void *stream)
{
    usleep(5000);
    DRIVER(cuCtxSetCurrent)(own);
    route_unhold(stream);
    return NULL;
}

static void CUDA_CB pause_stream(void *unused)
{
    usleep(5000);
}

static int submit(size_t way, size_t kind, CUdeviceptr block, bool may_wait)
{
    DRIVER(cuCtxSetCurrent)(kind == KINDS - 1 ? peer : own);
    if (ways[way].submit == by_graph)
        graph_make(block);
    /* Only its own thread could release a per-thread stream. */
    if (may_wait && streams[kind] == CU_STREAM_PER_THREAD)
        DRIVER(cuLaunchHostFunc)(streams[kind], pause_stream, NULL);
    else
        route_hold(streams[kind]);
    int error = ways[way].submit(block, streams[kind]);
    DRIVER(cuCtxSetCurrent)(own);
    return error;
}

static void graph_end(void)
{
    if (graph_run)
        DRIVER(cuGraphExecDestroy)(graph_run);
    graph_run = NULL;
}

static int others_take(void **others)
{
    int error = 0;

    for (int i = 0; i < OTHERS && error == 0; i++)
        error = route_allocate(&others[i], BYTES);
    return error;
}

static int others_give(void **others)
{
    int error = 0;

    for (int i = 0; i < OTHERS && error == 0; i++)
        error = route_free(others[i]);
    return error;
}

static int others_fill(void **others, CUstream stream)
{
    int error = 0;

    for (int i = 0; i < OTHERS && error == 0; i++)
        error = route_fill_async(others[i], 2, BYTES, stream);
    return error;
}

static int others_wrong(void **others)
{
    int wrong = 0;

    for (int i = 0; i < OTHERS; i++)
        wrong += route_wrong_bytes(others[i], 2, BYTES) != 0;
    return wrong;
}

/* The later blocks must not receive the write that is pending on the first. */
static void contents(size_t way, size_t kind)
{
    CUstream other;
    pthread_t thread;
    void *first, *others[OTHERS] = {0};

    DRIVER(cuStreamCreate)(&other, CU_STREAM_NON_BLOCKING);
    int error = route_allocate(&first, BYTES);
    error = error ? error : others_take(others);
    error = error ? error : submit(way, kind, (CUdeviceptr)(uintptr_t)first, true);
    if (streams[kind] != CU_STREAM_PER_THREAD)
        pthread_create(&thread, NULL, release_soon, streams[kind]);
    error = error ? error : route_free(first);
    error = error ? error : others_give(others);
    error = error ? error : others_take(others);
    error = error ? error : others_fill(others, other);
    if (streams[kind] != CU_STREAM_PER_THREAD)
        pthread_join(thread, NULL);
    error = error ? error : route_synchronize();
    DRIVER(cuStreamSynchronize)(streams[kind]);
    printf("%s, %s: wrong %d, ", ways[way].name, kinds[kind], others_wrong(others));
    route_report("errors", error ? error : others_give(others));
    DRIVER(cuStreamDestroy)(other);
    graph_end();
}

static uint64_t waits(void)
{
    return calls("cuEventSynchronize") + calls("cuStreamSynchronize") + calls("cuCtxSynchronize");
}

/* How often the first block is handed out while work is pending, and then until the device is full.
 */
static void addresses(size_t way, size_t kind)
{
    static void *blocks[20000];
    void *first, *others[OTHERS];
    int count = 0, early = 0, late = 0;
    int error = route_allocate(&first, BYTES);

    error = error ? error : others_take(others);
    error = error ? error : submit(way, kind, (CUdeviceptr)(uintptr_t)first, false);
    error = error ? error : route_free(first);
    error = error ? error : others_give(others);
    for (; count < OTHERS + 1 && route_allocate(&blocks[count], BYTES) == 0; count++)
        early += blocks[count] == first;
    route_unhold(streams[kind]);
    DRIVER(cuCtxSetCurrent)(kind == KINDS - 1 ? peer : own);
    DRIVER(cuCtxSynchronize)();
    DRIVER(cuCtxSetCurrent)(own);
    route_synchronize();
    uint64_t before = waits();
    for (; count < 20000 && !late && route_allocate(&blocks[count], BYTES) == 0; count++)
        late += blocks[count] == first;
    printf("%s, %s: while in use %d, afterwards %d, waits %d, error %d\n", ways[way].name,
           kinds[kind], early, late, (int)(waits() - before), error);
    while (count--)
        route_free(blocks[count]);
    graph_end();
}

static bool streams_make(void)
{
    int devices = 0;

    if (DRIVER(cuStreamCreate)(&streams[0], CU_STREAM_DEFAULT) ||
        DRIVER(cuStreamCreate)(&streams[1], CU_STREAM_NON_BLOCKING))
        return false;
    streams[2] = CU_STREAM_PER_THREAD;
    streams[3] = CU_STREAM_LEGACY;
    DRIVER(cuCtxGetCurrent)(&own);
    if (DRIVER(cuDeviceGetCount)(&devices) || devices < 2 || route_context_create(&peer, 1) ||
        DRIVER(cuCtxEnablePeerAccess)(own, 0) ||
        DRIVER(cuStreamCreate)(&streams[4], CU_STREAM_NON_BLOCKING))
        return false;
    DRIVER(cuCtxSetCurrent)(own);
    return DRIVER(cuCtxEnablePeerAccess)(peer, 0) == CUDA_SUCCESS;
}

/* The module is of our context; and the driver's own free waits for no peer. */
static bool is_possible(size_t way, size_t kind, bool may_wait)
{
    return kind < KINDS - 1 || (!may_wait && ways[way].submit != by_kernel);
}

int program_reuse_work(const char *self, const char *route, const char *argument)
{
    CUmodule module;
    void *block;

    *(void **)&calls = route_control("simgpu_calls");
    if (!route_can_hold() || !calls)
        route_skip("the device cannot hold a stream");
    route_start();
    route_free(NULL);
    if (!streams_make())
        route_skip("no second device with access to the first");
    route_report("module", DRIVER(cuModuleLoadData)(&module, kernel_text));
    route_report("kernel", DRIVER(cuModuleGetFunction)(&kernel, module, "conformance_fill"));
    route_report("allocate", route_allocate(&block, BYTES));
    route_report("fill", route_fill(block, 1, BYTES));
    ones = (CUdeviceptr)(uintptr_t)block;
    route_report("allocate", route_host_allocate(&ones_of_host, BYTES));
    memset(ones_of_host, 1, BYTES);
    bool peers = argument && strcmp(argument, "held-peer") == 0;
    for (size_t kind = peers ? KINDS - 1 : 0; kind < KINDS; kind++)
        for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
            if (is_possible(way, kind, !argument))
                (argument ? addresses : contents)(way, kind);
    return 0;
}

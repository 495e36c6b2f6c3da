/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered allocation and free: from the pool at once, to the pool as work on the stream; in
 * a capture, nodes of the graph.
 */
#include "tests/simgpu/driver/api/memory/mempool.h"

#include "tests/simgpu/driver/context/observed_objects.h"
#include "tests/simgpu/driver/memory/pool.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/graph_nodes.h"
#include "tests/simgpu/driver/work/work.h"

static CUresult allocate_captured(CUstream stream, CUdeviceptr *ret, size_t bytes)
{
    struct work *work;
    CUDA_MEM_ALLOC_NODE_PARAMS params = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE,
                                   .id = stream->ctx->device->ordinal}},
        .bytesize = bytes};
    CUresult result = work_of_alloc(&params, &work);

    if (result == CUDA_SUCCESS)
        result = capture_add(stream, work);
    if (result == CUDA_SUCCESS)
        *ret = params.dptr;
    return result;
}

CUresult pool_allocate(CUdeviceptr *ret, size_t bytes, CUmemoryPool pool, bool pool_given,
                       CUstream given, bool per_thread)
{
    CUstream stream;
    struct allocation *made;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS && (!ret || !bytes))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS && pool_given && !handle_is(pool, HANDLE_POOL))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = stream_check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture)
        return allocate_captured(stream, ret, bytes);
    if (!pool_given)
        result = pool_current(stream->ctx->device, &pool);
    if (result == CUDA_SUCCESS)
        result = pool_take(pool, bytes, &made);
    if (result != CUDA_SUCCESS)
        return result;
    observed_ordered(OBSERVER_ALLOCATE, made, stream->ctx, stream, stream->id);
    *ret = made->base;
    return CUDA_SUCCESS;
}

static CUresult submit_free(CUstream stream, struct allocation *found, struct graph_memory *memory)
{
    struct work *work = work_create(WORK_FREE);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->memory.allocation = found;
    work->memory.memory = memory;
    graph_memory_ref(memory);
    if (found)
        found->freeing = true;
    return stream_submit(stream, work, false);
}

/* Launches and frees count as they were submitted: a launch need not have run yet. The free may run
 * at once, and end the memory. */
static CUresult free_of_graph(CUstream stream, struct graph_memory *memory)
{
    if (!memory->handed)
        return CUDA_ERROR_INVALID_VALUE;
    graph_memory_ref(memory);
    CUresult result = submit_free(stream, NULL, memory);
    if (result == CUDA_SUCCESS)
        memory->handed = false;
    graph_memory_unref(memory);
    return result;
}

CUresult pool_free_async(CUdeviceptr address, CUstream given, bool per_thread)
{
    CUstream stream;
    CUresult result = stream_resolve(given, per_thread, &stream);

    if (result == CUDA_SUCCESS)
        result = stream_check_capture(stream);
    if (result != CUDA_SUCCESS)
        return result;
    struct graph_memory *memory = graph_memory_find(address);
    if (stream->capture) {
        struct work *work;

        result = work_of_free(address, &work);
        return result == CUDA_SUCCESS ? capture_add(stream, work) : result;
    }
    if (memory)
        return free_of_graph(stream, memory);
    struct allocation *found = memory_find(address);
    if (!found || found->kind != MEMORY_ASYNC || found->base != address || found->freeing)
        return CUDA_ERROR_INVALID_VALUE;
    observed_ordered(OBSERVER_FREE, found, stream->ctx, stream, stream->id);
    return submit_free(stream, found, NULL);
}

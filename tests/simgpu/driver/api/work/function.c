/* SPDX-License-Identifier: MIT */
/*
 * Queries about a kernel. Nothing is compiled, so registers and occupancy are plausible, not true:
 * 32 registers, and as many blocks as threads and shared memory leave room for.
 */
#include "tests/simgpu/driver/base/call.h"

#include "tests/simgpu/driver/module/module.h"

#define SHARED_PER_MULTIPROCESSOR  233472
#define SHARED_OPTIN_PER_BLOCK     232448
#define THREADS_PER_MULTIPROCESSOR 2048
#define BLOCKS_PER_MULTIPROCESSOR  32

static CUresult attribute_get(int *ret, CUfunction_attribute attribute, CUfunction function)
{
    if (!ret || (unsigned)attribute >= CU_FUNC_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    int version = (int)(profile.compute_major * 10 + profile.compute_minor);
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *ret = 1024; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *ret = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *ret = version; break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *ret = function->max_dynamic_shared_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: *ret = -1; break;
    default: *ret = 0;
    }
    return CUDA_SUCCESS;
}

static CUresult attribute_set(CUfunction function, CUfunction_attribute attribute, int value)
{
    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || value > SHARED_OPTIN_PER_BLOCK)
            return CUDA_ERROR_INVALID_VALUE;
        function->max_dynamic_shared_bytes = value;
        return CUDA_SUCCESS;
    }
    return attribute >= CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT &&
                   attribute < CU_FUNC_ATTRIBUTE_MAX
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
}

static CUresult known(CUfunction function)
{
    return handle_is(function, HANDLE_FUNCTION) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult name_get(const char **ret, CUfunction function)
{
    if (!ret || !handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = function->name;
    return CUDA_SUCCESS;
}

static CUresult module_get(CUmodule *ret, CUfunction function)
{
    if (!ret || !handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = function->image->module;
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult library_get(CUlibrary *ret, CUfunction function)
{
    if (!ret || !handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = function->image->library;
    return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* Offsets by the guess that launch.c makes for packed arguments. */
static CUresult param_get(CUfunction function, size_t index, size_t *ret_offset, size_t *ret_bytes)
{
    size_t at = 0;

    if (!handle_is(function, HANDLE_FUNCTION) || !ret_offset)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function->twin || index >= function->twin->argument_count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i <= index; i++) {
        size_t size = function->twin->argument_bytes[i], align = size & -size;

        at = ROUND_UP(at, align > 16 ? 16 : align);
        *ret_offset = at;
        at += size;
    }
    if (ret_bytes)
        *ret_bytes = function->twin->argument_bytes[index];
    return CUDA_SUCCESS;
}

static CUresult loaded_get(CUfunctionLoadingState *ret, CUfunction function)
{
    if (!ret || !handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

static int blocks_that_fit(int threads, size_t shared_bytes)
{
    int by_threads = threads > 0 ? THREADS_PER_MULTIPROCESSOR / threads : 0;
    int by_shared = (int)(SHARED_PER_MULTIPROCESSOR / (shared_bytes + 1024));
    int blocks = by_threads < by_shared ? by_threads : by_shared;

    return blocks < BLOCKS_PER_MULTIPROCESSOR ? blocks : BLOCKS_PER_MULTIPROCESSOR;
}

static CUresult active_blocks(int *ret, CUfunction function, int threads, size_t shared_bytes)
{
    if (!ret || threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = threads > 1024 ? 0 : blocks_that_fit(threads, shared_bytes);
    return CUDA_SUCCESS;
}

static CUresult best_block(int *ret_grid, int *ret_block, CUfunction function,
                           CUoccupancyB2DSize shared_of, size_t shared_bytes, int limit)
{
    int best = 0, best_threads = 0;

    if (!ret_grid || !ret_block)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    for (int threads = limit > 0 && limit < 1024 ? limit : 1024; threads > 0; threads -= 32) {
        size_t shared = shared_of ? shared_of(threads) : shared_bytes;
        int blocks = blocks_that_fit(threads, shared);

        if (blocks * threads > best_threads) {
            best_threads = blocks * threads;
            best = threads;
        }
    }
    *ret_block = best;
    *ret_grid = best ? (int)profile.multiprocessors * (best_threads / best) : 0;
    return CUDA_SUCCESS;
}

static CUresult available_shared(size_t *ret, CUfunction function, int blocks, int threads)
{
    if (!ret || blocks <= 0 || threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(function, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    size_t share = SHARED_PER_MULTIPROCESSOR / (size_t)blocks;
    *ret = share > 1024 ? share - 1024 : 0;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuFuncGetAttribute(int *pi, CUfunction_attribute attrib, CUfunction hfunc)
{
    CALL(cuFuncGetAttribute, attribute_get(pi, attrib, hfunc));
}

CUresult CUDAAPI cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value)
{
    CALL(cuFuncSetAttribute, attribute_set(hfunc, attrib, value));
}

CUresult CUDAAPI cuFuncSetCacheConfig(CUfunction hfunc, CUfunc_cache config)
{
    CALL(cuFuncSetCacheConfig, known(hfunc));
}

CUresult CUDAAPI cuFuncSetSharedMemConfig(CUfunction hfunc, CUsharedconfig config)
{
    CALL(cuFuncSetSharedMemConfig, known(hfunc));
}

CUresult CUDAAPI cuFuncGetModule(CUmodule *hmod, CUfunction hfunc)
{
    CALL(cuFuncGetModule, module_get(hmod, hfunc));
}

CUresult CUDAAPI cuFuncGetName(const char **name, CUfunction hfunc)
{
    CALL(cuFuncGetName, name_get(name, hfunc));
}

CUresult CUDAAPI cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t *paramOffset,
                                    size_t *paramSize)
{
    CALL(cuFuncGetParamInfo, param_get(func, paramIndex, paramOffset, paramSize));
}

CUresult CUDAAPI cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction function)
{
    CALL(cuFuncIsLoaded, loaded_get(state, function));
}

CUresult CUDAAPI cuFuncLoad(CUfunction function)
{
    CALL(cuFuncLoad, known(function));
}

CUresult CUDAAPI cuKernelGetAttribute(int *pi, CUfunction_attribute attrib, CUkernel kernel,
                                      CUdevice dev)
{
    CALL(cuKernelGetAttribute, attribute_get(pi, attrib, (CUfunction)kernel));
}

CUresult CUDAAPI cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel kernel,
                                      CUdevice dev)
{
    CALL(cuKernelSetAttribute, attribute_set((CUfunction)kernel, attrib, val));
}

CUresult CUDAAPI cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice dev)
{
    CALL(cuKernelSetCacheConfig, known((CUfunction)kernel));
}

CUresult CUDAAPI cuKernelGetName(const char **name, CUkernel hfunc)
{
    CALL(cuKernelGetName, name_get(name, (CUfunction)hfunc));
}

CUresult CUDAAPI cuKernelGetLibrary(CUlibrary *pLib, CUkernel kernel)
{
    CALL(cuKernelGetLibrary, library_get(pLib, (CUfunction)kernel));
}

CUresult CUDAAPI cuKernelGetParamInfo(CUkernel kernel, size_t paramIndex, size_t *paramOffset,
                                      size_t *paramSize)
{
    CALL(cuKernelGetParamInfo, param_get((CUfunction)kernel, paramIndex, paramOffset, paramSize));
}

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessor(int *numBlocks, CUfunction func,
                                                             int blockSize, size_t dynamicSMemSize)
{
    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor,
         active_blocks(numBlocks, func, blockSize, dynamicSMemSize));
}

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *numBlocks, CUfunction func, int blockSize, size_t dynamicSMemSize, unsigned int flags)
{
    CALL(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
         active_blocks(numBlocks, func, blockSize, dynamicSMemSize));
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSize(int *minGridSize, int *blockSize, CUfunction func,
                                                  CUoccupancyB2DSize blockSizeToDynamicSMemSize,
                                                  size_t dynamicSMemSize, int blockSizeLimit)
{
    CALL(cuOccupancyMaxPotentialBlockSize,
         best_block(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize,
                    blockSizeLimit));
}

CUresult CUDAAPI cuOccupancyMaxPotentialBlockSizeWithFlags(
    int *minGridSize, int *blockSize, CUfunction func,
    CUoccupancyB2DSize blockSizeToDynamicSMemSize, size_t dynamicSMemSize, int blockSizeLimit,
    unsigned int flags)
{
    CALL(cuOccupancyMaxPotentialBlockSizeWithFlags,
         best_block(minGridSize, blockSize, func, blockSizeToDynamicSMemSize, dynamicSMemSize,
                    blockSizeLimit));
}

CUresult CUDAAPI cuOccupancyAvailableDynamicSMemPerBlock(size_t *dynamicSmemSize, CUfunction func,
                                                         int numBlocks, int blockSize)
{
    CALL(cuOccupancyAvailableDynamicSMemPerBlock,
         available_shared(dynamicSmemSize, func, numBlocks, blockSize));
}

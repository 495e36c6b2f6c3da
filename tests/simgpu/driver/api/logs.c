/* SPDX-License-Identifier: MIT */
/*
 * The driver's error log, which is always empty: callbacks are registered and never called, dumps
 * have no line. Before cuInit, too, as programs do that want to see cuInit's errors.
 */
#include "tests/simgpu/driver/base/call.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct CUlogsCallbackEntry_st {
    struct handle handle;
};

static struct handle_cache callback_cache = {
    HANDLE_LOGS_CALLBACK, sizeof(struct CUlogsCallbackEntry_st), {NULL}, {NULL}};

static CUresult callback_register(CUlogsCallback function, CUlogsCallbackHandle *ret)
{
    struct CUlogsCallbackEntry_st *made;

    if (!function || !ret)
        return CUDA_ERROR_INVALID_VALUE;
    made = handle_take(&callback_cache);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult callback_unregister(CUlogsCallbackHandle callback)
{
    if (!handle_is(callback, HANDLE_LOGS_CALLBACK))
        return CUDA_ERROR_INVALID_VALUE;
    handle_give(&callback_cache, callback);
    return CUDA_SUCCESS;
}

static CUresult current(CUlogIterator *ret, unsigned flags)
{
    if (!ret || flags)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = 0;
    return CUDA_SUCCESS;
}

static CUresult dump_to_file(const char *path, unsigned flags)
{
    int fd;

    if (!path || flags)
        return CUDA_ERROR_INVALID_VALUE;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return CUDA_ERROR_INVALID_VALUE;
    close(fd);
    return CUDA_SUCCESS;
}

static CUresult dump_to_memory(char *buffer, size_t *bytes, unsigned flags)
{
    if (!buffer || !bytes || !*bytes || flags)
        return CUDA_ERROR_INVALID_VALUE;
    *buffer = 0;
    *bytes = 0;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuLogsRegisterCallback(CUlogsCallback callbackFunc, void *userData,
                                        CUlogsCallbackHandle *callback_out)
{
    CALL_ANYTIME(cuLogsRegisterCallback,
                 CALL_LOCKED(callback_register(callbackFunc, callback_out)));
}

CUresult CUDAAPI cuLogsUnregisterCallback(CUlogsCallbackHandle callback)
{
    CALL_ANYTIME(cuLogsUnregisterCallback, CALL_LOCKED(callback_unregister(callback)));
}

CUresult CUDAAPI cuLogsCurrent(CUlogIterator *iterator_out, unsigned int flags)
{
    CALL_ANYTIME(cuLogsCurrent, current(iterator_out, flags));
}

CUresult CUDAAPI cuLogsDumpToFile(CUlogIterator *iterator, const char *pathToFile,
                                  unsigned int flags)
{
    CALL_ANYTIME(cuLogsDumpToFile, dump_to_file(pathToFile, flags));
}

CUresult CUDAAPI cuLogsDumpToMemory(CUlogIterator *iterator, char *buffer, size_t *size,
                                    unsigned int flags)
{
    CALL_ANYTIME(cuLogsDumpToMemory, dump_to_memory(buffer, size, flags));
}

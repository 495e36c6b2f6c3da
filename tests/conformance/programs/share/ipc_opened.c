/* SPDX-License-Identifier: MIT */
/*
 * Memory opened from another process: closed under work on it, in a capture, with other flags, in
 * its own process, on another device, for a peer, with the end of its context.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BLOCKS      2
#define TEXT_BYTES  (2 * sizeof(CUipcMemHandle))
#define CHECK_BYTES 100

static const size_t sizes[BLOCKS] = {5000, ((size_t)9 << 20) + 300};

static CUcontext own, other;

static CUdeviceptr device_of(const void *pointer)
{
    return (CUdeviceptr)(uintptr_t)pointer;
}

static void read_bytes(const char *block)
{
    unsigned char first[CHECK_BYTES] = {0};
    int error = route_read(first, block, CHECK_BYTES);

    printf("  read: %s, %d %d\n", route_error_name(error), first[0], first[CHECK_BYTES - 1]);
}

/* The work is done before the memory goes. */
static void close_under_work(CUipcMemHandle handle, size_t bytes)
{
    char *block = NULL;

    route_report("  open", route_ipc_open((void **)&block, handle));
    route_report("  work", route_fill_async(block, 31, bytes, NULL));
    route_report("  close", route_ipc_close(block));
    route_report("  wait", route_synchronize());
    route_report("  open", route_ipc_open((void **)&block, handle));
    read_bytes(block);
    read_bytes(block + bytes - CHECK_BYTES);
    route_report("  close", route_ipc_close(block));
}

/* Potentially unsafe calls, which end a capture that is not relaxed. */
static void capture(CUipcMemHandle handle, CUstreamCaptureMode mode)
{
    char *opened = NULL, *block = NULL;
    CUstream stream;
    CUgraph graph = NULL;

    printf("  capture %d\n", (int)mode);
    route_report("  stream", route_stream_create(&stream));
    route_report("  open", route_ipc_open((void **)&opened, handle));
    route_report("  begin", route_capture_begin(stream, mode));
    route_report("  open", route_ipc_open((void **)&block, handle));
    printf("  the same: %d\n", block == opened);
    route_report("  end", route_capture_end(stream, &graph));
    if (block)
        route_report("  close", route_ipc_close(block));
    graph = NULL;
    route_report("  begin", route_capture_begin(stream, mode));
    int error = route_ipc_close(opened);
    route_report("  close", error);
    route_report("  end", route_capture_end(stream, &graph));
    if (error)
        route_report("  close", route_ipc_close(opened));
    route_report("  once more", route_ipc_close(opened));
    route_report("  stream", route_stream_destroy(stream));
    route_report("  last error", route_last_error());
}

static void other_flags(CUipcMemHandle handle)
{
    CUdeviceptr block = 0;

    printf("  flags: %d %d\n", (int)DRIVER(cuIpcOpenMemHandle)(&block, handle, 0),
           (int)DRIVER(cuIpcOpenMemHandle)(&block, handle, 3));
    printf("  nowhere: %d\n",
           (int)DRIVER(cuIpcOpenMemHandle)(NULL, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    memset(&handle, 7, sizeof(handle));
    printf("  no handle: %d, %llu\n",
           (int)DRIVER(cuIpcOpenMemHandle)(&block, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS),
           block);
}

/* What an address of it is to the calls that map memory, and to a free. */
static void not_mapped(CUipcMemHandle handle)
{
    CUdeviceptr block = 0;
    CUmemGenericAllocationHandle physical;
    CUcontext context = NULL;
    unsigned long long flags = 0, types = 9;
    unsigned char capable = 9;
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    CUmemAccessDesc access = {here, CU_MEM_ACCESS_FLAGS_PROT_NONE};

    DRIVER(cuIpcOpenMemHandle)(&block, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    printf("  retain %d, access %d %d, unmap %d, free %d\n",
           (int)DRIVER(cuMemRetainAllocationHandle)(&physical, (void *)(uintptr_t)block),
           (int)DRIVER(cuMemGetAccess)(&flags, &here, block),
           (int)DRIVER(cuMemSetAccess)(block, (size_t)2 << 20, &access, 1),
           (int)DRIVER(cuMemUnmap)(block, (size_t)2 << 20), (int)DRIVER(cuMemFree)(block));
    DRIVER(cuPointerGetAttribute)(&context, CU_POINTER_ATTRIBUTE_CONTEXT, block);
    DRIVER(cuPointerGetAttribute)(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, block);
    DRIVER(cuPointerGetAttribute)
    (&capable, CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, block);
    printf("  its context: %d, types %llu, capable %d\n", context == own, types, capable);
    printf("  again exported: %d\n", (int)DRIVER(cuIpcGetMemHandle)(&handle, block));
    printf("  close: %d\n", (int)DRIVER(cuIpcCloseMemHandle)(block));
}

static int fill_in(CUcontext context, const char *block, int value)
{
    DRIVER(cuCtxSetCurrent)(context);
    CUresult result = DRIVER(cuMemsetD8Async)(device_of(block), (unsigned char)value, CHECK_BYTES,
                                              NULL);
    CUresult waited = DRIVER(cuCtxSynchronize)();
    DRIVER(cuCtxSetCurrent)(own);
    return (int)(result ? result : waited);
}

/* Opened with another device current, and by a peer of the device it was opened on. */
static void devices(CUipcMemHandle handle)
{
    char *here = NULL, *there = NULL, *later = NULL;
    int count = 0;

    DRIVER(cuDeviceGetCount)(&count);
    if (count < 2 || DRIVER(cuDevicePrimaryCtxRetain)(&other, 1))
        return;
    DRIVER(cuCtxSetCurrent)(other);
    route_report("  open there", route_ipc_open((void **)&there, handle));
    read_bytes(there);
    DRIVER(cuCtxSetCurrent)(own);
    route_report("  open here", route_ipc_open((void **)&here, handle));
    printf("  the same: %d\n", here == there);
    printf("  fill there: %d\n", fill_in(other, there, 41));
    read_bytes(here);
    DRIVER(cuCtxSetCurrent)(other);
    printf("  link: %d\n", (int)DRIVER(cuCtxEnablePeerAccess)(own, 0));
    DRIVER(cuCtxSetCurrent)(own);
    printf("  fill by the peer: %d\n", fill_in(other, here, 42));
    read_bytes(here);
    route_report("  close", route_ipc_close(here));
    route_report("  open", route_ipc_open((void **)&later, handle));
    printf("  fill by the peer: %d\n", fill_in(other, later, 43));
    read_bytes(later);
    route_report("  close", route_ipc_close(later));
    DRIVER(cuCtxSetCurrent)(other);
    printf("  cut: %d\n", (int)DRIVER(cuCtxDisablePeerAccess)(own));
    read_bytes(there);
    route_report("  close there", route_ipc_close(there));
    DRIVER(cuCtxSetCurrent)(own);
    DRIVER(cuDevicePrimaryCtxRelease)(1);
}

/* An opening ends with its context. */
static void context_end(CUipcMemHandle handle)
{
    char *block = NULL;

    route_report("  open", route_ipc_open((void **)&block, handle));
    route_report("  again", route_ipc_open((void **)&block, handle));
    route_report("  reset", route_is_runtime ? (int)route_runtime.cudaDeviceReset()
                                             : (int)DRIVER(cuDevicePrimaryCtxReset)(0));
    route_start();
    route_report("  close", route_ipc_close(block));
    route_report("  open", route_ipc_open((void **)&block, handle));
    read_bytes(block);
    route_report("  close", route_ipc_close(block));
    route_report("  close", route_ipc_close(block));
}

static void from_text(const char *text, CUipcMemHandle *ret_handle)
{
    for (size_t i = 0; i < sizeof(*ret_handle); i++, text += 2) {
        char digits[3] = {text[0], text[1], 0};

        ret_handle->reserved[i] = (char)strtoul(digits, NULL, 16);
    }
}

static int child(const char *argument)
{
    CUipcMemHandle handle;

    for (int i = 0; i < BLOCKS; i++) {
        from_text(argument + (size_t)i * TEXT_BYTES, &handle);
        close_under_work(handle, sizes[i]);
        DRIVER(cuCtxGetCurrent)(&own);
        other_flags(handle);
        not_mapped(handle);
        capture(handle, CU_STREAM_CAPTURE_MODE_GLOBAL);
        capture(handle, CU_STREAM_CAPTURE_MODE_RELAXED);
        devices(handle);
        context_end(handle);
    }
    return 0;
}

static void child_run(const char *self, const char *route, const char *handles)
{
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "ipc_opened", route, handles, NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    printf("child: %d\n", status);
}

int program_ipc_opened(const char *self, const char *route, const char *argument)
{
    char *blocks[BLOCKS], handles[BLOCKS * TEXT_BYTES + 1];
    CUipcMemHandle handle;
    void *opened = NULL;

    route_start();
    if (argument)
        return child(argument);
    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate((void **)&blocks[i], sizes[i]));
        route_report("fill", route_fill(blocks[i], 20 + i, sizes[i]));
        route_report("export", route_ipc_export(&handle, blocks[i]));
        for (size_t at = 0; at < sizeof(handle); at++)
            sprintf(handles + (size_t)i * TEXT_BYTES + 2 * at, "%02x",
                    (unsigned char)handle.reserved[at]);
        route_report("open own", route_ipc_open(&opened, handle));
        route_report("last error", route_last_error());
    }
    route_report("wait", route_synchronize());
    child_run(self, route, handles);
    for (int i = 0; i < BLOCKS; i++) {
        read_bytes(blocks[i]);
        route_report("free", route_free(blocks[i]));
    }
    return 0;
}

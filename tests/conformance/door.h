/* SPDX-License-Identifier: MIT */
/*
 * The doors: the ways in which a program can come to the functions of the runtime and the driver.
 * A test program uses the two tables, or the few calls below that mean the same behind a runtime
 * door and behind a driver door, and does not know through which door it runs.
 *
 * Three executables are built from the same programs: one linked with libcudart and libcuda, one
 * that loads what it needs at run time, one with the runtime linked statically.
 */
#ifndef CONFORMANCE_DOOR_H
#define CONFORMANCE_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda.h>
#include <cuda_runtime_api.h>

/* clang-format off */
#define DOOR_RUNTIME_FUNCTIONS(X) \
    X(cudaDeviceCanAccessPeer) X(cudaDeviceDisablePeerAccess) X(cudaDeviceEnablePeerAccess) \
    X(cudaDeviceReset) X(cudaDeviceSynchronize) X(cudaFree) X(cudaFreeAsync) X(cudaFreeHost) \
    X(cudaGetDevice) X(cudaGetDeviceCount) X(cudaGetErrorName) X(cudaGetLastError) \
    X(cudaGraphDestroy) X(cudaGraphExecDestroy) X(cudaGraphInstantiateWithFlags) X(cudaGraphLaunch) \
    X(cudaHostAlloc) X(cudaHostRegister) X(cudaHostUnregister) X(cudaIpcCloseMemHandle) \
    X(cudaIpcGetMemHandle) X(cudaIpcOpenMemHandle) X(cudaMalloc) X(cudaMallocAsync) \
    X(cudaMallocHost) X(cudaMallocManaged) X(cudaMallocPitch) X(cudaMemGetInfo) X(cudaMemcpy) \
    X(cudaMemcpyPeer) X(cudaMemset) X(cudaMemsetAsync) X(cudaPeekAtLastError) \
    X(cudaPointerGetAttributes) X(cudaSetDevice) X(cudaStreamBeginCapture) X(cudaStreamCreate) \
    X(cudaStreamDestroy) X(cudaStreamEndCapture) X(cudaStreamSynchronize) \
    X(cudaThreadExchangeStreamCaptureMode) X(cudaFreeArray) X(cudaFreeMipmappedArray) \
    X(cudaGetDeviceProperties) \
    X(cudaMalloc3D) X(cudaMalloc3DArray) X(cudaMallocArray) X(cudaMallocFromPoolAsync) \
    X(cudaMallocMipmappedArray) X(cudaMemPoolCreate) X(cudaMemPoolDestroy)

#define DOOR_DRIVER_FUNCTIONS(X) \
    X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxDisablePeerAccess) X(cuCtxEnablePeerAccess) X(cuCtxFromGreenCtx) X(cuDeviceGetDevResource) \
    X(cuDevResourceGenerateDesc) X(cuDevSmResourceSplitByCount) X(cuGreenCtxCreate) \
    X(cuGreenCtxDestroy) X(cuGreenCtxStreamCreate) X(cuCtxGetCurrent) X(cuCtxSetCurrent) X(cuCtxSynchronize) \
    X(cuDeviceGet) X(cuGraphCreate) X(cuLaunchHostFunc) X(cuLaunchKernel) X(cuModuleLoadData) \
    X(cuModuleGetFunction) X(cuMemcpyDtoDAsync) X(cuMemcpyHtoDAsync) \
    X(cuStreamBeginCaptureToGraph) X(cuDeviceGetCount) X(cuDeviceGetUuid) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxReset) \
    X(cuDevicePrimaryCtxRetain) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGraphDestroy) X(cuGraphExecDestroy) \
    X(cuGraphInstantiate) X(cuGraphLaunch) X(cuInit) X(cuIpcCloseMemHandle) X(cuIpcGetMemHandle) \
    X(cuIpcOpenMemHandle) X(cuMemAddressReserve) X(cuMemAlloc) X(cuMemAllocAsync) X(cuMemAllocHost) X(cuMemAllocManaged) \
    X(cuMemCreate) \
    X(cuMemFree) X(cuMemFreeAsync) X(cuMemFreeHost) X(cuMemGetAddressRange) X(cuMemGetInfo) \
    X(cuMemHostRegister) X(cuMemGetAccess) X(cuMemHostUnregister) X(cuMemMap) X(cuMemSetAccess) X(cuMemUnmap) \
    X(cuMemcpyDtoH) X(cuMemcpyHtoD) X(cuMemsetD8) \
    X(cuMemsetD8Async) X(cuPointerGetAttribute) X(cuPointerGetAttributes) \
    X(cuPointerSetAttribute) X(cuStreamBeginCapture) X(cuStreamCreate) \
    X(cuStreamDestroy) X(cuStreamEndCapture) X(cuStreamSynchronize) \
    X(cuThreadExchangeStreamCaptureMode) X(cuArray3DCreate) X(cuArrayCreate) X(cuArrayDestroy) \
    X(cuDeviceGetDefaultMemPool) X(cuDeviceTotalMem) X(cuGraphAddMemAllocNode) X(cuGraphAddMemFreeNode) X(cuGraphAddNode) \
    X(cuMemAddressFree) X(cuMemAllocFromPoolAsync) X(cuMemAllocPitch) \
    X(cuMemHostAlloc) X(cuMemPoolCreate) X(cuMemPoolDestroy) X(cuMemPoolGetAttribute) \
    X(cuMemPoolSetAttribute) X(cuMemRelease) X(cuMemRetainAllocationHandle) \
    X(cuMipmappedArrayCreate) X(cuMipmappedArrayDestroy) \
    X(cuDeviceGraphMemTrim) X(cuGraphAddChildGraphNode) X(cuMemExportToShareableHandle) \
    X(cuMemImportFromShareableHandle) X(cuMemPoolTrimTo)
/* clang-format on */

struct door_runtime {
#define X(name) __typeof__(name) *name;
    DOOR_RUNTIME_FUNCTIONS(X)
#undef X
};

struct door_driver {
#define X(name) __typeof__(name) *name##_;
    DOOR_DRIVER_FUNCTIONS(X)
#undef X
};

/* The headers' macros rename the driver's functions, so a member is reached as DRIVER(cuInit). */
#define DRIVER(name) door_driver.name##_

extern struct door_runtime door_runtime;
extern struct door_driver door_driver;

/** True behind a door of the runtime; the calls below then use it, else the driver. */
extern bool door_is_runtime;

/** Fills the tables. False when this executable has no such door. */
bool door_open(const char *name);

/** What a program of that kind does first: cuInit and a current context behind a driver door. */
void door_start(void);

/* Each returns the family's error code as a number. */
int door_allocate(void **ret_pointer, size_t bytes);
int door_allocate_pitched(void **ret_pointer, size_t *ret_pitch, size_t width, size_t rows);
int door_free(void *pointer);
int door_allocate_async(void **ret_pointer, size_t bytes, CUstream stream);
int door_free_async(void *pointer, CUstream stream);
int door_memory_info(size_t *ret_free, size_t *ret_total);
int door_fill(void *pointer, int value, size_t bytes);
int door_fill_async(void *pointer, int value, size_t bytes, CUstream stream);
int door_read(void *host, const void *device, size_t bytes);
/** How many of a block's bytes differ from `value`; all when they cannot be read. */
int door_wrong_bytes(const void *device, int value, size_t bytes);
int door_write(void *device, const void *host, size_t bytes);
int door_synchronize(void);
int door_stream_create(CUstream *ret_stream);
int door_stream_destroy(CUstream stream);
int door_stream_synchronize(CUstream stream);
int door_capture_begin(CUstream stream, CUstreamCaptureMode mode);
int door_capture_end(CUstream stream, CUgraph *ret_graph);
int door_capture_mode_exchange(CUstreamCaptureMode *mode);
int door_graph_run(CUgraph graph, CUstream stream);
int door_host_allocate(void **ret_pointer, size_t bytes);
int door_host_free(void *pointer);
int door_host_register(void *pointer, size_t bytes);
int door_host_unregister(void *pointer);
int door_managed_allocate(void **ret_pointer, size_t bytes);
int door_ipc_export(CUipcMemHandle *ret_handle, void *pointer);
int door_ipc_open(void **ret_pointer, CUipcMemHandle handle);
int door_ipc_close(void *pointer);
/** The runtime's last error, which is cleared; 0 behind a driver door. */
int door_last_error(void);
const char *door_error_name(int error);

/** One line of output: the name of a step and the name of its result. */
void door_report(const char *step, int error);

/** Prints why and ends the program as skipped. */
_Noreturn void door_skip(const char *why);

#endif

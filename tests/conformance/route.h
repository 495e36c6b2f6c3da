/* SPDX-License-Identifier: MIT */
/*
 * The routes: the ways in which a program can come to the functions of the runtime and the driver.
 * A test program uses the two tables, or the few calls below that mean the same behind a runtime
 * route and behind a driver route, and does not know through which route it runs.
 *
 * Three executables are built from the same programs: one linked with libcudart and libcuda, one
 * that loads the libraries at run time, one with the runtime linked statically.
 */
#ifndef CONFORMANCE_ROUTE_H
#define CONFORMANCE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda.h>
#include <cuda_runtime_api.h>

/* clang-format off */
#define ROUTE_RUNTIME_FUNCTIONS(X) \
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

#define ROUTE_DRIVER_FUNCTIONS(X) \
    X(cuCtxAttach) X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxDetach) X(cuCtxDisablePeerAccess) X(cuCtxEnablePeerAccess) X(cuCtxFromGreenCtx) X(cuDeviceGetDevResource) \
    X(cuDevResourceGenerateDesc) X(cuDevSmResourceSplitByCount) X(cuGreenCtxCreate) \
    X(cuGreenCtxDestroy) X(cuGreenCtxStreamCreate) X(cuCtxGetCurrent) X(cuCtxPopCurrent) X(cuCtxPushCurrent) X(cuCtxSetCurrent) X(cuCtxSynchronize) \
    X(cuDeviceGet) X(cuGraphCreate) X(cuLaunchHostFunc) X(cuLaunchKernel) X(cuModuleLoadData) \
    X(cuModuleGetFunction) X(cuMemcpyDtoDAsync) X(cuMemcpyHtoDAsync) \
    X(cuStreamBeginCaptureToGraph) X(cuDeviceGetCount) X(cuDeviceGetUuid) X(cuDevicePrimaryCtxRelease) X(cuDevicePrimaryCtxReset) \
    X(cuDevicePrimaryCtxRetain) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGraphDestroy) X(cuGraphExecDestroy) \
    X(cuGraphInstantiate) X(cuGraphLaunch) X(cuInit) X(cuIpcCloseMemHandle) X(cuIpcGetMemHandle) \
    X(cuIpcOpenMemHandle) X(cuMemAddressReserve) X(cuMemAlloc) X(cuMemAllocAsync) X(cuMemAllocHost) X(cuMemAllocManaged) \
    X(cuMemCreate) \
    X(cuMemFree) X(cuMemFreeAsync) X(cuMemFreeHost) X(cuMemGetAddressRange) X(cuMemGetInfo) \
    X(cuMemHostRegister) X(cuMemGetAccess) X(cuMemHostUnregister) X(cuMemMap) X(cuMemSetAccess) X(cuMemUnmap) \
    X(cuMemcpyDtoD) X(cuMemcpyDtoH) X(cuMemcpyHtoD) X(cuMemsetD8) \
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

struct route_runtime {
#define X(name) __typeof__(name) *name;
    ROUTE_RUNTIME_FUNCTIONS(X)
#undef X
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* programs in use still call them */
struct route_driver {
#define X(name) __typeof__(name) *name##_;
    ROUTE_DRIVER_FUNCTIONS(X)
#undef X
};
#pragma GCC diagnostic pop

/* The headers' macros rename the driver's functions, so a member is reached as DRIVER(cuInit). */
#define DRIVER(name) route_driver.name##_

extern struct route_runtime route_runtime;
extern struct route_driver route_driver;

/** True behind a route of the runtime; the calls below then use it, else the driver. */
extern bool route_is_runtime;

/** Fills the tables. False when this executable has no such route. */
bool route_open(const char *name);

/** First steps of such a program: cuInit and a current context on a driver route. */
void route_start(void);

/* Each returns the family's error code as a number. */
int route_allocate(void **ret_pointer, size_t bytes);
int route_allocate_pitched(void **ret_pointer, size_t *ret_pitch, size_t width, size_t rows);
int route_free(void *pointer);
int route_allocate_async(void **ret_pointer, size_t bytes, CUstream stream);
int route_free_async(void *pointer, CUstream stream);
int route_memory_info(size_t *ret_free, size_t *ret_total);
int route_fill(void *pointer, int value, size_t bytes);
int route_fill_async(void *pointer, int value, size_t bytes, CUstream stream);
int route_read(void *host, const void *device, size_t bytes);
/** How many of a block's bytes differ from `value`; all when they cannot be read. */
int route_wrong_bytes(const void *device, int value, size_t bytes);
int route_write(void *device, const void *host, size_t bytes);
int route_synchronize(void);
int route_stream_create(CUstream *ret_stream);
int route_stream_destroy(CUstream stream);
int route_stream_synchronize(CUstream stream);
int route_capture_begin(CUstream stream, CUstreamCaptureMode mode);
int route_capture_end(CUstream stream, CUgraph *ret_graph);
int route_capture_mode_exchange(CUstreamCaptureMode *mode);
int route_graph_run(CUgraph graph, CUstream stream);
int route_host_allocate(void **ret_pointer, size_t bytes);
int route_host_free(void *pointer);
int route_host_register(void *pointer, size_t bytes);
int route_host_unregister(void *pointer);
int route_managed_allocate(void **ret_pointer, size_t bytes);
int route_ipc_export(CUipcMemHandle *ret_handle, void *pointer);
int route_ipc_open(void **ret_pointer, CUipcMemHandle handle);
int route_ipc_close(void *pointer);
/** The runtime's last error, which is cleared; 0 behind a driver route. */
int route_last_error(void);
const char *route_error_name(int error);

/** Creates a context and makes it current. */
CUresult route_context_create(CUcontext *ret_context, CUdevice device);

/** A function of the simulated device alone, by its name; NULL: it has none, or is hardware. */
void *route_control(const char *name);

/** Holds a stream: work submitted from now on does not begin before it is let go on. */
bool route_can_hold(void);
int route_hold(CUstream stream);
int route_unhold(CUstream stream);

/** One line of output: the name of a step and the name of its result. */
void route_report(const char *step, int error);

/** Prints why and ends the program as skipped. */
_Noreturn void route_skip(const char *why);

#endif

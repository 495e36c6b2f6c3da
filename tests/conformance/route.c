/* SPDX-License-Identifier: MIT */
/*
 * Opening a route, and the calls that both families have. See route.h.
 *
 * Compiled three times: ROUTE_LINKED takes the functions the linker found, ROUTE_LOADED looks them
 * up, ROUTE_STATIC takes the runtime from the executable and the driver by look-up.
 */
#include "route.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct route_runtime route_runtime;
struct route_driver route_driver;
bool route_is_runtime;

#define TEXT_OF(name)  #name
#define TEXT_NOW(name) TEXT_OF(name)

#ifndef ROUTE_LINKED
static void *library_open(const char *file)
{
    void *library = dlopen(file, RTLD_NOW);

    if (!library)
        fprintf(stderr, "%s\n", dlerror());
    return library;
}

typedef void *find_function(void *library, const char *exported, const char *base);

static void driver_fill(find_function *find, void *library)
{
#define X(name) *(void **)&route_driver.name##_ = find(library, TEXT_NOW(name), #name);
    ROUTE_DRIVER_FUNCTIONS(X)
#undef X
}

static void *find_exported(void *library, const char *exported, const char *base)
{
    return dlsym(library, exported);
}
#endif

#ifdef ROUTE_LOADED
static void runtime_fill(find_function *find, void *library)
{
#define X(name) *(void **)&route_runtime.name = find(library, TEXT_NOW(name), #name);
    ROUTE_RUNTIME_FUNCTIONS(X)
#undef X
}

/* As the per-thread-default-stream macros of the headers choose. */
static void *find_per_thread(void *library, const char *exported, const char *base)
{
    static const char *const suffixes[] = {"_ptsz", "_ptds", ""};
    char name[128];
    void *found = NULL;

    for (int i = 0; i < 3 && !found; i++) {
        snprintf(name, sizeof(name), "%s%s", exported, suffixes[i]);
        found = dlsym(library, name);
    }
    return found;
}

static void *find_by_4_arguments(void *library, const char *exported, const char *base)
{
    CUresult (*get)(const char *, void **, int, cuuint64_t);
    void *found = NULL;

    *(void **)&get = dlsym(library, "cuGetProcAddress");
    return get && get(base, &found, 11030, CU_GET_PROC_ADDRESS_DEFAULT) == 0 ? found : NULL;
}

/* The version of each type is that of the headers this was compiled with, except where a later
 * release changed a type without a new name in the headers. */
static unsigned version_of(const char *base)
{
    return strcmp(base, "cuCtxSynchronize") == 0 ? 2000 : CUDA_VERSION;
}

/* The resolver asks itself for its newer form, as the runtime does. */
static void *find_by_5_arguments(void *library, const char *exported, const char *base)
{
    CUresult (*first)(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);
    CUresult (*get)(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);
    CUdriverProcAddressQueryResult status;
    void *found = NULL;

    *(void **)&first = dlsym(library, "cuGetProcAddress_v2");
    if (!first || first("cuGetProcAddress", (void **)&get, 12000, 0, &status) != 0)
        return NULL;
    return get(base, &found, version_of(base), CU_GET_PROC_ADDRESS_DEFAULT, &status) == 0 ? found
                                                                                          : NULL;
}

/* The runtime hands out driver functions, too; `library` is the runtime. */
static void *find_by_entry_point(void *library, const char *exported, const char *base)
{
    __typeof__(cudaGetDriverEntryPointByVersion) *get;
    enum cudaDriverEntryPointQueryResult status;
    void *found = NULL;

    *(void **)&get = dlsym(library, "cudaGetDriverEntryPointByVersion");
    return get && get(base, &found, version_of(base), cudaEnableDefault, &status) == 0 ? found
                                                                                       : NULL;
}

/* Without a version: functions of the runtime's own release. */
static void *find_by_old_entry_point(void *library, const char *exported, const char *base)
{
    cudaError_t (*get)(const char *, void **, unsigned long long,
                       enum cudaDriverEntryPointQueryResult *);
    enum cudaDriverEntryPointQueryResult status;
    void *found = NULL;

    if (version_of(base) != CUDA_VERSION)
        return find_by_entry_point(library, exported, base);
    *(void **)&get = dlsym(library, "cudaGetDriverEntryPoint");
    return get && get(base, &found, cudaEnableDefault, &status) == 0 ? found : NULL;
}

static void *find_by_per_thread_entry_point(void *library, const char *exported, const char *base)
{
    __typeof__(cudaGetDriverEntryPointByVersion) *get;
    enum cudaDriverEntryPointQueryResult status;
    void *found = NULL;

    *(void **)&get = dlsym(library, "cudaGetDriverEntryPointByVersion_ptsz");
    return get && get(base, &found, version_of(base), cudaEnableDefault, &status) == 0 ? found
                                                                                       : NULL;
}

static void *find_versioned(void *library, const char *exported, const char *base)
{
    return dlvsym(library, exported, "libcudart.so.13");
}

/* A library that is linked with the runtime, as an extension module of an interpreter is. */
static bool open_extension(int flags)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (length < 0)
        return false;
    path[length] = 0;
    snprintf(strrchr(path, '/'), 40, "/libconformance_extension.so");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | flags);
    void (*fill)(struct route_runtime *) = NULL;
    if (library)
        *(void **)&fill = dlsym(library, "extension_fill");
    else
        fprintf(stderr, "%s\n", dlerror());
    if (fill)
        fill(&route_runtime);
    return fill;
}

static bool open_runtime(const char *file, find_function *find)
{
    void *library = dlopen(file, RTLD_NOW);

    if (!library)
        route_skip(dlerror());
    runtime_fill(find, library);
    return true;
}

static bool open_entry_point(find_function *find)
{
    void *cudart = library_open("libcudart.so.13");

    route_is_runtime = false;
    if (!cudart)
        return false;
    driver_fill(find, cudart);
    if (!DRIVER(cuMemAlloc))
        route_skip("the driver is older than the headers of this program");
    return true;
}

bool route_open(const char *name)
{
    static const struct {
        const char *name;
        find_function *find;
    } entry_points[] = {
        {"entry-point", find_by_entry_point},
        {"entry-point-old", find_by_old_entry_point},
        {"entry-point-per-thread", find_by_per_thread_entry_point},
    };
    static const struct {
        const char *name;
        find_function *find;
        const char *runtime; /* NULL: a driver route */
    } routes[] = {
        {"dlsym", find_exported, "libcudart.so.13"},
        {"dlsym-12", find_exported, "libcudart.so.12"},
        {"per-thread", find_per_thread, "libcudart.so.13"},
        {"dlvsym", find_versioned, "libcudart.so.13"},
        {"driver-dlsym", find_exported, NULL},
        {"driver-per-thread", find_per_thread, NULL},
        {"proc4", find_by_4_arguments, NULL},
        {"proc5", find_by_5_arguments, NULL},
    };
    void *cuda = library_open("libcuda.so.1");

    if (!cuda)
        return false;
    driver_fill(find_exported, cuda);
    route_is_runtime = true;
    for (size_t i = 0; i < sizeof(entry_points) / sizeof(entry_points[0]); i++)
        if (strcmp(name, entry_points[i].name) == 0)
            return open_entry_point(entry_points[i].find);
    if (strcmp(name, "extension") == 0)
        return open_extension(0);
    if (strcmp(name, "deepbind") == 0)
        return open_extension(RTLD_DEEPBIND);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].name, name) != 0)
            continue;
        route_is_runtime = routes[i].runtime;
        if (routes[i].runtime)
            return open_runtime(routes[i].runtime, routes[i].find);
        driver_fill(routes[i].find, cuda);
        return true;
    }
    return false;
}
#else

static void runtime_linked(void)
{
#define X(name) route_runtime.name = name;
    ROUTE_RUNTIME_FUNCTIONS(X)
#undef X
}

#ifdef ROUTE_STATIC
bool route_open(const char *name)
{
    void *cuda = library_open("libcuda.so.1");

    if (!cuda || strcmp(name, "static") != 0)
        return false;
    runtime_linked();
    driver_fill(find_exported, cuda);
    route_is_runtime = true;
    return true;
}
#else
bool route_open(const char *name)
{
    if (strcmp(name, "dynamic") != 0 && strcmp(name, "driver") != 0)
        return false;
    runtime_linked();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#define X(name) route_driver.name##_ = name;
    ROUTE_DRIVER_FUNCTIONS(X)
#undef X
#pragma GCC diagnostic pop
    route_is_runtime = strcmp(name, "dynamic") == 0;
    return true;
}
#endif
#endif

void route_start(void)
{
    CUcontext context;

    if (route_is_runtime)
        return;
    if (DRIVER(cuInit)(0) != CUDA_SUCCESS ||
        DRIVER(cuDevicePrimaryCtxRetain)(&context, 0) != CUDA_SUCCESS ||
        DRIVER(cuCtxSetCurrent)(context) != CUDA_SUCCESS)
        route_skip("no CUDA device");
}

/* The two families beside each other. */
#define EITHER(runtime_call, driver_call)                                                          \
    (route_is_runtime ? (int)route_runtime.runtime_call : (int)route_driver.driver_call)
#define ADDRESS(pointer) ((CUdeviceptr)(uintptr_t)(pointer))

int route_allocate(void **ret_pointer, size_t bytes)
{
    return EITHER(cudaMalloc(ret_pointer, bytes), cuMemAlloc_((CUdeviceptr *)ret_pointer, bytes));
}

int route_allocate_pitched(void **ret_pointer, size_t *ret_pitch, size_t width, size_t rows)
{
    return EITHER(cudaMallocPitch(ret_pointer, ret_pitch, width, rows),
                  cuMemAllocPitch_((CUdeviceptr *)ret_pointer, ret_pitch, width, rows, 4));
}

int route_free(void *pointer)
{
    return EITHER(cudaFree(pointer), cuMemFree_(ADDRESS(pointer)));
}

int route_allocate_async(void **ret_pointer, size_t bytes, CUstream stream)
{
    return EITHER(cudaMallocAsync(ret_pointer, bytes, stream),
                  cuMemAllocAsync_((CUdeviceptr *)ret_pointer, bytes, stream));
}

int route_free_async(void *pointer, CUstream stream)
{
    return EITHER(cudaFreeAsync(pointer, stream), cuMemFreeAsync_(ADDRESS(pointer), stream));
}

int route_memory_info(size_t *ret_free, size_t *ret_total)
{
    return EITHER(cudaMemGetInfo(ret_free, ret_total), cuMemGetInfo_(ret_free, ret_total));
}

int route_fill(void *pointer, int value, size_t bytes)
{
    return EITHER(cudaMemset(pointer, value, bytes),
                  cuMemsetD8_(ADDRESS(pointer), (unsigned char)value, bytes));
}

int route_fill_async(void *pointer, int value, size_t bytes, CUstream stream)
{
    return EITHER(cudaMemsetAsync(pointer, value, bytes, stream),
                  cuMemsetD8Async_(ADDRESS(pointer), (unsigned char)value, bytes, stream));
}

int route_read(void *host, const void *device, size_t bytes)
{
    return EITHER(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost),
                  cuMemcpyDtoH_(host, ADDRESS(device), bytes));
}

int route_wrong_bytes(const void *device, int value, size_t bytes)
{
    unsigned char *copy = malloc(bytes);
    bool read = copy && route_read(copy, device, bytes) == 0;
    int wrong = read ? 0 : (int)bytes;

    for (size_t i = 0; read && i < bytes; i++)
        wrong += copy[i] != (unsigned char)value;
    free(copy);
    return wrong;
}

int route_write(void *device, const void *host, size_t bytes)
{
    return EITHER(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice),
                  cuMemcpyHtoD_(ADDRESS(device), host, bytes));
}

int route_synchronize(void)
{
    return EITHER(cudaDeviceSynchronize(), cuCtxSynchronize_());
}

int route_stream_create(CUstream *ret_stream)
{
    return EITHER(cudaStreamCreate(ret_stream), cuStreamCreate_(ret_stream, CU_STREAM_DEFAULT));
}

int route_stream_destroy(CUstream stream)
{
    return EITHER(cudaStreamDestroy(stream), cuStreamDestroy_(stream));
}

int route_stream_synchronize(CUstream stream)
{
    return EITHER(cudaStreamSynchronize(stream), cuStreamSynchronize_(stream));
}

int route_capture_begin(CUstream stream, CUstreamCaptureMode mode)
{
    return EITHER(cudaStreamBeginCapture(stream, (enum cudaStreamCaptureMode)mode),
                  cuStreamBeginCapture_(stream, mode));
}

int route_capture_end(CUstream stream, CUgraph *ret_graph)
{
    return EITHER(cudaStreamEndCapture(stream, ret_graph), cuStreamEndCapture_(stream, ret_graph));
}

int route_capture_mode_exchange(CUstreamCaptureMode *mode)
{
    return EITHER(cudaThreadExchangeStreamCaptureMode((enum cudaStreamCaptureMode *)mode),
                  cuThreadExchangeStreamCaptureMode_(mode));
}

int route_graph_run(CUgraph graph, CUstream stream)
{
    CUgraphExec run;
    int error = EITHER(cudaGraphInstantiateWithFlags(&run, graph, 0),
                       cuGraphInstantiate_(&run, graph, 0));

    if (error == 0)
        error = EITHER(cudaGraphLaunch(run, stream), cuGraphLaunch_(run, stream));
    if (error == 0)
        error = route_stream_synchronize(stream);
    if (error == 0)
        error = EITHER(cudaGraphExecDestroy(run), cuGraphExecDestroy_(run));
    return error;
}

int route_host_allocate(void **ret_pointer, size_t bytes)
{
    return EITHER(cudaMallocHost(ret_pointer, bytes), cuMemAllocHost_(ret_pointer, bytes));
}

int route_host_free(void *pointer)
{
    return EITHER(cudaFreeHost(pointer), cuMemFreeHost_(pointer));
}

int route_host_register(void *pointer, size_t bytes)
{
    return EITHER(cudaHostRegister(pointer, bytes, 0), cuMemHostRegister_(pointer, bytes, 0));
}

int route_host_unregister(void *pointer)
{
    return EITHER(cudaHostUnregister(pointer), cuMemHostUnregister_(pointer));
}

int route_managed_allocate(void **ret_pointer, size_t bytes)
{
    return EITHER(cudaMallocManaged(ret_pointer, bytes, cudaMemAttachGlobal),
                  cuMemAllocManaged_((CUdeviceptr *)ret_pointer, bytes, CU_MEM_ATTACH_GLOBAL));
}

int route_ipc_export(CUipcMemHandle *ret_handle, void *pointer)
{
    return EITHER(cudaIpcGetMemHandle((cudaIpcMemHandle_t *)ret_handle, pointer),
                  cuIpcGetMemHandle_(ret_handle, ADDRESS(pointer)));
}

int route_ipc_open(void **ret_pointer, CUipcMemHandle handle)
{
    cudaIpcMemHandle_t same;

    memcpy(&same, &handle, sizeof(same));
    return EITHER(cudaIpcOpenMemHandle(ret_pointer, same, cudaIpcMemLazyEnablePeerAccess),
                  cuIpcOpenMemHandle_((CUdeviceptr *)ret_pointer, handle,
                                      CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
}

int route_ipc_close(void *pointer)
{
    return EITHER(cudaIpcCloseMemHandle(pointer), cuIpcCloseMemHandle_(ADDRESS(pointer)));
}

int route_last_error(void)
{
    return route_is_runtime ? (int)route_runtime.cudaGetLastError() : 0;
}

const char *route_error_name(int error)
{
    const char *name = NULL;

    if (route_is_runtime)
        return route_runtime.cudaGetErrorName((cudaError_t)error);
    DRIVER(cuGetErrorName)((CUresult)error, &name);
    return name ? name : "?";
}

void route_report(const char *step, int error)
{
    printf("%s: %s\n", step, route_error_name(error));
}

CUresult route_context_create(CUcontext *ret_context, CUdevice device)
{
#if CUDA_VERSION >= 13000
    return DRIVER(cuCtxCreate)(ret_context, NULL, 0, device);
#else
    return DRIVER(cuCtxCreate)(ret_context, 0, device);
#endif
}

void *route_control(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);

    return driver ? dlsym(driver, name) : NULL;
}

bool route_can_hold(void)
{
    return route_control("simgpu_hold") && route_control("simgpu_release");
}

static int stream_control(const char *name, CUstream stream)
{
    int (*control)(CUstream);

    *(void **)&control = route_control(name);
    return control(stream);
}

int route_hold(CUstream stream)
{
    return stream_control("simgpu_hold", stream);
}

int route_unhold(CUstream stream)
{
    return stream_control("simgpu_release", stream);
}

void route_skip(const char *why)
{
    printf("skipped: %s\n", why);
    exit(77);
}

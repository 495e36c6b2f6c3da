/* SPDX-License-Identifier: MIT */
/*
 * Registered images. Before main, nvcc's programs hand over each image with its kernels and
 * variables, known by the address of a host stub or shadow; nothing is loaded then. The first use
 * of any of them loads the image with cuLibraryLoadData, which needs no context, and names are
 * looked up in it. Variables are asked for anew each time: their address depends on the context.
 *
 * Threading: one lock over all tables; the driver's loading functions are called under it, as they
 * call nothing back.
 */
#include "tests/simgpu/runtime/module/image.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* Wrapper that the compiler emits around an image (fatbinary_section.h). */
struct fat_binary {
    int magic;
    int version;
    const void *data;
    void *prelinked;
};

/* An image; its address is the handle programs get. Fields guarded by images_lock. */
struct image {
    const void *code;       /* immutable */
    CUlibrary library;      /* NULL until loaded */
    struct symbol *symbols; /* all of them, through sibling */
};

/* A kernel's stub or a variable's shadow. Fields guarded by images_lock. */
struct symbol {
    const void *host; /* the key */
    struct image *image;
    struct symbol *sibling;
    const char *name; /* mangled, in the program's memory */
    size_t bytes;     /* of a variable */
    CUkernel kernel;  /* NULL until looked up; never set for a variable */
    bool variable;
    bool known;     /* in the table; a later symbol of the same address takes its place there */
    void **managed; /* the program's pointer to a managed variable; NULL for others */
    UT_hash_handle hh;
};

/* A kernel handle given out. Fields guarded by images_lock. */
struct handle {
    CUkernel kernel;  /* the key */
    const void *host; /* NULL for a kernel of a library the program loaded itself */
    UT_hash_handle hh;
};

static pthread_mutex_t images_lock = PTHREAD_MUTEX_INITIALIZER;
static struct symbol *symbols; /* guarded by images_lock */
static struct handle *handles; /* guarded by images_lock */

#pragma GCC visibility push(default)
void **__cudaRegisterFatBinary(void *fatCubin);
void __cudaRegisterFatBinaryEnd(void **fatCubinHandle);
void __cudaUnregisterFatBinary(void **fatCubinHandle);
void __cudaRegisterFunction(void **fatCubinHandle, const char *hostFun, char *deviceFun,
                            const char *deviceName, int thread_limit, uint3 *tid, uint3 *bid,
                            dim3 *bDim, dim3 *gDim, int *wSize);
void __cudaRegisterVar(void **fatCubinHandle, char *hostVar, char *deviceAddress,
                       const char *deviceName, int ext, size_t size, int constant, int global);
void __cudaRegisterManagedVar(void **fatCubinHandle, void **hostVarPtrAddress, char *deviceAddress,
                              const char *deviceName, int ext, size_t size, int constant,
                              int global);
char __cudaInitModule(void **fatCubinHandle);
#pragma GCC visibility pop

void **__cudaRegisterFatBinary(void *fatCubin)
{
    const struct fat_binary *binary = fatCubin;
    struct image *image = calloc(1, sizeof(*image));

    if (image)
        image->code = binary->data;
    return (void **)image;
}

void __cudaRegisterFatBinaryEnd(void **fatCubinHandle)
{
}

static void symbol_add_locked(struct image *image, struct symbol *added)
{
    struct symbol *old;

    HASH_FIND_PTR(symbols, &added->host, old);
    if (old) {
        HASH_DEL(symbols, old);
        old->known = false;
    }
    HASH_ADD_PTR(symbols, host, added);
    added->known = true;
    added->sibling = image->symbols;
    image->symbols = added;
}

/* Registration cannot fail in the ABI; without memory a symbol stays unknown. */
static void symbol_register(void **handle, struct symbol symbol)
{
    struct symbol *added = handle ? malloc(sizeof(*added)) : NULL;

    if (!added)
        return;
    *added = symbol;
    added->image = (struct image *)handle;
    pthread_mutex_lock(&images_lock);
    symbol_add_locked(added->image, added);
    pthread_mutex_unlock(&images_lock);
}

void __cudaRegisterFunction(void **fatCubinHandle, const char *hostFun, char *deviceFun,
                            const char *deviceName, int thread_limit, uint3 *tid, uint3 *bid,
                            dim3 *bDim, dim3 *gDim, int *wSize)
{
    symbol_register(fatCubinHandle, (struct symbol){.host = hostFun, .name = deviceName});
}

void __cudaRegisterVar(void **fatCubinHandle, char *hostVar, char *deviceAddress,
                       const char *deviceName, int ext, size_t size, int constant, int global)
{
    symbol_register(
        fatCubinHandle,
        (struct symbol){.host = hostVar, .name = deviceName, .bytes = size, .variable = true});
}

void __cudaRegisterManagedVar(void **fatCubinHandle, void **hostVarPtrAddress, char *deviceAddress,
                              const char *deviceName, int ext, size_t size, int constant,
                              int global)
{
    symbol_register(fatCubinHandle, (struct symbol){.host = hostVarPtrAddress,
                                                    .name = deviceName,
                                                    .bytes = size,
                                                    .variable = true,
                                                    .managed = hostVarPtrAddress});
}

static void handles_forget_locked(CUkernel kernel)
{
    struct handle *handle;

    HASH_FIND_PTR(handles, &kernel, handle);
    if (handle) {
        HASH_DEL(handles, handle);
        free(handle);
    }
}

static void symbol_remove_locked(struct symbol *symbol)
{
    if (symbol->kernel)
        handles_forget_locked(symbol->kernel);
    if (symbol->known)
        HASH_DEL(symbols, symbol);
    free(symbol);
}

void __cudaUnregisterFatBinary(void **fatCubinHandle)
{
    struct image *image = (struct image *)fatCubinHandle;

    if (!image)
        return;
    pthread_mutex_lock(&images_lock);
    while (image->symbols) {
        struct symbol *first = image->symbols;

        image->symbols = first->sibling;
        symbol_remove_locked(first);
    }
    if (image->library)
        DRIVER(cuLibraryUnload)(image->library);
    pthread_mutex_unlock(&images_lock);
    free(image);
}

static CUresult variable_look_locked(const struct symbol *symbol, CUdeviceptr *ret_address,
                                     size_t *ret_bytes)
{
    CUlibrary library = symbol->image->library;

    return symbol->managed
               ? DRIVER(cuLibraryGetManaged)(ret_address, ret_bytes, library, symbol->name)
               : DRIVER(cuLibraryGetGlobal)(ret_address, ret_bytes, library, symbol->name);
}

/* The image may not tell how large it is; its registration did. */
static CUresult variable_ask_locked(const struct symbol *symbol, CUdeviceptr *ret_address,
                                    size_t *ret_bytes)
{
    CUresult result = variable_look_locked(symbol, ret_address, ret_bytes);

    if (result == CUDA_ERROR_NOT_FOUND &&
        driver_define_variable(symbol->image->library, symbol->name, symbol->bytes,
                               symbol->managed))
        result = variable_look_locked(symbol, ret_address, ret_bytes);
    return result;
}

/* Points the program's pointers to managed variables at the variables. */
static void image_bind_managed_locked(struct image *image)
{
    for (struct symbol *symbol = image->symbols; symbol; symbol = symbol->sibling) {
        CUdeviceptr address;
        size_t bytes;

        if (!symbol->managed)
            continue;
        if (variable_ask_locked(symbol, &address, &bytes) == CUDA_SUCCESS)
            *symbol->managed = (void *)(uintptr_t)address;
    }
}

static cudaError_t image_load_locked(struct image *image)
{
    CUlibrary library;
    cudaError_t status;

    if (image->library)
        return cudaSuccess;
    status = error_from(
        DRIVER(cuLibraryLoadData)(&library, image->code, NULL, NULL, 0, NULL, NULL, 0));
    if (status != cudaSuccess)
        return status;
    image->library = library;
    image_bind_managed_locked(image);
    return cudaSuccess;
}

/* Asked for by the first access to a managed variable; the ABI has no way to say it failed. */
char __cudaInitModule(void **fatCubinHandle)
{
    struct image *image = (struct image *)fatCubinHandle;

    if (!image || context_ready() != cudaSuccess)
        return 0;
    pthread_mutex_lock(&images_lock);
    cudaError_t status = image_load_locked(image);
    pthread_mutex_unlock(&images_lock);
    return status == cudaSuccess;
}

static cudaError_t handle_remember_locked(CUkernel kernel, const void *host)
{
    struct handle *handle;

    HASH_FIND_PTR(handles, &kernel, handle);
    if (handle)
        return cudaSuccess;
    handle = malloc(sizeof(*handle));
    if (!handle)
        return cudaErrorMemoryAllocation;
    *handle = (struct handle){.kernel = kernel, .host = host};
    HASH_ADD_PTR(handles, kernel, handle);
    return cudaSuccess;
}

static cudaError_t symbol_kernel_locked(struct symbol *symbol)
{
    CUkernel kernel;
    CUresult result;
    cudaError_t status = symbol->kernel ? cudaSuccess : image_load_locked(symbol->image);

    if (status != cudaSuccess || symbol->kernel)
        return status;
    result = DRIVER(cuLibraryGetKernel)(&kernel, symbol->image->library, symbol->name);
    if (result == CUDA_ERROR_NOT_FOUND)
        return cudaErrorInvalidDeviceFunction;
    status = error_from(result) ?: handle_remember_locked(kernel, symbol->host);
    if (status == cudaSuccess)
        symbol->kernel = kernel;
    return status;
}

cudaError_t image_kernel(const void *function, CUkernel *ret_kernel)
{
    CUkernel kernel = (CUkernel)(uintptr_t)function;
    struct symbol *symbol;
    struct handle *handle;
    cudaError_t status = cudaErrorInvalidDeviceFunction;

    pthread_mutex_lock(&images_lock);
    HASH_FIND_PTR(symbols, &function, symbol);
    if (symbol && !symbol->variable) {
        status = symbol_kernel_locked(symbol);
        kernel = symbol->kernel;
    } else {
        HASH_FIND_PTR(handles, &kernel, handle);
        status = handle ? cudaSuccess : cudaErrorInvalidDeviceFunction;
    }
    pthread_mutex_unlock(&images_lock);
    if (status == cudaSuccess)
        *ret_kernel = kernel;
    return status;
}

cudaError_t image_kernel_remember(CUkernel kernel)
{
    pthread_mutex_lock(&images_lock);
    cudaError_t status = handle_remember_locked(kernel, NULL);
    pthread_mutex_unlock(&images_lock);
    return status;
}

void *image_kernel_symbol(CUkernel kernel)
{
    struct handle *handle;
    const void *host;

    pthread_mutex_lock(&images_lock);
    HASH_FIND_PTR(handles, &kernel, handle);
    host = handle && handle->host ? handle->host : (const void *)kernel;
    pthread_mutex_unlock(&images_lock);
    return (void *)(uintptr_t)host;
}

void *image_function_symbol(CUfunction function)
{
    void *symbol = (void *)function;

    pthread_mutex_lock(&images_lock);
    for (struct handle *handle = handles; handle; handle = handle->hh.next) {
        CUfunction candidate;

        if (handle->host &&
            DRIVER(cuKernelGetFunction)(&candidate, handle->kernel) == CUDA_SUCCESS &&
            candidate == function)
            symbol = (void *)(uintptr_t)handle->host;
    }
    pthread_mutex_unlock(&images_lock);
    return symbol;
}

/* A managed variable is also known by its own address, which is what C++ code passes. */
static struct symbol *variable_find_locked(const void *host)
{
    struct symbol *symbol;

    HASH_FIND_PTR(symbols, &host, symbol);
    if (symbol)
        return symbol->variable ? symbol : NULL;
    for (symbol = symbols; symbol; symbol = symbol->hh.next) {
        if (symbol->managed && *symbol->managed == host)
            return symbol;
    }
    return NULL;
}

cudaError_t image_variable(const void *host, CUdeviceptr *ret_address, size_t *ret_bytes)
{
    cudaError_t status = cudaErrorInvalidSymbol;
    struct symbol *symbol;
    CUresult result;

    pthread_mutex_lock(&images_lock);
    symbol = variable_find_locked(host);
    if (symbol)
        status = image_load_locked(symbol->image);
    if (status == cudaSuccess) {
        result = variable_ask_locked(symbol, ret_address, ret_bytes);
        status = result == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidSymbol : error_from(result);
    }
    pthread_mutex_unlock(&images_lock);
    return status;
}

cudaError_t image_variable_range(const void *symbol, size_t offset, size_t count,
                                 CUdeviceptr *ret_address)
{
    CUdeviceptr address = 0;
    size_t bytes = 0;
    cudaError_t status = image_variable(symbol, &address, &bytes);

    if (status == cudaSuccess && (offset > bytes || count > bytes - offset))
        status = cudaErrorInvalidValue;
    if (status == cudaSuccess)
        *ret_address = address + offset;
    return status;
}

cudaError_t cudaGetSymbolAddress(void **devPtr, const void *symbol)
{
    CUdeviceptr address = 0;
    size_t bytes = 0;
    cudaError_t status = devPtr ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = image_variable(symbol, &address, &bytes);
    if (status == cudaSuccess)
        *devPtr = (void *)(uintptr_t)address;
    return error_keep(status);
}

cudaError_t cudaGetSymbolSize(size_t *size, const void *symbol)
{
    CUdeviceptr address = 0;
    size_t bytes = 0;
    cudaError_t status = size ? context_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = image_variable(symbol, &address, &bytes);
    if (status == cudaSuccess)
        *size = bytes;
    return error_keep(status);
}

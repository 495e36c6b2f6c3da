/* SPDX-License-Identifier: MIT */
/*
 * Entry points of modules (of a context) and libraries (of the process): two ways to the same
 * images.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/simgpu/driver/module/module.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/stream.h"

static struct handle_cache library_cache = {
    HANDLE_LIBRARY, sizeof(struct CUlib_st), {NULL}, {NULL}};

static CUresult module_load(CUmodule *ret, const void *data)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    return ret ? module_create(ctx, data, ret) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult module_unload(CUmodule module)
{
    if (!handle_is(module, HANDLE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = capture_check_unsafe();
    if (result != CUDA_SUCCESS)
        return result;
    context_wait(module->ctx);
    module_destroy(module);
    return CUDA_SUCCESS;
}

static char *file_read(const char *path)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    char *data = NULL;

    if (!file)
        return NULL;
    if (!fseek(file, 0, SEEK_END)) {
        size_t bytes = (size_t)ftell(file);

        rewind(file);
        data = calloc(1, bytes + 16);
        if (data && fread(data, 1, bytes, file) != bytes) {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

static CUresult library_load(CUlibrary *ret, const void *data)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    CUlibrary made = handle_take(&library_cache);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = image_open(&made->image, data);
    if (result != CUDA_SUCCESS) {
        handle_give(&library_cache, made);
        return result;
    }
    made->image.module = NULL;
    made->image.library = made;
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult from_file(const char *path, CUmodule *ret_module, CUlibrary *ret_library)
{
    char *data = file_read(path);

    if (!data)
        return CUDA_ERROR_FILE_NOT_FOUND;
    CUresult result = ret_module ? module_load(ret_module, data) : library_load(ret_library, data);
    free(data);
    return result;
}

static CUresult library_unload(CUlibrary library)
{
    if (!handle_is(library, HANDLE_LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    image_close(&library->image);
    handle_give(&library_cache, library);
    return CUDA_SUCCESS;
}

static CUresult module_function(CUfunction *ret, CUmodule module, const char *name)
{
    if (!ret || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(module, HANDLE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return image_function(&module->image, name, ret);
}

static CUresult library_kernel(CUkernel *ret, CUlibrary library, const char *name)
{
    if (!ret || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(library, HANDLE_LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    return image_function(&library->image, name, (CUfunction *)ret);
}

static CUresult kernel_function(CUfunction *ret, CUkernel kernel)
{
    CUcontext ctx;
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || !handle_is(kernel, HANDLE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

static CUresult module_global(CUdeviceptr *ret, size_t *ret_bytes, CUmodule module,
                              const char *name)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(module, HANDLE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return image_global(&module->image, name, ret, ret_bytes);
}

static CUresult library_global(CUdeviceptr *ret, size_t *ret_bytes, CUlibrary library,
                               const char *name)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(library, HANDLE_LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    return image_global(&library->image, name, ret, ret_bytes);
}

static CUresult library_managed(CUdeviceptr *ret, size_t *ret_bytes, CUlibrary library,
                                const char *name)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(library, HANDLE_LIBRARY))
        return CUDA_ERROR_INVALID_HANDLE;
    return image_managed(&library->image, name, ret, ret_bytes);
}

static CUresult loading_mode(CUmoduleLoadingMode *ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuModuleLoad(CUmodule *module, const char *fname)
{
    CALL(cuModuleLoad, from_file(fname, module, NULL));
}

CUresult CUDAAPI cuModuleLoadData(CUmodule *module, const void *image)
{
    CALL(cuModuleLoadData, module_load(module, image));
}

CUresult CUDAAPI cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int numOptions,
                                    CUjit_option *options, void **optionValues)
{
    CALL(cuModuleLoadDataEx, module_load(module, image));
}

CUresult CUDAAPI cuModuleLoadFatBinary(CUmodule *module, const void *fatCubin)
{
    CALL(cuModuleLoadFatBinary, module_load(module, fatCubin));
}

CUresult CUDAAPI cuModuleUnload(CUmodule hmod)
{
    CALL(cuModuleUnload, module_unload(hmod));
}

CUresult CUDAAPI cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    CALL(cuModuleGetLoadingMode, loading_mode(mode));
}

CUresult CUDAAPI cuModuleGetFunction(CUfunction *hfunc, CUmodule hmod, const char *name)
{
    twins_open();
    CALL(cuModuleGetFunction, module_function(hfunc, hmod, name), "name=%s", name);
}

CUresult CUDAAPI cuModuleGetGlobal_v2(CUdeviceptr *dptr, size_t *bytes, CUmodule hmod,
                                      const char *name)
{
    CALL(cuModuleGetGlobal_v2, module_global(dptr, bytes, hmod, name), "name=%s", name);
}

CUresult CUDAAPI cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jitOptions,
                                   void **jitOptionsValues, unsigned int numJitOptions,
                                   CUlibraryOption *libraryOptions, void **libraryOptionValues,
                                   unsigned int numLibraryOptions)
{
    CALL(cuLibraryLoadData, library_load(library, code));
}

CUresult CUDAAPI cuLibraryLoadFromFile(CUlibrary *library, const char *fileName,
                                       CUjit_option *jitOptions, void **jitOptionsValues,
                                       unsigned int numJitOptions, CUlibraryOption *libraryOptions,
                                       void **libraryOptionValues, unsigned int numLibraryOptions)
{
    CALL(cuLibraryLoadFromFile,
         library ? from_file(fileName, NULL, library) : CUDA_ERROR_INVALID_VALUE);
}

CUresult CUDAAPI cuLibraryUnload(CUlibrary library)
{
    CALL(cuLibraryUnload, library_unload(library));
}

CUresult CUDAAPI cuLibraryGetKernel(CUkernel *pKernel, CUlibrary library, const char *name)
{
    twins_open();
    CALL(cuLibraryGetKernel, library_kernel(pKernel, library, name), "name=%s", name);
}

CUresult CUDAAPI cuKernelGetFunction(CUfunction *pFunc, CUkernel kernel)
{
    CALL(cuKernelGetFunction, kernel_function(pFunc, kernel));
}

CUresult CUDAAPI cuLibraryGetGlobal(CUdeviceptr *dptr, size_t *bytes, CUlibrary library,
                                    const char *name)
{
    CALL(cuLibraryGetGlobal, library_global(dptr, bytes, library, name), "name=%s", name);
}

CUresult CUDAAPI cuLibraryGetManaged(CUdeviceptr *dptr, size_t *bytes, CUlibrary library,
                                     const char *name)
{
    CALL(cuLibraryGetManaged, library_managed(dptr, bytes, library, name), "name=%s", name);
}

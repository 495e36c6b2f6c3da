/* SPDX-License-Identifier: MIT */
/*
 * Libraries a program loads at run time. Their kernels may be launched through the runtime like its
 * own, so each handle that leaves here is made known to image.c.
 */
#include "tests/simgpu/runtime/module/image.h"

#include <stddef.h>

cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                enum cudaJitOption *jitOptions, void **jitOptionsValues,
                                unsigned int numJitOptions, enum cudaLibraryOption *libraryOptions,
                                void **libraryOptionValues, unsigned int numLibraryOptions)
{
    cudaError_t status = driver_ready();

    return error_keep(status
                          ?: error_from(DRIVER(cuLibraryLoadData)(
                                 (CUlibrary *)library, code, (CUjit_option *)jitOptions,
                                 jitOptionsValues, numJitOptions, (CUlibraryOption *)libraryOptions,
                                 libraryOptionValues, numLibraryOptions)));
}

cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t *library, const char *fileName,
                                    enum cudaJitOption *jitOptions, void **jitOptionsValues,
                                    unsigned int numJitOptions,
                                    enum cudaLibraryOption *libraryOptions,
                                    void **libraryOptionValues, unsigned int numLibraryOptions)
{
    cudaError_t status = driver_ready();

    return error_keep(status
                          ?: error_from(DRIVER(cuLibraryLoadFromFile)(
                                 (CUlibrary *)library, fileName, (CUjit_option *)jitOptions,
                                 jitOptionsValues, numJitOptions, (CUlibraryOption *)libraryOptions,
                                 libraryOptionValues, numLibraryOptions)));
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library)
{
    cudaError_t status = driver_ready();

    return error_keep(status ?: error_from(DRIVER(cuLibraryUnload)((CUlibrary)library)));
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *pKernel, cudaLibrary_t library, const char *name)
{
    CUkernel kernel = NULL;
    cudaError_t status = pKernel ? driver_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess)
        status = error_from(DRIVER(cuLibraryGetKernel)(&kernel, (CUlibrary)library, name))
                     ?: image_kernel_remember(kernel);
    if (status == cudaSuccess)
        *pKernel = (cudaKernel_t)kernel;
    return error_keep(status);
}

cudaError_t cudaLibraryEnumerateKernels(cudaKernel_t *kernels, unsigned int numKernels,
                                        cudaLibrary_t lib)
{
    cudaError_t status = kernels ? driver_ready() : cudaErrorInvalidValue;

    if (status == cudaSuccess) {
        for (unsigned i = 0; i < numKernels; i++)
            kernels[i] = NULL;
        status = error_from(
            DRIVER(cuLibraryEnumerateKernels)((CUkernel *)kernels, numKernels, (CUlibrary)lib));
    }
    for (unsigned i = 0; status == cudaSuccess && i < numKernels && kernels[i]; i++)
        status = image_kernel_remember((CUkernel)kernels[i]);
    return error_keep(status);
}

/* SPDX-License-Identifier: MIT */
/*
 * variables CUBIN: queries of variables by module and by library.
 */
#include "tests/simgpu/tests/driver/support.h"

static int read_int(CUdeviceptr at)
{
    int value;

    OK(cuMemcpyDtoH(&value, at, sizeof value));
    return value;
}

static void test_module(const char *path)
{
    CUmodule module, other;
    CUdeviceptr at, again;
    size_t bytes;

    OK(cuModuleLoad(&module, path));
    OK(cuModuleLoad(&other, path));
    OK(cuModuleGetGlobal(&at, &bytes, module, "plain"));
    CHECK(bytes == 4 * sizeof(int) && read_int(at) == 0);
    OK(cuMemsetD32(at, 3, 4));
    OK(cuModuleGetGlobal(&again, NULL, module, "plain"));
    CHECK(again == at);
    OK(cuModuleGetGlobal(&again, NULL, other, "plain"));
    CHECK(again != at && read_int(again) == 0);
    OK(cuModuleGetGlobal(&at, &bytes, module, "begun"));
    CHECK(bytes == 3 * sizeof(int) && read_int(at + 2 * sizeof(int)) == 7);
    OK(cuModuleGetGlobal(NULL, &bytes, module, "factor"));
    CHECK(bytes == sizeof(float));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(at));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal(&at, &bytes, module, "nothing"));
    OK(cuModuleUnload(module));
    OK(cuModuleUnload(other));
}

static void test_library(const char *path)
{
    CUlibrary library;
    CUdeviceptr at;
    size_t bytes;
    int managed = 0;

    OK(cuLibraryLoadFromFile(&library, path, NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetManaged(&at, &bytes, library, "shared_begun"));
    CHECK(bytes == sizeof(int) && *(int *)at == 9);
    OK(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, at));
    CHECK(managed);
    *(int *)at = 10;
    CHECK(read_int(at) == 10);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(at));
    OK(cuLibraryGetManaged(&at, &bytes, library, "shared_count"));
    CHECK(*(int *)at == 0);
    EXPECT(CUDA_ERROR_NOT_FOUND, cuLibraryGetManaged(&at, &bytes, library, "plain"));
    OK(cuLibraryGetGlobal(&at, &bytes, library, "begun"));
    CHECK(read_int(at) == 5);
    OK(cuLibraryUnload(library));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    start();
    test_module(argv[1]);
    test_library(argv[1]);
    return 0;
}

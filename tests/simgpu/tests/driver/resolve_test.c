/* SPDX-License-Identifier: MIT */
/*
 * cuGetProcAddress: versions, per-thread twins, both of its own forms.
 */
#define __CUDA_API_VERSION_INTERNAL
#include "tests/simgpu/tests/driver/support.h"

static CUdriverProcAddressQueryResult status;

static void *ask(const char *name, int version, cuuint64_t flags)
{
    void *found = &status;
    CUresult result = cuGetProcAddress_v2(name, &found, version, flags, &status);

    CHECK((result == CUDA_SUCCESS) == (status == CU_GET_PROC_ADDRESS_SUCCESS));
    if (result != CUDA_SUCCESS) {
        CHECK(result == CUDA_ERROR_NOT_FOUND);
        return NULL;
    }
    return found;
}

static void same(const char *name, int version, cuuint64_t flags, const char *exported)
{
    void *expected = dlsym(RTLD_DEFAULT, exported);
    void *found = ask(name, version, flags);

    if (!expected || found != expected) {
        fprintf(stderr, "%s at %d, flags %llu: not %s\n", name, version, (unsigned long long)flags,
                exported);
        exit(1);
    }
}

int main(void)
{
    const cuuint64_t per_thread = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    int version;

    OK(cuDriverGetVersion(&version));
    same("cuMemAlloc", 12000, 0, "cuMemAlloc_v2");
    same("cuMemAlloc", 3020, 0, "cuMemAlloc_v2");
    same("cuMemFree", 13000, 0, "cuMemFree_v2");
    same("cuInit", 2000, 0, "cuInit");
    same("cuCtxCreate", 3020, 0, "cuCtxCreate_v2");
    same("cuCtxCreate", 11040, 0, "cuCtxCreate_v3");
    same("cuMemcpyHtoD", 12000, 0, "cuMemcpyHtoD_v2");
    same("cuMemcpyHtoD", 12000, per_thread, "cuMemcpyHtoD_v2_ptds");
    same("cuMemcpyAsync", 12000, per_thread, "cuMemcpyAsync_ptsz");
    same("cuStreamQuery", 12000, per_thread, "cuStreamQuery_ptsz");
    same("cuMemAlloc", 12000, per_thread, "cuMemAlloc_v2"); /* no twin */
    same("cuStreamBeginCapture", 10000, 0, "cuStreamBeginCapture");
    same("cuStreamBeginCapture", 10010, 0, "cuStreamBeginCapture_v2");
    same("cuStreamGetCaptureInfo", 10010, 0, "cuStreamGetCaptureInfo");
    same("cuStreamGetCaptureInfo", 11030, 0, "cuStreamGetCaptureInfo_v2");
    same("cuGraphInstantiate", 12000, 0, "cuGraphInstantiateWithFlags");
    same("cuGetProcAddress", 11030, 0, "cuGetProcAddress");
    same("cuGetProcAddress", 12000, 0, "cuGetProcAddress_v2");
    if (version >= 13000) {
        same("cuCtxGetDevice", 12000, 0, "cuCtxGetDevice");
        same("cuCtxGetDevice", 13000, 0, "cuCtxGetDevice_v2");
        same("cuCtxSynchronize", 13000, 0, "cuCtxSynchronize_v2");
        same("cuEventElapsedTime", 13000, 0, "cuEventElapsedTime_v2");
        same("cuCtxCreate", 13000, 0, "cuCtxCreate_v4");
        same("cuStreamGetCaptureInfo", 13000, per_thread, "cuStreamGetCaptureInfo_v3_ptsz");
    }
    CHECK(!ask("cuNoSuchCall", 12000, 0));
    CHECK(status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    CHECK(!ask("cuMemAllocAsync", 11000, 0));
    CHECK(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);

    /* The four-argument form of 11.3 answers the same. */
    void *old = NULL;
    OK(cuGetProcAddress("cuMemAlloc", &old, 11030, 0));
    CHECK(old == dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"));
    EXPECT(CUDA_ERROR_NOT_FOUND, cuGetProcAddress("cuNoSuchCall", &old, 11030, 0));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGetProcAddress_v2(NULL, &old, 12000, 0, &status));
    return 0;
}

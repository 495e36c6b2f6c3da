/* SPDX-License-Identifier: MIT */
/*
 * Calls of virtual memory management on ordinary memory fail as natively, and its attributes are
 * those of ordinary memory.
 */
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

static void report(const char *step, CUresult result)
{
    const char *name = "?";

    DRIVER(cuGetErrorName)(result, &name);
    printf("  %s: %s\n", step, name);
}

static void mapping_calls(CUdeviceptr at, size_t bytes)
{
    CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
    CUmemAccessDesc none = {.location = here, .flags = CU_MEM_ACCESS_FLAGS_PROT_NONE};
    CUmemGenericAllocationHandle handle = 0;
    unsigned long long flags = 77;

    report("its handle", DRIVER(cuMemRetainAllocationHandle)(&handle, (void *)(uintptr_t)at));
    report("its access", DRIVER(cuMemGetAccess)(&flags, &here, at));
    report("access taken", DRIVER(cuMemSetAccess)(at, bytes, &none, 1));
    report("unmapped", DRIVER(cuMemUnmap)(at, bytes));
    report("addresses freed", DRIVER(cuMemAddressFree)(at, bytes));
    printf("  %d %llu\n", handle != 0, flags);
}

static void attribute(const char *name, CUpointer_attribute which, CUdeviceptr at, uint64_t minus)
{
    uint64_t value = 0;
    CUresult result = DRIVER(cuPointerGetAttribute)(&value, which, at);

    report(name, result);
    printf("  %llu\n", (unsigned long long)(value - minus));
}

static void attributes(CUdeviceptr at)
{
    CUcontext current = NULL, told = NULL;

    DRIVER(cuCtxGetCurrent)(&current);
    report("context", DRIVER(cuPointerGetAttribute)(&told, CU_POINTER_ATTRIBUTE_CONTEXT, at));
    printf("  %s\n", told == current ? "the current one" : told ? "another" : "none");
    attribute("handle types", CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, at, 0);
    attribute("mapped", CU_POINTER_ATTRIBUTE_MAPPED, at, 0);
    attribute("device", CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, at, 0);
    attribute("access", CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, at, 0);
    attribute("type", CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at, 0);
    attribute("managed", CU_POINTER_ATTRIBUTE_IS_MANAGED, at, 0);
    attribute("RDMA", CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE, at, 0);
    attribute("pool", CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, at, 0);
}

static void all_attributes(CUdeviceptr at)
{
    CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_CONTEXT,
                                   CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES,
                                   CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    CUcontext current = NULL, told = NULL;
    uint64_t types = 77;
    size_t bytes = 0;
    void *data[] = {&told, &types, &bytes};

    DRIVER(cuCtxGetCurrent)(&current);
    report("at once", DRIVER(cuPointerGetAttributes)(3, names, data, at));
    printf("  %d %d %zu\n", told == current, (int)types, bytes);
}

int program_not_mapped(const char *self, const char *route, const char *argument)
{
    static const size_t sizes[] = {1000, 100000, 3 << 20, 20 << 20};

    route_start();
    route_free(NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        void *block = NULL;

        printf("%zu bytes\n", sizes[i]);
        route_report("allocate", route_allocate(&block, sizes[i]));
        route_report("fill", route_fill(block, 7, sizes[i]));
        CUdeviceptr at = (CUdeviceptr)(uintptr_t)block;
        mapping_calls(at, sizes[i]);
        mapping_calls(at / (2 << 20) * (2 << 20), 2 << 20);
        mapping_calls(at + sizes[i] / 2, 2 << 20);
        attributes(at);
        attributes(at + sizes[i] - 1);
        all_attributes(at + sizes[i] / 2);
        printf("wrong bytes: %d\n", route_wrong_bytes(block, 7, sizes[i]));
        route_report("free", route_free(block));
        mapping_calls(at, sizes[i]);
        attribute("context of what was freed", CU_POINTER_ATTRIBUTE_CONTEXT, at, 0);
    }
    return 0;
}

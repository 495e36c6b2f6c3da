/* SPDX-License-Identifier: MIT */
/*
 * Physical memory stays until its last handle and its last mapping are gone, in any order: released
 * at once and mapped, mapped twice, in parts of a range, unmapped by one call, retained by address,
 * exported and imported, on another thread.
 */
#include <pthread.h>

#include "held.h"

static CUdeviceptr range;

static CUresult map(size_t page, size_t pages, CUmemGenericAllocationHandle handle)
{
    return DRIVER(cuMemMap)(range + page * PAGE, pages * PAGE, 0, handle, 0);
}

static CUresult unmap(size_t page, size_t pages)
{
    return DRIVER(cuMemUnmap)(range + page * PAGE, pages * PAGE);
}

static void orders(void)
{
    CUmemGenericAllocationHandle handle = physical_make(4);

    held("made");
    report("release", DRIVER(cuMemRelease)(handle));
    held("released");

    handle = physical_make(4);
    report("map", map(0, 4, handle));
    report("release", DRIVER(cuMemRelease)(handle));
    held("mapped and released");
    report("release again", DRIVER(cuMemRelease)(handle) ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS);
    held("still mapped");
    report("unmap", unmap(0, 4));
    held("unmapped");

    handle = physical_make(4);
    report("map", map(0, 4, handle));
    report("unmap", unmap(0, 4));
    held("unmapped, not released");
    report("map", map(8, 4, handle));
    report("unmap", unmap(8, 4));
    report("release", DRIVER(cuMemRelease)(handle));
    held("released");
}

static void twice(void)
{
    CUmemGenericAllocationHandle handle = physical_make(3);

    report("map", map(0, 3, handle));
    report("map again", map(10, 3, handle));
    report("release", DRIVER(cuMemRelease)(handle));
    held("mapped twice");
    report("unmap", unmap(0, 3));
    held("mapped once");
    report("unmap", unmap(10, 3));
    held("unmapped");
}

static void many(void)
{
    for (size_t i = 0; i < 16; i++) {
        CUmemGenericAllocationHandle handle = physical_make(1 + i % 2);

        report("map", map(8 + 2 * i, 1 + i % 2, handle));
        report("release", DRIVER(cuMemRelease)(handle));
    }
    held("sixteen with holes");
    report("across a hole", unmap(8, 2) ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS);
    for (size_t i = 0; i < 16; i += 2) {
        CUmemGenericAllocationHandle handle = physical_make(1);

        report("map", map(9 + 2 * i, 1, handle));
        report("release", DRIVER(cuMemRelease)(handle));
    }
    held("without holes");
    report("unmap some", unmap(8, 5));
    held("some less");
    report("unmap the rest", unmap(13, 27));
    held("all unmapped");
}

static void asked(void)
{
    CUmemGenericAllocationHandle handle = physical_make(4), again = 0;

    report("map", map(20, 4, handle));
    report("release", DRIVER(cuMemRelease)(handle));
    report("ask", DRIVER(cuMemRetainAllocationHandle)(&again, (void *)(range + 23 * PAGE + 5)));
    report("unmap", unmap(20, 4));
    held("a handle left");
    report("map", map(0, 4, again));
    report("release", DRIVER(cuMemRelease)(again));
    held("mapped again");
    report("unmap", unmap(0, 4));
    held("unmapped");
}

static void shared(void)
{
    CUmemAllocationProp properties = physical_of(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    CUmemGenericAllocationHandle handle = 0, imported = 0;
    int file = -1;

    properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    report("create", DRIVER(cuMemCreate)(&handle, 5 * PAGE, &properties, 0));
    report("export", DRIVER(cuMemExportToShareableHandle)(
                         &file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    int other = dup(file);
    close(file);
    report("import",
           DRIVER(cuMemImportFromShareableHandle)(&imported, (void *)(intptr_t)other,
                                                  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    close(other);
    held("imported");
    report("release", DRIVER(cuMemRelease)(handle));
    held("released where it was made");
    report("map", map(0, 5, imported));
    report("release", DRIVER(cuMemRelease)(imported));
    held("mapped");
    report("unmap", unmap(0, 5));
    held("unmapped");
}

static void *elsewhere(void *result)
{
    *(CUresult *)result = unmap(0, 2);
    return NULL;
}

static void by_another_thread(void)
{
    CUmemGenericAllocationHandle handle = physical_make(2);
    CUresult result = CUDA_ERROR_UNKNOWN;
    pthread_t thread;

    report("map", map(0, 2, handle));
    report("release", DRIVER(cuMemRelease)(handle));
    pthread_create(&thread, NULL, elsewhere, &result);
    pthread_join(thread, NULL);
    report("unmap", result);
    held("by another thread");
}

int program_held_physical(const char *self, const char *route, const char *argument)
{
    held_start();
    report("reserve", DRIVER(cuMemAddressReserve)(&range, RANGE, 0, 0, 0));
    held("reserved");
    orders();
    twice();
    many();
    asked();
    shared();
    by_another_thread();
    report("free", DRIVER(cuMemAddressFree)(range, RANGE));
    held("in the end");
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Virtual memory management: reserve, create, map, access, alias, share.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <sys/resource.h>
#include <unistd.h>

static CUmemAllocationProp prop(bool shared)
{
    return (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .requestedHandleTypes = shared ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
                                       : CU_MEM_HANDLE_TYPE_NONE,
        .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
}

static void allow(CUdeviceptr at, size_t bytes)
{
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

    OK(cuMemSetAccess(at, bytes, &access, 1));
}

static unsigned read_one(CUdeviceptr at)
{
    unsigned value;

    OK(cuMemcpyDtoH(&value, at, sizeof value));
    return value;
}

/* More pieces that may be exported than the program may have files: these are all still its own. */
static void descriptors_are_the_programs(size_t grain)
{
    enum { FILES = 64 };
    CUmemAllocationProp shared = prop(true);
    CUmemGenericAllocationHandle pieces[2 * FILES];
    struct rlimit before, limit, after;
    int first, fd;
    CHECK(!getrlimit(RLIMIT_NOFILE, &before));
    limit = (struct rlimit){FILES, before.rlim_max};
    if (before.rlim_cur < FILES || limit.rlim_cur == limit.rlim_max ||
        setrlimit(RLIMIT_NOFILE, &limit))
        return;
    first = dup(0);
    CHECK(first >= 0);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        OK(cuMemCreate(&pieces[i], grain, &shared, 0));
    CHECK(!getrlimit(RLIMIT_NOFILE, &after) && after.rlim_cur == FILES);
    fd = dup(0);
    CHECK(fd == first + 1);
    close(fd);
    OK(cuMemExportToShareableHandle(&fd, pieces[2 * FILES - 1],
                                    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    CHECK(fd >= 0 && fd < FILES);
    close(fd);
    close(first);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        OK(cuMemRelease(pieces[i]));
    CHECK(!setrlimit(RLIMIT_NOFILE, &before));
}

int main(void)
{
    CUmemAllocationProp plain = prop(false), shared = prop(true);
    CUmemGenericAllocationHandle a, b, again, imported;
    CUdeviceptr range, base;
    size_t grain, bytes;

    start();
    OK(cuMemGetAllocationGranularity(&grain, &plain, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    CHECK(grain && !(grain & (grain - 1)));
    size_t before = free_bytes();

    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&a, grain + 1, &plain, 0));
    OK(cuMemCreate(&a, grain, &plain, 0));
    OK(cuMemCreate(&b, grain, &shared, 0));
    CHECK(free_bytes() <= before - 2 * grain);
    OK(cuMemAddressReserve(&range, 4 * grain, 0, 0, 0));
    CHECK(free_bytes() <= before - 2 * grain);

    /* Mapping needs a reservation that nothing is mapped to; the offset is zero. */
    OK(cuMemMap(range, grain, 0, a, 0));
    FAILS(cuMemMap(range, grain, 0, b, 0));
    FAILS(cuMemMap(range + 4 * grain, grain, 0, b, 0));
    OK(cuMemMap(range + grain, grain, 0, b, 0));
    allow(range, 2 * grain);
    OK(cuMemsetD32(range, 1, 2 * grain / 4));
    CHECK(read_one(range + grain) == 1);

    /* The same memory at a second address. */
    OK(cuMemMap(range + 2 * grain, grain, 0, a, 0));
    allow(range + 2 * grain, grain);
    OK(cuMemsetD32(range + 2 * grain, 7, 1));
    CHECK(read_one(range) == 7);

    OK(cuMemGetAddressRange(&base, &bytes, range + grain + 8));
    CHECK(range <= base && base + bytes <= range + 4 * grain);
    unsigned long long flags;
    CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    OK(cuMemGetAccess(&flags, &here, range));
    CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    OK(cuMemRetainAllocationHandle(&again, (void *)(range + grain)));
    CUmemAllocationProp told;
    OK(cuMemGetAllocationPropertiesFromHandle(&told, again));
    CHECK(told.location.id == 0 && told.type == CU_MEM_ALLOCATION_TYPE_PINNED);
    OK(cuMemRelease(again));

    /* A handle may go before its mappings; the memory stays until they go, too. */
    OK(cuMemRelease(a));
    CHECK(read_one(range) == 7);
    OK(cuMemUnmap(range, grain));
    CHECK(read_one(range + 2 * grain) == 7);
    CHECK(free_bytes() <= before - 2 * grain);
    OK(cuMemUnmap(range + 2 * grain, grain));
    CHECK(free_bytes() <= before - grain);
    CHECK(free_bytes() > before - 2 * grain);

    /* Not exportable, and through a descriptor. */
    int fd;
    OK(cuMemCreate(&a, grain, &plain, 0));
    FAILS(cuMemExportToShareableHandle(&fd, a, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemRelease(a));
    OK(cuMemExportToShareableHandle(&fd, b, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    close(fd);
    OK(cuMemMap(range, grain, 0, imported, 0));
    allow(range, grain);
    OK(cuMemsetD32(range, 42, 1));
    CHECK(read_one(range + grain) == 42);

    /* VMM memory is not for legacy IPC, nor for cuMemFree. */
    CUipcMemHandle handle;
    FAILS(cuIpcGetMemHandle(&handle, range));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(range));

    FAILS(cuMemAddressFree(range, 4 * grain));
    OK(cuMemUnmap(range, grain));
    OK(cuMemUnmap(range + grain, grain));
    FAILS(cuMemUnmap(range + grain, grain));
    OK(cuMemRelease(imported));
    OK(cuMemRelease(b));
    OK(cuMemAddressFree(range, 4 * grain));
    CHECK(free_bytes() == before);

    descriptors_are_the_programs(grain);
    CHECK(free_bytes() == before);

    /* One mapping of several pages is unmapped whole. */
    OK(cuMemCreate(&a, 2 * grain, &plain, 0));
    OK(cuMemAddressReserve(&range, 2 * grain, 0, 0, 0));
    FAILS(cuMemMap(range, grain, grain, a, 0));
    OK(cuMemMap(range, 2 * grain, 0, a, 0));
    FAILS(cuMemUnmap(range, grain));
    OK(cuMemUnmap(range, 2 * grain));
    OK(cuMemRelease(a));

    /* Work on memory that is not mapped breaks the context, and it stays broken. */
    OK(cuMemCreate(&a, grain, &plain, 0));
    OK(cuMemMap(range, grain, 0, a, 0));
    if (simulated()) {
        CUstream stream;

        OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
        allow(range, grain);
        hold(stream);
        OK(cuMemsetD8Async(range, 1, grain, stream));
        OK(cuMemUnmap(range, grain));
        release(stream);
        EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
        CUdeviceptr more;
        EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc(&more, 16));
        EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    }
    return 0;
}

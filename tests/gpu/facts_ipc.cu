/* SPDX-License-Identifier: MIT */
/*
 * Facts of legacy IPC: whether the handle of an interior pointer, or of a neighbour in the same
 * segment, equals that of the base; and results for mapped memory. Opening needs a second process
 * and is not tried here.
 */
#include "tests/gpu/facts.h"

#include <string.h>

static cudaIpcMemHandle_t handle_of(const char *name, void *address, cudaError_t *ret_error)
{
    cudaIpcMemHandle_t handle;
    memset(&handle, 0, sizeof(handle));
    *ret_error = cudaIpcGetMemHandle(&handle, address);
    json_error(name, *ret_error);
    return handle;
}

static void write_same(const char *name, const cudaIpcMemHandle_t *a, const cudaIpcMemHandle_t *b)
{
    json_flag(name, memcmp(a, b, sizeof(*a)) == 0);
}

static void write_mapped(void)
{
    CUmemAllocationProp properties;
    CUmemGenericAllocationHandle handle = 0;
    CUipcMemHandle ipc;
    CUdeviceptr range = 0, opened = 0;
    size_t page = (size_t)2 << 20;
    memset(&properties, 0, sizeof(properties));
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    FACT_EXPECT(cuMemAddressReserve(&range, page, 0, 0, 0));
    FACT_EXPECT(cuMemCreate(&handle, page, &properties, 0));
    FACT_EXPECT(cuMemMap(range, page, 0, handle, 0));
    json_result("of_mapped_memory", cuIpcGetMemHandle(&ipc, range));
    memset(&ipc, 7, sizeof(ipc));
    json_result("open_of_other_bytes",
                cuIpcOpenMemHandle(&opened, ipc, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    json_result("close_of_an_odd_address", cuIpcCloseMemHandle(range + 1));
    FACT_EXPECT(cuMemUnmap(range, page));
    FACT_EXPECT(cuMemRelease(handle));
    FACT_EXPECT(cuMemAddressFree(range, page));
}

void facts_ipc(void)
{
    char *large = NULL, *small = NULL, *neighbour = NULL, *async = NULL;
    cudaError_t error;
    FACT_EXPECT(cudaMalloc(&large, 4 << 20));
    FACT_EXPECT(cudaMalloc(&small, 512));
    FACT_EXPECT(cudaMalloc(&neighbour, 512));
    FACT_EXPECT(cudaMallocAsync(&async, 4 << 20, cudaStreamPerThread));
    json_open("ipc", '{');
    cudaIpcMemHandle_t base = handle_of("of_base", large, &error);
    cudaIpcMemHandle_t again = handle_of("of_base_again", large, &error);
    cudaIpcMemHandle_t inside = handle_of("of_interior", large + (3 << 20), &error);
    cudaIpcMemHandle_t first = handle_of("of_small", small, &error);
    cudaIpcMemHandle_t second = handle_of("of_neighbour", neighbour, &error);
    (void)handle_of("of_stream_ordered", async, &error);
    write_mapped();
    write_same("again_equals_base", &base, &again);
    write_same("interior_equals_base", &base, &inside);
    write_same("neighbour_equals_small", &first, &second);
    json_close('}');
    (void)cudaGetLastError();
    for (void *block : {large, small, neighbour, async})
        FACT_EXPECT(cudaFree(block));
}

/* SPDX-License-Identifier: MIT */
/*
 * Devices as backends of a tensor cache: the memory manager first; the driver alone as a last
 * resort.
 */
#include <errno.h>

#include "engine/device.h"
#include "include/cupool/memory.h"
#include "pool/tensor/tensor.h"

static int tensor_allocate(void *state, size_t bytes, tensor_stream stream, uint64_t *ret_address)
{
    void *memory = NULL;
    int error = cupool_memory_allocate(state, bytes, stream, &memory);

    if (error == 0)
        *ret_address = (uintptr_t)memory;
    return error;
}

static void tensor_free(void *state, uint64_t address, tensor_stream stream)
{
    cupool_memory_free(state, (void *)(uintptr_t)address, stream);
}

static void tensor_relieve(void *state)
{
    size_t returned;

    cupool_memory_trim(state, 0, &returned);
}

static int tensor_plain_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    return device_memory_allocate(state, bytes, ret_address);
}

static void tensor_plain_free(void *state, uint64_t address, size_t bytes)
{
    device_memory_free(state, address, bytes);
}

static struct tensor_backend tensor_backend(struct cupool_device *device)
{
    const struct kv_backend fences = device_kv_backend(device);

    return (struct tensor_backend){
        .state = device,
        .allocate = tensor_allocate,
        .free = tensor_free,
        .relieve = tensor_relieve,
        .plain_allocate = tensor_plain_allocate,
        .plain_free = tensor_plain_free,
        .fence_record = fences.fence_record,
        .fence_query = fences.fence_query,
        .fence_release = fences.fence_release,
        .stream_wait = fences.stream_wait,
    };
}

int cupool_tensors_create(const struct cupool_tensors_config *config,
                          struct cupool_tensors **ret_cache)
{
    struct tensor_backend backends[CUPOOL_TENSOR_DEVICES_MAX];

    if (!config || !ret_cache || !config->devices ||
        config->device_count > CUPOOL_TENSOR_DEVICES_MAX)
        return -EINVAL;
    for (uint32_t at = 0; at < config->device_count; at++) {
        if (!config->devices[at])
            return -EINVAL;
        backends[at] = tensor_backend(config->devices[at]);
    }
    return tensors_create(config, backends, ret_cache);
}

/* SPDX-License-Identifier: MIT */
/*
 * The functions that PyTorch's CUDAPluggableAllocator takes: one device each, opened when it is
 * first asked for and never closed, for PyTorch frees until the process ends.
 */
#include <pthread.h>
#include <stddef.h>

#include "include/cupool/memory.h"

#define DEVICES 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cupool_device *devices[DEVICES]; /* guarded by lock */

static struct cupool_device *device_of(int index)
{
    struct cupool_device *device = NULL;

    if (index < 0 || index >= DEVICES)
        return NULL;
    pthread_mutex_lock(&lock);
    if (!devices[index] && cupool_device_open(index, &devices[index]) < 0)
        devices[index] = NULL;
    device = devices[index];
    pthread_mutex_unlock(&lock);
    return device;
}

void *cupool_torch_malloc(size_t bytes, int device, cupool_stream stream)
{
    struct cupool_device *opened = device_of(device);
    void *memory = NULL;

    if (!opened || cupool_memory_allocate(opened, bytes, stream, &memory) < 0)
        return NULL;
    return memory;
}

void cupool_torch_free(void *memory, size_t bytes, int device, cupool_stream stream)
{
    struct cupool_device *opened = device_of(device);

    if (opened)
        cupool_memory_free(opened, memory, stream);
}

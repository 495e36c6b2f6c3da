/* SPDX-License-Identifier: MIT */
/*
 * A device that provides memory and KV blocks: a GPU, or plain host memory behind the same
 * interface.
 *
 * cupool_device_open() loads the driver at run time (libcuda.so.1), so a program linked with
 * libcupool-engine starts without one. Memory comes from the process's cuMemAlloc: a preloaded
 * libcupool.so serves, limits and records it like any other allocation.
 *
 * Rules for all headers of this folder: functions return 0 or a negative errno, and leave an error
 * message with the object. Outputs come last and are written on success only. Sizes are bytes,
 * times nanoseconds. Functions are thread-safe unless they say otherwise. Callbacks run outside
 * every lock. Destructors accept NULL.
 */
#ifndef CUPOOL_DEVICE_H
#define CUPOOL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUPOOL_API __attribute__((visibility("default")))

/** A CUstream or cudaStream_t; NULL is the default stream that all threads share. Before a stream
 * is destroyed, its work must have ended: its handle may come back as that of another. */
typedef void *cupool_stream;

/** cudaStreamPerThread: the calling thread's own default stream. What is freed on it is waited for
 * as work of another stream, also by itself; an asynchronous request takes it for no stream. */
#define CUPOOL_STREAM_PER_THREAD ((cupool_stream)(uintptr_t)2)

/** No stream: the caller has waited for the device work, or there was none. */
#define CUPOOL_STREAM_NONE ((cupool_stream) ~(uintptr_t)0)

struct cupool_device;

enum cupool_device_kind { CUPOOL_DEVICE_HOST, CUPOOL_DEVICE_GPU };

struct cupool_device_statistics {
    enum cupool_device_kind kind;
    int index;                        /* of the GPU; -1: host memory */
    int preloaded;                    /* 1: libcupool.so serves the allocations of this process */
    uint64_t free_bytes, total_bytes; /* as the driver or the system says */
    uint64_t allocations, frees;      /* driver calls made through this object */
    uint64_t current_bytes;           /* allocated through this object now */
    uint64_t peak_bytes;
};

/**
 * Opens GPU `index`. Uses the calling thread's current context if it belongs to that GPU;
 * otherwise retains the GPU's primary context until the device is closed. Errors: -ENOENT no
 * driver library; -ENODEV no such GPU; -ENOSYS the driver lacks a function; -EIO the driver
 * refused; -ENOMEM.
 */
CUPOOL_API int cupool_device_open(int index, struct cupool_device **ret_device);

/** Opens host memory as a device. Streams are accepted and ignored: work is done at once. */
CUPOOL_API int cupool_device_host(struct cupool_device **ret_device);

/** Closes a device. Pools and memory on it must be gone. */
CUPOOL_API void cupool_device_close(struct cupool_device *device);

CUPOOL_API enum cupool_device_kind cupool_device_kind(const struct cupool_device *device);

/** Returns the message of the last error on this device; "" if there was none. */
CUPOOL_API const char *cupool_device_error(const struct cupool_device *device);

CUPOOL_API int cupool_device_stats(struct cupool_device *device,
                                   struct cupool_device_statistics *ret_stats);

/** Creates a stream that does not synchronize with the default stream; NULL on host memory. */
CUPOOL_API int cupool_device_stream_create(struct cupool_device *device, cupool_stream *ret_stream);
CUPOOL_API int cupool_device_stream_destroy(struct cupool_device *device, cupool_stream stream);

/** Waits for the work of a stream; CUPOOL_STREAM_NONE: for that of the whole context. */
CUPOOL_API int cupool_device_wait(struct cupool_device *device, cupool_stream stream);

/** Copies between any two addresses that the device can access, in stream order. With
 * CUPOOL_STREAM_NONE the copy is complete on return. */
CUPOOL_API int cupool_device_copy(struct cupool_device *device, void *to, const void *from,
                                  size_t bytes, cupool_stream stream);

/** Sets `bytes` bytes to `value`, in stream order as cupool_device_copy(). */
CUPOOL_API int cupool_device_fill(struct cupool_device *device, void *address, uint8_t value,
                                  size_t bytes, cupool_stream stream);

/** Host memory that the device copies from and to without staging (page-locked on a GPU). */
CUPOOL_API int cupool_device_host_allocate(struct cupool_device *device, size_t bytes,
                                           void **ret_memory);
CUPOOL_API int cupool_device_host_free(struct cupool_device *device, void *memory);

/** Version of the library, such as "0.1.0". */
CUPOOL_API const char *cupool_engine_version(void);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A device that memory and KV blocks come from: a GPU, or plain host memory with the same
 * interface.
 *
 * cupool_device_open() finds the driver at run time (libcuda.so.1), so a program that links
 * libcupool-engine starts without one. Memory goes through cuMemAlloc of the process: a preloaded
 * libcupool.so serves, limits and records it like any other.
 *
 * Rules of every header of this folder: functions return 0 or a negative errno and leave a text of
 * the error with the object; outputs come last and are written on success only; sizes are bytes,
 * times nanoseconds; functions are thread-safe unless they say otherwise; callbacks run outside
 * every lock; destructors accept NULL.
 */
#ifndef CUPOOL_DEVICE_H
#define CUPOOL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUPOOL_API __attribute__((visibility("default")))

/** A CUstream or cudaStream_t; NULL is the default stream of CUDA. */
typedef void *cupool_stream;

/** No device work is involved: the caller has waited for it, or there was none. */
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
 * Opens GPU `index`: the calling thread's current context if it is one of that GPU, else the GPU's
 * primary context, which is retained until the device is closed.
 * Errors: -ENOENT no driver library; -ENODEV no such GPU; -ENOSYS the driver lacks a function;
 * -EIO the driver refused; -ENOMEM.
 */
CUPOOL_API int cupool_device_open(int index, struct cupool_device **ret_device);

/** Opens host memory as a device. Streams are accepted and mean nothing: work is done at once. */
CUPOOL_API int cupool_device_host(struct cupool_device **ret_device);

/** Closes a device. Pools and memory on it must be gone. */
CUPOOL_API void cupool_device_close(struct cupool_device *device);

CUPOOL_API enum cupool_device_kind cupool_device_kind(const struct cupool_device *device);

/** Text of the last error on this device; "" if there was none. */
CUPOOL_API const char *cupool_device_error(const struct cupool_device *device);

CUPOOL_API int cupool_device_stats(struct cupool_device *device,
                                   struct cupool_device_statistics *ret_stats);

/** Makes a stream that does not wait for the default stream; on host memory NULL. */
CUPOOL_API int cupool_device_stream_create(struct cupool_device *device, cupool_stream *ret_stream);
CUPOOL_API int cupool_device_stream_destroy(struct cupool_device *device, cupool_stream stream);

/** Waits for the work of a stream; CUPOOL_STREAM_NONE: of the whole context. */
CUPOOL_API int cupool_device_wait(struct cupool_device *device, cupool_stream stream);

/** Copies between any two addresses that the device can reach, ordered on the stream. With
 * CUPOOL_STREAM_NONE the copy is done when the function returns. */
CUPOOL_API int cupool_device_copy(struct cupool_device *device, void *to, const void *from,
                                  size_t bytes, cupool_stream stream);

/** Sets `bytes` bytes to `value`, ordered as cupool_device_copy(). */
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

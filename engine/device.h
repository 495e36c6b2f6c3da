/* SPDX-License-Identifier: MIT */
/*
 * Internals of a device, for the files of the engine.
 *
 * Driver calls are wrapped in device_enter() and device_leave(), which make the device's context
 * current and restore the thread's previous one.
 *
 * Threading: fields are constant after opening unless they say otherwise.
 */
#ifndef ENGINE_DEVICE_H
#define ENGINE_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/work_marks.h"
#include "include/cupool/device.h"
#include "kernels/device/driver.h"
#include "pool/kv/backend.h"

#define DEVICE_EVENTS 256

struct memory_manager;
struct host_region;

struct cupool_device {
    enum cupool_device_kind kind;
    int index;
    const struct driver_table *driver; /* NULL: host memory */
    CUcontext context;
    CUdevice device;
    bool retained; /* the primary context */
    bool preloaded;
    CUstream own; /* for work that the caller gives no stream */
    _Atomic(const char *) error;
    _Atomic uint64_t allocations, frees, current_bytes, peak_bytes;

    pthread_mutex_t events_lock;
    CUevent events[DEVICE_EVENTS]; /* kept for reuse; guarded by events_lock */
    unsigned event_count;

    pthread_mutex_t host_lock;
    struct host_region *host_regions; /* host_memory.c; guarded by host_lock */

    struct work_marks marks; /* of what freed memory waits for */

    pthread_mutex_t memory_lock;             /* guards the creation of the manager */
    _Atomic(struct memory_manager *) memory; /* memory.c; NULL until first used */
};

int device_fail(struct cupool_device *device, int error, const char *text);

/** Makes the device's context current. On host memory it does nothing and returns 0. */
int device_enter(struct cupool_device *device);
void device_leave(struct cupool_device *device);

/** Enters for calls that are unsafe while anything captures, such as querying an event. It also
 * relaxes the thread's capture mode, so that these calls do not break captures of the program. */
int device_enter_relaxed(struct cupool_device *device, CUstreamCaptureMode *ret_mode);
void device_leave_relaxed(struct cupool_device *device, CUstreamCaptureMode mode);

/** Allocates memory from the driver, or from the system; counted. */
int device_memory_allocate(struct cupool_device *device, size_t bytes, uint64_t *ret_address);
int device_memory_free(struct cupool_device *device, uint64_t address, size_t bytes);

/** Returns an event, new or reused; -EIO. The context must be current. */
int device_event_take(struct cupool_device *device, CUevent *ret_event);
void device_event_give(struct cupool_device *device, CUevent event);

/** Backend operations of a KV pool on this device. */
struct kv_backend device_kv_backend(struct cupool_device *device);

/** Unregisters and frees what remains of cupool_host_allocate() and cupool_host_register(). */
void host_regions_end(struct cupool_device *device);

/** Destroys the memory manager, if there is one. */
void memory_manager_end(struct cupool_device *device);

#endif

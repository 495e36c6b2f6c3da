/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of observer.h: what its parts call when something has happened. Each costs one
 * load while nobody observes.
 */
#ifndef SIMGPU_DRIVER_BASE_OBSERVED_H
#define SIMGPU_DRIVER_BASE_OBSERVED_H

#include "tests/simgpu/driver/base/driver.h"

#include "tests/simgpu/driver/base/observer.h"

struct allocation;
struct device;

extern _Atomic bool observed;
/** The return address of the entry point this thread is in. */
extern __thread uint64_t observed_pc __attribute__((tls_model("initial-exec")));

/** With driver_lock held. `stream` NULL: not stream-ordered. */
void observed_memory(enum observer_kind kind, const struct allocation *allocation, const char *name,
                     CUstream stream);
void observed_pool(enum observer_kind kind, CUmemoryPool pool, uint64_t keep_bytes);

/** With driver_lock held: told when the call has released it. */
void observed_made(enum observer_kind kind, CUcontext context, CUstream stream);
void observed_tell_made(void);
extern __thread unsigned observed_waiting __attribute__((tls_model("initial-exec")));

/** With driver_lock held, which is released meanwhile: check the handles again. */
void observed_ends(enum observer_kind kind, CUcontext context, CUstream stream);

/** The body of cuGetExportTable. No lock. */
CUresult observed_table(const void **ret, const CUuuid *id);

#endif

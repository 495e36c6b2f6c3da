/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory for a pool, by the driver's virtual memory management: the range and page
 * operations of pool/backend.h.
 *
 * Physical memory is device-local, and usable by RDMA where the device supports it. A mapping is
 * accessible to the context's device, and to the devices of contexts that cuCtxEnablePeerAccess has
 * linked with it, whether before or after the mapping.
 *
 * Threading: the operations from any thread, as backend.h says.
 */
#ifndef SHIM_BACKEND_BACKEND_VMM_H
#define SHIM_BACKEND_BACKEND_VMM_H

#include <stdbool.h>

#include "pool/backend.h"
#include "shim/context/context.h"

/**
 * Adds the operations to those of backend_driver_init(). Returns NULL, or the reason why this
 * device cannot map memory.
 */
const char *backend_vmm_add(struct pool_backend *backend, struct context *context,
                            const struct driver_functions *driver);

/** Undoes backend_vmm_init(): the pool does not use mapped memory. Nobody else knows of the
 * context yet. */
void backend_vmm_drop(struct context *context);

/** Gives a context of that device access to the memory of `owner`, present and future. */
CUresult backend_vmm_peer_enabled(struct context *owner, int device);
void backend_vmm_peer_disabled(struct context *owner, int device);

/** Releases the mapped memory of destroyed contexts: the driver does not release it with them. */
void backend_vmm_reclaim(void);

#endif

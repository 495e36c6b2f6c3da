/* SPDX-License-Identifier: MIT */
/*
 * Mapped memory for a pool, by the driver's virtual memory management: the range and page
 * operations of pool/backend.h.
 *
 * Physical memory is device-local, and such that RDMA can use it where the device can. A mapping is
 * accessible to the context's device and to those of the contexts that cuCtxEnablePeerAccess has
 * linked with it, whether that came before or after the mapping.
 *
 * Threading: the operations from any thread, as backend.h says.
 */
#ifndef SHIM_BACKEND_BACKEND_VMM_H
#define SHIM_BACKEND_BACKEND_VMM_H

#include <stdbool.h>

#include "pool/backend.h"
#include "shim/context/context.h"

/**
 * Adds the operations to those of backend_driver_init. Why not, where this device cannot, or NULL.
 */
const char *backend_vmm_add(struct pool_backend *backend, struct context *context,
                            const struct driver_functions *driver);

/** A context of that device may use the memory of `owner`, now and from now on. */
CUresult backend_vmm_peer_enabled(struct context *owner, int device);
void backend_vmm_peer_disabled(struct context *owner, int device);

/** Returns the memory of contexts that are over, which the driver did not end with them. */
void backend_vmm_reclaim(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Exports blocks that lie on mapped pages.
 *
 * For such memory the driver has no 64-byte handle, only file descriptors of the physical memory,
 * which are passed through a socket. So the block gets a token, as blocks inside a driver
 * allocation do, and the page server of this process gets the descriptors of its pages.
 *
 * Threading: every function from any thread, outside the gate; one export at a time.
 */
#ifndef SHIM_SHARE_IPC_EXPORT_H
#define SHIM_SHARE_IPC_EXPORT_H

#include "shim/resolve/real.h"

/**
 * Returns the token of the live block around an address of mapped memory, the same for every call.
 * The caller has pinned its pages. CUDA_ERROR_INVALID_VALUE, as natively for memory that cannot be
 * exported: it cannot be exported.
 */
CUresult ipc_export_mapped(const struct driver_functions *driver, uint64_t address,
                           CUipcMemHandle *ret_token);

/** In the child after fork: nothing is being exported. */
void ipc_export_fork_child(void);

#endif

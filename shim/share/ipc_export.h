/* SPDX-License-Identifier: MIT */
/*
 * Exports blocks that lie on mapped pages.
 *
 * The driver has no handle of such memory that fits into 64 bytes, only descriptors of the physical
 * memory, which go through a socket. So the block gets a token, as blocks inside a driver
 * allocation do, and the page server of this process the descriptors of the pages below it.
 *
 * Threading: every function from any thread, outside the gate; one export at a time.
 */
#ifndef SHIM_SHARE_IPC_EXPORT_H
#define SHIM_SHARE_IPC_EXPORT_H

#include "shim/resolve/real.h"

/**
 * The token of the live block around an address of mapped memory, whose pages are pinned. The same
 * for every call. CUDA_ERROR_INVALID_VALUE, the driver's for memory it cannot export: it cannot be.
 */
CUresult ipc_export_mapped(const struct driver_functions *driver, uint64_t address,
                           CUipcMemHandle *ret_token);

/** In the child after fork: nothing is being exported. */
void ipc_export_fork_child(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Opens blocks that lie on mapped pages of other processes.
 *
 * Does what the driver does for its own handles: imports the pages and maps them side by side, as
 * in the exporting process, once for each context; counts the openings, and unmaps at the last
 * close. The mapping stays until then, whatever the exporter does meanwhile.
 *
 * Threading: every function from any thread; one lock, not held while waiting for a process, nor
 * during driver calls other than those that give a peer access. Costs one load while nothing is
 * opened.
 */
#ifndef SHIM_SHARE_IPC_MAPPED_H
#define SHIM_SHARE_IPC_MAPPED_H

#include "shim/context/context.h"

/**
 * Opens the block of a token in the current context; returns the address of its first page. Waits
 * for the exporter at most PAGE_WIRE_WAIT_NS.
 * CUDA_ERROR_INVALID_HANDLE: not such a token, or its block is gone; CUDA_ERROR_INVALID_CONTEXT: a
 * token of this process; others from the driver.
 */
CUresult ipc_mapped_open(const struct driver_functions *driver, const CUipcMemHandle *token,
                         CUdeviceptr *ret_base);

/** Returns the bytes of the pages that begin at an address; 0: nothing was opened there. */
uint64_t ipc_mapped_bytes(uint64_t base);

/** Whether an address lies in opened memory. */
bool ipc_mapped_at(uint64_t address);

/** Returns the page at an address of opened memory. */
bool ipc_mapped_page_at(uint64_t address, uint64_t *ret_base, uint64_t *ret_bytes);

/**
 * Undoes an opening. Before a mapping is removed, calls `wait` with its context, to wait until
 * nothing uses it. CUDA_ERROR_INVALID_VALUE: nothing is open there; others from the driver.
 */
CUresult ipc_mapped_close(const struct driver_functions *driver, uint64_t base,
                          void (*wait)(struct context *context));

/** Gives or withdraws access of a device to the memory opened in `owner`. */
CUresult ipc_mapped_peer(const struct driver_functions *driver, struct context *owner, int device,
                         bool enabled);

/** Marks the mappings of a context that ends as unused. */
void ipc_mapped_forget_context(uint32_t context);

/** Unmaps the memory opened in contexts that have ended; the driver does not. */
void ipc_mapped_reclaim(void);

/** In the child after fork: it has opened nothing. */
void ipc_mapped_fork_child(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Blocks of other processes that lie on mapped pages there, opened here.
 *
 * What the driver does for a handle of its own is done here: the pages are imported and mapped side
 * by side as in the exporting process, once for each context; each opening is counted, and the last
 * close takes the mapping away. It stands until then, whatever the exporter does meanwhile.
 *
 * Threading: every function from any thread; one lock, not held while a process is waited for, nor
 * during a call of the driver but for those that give a peer access. One load while nothing is
 * opened.
 */
#ifndef SHIM_SHARE_IPC_MAPPED_H
#define SHIM_SHARE_IPC_MAPPED_H

#include "shim/context/context.h"

/**
 * Opens the block of a token in the current context: the address of its first page. Waits for the
 * exporter no longer than PAGE_WIRE_WAIT_NS.
 * CUDA_ERROR_INVALID_HANDLE: it is no such token, or stands for nothing any more;
 * CUDA_ERROR_INVALID_CONTEXT: it is this process's own; others as the driver said.
 */
CUresult ipc_mapped_open(const struct driver_functions *driver, const CUipcMemHandle *token,
                         CUdeviceptr *ret_base);

/** Bytes of the pages that begin at an address; 0: nothing was opened there. */
uint64_t ipc_mapped_bytes(uint64_t base);

/** Whether an address lies in what was opened. */
bool ipc_mapped_at(uint64_t address);

/** The page at an address of what was opened. */
bool ipc_mapped_page_at(uint64_t address, uint64_t *ret_base, uint64_t *ret_bytes);

/**
 * Undoes an opening. `wait` is called before a mapping goes, with its context: until nothing uses
 * it. CUDA_ERROR_INVALID_VALUE: nothing is open there; others as the driver said.
 */
CUresult ipc_mapped_close(const struct driver_functions *driver, uint64_t base,
                          void (*wait)(struct context *context));

/** A context of that device may use, or may not use any more, what is opened in `owner`. */
CUresult ipc_mapped_peer(const struct driver_functions *driver, struct context *owner, int device,
                         bool enabled);

/** A context ends: what was opened in it is nobody's. */
void ipc_mapped_forget_context(uint32_t context);

/** Takes away what contexts that are over had opened; the driver does not do that. */
void ipc_mapped_reclaim(void);

/** In the child after fork: it has opened nothing. */
void ipc_mapped_fork_child(void);

#endif

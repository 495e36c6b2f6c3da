/* SPDX-License-Identifier: MIT */
/*
 * Memory of other processes that this one has opened.
 *
 * The driver counts how often a handle was opened, and maps it once. So each opening of a token
 * opens the exporter's segment once, and each close closes it once. Openings are remembered by the
 * address that the program got. An extra close of one block thus cannot unmap another, and each
 * block is a range of its own.
 *
 * Threading: every function from any thread; one lock. Costs one load while nothing is opened.
 */
#ifndef SHIM_SHARE_IPC_IMPORTS_H
#define SHIM_SHARE_IPC_IMPORTS_H

#include "shim/share/ranges.h"

/** One block, however often it was opened. */
struct ipc_import {
    uint64_t address; /* as the program knows it */
    uint64_t bytes;   /* 0: the whole mapping, and the driver's word counts */
    uint64_t base;    /* of the mapping, as the driver knows it */
    uint64_t base_bytes;
    uint32_t context; /* number of the context it was opened in; 0: unknown */
    uint32_t opened;  /* how often */
    uint64_t id;      /* no other import of the process has had it */
    bool mapped;      /* the mapping is ours (ipc_mapped.h) */
    bool synchronous; /* guarded by the lock of sync_memops.c, too */
};

/** Notes an opening; sets `opened` and `id`. False without host memory. */
bool ipc_import_add(const struct ipc_import *opening);

/** Returns the address that the driver must close for an address: an odd one if it must refuse. */
uint64_t ipc_import_base(uint64_t address);

/** Notes a close. True when it was the last one; ret_import then describes what ended. */
bool ipc_import_closed(uint64_t address, struct ipc_import *ret_import);

/** True while anything is open in the mapping that begins at an address. */
bool ipc_import_mapped(uint64_t base);

/** Returns the kind of an address in this process; copies the import for RANGE_BLOCK. */
enum range_kind ipc_import_find(uint64_t address, struct ipc_import *ret_import);

/** Sets whether operations on the import at an address are synchronous; returns the former
 * state. */
bool ipc_import_synchronous(uint64_t address, bool synchronous);

void ipc_imports_forget_context(uint32_t context);

/** In the child after fork: it has opened nothing. */
void ipc_imports_fork_child(void);

#endif

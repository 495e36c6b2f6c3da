/* SPDX-License-Identifier: MIT */
/*
 * Memory and events shared with other processes through 64-byte handles.
 */
#ifndef SIMGPU_DRIVER_API_MEMORY_IPC_H
#define SIMGPU_DRIVER_API_MEMORY_IPC_H

#include "tests/simgpu/driver/memory/memory.h"
#include "tests/simgpu/driver/work/event.h"

/** The allocation goes: its handles open no more. */
void ipc_forget(struct allocation *allocation);
/** The counters of a new interprocess event move to shared memory. */
CUresult ipc_share_event(CUevent event);

#endif

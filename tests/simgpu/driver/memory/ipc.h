/* SPDX-License-Identifier: MIT */
/*
 * Memory and events shared with other processes through 64-byte handles.
 */
#ifndef SIMGPU_DRIVER_MEMORY_IPC_H
#define SIMGPU_DRIVER_MEMORY_IPC_H

#include "tests/simgpu/driver/stream/event.h"
#include "tests/simgpu/driver/memory/memory.h"

/** The allocation goes: its handles open no more. */
void ipc_forget(struct allocation *allocation);
/** The counters of a new interprocess event move to shared memory. */
CUresult ipc_share_event(CUevent event);

#endif

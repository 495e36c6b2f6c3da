/* SPDX-License-Identifier: MIT */
/*
 * What other parts of the shim have to tell about memory shared with other processes.
 */
#ifndef SHIM_HOOKS_IPC_H
#define SHIM_HOOKS_IPC_H

#include <stdint.h>

/** A context ended: what was exported of it and opened in it is gone. */
void ipc_forget_context(uint32_t context);

/** In the child after fork: it exported and opened nothing. */
void ipc_fork_child(void);

#endif

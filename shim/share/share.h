/* SPDX-License-Identifier: MIT */
/*
 * What ends with a context or stays with the parent of a fork, of all that is kept about memory
 * shared with other processes and of the attributes of blocks.
 *
 * Threading: share_forget_context from any thread; share_fork_child in the child alone.
 */
#ifndef SHIM_SHARE_SHARE_H
#define SHIM_SHARE_SHARE_H

#include <stdint.h>

/** A context ended: what was exported from it and opened in it is gone. */
void share_forget_context(uint32_t context);

/** In the child after fork: it exported and opened nothing. */
void share_fork_child(void);

#endif

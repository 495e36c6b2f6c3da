/* SPDX-License-Identifier: MIT */
/*
 * Ends sharing state with its context, and drops it in a child after fork: exports, openings and
 * attributes of blocks.
 *
 * Threading: share_forget_context from any thread; share_fork_child in the child alone.
 */
#ifndef SHIM_SHARE_SHARE_H
#define SHIM_SHARE_SHARE_H

#include <stdint.h>

/** A context ended: drops what was exported from it and opened in it. */
void share_forget_context(uint32_t context);

/** In the child after fork: it has exported and opened nothing. */
void share_fork_child(void);

#endif

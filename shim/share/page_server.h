/* SPDX-License-Identifier: MIT */
/*
 * Gives other processes of the user the descriptors of pages below exported blocks.
 *
 * A driver's descriptor of physical memory goes from process to process through a socket only, so
 * somebody has to answer there: a thread, from the first export of such a block on. It has a table
 * of descriptors of its own. What it keeps cannot be closed by the program, does not stand in its
 * way, and is not inherited by its children; and what the program opens is not kept open by it. It
 * makes no call of the driver and none that allocates, and takes no signal. It ends with the
 * process, and the process with the last of the program's threads: see page_server.c.
 *
 * It waits for nobody: a connection that says nothing costs a place among CONNECTIONS, of which the
 * oldest is given up, and one that does not read is closed.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_SHARE_PAGE_SERVER_H
#define SHIM_SHARE_PAGE_SERVER_H

#include "shim/share/page_wire.h"

/**
 * The thread serves under a name in this user's directory below `where`; starts it if need be. Both
 * texts must stay. Errors: as the system said, so also where it grants no table of descriptors of
 * one's own.
 */
int page_server_start(const char *where, const char *name);

/**
 * Hands descriptors over for pages of a slot, from the page number `first` on: a PAGE_WIRE_PUT.
 * They are closed here in any case. Errors: -ENOSPC too many are kept; others as the system said.
 */
int page_server_put(struct page_wire *message, uint32_t first, const int *descriptors);

/** The pages of a slot of the board are to be dropped, if it has this key or an earlier one. Never
 * waits. One thread at a time for a slot, in the order of its keys. */
void page_server_owe(uint32_t slot, uint64_t key);

/** Waits until nobody gets the pages that are to be dropped any more, and nobody here keeps them.
 * Where the thread cannot be reached it drops them by itself, soon. */
void page_server_settle(void);

/** In the child after fork: it has no such thread. */
void page_server_fork_child(void);

#endif

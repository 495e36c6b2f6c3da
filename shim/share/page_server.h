/* SPDX-License-Identifier: MIT */
/*
 * Sends descriptors of the pages below exported blocks to other processes of the user.
 *
 * A driver's descriptor of physical memory can be passed only through a socket, so from the first
 * export of such a block on a thread serves one. The thread has its own descriptor table: the
 * program can neither close its descriptors nor run out of numbers because of them, its children do
 * not inherit them, and the thread keeps no descriptor of the program open. It makes no driver
 * call, does not allocate, and takes no signal. It ends with the process, and the process with the
 * last of the program's threads: see page_server.c.
 *
 * It never waits for a client. A silent connection occupies one of CONNECTIONS places, and the
 * oldest gives way; a connection that does not read is closed.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_SHARE_PAGE_SERVER_H
#define SHIM_SHARE_PAGE_SERVER_H

#include "shim/share/page_wire.h"

/**
 * Starts the thread unless it runs: it serves under `name` in the user's directory below `where`.
 * Both strings must stay valid. Errors: from the system, also when it grants the thread no
 * descriptor table of its own.
 */
int page_server_start(const char *where, const char *name);

/**
 * Hands over descriptors for the pages of a slot, from page number `first` on (PAGE_WIRE_PUT), and
 * closes the caller's in any case. Errors: -ENOSPC too many are kept; others from the system.
 */
int page_server_put(struct page_wire *message, uint32_t first, const int *descriptors);

/** Marks the pages of a slot of the board to be dropped, if it has this key or an earlier one.
 * Never waits. One thread at a time for a slot, in the order of its keys. */
void page_server_owe(uint32_t slot, uint64_t key);

/** Waits until the marked pages are no longer served and their descriptors are closed. If the
 * thread cannot be reached, it drops them by itself, soon. */
void page_server_settle(void);

/** In the child after fork: it has no such thread. */
void page_server_fork_child(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How often this process has come out of a fork since the first call: an object that remembers the
 * number of its creation knows in a child that its locks and its device are the parent's.
 *
 * Threading: any thread.
 */
#ifndef POOL_BASE_FORKS_H
#define POOL_BASE_FORKS_H

/** Installs the handler when it is first called. */
unsigned forks_count(void);

#endif

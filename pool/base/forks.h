/* SPDX-License-Identifier: MIT */
/*
 * Counts how often this process has come out of a fork since the first call. An object that
 * remembers the count at its creation can detect in a child that its locks and its device belong to
 * the parent.
 *
 * Threading: any thread.
 */
#ifndef POOL_BASE_FORKS_H
#define POOL_BASE_FORKS_H

/** Installs the handler when it is first called. */
unsigned forks_count(void);

#endif

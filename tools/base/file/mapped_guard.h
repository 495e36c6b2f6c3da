/* SPDX-License-Identifier: MIT */
/*
 * Survives files that others truncate while they are mapped, as libelf maps those of modules.
 *
 * The kernel answers a read behind the new end by SIGBUS. The page is replaced by zeros, which
 * readers of hostile files treat as any other contents. Nothing in the tool writes to a mapped
 * file.
 *
 * Threading: any thread; the handler is installed once.
 */
#ifndef TOOLS_BASE_MAPPED_GUARD_H
#define TOOLS_BASE_MAPPED_GUARD_H

/** Call it before a file is mapped. A handler that is there already stays. */
void mapped_guard_begin(void);

#endif

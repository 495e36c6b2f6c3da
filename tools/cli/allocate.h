/* SPDX-License-Identifier: MIT */
/*
 * Notes allocations of the command that fail (tools/base/shortage.h).
 *
 * Threading: once, at the start.
 */
#ifndef TOOLS_CLI_ALLOCATE_H
#define TOOLS_CLI_ALLOCATE_H

/** Also notes those of libjansson, which leaves out members that there is no memory for. */
void allocate_note_failures(void);

#endif

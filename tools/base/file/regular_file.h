/* SPDX-License-Identifier: MIT */
/*
 * Opens regular files only. A path from outside may be a link to a device, which a mere opening can
 * start, rewind or reset, or to a pipe whose writer waits for a reader.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BASE_REGULAR_FILE_H
#define TOOLS_BASE_REGULAR_FILE_H

/** Returns a descriptor for reading. Errors: -EISDIR, -EINVAL not a regular file, others. */
int regular_file_open(const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Finds the parts of an installation from the running `cupool`: in a build tree, or
 * installed beside it. CUPOOL_LIBRARY names another preload library.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_LAUNCH_LOCATE_H
#define TOOLS_LAUNCH_LOCATE_H

#include <stddef.h>

/** Finds the preload library, absolute. Errors: -ENOENT, with the first place tried in
 * `ret_path`. */
int locate_library(char *ret_path, size_t path_bytes);

/** Finds the directory of the simulated device, absolute. Errors: as locate_library(). */
int locate_simulated_device(char *ret_path, size_t path_bytes);

/** Prepends the simulated device to LD_LIBRARY_PATH, and sets its profile, if not empty. */
int locate_use_simulated_device(const char *directory, const char *profile);

/** Returns the shortest form of a path: relative if it lies below the current directory. */
const char *locate_display(const char *path);

#endif

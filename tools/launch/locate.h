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

/** The preload library, absolute. Errors: -ENOENT, with the place looked at first in `ret_path`. */
int locate_library(char *ret_path, size_t path_bytes);

/** The directory of the simulated device, absolute. Errors: as locate_library. */
int locate_simulated_device(char *ret_path, size_t path_bytes);

/** Puts the simulated device in front of LD_LIBRARY_PATH, and its profile, if not empty. */
int locate_use_simulated_device(const char *directory, const char *profile);

/** A path as short as it can be shown: relative where it lies below the current directory. */
const char *locate_display(const char *path);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Finds CUPTI at run time: one that is already loaded; else by name; else beside the CUDA runtime
 * of the process (a toolkit's extras/CUPTI/lib64, or the layout of Python packages); else in the
 * toolkit that CUDA_HOME or CUDA_PATH names. It stays loaded.
 *
 * Threading: any thread; takes the loader's lock.
 */
#ifndef CUPTI_ACTIVITY_ACTIVITY_LIBRARY_H
#define CUPTI_ACTIVITY_ACTIVITY_LIBRARY_H

#include "cupti/activity/activity_abi.h"

/** A dlsym function; a preload library must not use the one it exports. */
typedef void *activity_look_up(void *handle, const char *name);

/**
 * Writes the functions and the library's path (of path_bytes). Errors: -ENOENT no library; -ENOSYS
 * one without a required function; -EXDEV one that does not match the driver: NVIDIA's CUPTI on a
 * simulated driver recurses without end, so none of its functions is called.
 */
int activity_library_open(activity_look_up *look_up, struct cupti_abi_functions *ret_functions,
                          char *ret_path, size_t path_bytes);

#endif

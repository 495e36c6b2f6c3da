/* SPDX-License-Identifier: MIT */
/*
 * From the name and version that a program asks for to a function of this library.
 */
#ifndef SIMGPU_DRIVER_API_RESOLVE_H
#define SIMGPU_DRIVER_API_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

enum resolve_status { RESOLVE_FOUND, RESOLVE_UNKNOWN, RESOLVE_TOO_NEW };

/** `version` as in CUDA_VERSION, `name` without a version; what came after version `newest` does
 *  not exist. Thread-safe. */
enum resolve_status resolve(const char *name, int version, int newest, bool per_thread,
                            void **ret_function);

#endif

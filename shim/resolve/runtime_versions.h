/* SPDX-License-Identifier: MIT */
/*
 * The version nodes of CUDA runtime libraries under which this library exports the hooked names.
 *
 * A module linked with libcudart.so.12 asks for cudaMalloc with the version node libcudart.so.12.
 * With one export per node, the loader itself decides which runtime a module means, whoever calls
 * later. A node that is not listed is not hooked at the runtime; its calls are hooked at the
 * driver.
 *
 * The preprocessor also reads this for the linker script: macros only.
 */
#ifndef SHIM_RESOLVE_RUNTIME_VERSIONS_H
#define SHIM_RESOLVE_RUNTIME_VERSIONS_H

/* A node's name must not be taken apart. */
/* clang-format off */
/* ROW(context, index, node); index 0 stands for references without a version. */
#define RUNTIME_VERSIONS(ROW, context)                                                             \
    ROW(context, 1, libcudart.so.10.2)                                                             \
    ROW(context, 2, libcudart.so.11.0)                                                             \
    ROW(context, 3, libcudart.so.12)                                                               \
    ROW(context, 4, libcudart.so.13)                                                               \
    ROW(context, 5, libcudart.so.14)                                                               \
    ROW(context, 6, libcudart.so.15)                                                               \
    ROW(context, 7, libcudart.so.16)
/* clang-format on */

#define RUNTIME_VERSION_COUNT 8

#endif

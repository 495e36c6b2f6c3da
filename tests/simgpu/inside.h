/* SPDX-License-Identifier: MIT */
/*
 * NVIDIA's runtime inside a module (nvcc -cudart static): where its functions have names, or are
 * found without (stripped.h), each becomes a jump to the simulated runtime of its release.
 *
 * The module is changed in memory when it is loaded, before any code runs; its file is not changed.
 * Threading: inside_replace under the loader's lock; jumps from any thread.
 */
#ifndef TESTS_SIMGPU_INSIDE_H
#define TESTS_SIMGPU_INSIDE_H

#include <stdint.h>

/** `path` is the file that was loaded at `base`, `folder` that of the simulated libraries. */
void inside_replace(const char *path, uintptr_t base, const char *folder);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Patches relocations of modules loaded with RTLD_DEEPBIND. Such modules see libc's dlsym and
 * dlvsym before ours, and a CUDA runtime among them would look the driver up without us.
 *
 * Threading: from any thread.
 */
#ifndef SHIM_ENTRY_RELOCATE_H
#define SHIM_ENTRY_RELOCATE_H

/** Examines the modules loaded since the last call. Cheap when there are none. */
void relocate_new_modules(void);

#endif

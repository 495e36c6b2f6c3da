/* SPDX-License-Identifier: MIT */
/*
 * Modules loaded with RTLD_DEEPBIND see libc's dlsym and dlvsym before ours, and so does a CUDA
 * runtime loaded with them: its look-ups of the driver would pass us by. Such modules get ours by a
 * change of their relocation.
 *
 * Threading: from any thread.
 */
#ifndef SHIM_ENTRY_RELOCATE_H
#define SHIM_ENTRY_RELOCATE_H

/** Looks at the modules loaded since the last time. Cheap when there are none. */
void relocate_new_modules(void);

#endif

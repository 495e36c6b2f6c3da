/* SPDX-License-Identifier: MIT */
/*
 * Starts the preload library in this process, at the first look-up or call that concerns CUDA,
 * never before. For hooks and entry points, which a program enters. Everything below them runs
 * after the start and reads shim/options/mode.h.
 *
 * Threading: every function from any thread. While one thread determines the mode, a nested look-up
 * of the same thread sees SHIM_OFF instead of waiting for itself.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "cupti/base/likely.h"
#include "shim/options/mode.h"

enum shim_mode shim_start(void);

/** The mode; the first to ask starts the library. */
static inline enum shim_mode shim_mode(void)
{
    enum shim_mode mode = mode_now();

    return likely(mode != SHIM_UNKNOWN) ? mode : shim_start();
}

#endif

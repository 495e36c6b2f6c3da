/* SPDX-License-Identifier: MIT */
/*
 * A separate file because the look-up of symbols needs it before a sanitizer's runtime is ready.
 */
#include "shim/context/thread_state.h"

_Thread_local struct thread_state thread_state;

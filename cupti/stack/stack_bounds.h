/* SPDX-License-Identifier: MIT */
/*
 * Up to where a thread's stack may be read.
 *
 * A thread's own stack ends below its thread control block, the main thread's where the kernel's
 * mapping [stack] ends; all between there and the stack pointer is mapped as long as the thread
 * lives. Any other stack (of a coroutine, of a signal handler) may end or vanish anywhere, so none
 * of it is vouched for.
 *
 * Threading: any thread. Without malloc and without the C library's own look at the stack, which
 * allocates; the first look of a thread reads /proc/self/maps.
 */
#ifndef CUPTI_STACK_STACK_BOUNDS_H
#define CUPTI_STACK_STACK_BOUNDS_H

#include <stdint.h>

/** The end of the stack that a stack pointer of the calling thread lies in; 0: not its own. */
uintptr_t stack_bounds_end(uintptr_t stack_pointer);

#endif

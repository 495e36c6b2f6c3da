/* SPDX-License-Identifier: MIT */
/*
 * Determines the readable part of the stack that a thread runs on.
 *
 * A stack pointer does not show the stack's end: it may point into a coroutine's stack, next to
 * other stacks in one mapping, with guard pages inserted or pages released at any time. So a range
 * becomes known only after a walk through described frames has reached the place where the thread
 * itself began. Everything in between is the thread's own stack, readable as long as the thread
 * lives. Anywhere else, every walk probes each page.
 *
 * Threading: any thread; the known range is per thread. Uses neither malloc nor the C library's
 * query of the stack, which allocates.
 */
#ifndef CUPTI_STACK_STACK_BOUNDS_H
#define CUPTI_STACK_STACK_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#define STACK_PAGE_BYTES 4096 /* the smallest page there is */

/** Returns the end of the thread's own stack when a stack pointer lies in the known part; else
 * 0. */
uintptr_t stack_bounds_end(uintptr_t stack_pointer);

/** Whether to attempt a walk to the outermost frame: a thread tries a limited number of times. */
bool stack_bounds_wanted(void);

/**
 * Notes that frames lead from a stack pointer to the outermost one, at `outermost`. Refused if
 * that is not the beginning of the thread, or a page in between cannot be read.
 */
void stack_bounds_learn(uintptr_t stack_pointer, uintptr_t outermost);

/** Whether the page of an address can be read now. */
bool stack_page_is_readable(uintptr_t address);

/** Reads a word at any address, in one system call. False: it cannot be read. */
bool stack_word_copy(uintptr_t address, uintptr_t *ret_word);

#endif

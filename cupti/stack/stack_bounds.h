/* SPDX-License-Identifier: MIT */
/*
 * The readable part of the stack that a thread runs on.
 *
 * A stack pointer says nothing of the stack's end: it may lie on a coroutine's stack, beside other
 * stacks in one mapping, with guard pages put in or pages given back at any time. So a range is
 * known only after a walk went from frame to frame, all of them described, to the place where the
 * thread itself began; everything between is then the thread's own stack, readable as long as the
 * thread lives. Anywhere else each page is asked for in each walk.
 *
 * Threading: any thread; what is known is kept for each thread. Without malloc and without the C
 * library's own look at the stack, which allocates.
 */
#ifndef CUPTI_STACK_STACK_BOUNDS_H
#define CUPTI_STACK_STACK_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#define STACK_PAGE_BYTES 4096 /* the smallest page there is */

/** The end of the thread's own stack, when a stack pointer lies in the part known of it; else 0. */
uintptr_t stack_bounds_end(uintptr_t stack_pointer);

/** Whether a walk to the outermost frame is worth its while: a thread tries a limited number. */
bool stack_bounds_wanted(void);

/**
 * Tells that frames lead from a stack pointer to the outermost one, which lies at `outermost`.
 * Refused where that is not the beginning of the thread, or where a page between cannot be read.
 */
void stack_bounds_learn(uintptr_t stack_pointer, uintptr_t outermost);

/** Whether the page of an address can be read now. */
bool stack_page_is_readable(uintptr_t address);

/** Reads a word wherever it may lie, in one system call. False: it cannot be read. */
bool stack_word_copy(uintptr_t address, uintptr_t *ret_word);

#endif

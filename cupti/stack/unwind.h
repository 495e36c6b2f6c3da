/* SPDX-License-Identifier: MIT */
/*
 * Walks the calling thread's stack, in a few nanoseconds a frame.
 *
 * On x86-64 each code address is looked up in the call-frame information once (unwind_rules.h), and
 * its rule is kept in a table; so each step of a walk is a table look-up and two loads from the
 * stack. On aarch64 the chain of frame pointers is followed. Every read is safe, whatever the stack
 * contains. Within the known part of the thread's own stack (stack_bounds.h) words are read
 * directly. On any other stack the page is probed first. After a frame without a description, words
 * are read by a system call, which cannot fault. Each frame must lie above the one before; a walk
 * ends at the first word it cannot read.
 *
 * Threading: any thread, without malloc or a lock of its own; see unwind_rules.h for the loader's.
 */
#ifndef CUPTI_STACK_UNWIND_H
#define CUPTI_STACK_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

struct unwind {
    uintptr_t first;      /* in: the return address to begin with; frames below are left out */
    uintptr_t stop_begin; /* in: code to stop before, and not to record */
    uintptr_t stop_end;   /* in: its end */
    unsigned most;        /* in: frames wanted, at least 1 */
    uintptr_t *ret_code;  /* addresses within the calls: return addresses less 1 */
    unsigned count;       /* out: frames found; 0: `first` is not on the stack */
    bool stopped;         /* out: code to stop before was reached */
};

void unwind_walk(struct unwind *unwind);

/**
 * Forgets all rules if a module was unloaded since they were made. True: an earlier walk may have
 * been wrong.
 */
bool unwind_refresh(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Walks the calling thread's stack, in a few nanoseconds a frame.
 *
 * On x86-64 each code address is looked up in the call-frame information once (unwind_rules.h) and
 * its rule is kept in a table, so the walk itself is a table look-up and two loads from the stack.
 * On aarch64 the chain of frame pointers is followed. Whatever the stack holds, a word is read only
 * where it can be: as it is within the part known of the thread's own stack (stack_bounds.h); on
 * any other stack after its page was asked for; and by a system call, which cannot fault, once a
 * frame had no description. Each frame lies above the one before it, and a walk that meets what it
 * cannot read ends there.
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
 * Forgets all rules when a module was unloaded since they were made. True: a walk made before may
 * have been wrong.
 */
bool unwind_refresh(void);

#endif

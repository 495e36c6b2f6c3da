/* SPDX-License-Identifier: MIT */
/*
 * Derives how to get from a code address to its caller from the module's call-frame information
 * (.eh_frame), reduced to what a stack walk needs.
 *
 * Threading: any thread; takes the dynamic loader's list lock, which no constructor holds.
 */
#ifndef CUPTI_STACK_UNWIND_RULES_H
#define CUPTI_STACK_UNWIND_RULES_H

#include <stdbool.h>
#include <stdint.h>

/** Location of the canonical frame address (the stack pointer before the call). */
enum unwind_kind {
    UNWIND_UNKNOWN,       /* no rule */
    UNWIND_NOWHERE,       /* the address is in no module */
    UNWIND_END,           /* the outermost frame, or one that cannot be described here */
    UNWIND_FROM_SP,       /* stack pointer + cfa */
    UNWIND_FROM_BP,       /* frame pointer + cfa */
    UNWIND_AT_BP,         /* stored at frame pointer + cfa */
    UNWIND_SIGNAL,        /* the frame of a signal handler: registers are in the ucontext */
    UNWIND_FRAME_POINTER, /* no information: taken for a function with a frame pointer */
};

/** How the caller's frame pointer is restored. */
enum unwind_bp {
    UNWIND_BP_SAME,
    UNWIND_BP_AT_CFA, /* stored at CFA + bp */
    UNWIND_BP_AT_BP,  /* stored at frame pointer + bp */
    UNWIND_BP_LOST,
};

struct unwind_rule {
    enum unwind_kind kind;
    enum unwind_bp bp_kind;
    int32_t cfa, bp;
};

/** The loader's count of unloaded modules, as of some look-up. */
typedef unsigned long long unwind_unloads;

/** The rule of an address within a call. */
struct unwind_rule unwind_rule_find(uintptr_t address, unwind_unloads *ret_unloads);

/** Modules unloaded so far. */
unwind_unloads unwind_unloads_now(void);

/** Address range of the module that contains an address; false: none does. */
bool unwind_module_find(uintptr_t address, uintptr_t *ret_begin, uintptr_t *ret_end);

#endif

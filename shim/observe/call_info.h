/* SPDX-License-Identifier: MIT */
/*
 * State of a hooked call, for the code that serves and records it. shim/hooks/call.h begins and
 * ends one.
 *
 * Threading: a struct call lives on one thread's stack.
 */
#ifndef SHIM_OBSERVE_CALL_INFO_H
#define SHIM_OBSERVE_CALL_INFO_H

#include <stdint.h>

#include "shim/observe/stack.h"
#include "shim/options/mode.h"
#include "shim/resolve/caller.h"
#include "shim/resolve/hooks.h"

struct call {
    enum hook_id hook;
    unsigned library; /* the runtime library that was entered */
    int saved_errno;
    struct caller *caller;
    struct trace_writer *writer; /* NULL: not recorded */
    uint64_t begin_ns; /* by the trace's clock, else by the live page's; 0: neither is kept */
    uint32_t stack;    /* its id in the trace; 0: not asked yet */
};

/** The calling site's id in the trace. */
static inline uint32_t call_site(const struct call *call)
{
    return call->writer ? caller_site(call->caller, call->writer) : 0;
}

/** Returns the id of the calling stack, taken once. A call that frees records its caller alone. */
static inline uint32_t call_stack(const struct call *call)
{
    /* Every struct call is a variable of its hook; all others see it as constant. */
    struct call *own = (struct call *)call;

    if (!call->writer || shim_options()->stacks <= 1)
        return call_site(call);
    if (!call->stack)
        own->stack = stack_record(call->caller, call->writer);
    return call->stack;
}

#endif

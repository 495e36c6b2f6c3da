/* SPDX-License-Identifier: MIT */
/*
 * Takes a stack. When both kinds of frames are wanted, Python gets half of the places, or all that
 * native frames leave: its programmers know these frames best.
 *
 * A stack that is new to the trace may be wrong, because a library was unloaded and stale unwinding
 * rules misled the walk. So a new stack, and only a new one, makes us ask the loader and repeat the
 * walk.
 */
#include "shim/observe/stack.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "cupti/base/likely.h"
#include "cupti/stack/python_frames.h"
#include "cupti/write/trace_writer.h"
#include "cupti/stack/unwind.h"
#include "shim/resolve/caller.h"
#include "shim/options/mode.h"

#define PYTHON_LOOKS 32 /* for an interpreter that is loaded late */

enum { PYTHON_UNKNOWN, PYTHON_BUSY, PYTHON_FOUND };

static struct python python; /* immutable once found */
static atomic_int python_state;
static atomic_uint python_looks;

/** Looks for an interpreter, a limited number of times. */
static void python_look(void)
{
    int expected = PYTHON_UNKNOWN;
    bool found;

    if (atomic_load_explicit(&python_looks, memory_order_relaxed) >= PYTHON_LOOKS ||
        !atomic_compare_exchange_strong(&python_state, &expected, PYTHON_BUSY))
        return;
    atomic_fetch_add_explicit(&python_looks, 1, memory_order_relaxed);
    found = python_find(&python);
    atomic_store_explicit(&python_state, found ? PYTHON_FOUND : PYTHON_UNKNOWN,
                          memory_order_release);
}

static const struct python *python_here(void)
{
    return atomic_load_explicit(&python_state, memory_order_acquire) == PYTHON_FOUND ? &python
                                                                                     : NULL;
}

/** Uses the thread's scratch memory: its stack may be small. */
struct taken {
    uintptr_t code[TRACE_STACK_FRAMES];
    struct trace_stack stack;
    struct python_frames python;
};

static_assert(sizeof(struct taken) <= TRACE_SCRATCH_BYTES, "a stack fits the scratch memory");

static void stack_take(struct taken *taken, const void *first, unsigned most)
{
    const struct python *interpreter = python_here();
    struct unwind unwind = {.first = (uintptr_t)first, .most = most, .ret_code = taken->code};

    if (interpreter) {
        unwind.stop_begin = interpreter->begin;
        unwind.stop_end = interpreter->end;
    }
    unwind_walk(&unwind);
    if (!unwind.count) { /* the caller is known even where the stack is not */
        taken->code[0] = (uintptr_t)first - 1;
        unwind.count = 1;
    }
    taken->stack = (struct trace_stack){
        .code = taken->code, .codes = unwind.count, .python = taken->python.frame};
    if (!interpreter)
        return;
    taken->stack.pythons = python_frames(interpreter, &taken->python, most - 1);
    unsigned native = most - taken->stack.pythons, half = (most + 1) / 2;
    if (native < half)
        native = half;
    if (native < taken->stack.codes)
        taken->stack.codes = native;
    if (taken->stack.pythons > most - taken->stack.codes)
        taken->stack.pythons = most - taken->stack.codes;
}

uint32_t stack_record(struct caller *caller, struct trace_writer *writer)
{
    const void *first = atomic_load_explicit(&caller->code, memory_order_relaxed);
    unsigned most = (unsigned)shim_options()->stacks;
    struct taken *taken = trace_writer_scratch(writer);
    uint32_t id;

    if (!taken)
        return trace_writer_site(writer, (const char *)first - 1);
    stack_take(taken, first, most);
    id = trace_writer_stack_find(writer, &taken->stack);
    if (likely(id != 0))
        return id;
    bool without_python = !python_here();
    if (without_python)
        python_look();
    if (unwind_refresh() || (without_python && python_here()))
        stack_take(taken, first, most);
    return trace_writer_stack(writer, &taken->stack);
}

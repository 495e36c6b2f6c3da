/* SPDX-License-Identifier: MIT */
/*
 * The functions of include/cupool.h.
 */
#define CUPOOL_IMPLEMENTATION
#include "include/cupool.h"

#include <errno.h>
#include <limits.h>

#include "shim/context/gate.h"
#include "shim/guard/guard.h"
#include "shim/hooks/phase_api.h"
#include "shim/observe/phases.h"

static void phase_record(enum trace_phase kind, const char *name)
{
    int saved_errno = errno;
    struct trace_writer *writer = name ? phases_writer() : NULL;

    if (writer)
        phases_emit(writer, kind, TRACE_PHASE_SOURCE_API, phases_name(writer, name), 0);
    errno = saved_errno;
}

void cupool_phase_begin(const char *name)
{
    phase_record(TRACE_PHASE_BEGIN, name);
}

void cupool_phase_end(const char *name)
{
    phase_record(TRACE_PHASE_END, name);
}

void cupool_mark(const char *name)
{
    phase_record(TRACE_PHASE_MARK, name);
}

void cupool_step(unsigned long long number)
{
    int saved_errno = errno;
    struct trace_writer *writer = phases_writer();

    if (writer)
        trace_writer_emit(writer, &(struct trace_record){
                                      .kind = TRACE_EVENT_PHASE,
                                      .size = TRACE_PHASE_STEP,
                                      .address = number,
                                  });
    errno = saved_errno;
}

int cupool_check(void)
{
    int saved_errno = errno;

    if (shim_mode() != SHIM_POOL || !guard_is_on())
        return -1;
    if (thread_state.depth == 0) { /* not from a callback beneath a hook */
        thread_enter();
        gate_enter();
        guard_check(NULL, POOL_WAIT_FOREVER);
        gate_leave();
        guard_settle();
        thread_leave();
    }
    errno = saved_errno;
    uint64_t errors = guard_errors();
    return errors < INT_MAX ? (int)errors : INT_MAX;
}

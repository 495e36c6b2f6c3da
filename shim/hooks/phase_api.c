/* SPDX-License-Identifier: MIT */
/*
 * The functions of include/cupool.h.
 */
#define CUPOOL_IMPLEMENTATION
#include "include/cupool.h"

#include <errno.h>

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

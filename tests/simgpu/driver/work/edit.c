/* SPDX-License-Identifier: MIT */
/*
 * Work of a destroyed stream is not checked.
 */
#include "tests/simgpu/driver/work/edit.h"

#include <stdio.h>

#include "tests/simgpu/driver/base/fault.h"
#include "tests/simgpu/driver/base/log.h"
#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/module/module.h"
#include "tests/simgpu/driver/work/footprint.h"
#include "tests/simgpu/driver/work/stream.h"

struct edit {
    uintptr_t from;
    size_t bytes;
};

static _Atomic uint64_t edits;

uint64_t edit_count(void)
{
    return edits;
}

static bool overlaps(void *state, const struct work *work, const struct span *span)
{
    const struct edit *edit = state;

    (void)work;
    return span->bytes && span->from < edit->from + edit->bytes &&
           edit->from < span->from + span->bytes;
}

static const char *work_name(const struct work *work)
{
    switch (work->kind) {
    case WORK_COPY: return "a copy";
    case WORK_FILL: return "a fill";
    case WORK_KERNEL: return work->launch.function->name;
    case WORK_GRAPH: return "a graph";
    default: return "a value";
    }
}

static void edit_tell(enum call_id id, const struct edit *edit, const struct work *work)
{
    edits++;
    log_note("edited under work: %s\tbytes=%zu\tptr=0x%llx\twork=%s", call_name(id), edit->bytes,
             (unsigned long long)edit->from, work_name(work));
    if (profile.verbose)
        fprintf(stderr, "simgpu: %s of 0x%llx under %s\n", call_name(id),
                (unsigned long long)edit->from, work_name(work));
}

void edit_check(enum call_id id, uintptr_t address, size_t bytes)
{
    struct edit edit = {address, bytes};
    CUcontext ctx;
    CUstream stream;
    struct work *work;

    LIST_FOREACH(ctx, &contexts, link)
        LIST_FOREACH(stream, &ctx->streams, link)
            TAILQ_FOREACH(work, &stream->works, link)
    if (work_spans(work, overlaps, &edit)) {
        edit_tell(id, &edit, work);
        if (profile.edit_breaks)
            context_break(ctx, CUDA_ERROR_ILLEGAL_ADDRESS);
    }
}

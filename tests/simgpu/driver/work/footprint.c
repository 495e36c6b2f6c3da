/* SPDX-License-Identifier: MIT */
/*
 * Boxes are taken as the span from their first to their last byte.
 */
#include "tests/simgpu/driver/work/footprint.h"

#include <string.h>

#include "tests/simgpu/driver/work/graph.h"
#include "tests/simgpu/twin.h"

static size_t box_bytes(size_t width, size_t pitch, size_t height, size_t slice, size_t depth)
{
    return width && height && depth ? (depth - 1) * slice + (height - 1) * pitch + width : 0;
}

static bool copy_spans(const struct work *work, span_test *test, void *state)
{
    const struct copy *copy = &work->copy;
    struct span source = {copy->source,
                          box_bytes(copy->width_bytes, copy->source_pitch, copy->height,
                                    copy->source_slice, copy->depth),
                          false};
    struct span target = {copy->target,
                          box_bytes(copy->width_bytes, copy->target_pitch, copy->height,
                                    copy->target_slice, copy->depth),
                          true};

    return test(state, work, &source) || test(state, work, &target);
}

static bool fill_span(const struct work *work, span_test *test, void *state)
{
    const struct fill *fill = &work->fill;
    struct span span = {
        fill->target, box_bytes(fill->width * fill->element_bytes, fill->pitch, fill->height, 0, 1),
        true};

    return test(state, work, &span);
}

static bool kernel_spans(const struct work *work, span_test *test, void *state)
{
    const struct launch *launch = &work->launch;

    for (uint32_t i = 0; launch->twin && i < launch->twin->argument_count; i++)
        for (size_t at = 0; at + sizeof(uintptr_t) <= launch->twin->argument_bytes[i];
             at += sizeof(uintptr_t)) {
            struct span span = {0, 1, true};
            memcpy(&span.from, (const char *)launch->arguments[i] + at, sizeof span.from);
            if (test(state, work, &span))
                return true;
        }
    return false;
}

static bool body_spans(const struct graph_body *body, span_test *test, void *state)
{
    for (size_t i = 0; i < body->order_count; i++)
        if (!body->order[i]->disabled && work_spans(body->order[i]->work, test, state))
            return true;
    return false;
}

bool work_spans(const struct work *work, span_test *test, void *state)
{
    struct span value = {work->value.address, work->value.bytes, work->kind == WORK_WRITE_VALUE};

    switch (work->kind) {
    case WORK_COPY: return copy_spans(work, test, state);
    case WORK_FILL: return fill_span(work, test, state);
    case WORK_KERNEL: return kernel_spans(work, test, state);
    case WORK_WRITE_VALUE:
    case WORK_WAIT_VALUE: return test(state, work, &value);
    case WORK_GRAPH: return body_spans(work->body, test, state);
    default: return false;
    }
}

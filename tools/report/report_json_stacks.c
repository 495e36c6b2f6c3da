/* SPDX-License-Identifier: MIT */
/*
 * Stacks in the JSON report. A frame is written once and refers to its caller, so stacks with
 * common outer frames take no more room than the sites of the trace. The first stacks are also
 * written in full, for readers that need only these (frames.h).
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/report/report_json_parts.h"

static json_t *frame_json(const struct frame *frame)
{
    json_t *object = json_object();
    struct report_place place;

    report_place_of(frame, &place);
    report_json_place_set(object, &place);
    json_object_set_new(object, "changed", json_boolean(frame->changed));
    json_object_set_new(object, "inlined", json_boolean(frame->inlined));
    return object;
}

/** Numbers the unnumbered frames of a stack; callers come first. */
static void stack_number(struct report_json_frames *frames, const struct trace_reader *reader,
                         uint64_t site)
{
    struct frame own[FRAMES_MOST];
    struct trace_site place;
    size_t begin = frames->sites, missing = begin;
    uint64_t at = site;

    for (; trace_reader_site(reader, at, &place) == 0 && !frames->row[at - 1]; at = place.caller) {
        frames->row[at - 1] = 1; /* listed */
        frames->site[missing++] = (uint32_t)at;
    }
    frames->sites = missing;
    for (size_t i = begin, j = missing; i + 1 < j; i++) {
        uint32_t other = frames->site[--j];

        frames->site[j] = frames->site[i];
        frames->site[i] = other;
    }
    for (size_t i = begin; i < missing; i++) {
        frames->rows += frames_get_own(reader, frames->site[i], own, FRAMES_MOST);
        frames->row[frames->site[i] - 1] = (uint32_t)frames->rows;
    }
}

int report_json_frames_create(const struct analysis *analysis, const struct tally *stacks,
                              size_t count, struct report_json_frames *ret_frames)
{
    size_t sites = trace_reader_summary(analysis->reader)->sites;

    *ret_frames = (struct report_json_frames){.row = calloc(sites + 1, sizeof(uint32_t)),
                                              .site = calloc(sites + 1, sizeof(uint32_t))};
    if (!ret_frames->row || !ret_frames->site) {
        report_json_frames_done(ret_frames);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        stack_number(ret_frames, analysis->reader, stacks[i].key);
    return 0;
}

void report_json_frames_done(struct report_json_frames *frames)
{
    free(frames->row);
    free(frames->site);
}

/** Null for a site that is not known. */
static json_t *row_json(const struct report_json_frames *frames, const struct trace_reader *reader,
                        uint64_t site)
{
    struct trace_site place;

    return trace_reader_site(reader, site, &place) < 0
               ? json_null()
               : report_json_integer(frames->row[site - 1] - 1);
}

void report_json_frames_put(const struct report_json_frames *frames,
                            const struct analysis *analysis, struct json_stream *stream)
{
    struct frame own[FRAMES_MOST];
    uint64_t row = 0;

    json_stream_open(stream, "frames", '[');
    for (size_t i = 0; i < frames->sites; i++) {
        uint64_t site = frames->site[i];
        size_t count = frames_get_own(analysis->reader, site, own, FRAMES_MOST);

        for (size_t k = count; k-- > 0;) {
            json_t *object = frame_json(&own[k]), *caller;

            caller = k + 1 == count ? row_json(frames, analysis->reader, own[k].site.caller)
                                    : report_json_integer(row - 1);
            json_object_set_new(object, "caller", caller);
            json_stream_add(stream, NULL, object);
            row++;
        }
    }
    json_stream_close(stream);
}

void report_json_stack_set(json_t *object, const struct report_json_frames *frames,
                           struct frames_budget *budget, const struct analysis *analysis,
                           uint64_t site)
{
    struct frame whole[FRAMES_MOST];
    size_t count = frames_get(analysis->reader, site, whole, frames_share(budget, 0));
    json_t *array = json_array();

    budget->written += count;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, frame_json(&whole[i]));
    json_object_set_new(object, "frame", row_json(frames, analysis->reader, site));
    json_object_set_new(object, "frames", array);
}

/* SPDX-License-Identifier: MIT */
#include "tools/report/base/callers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/bound.h"
#include "tools/symbols/function_name.h"

static int compare_places(const void *a, const void *b)
{
    const struct caller *left = a, *right = b;

    if (left->site != right->site)
        return left->site < right->site ? -1 : 1;
    if (left->place != right->place)
        return left->place < right->place ? -1 : 1;
    return (left->sum.key > right->sum.key) - (left->sum.key < right->sum.key);
}

static int compare_figures(const void *a, const void *b)
{
    const struct caller *left = a, *right = b;

    if (left->site != right->site)
        return left->site < right->site ? -1 : 1;
    return tally_compare(&left->sum, &right->sum);
}

static void sum_join(struct tally *sum, const struct tally *other)
{
    sum->allocations += other->allocations;
    sum->frees += other->frees;
    sum->failures += other->failures;
    sum->requested_bytes = tally_sum(sum->requested_bytes, other->requested_bytes);
    sum->hits += other->hits;
    sum->misses += other->misses;
    sum->waits += other->waits;
    sum->passed += other->passed;
    sum->leaked_blocks += other->leaked_blocks;
    sum->leaked_bytes += other->leaked_bytes;
    sum->temporaries += other->temporaries;
    sum->live_bytes.at_peak += other->live_bytes.at_peak;
    sum->live_bytes.peak += other->live_bytes.peak;
    sum->live_blocks.at_peak += other->live_blocks.at_peak;
    sum->live_blocks.peak += other->live_blocks.peak;
}

/** Key of a path: its functions and the lines of their calls. */
static uint64_t path_hash(const struct trace_reader *reader, uint64_t stack)
{
    struct frame frames[CALLERS_DEPTH + 1];
    size_t count = frames_callers(reader, stack, frames, CALLERS_DEPTH + 1);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < count; i++) {
        const char *name = frames[i].function ? frames[i].function : "";

        for (; *name; name++)
            hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
        hash = (hash ^ (frames[i].line ? frames[i].line : frames[i].site.offset)) *
               UINT64_C(0x100000001b3);
    }
    return hash;
}

int callers_create(const struct analysis *analysis, struct callers *ret_callers)
{
    struct callers callers = {.analysis = analysis,
                              .row = calloc(analysis->stacks.rows + 1, sizeof *callers.row)};

    if (!callers.row)
        return -ENOMEM;
    for (size_t i = 0; i < analysis->stacks.rows; i++) {
        const struct tally *stack = &analysis->stacks.row[i];

        callers.row[i] = (struct caller){.site = analysis_site_of_stack(analysis, stack->key),
                                         .place = path_hash(analysis->reader, stack->key),
                                         .sum = *stack};
    }
    qsort(callers.row, analysis->stacks.rows, sizeof *callers.row, compare_places);
    for (size_t i = 0; i < analysis->stacks.rows; i++) {
        struct caller *last = callers.rows ? &callers.row[callers.rows - 1] : NULL;

        if (last && last->site == callers.row[i].site && last->place == callers.row[i].place)
            sum_join(&last->sum, &callers.row[i].sum);
        else
            callers.row[callers.rows++] = callers.row[i];
    }
    qsort(callers.row, callers.rows, sizeof *callers.row, compare_figures);
    *ret_callers = callers;
    return 0;
}

void callers_done(struct callers *callers)
{
    free(callers->row);
    *callers = (struct callers){0};
}

size_t callers_of(const struct callers *callers, uint64_t site, const struct caller **ret_first)
{
    size_t first = LOWER_BOUND(callers->row, callers->rows, site, site), count = 0;

    while (first + count < callers->rows && callers->row[first + count].site == site)
        count++;
    *ret_first = count ? &callers->row[first] : NULL;
    return count;
}

/** "Engine::serve (engine.cc:41)", "serve+0x4e". */
static void frame_brief(const struct frame *frame, char *ret_text, size_t text_bytes)
{
    char function[256] = "";

    if (frame->function)
        function_name_copy(frame->function, function, sizeof function);
    if (!frame->function)
        frame_text(frame, ret_text, text_bytes);
    else if (frame->file && frame->line)
        snprintf(ret_text, text_bytes, "%s (%s:%llu)", function, frame_file_name(frame->file),
                 (unsigned long long)frame->line);
    else
        snprintf(ret_text, text_bytes, "%s", function);
    safe_text_end(ret_text, text_bytes);
}

void caller_text(const struct callers *callers, const struct caller *caller, char *ret_text,
                 size_t text_bytes)
{
    struct frame frames[CALLERS_DEPTH + 1];
    size_t count = frames_callers(callers->analysis->reader, caller->sum.key, frames,
                                  CALLERS_DEPTH + 1),
           used = 0;
    struct frame before = {0};
    char name[320];

    *ret_text = '\0';
    frames_location(callers->analysis->reader, caller->sum.key, &before);
    for (size_t i = 0; i < count && used < text_bytes; before = frames[i++]) {
        if (before.function && frames[i].function && !strcmp(before.function, frames[i].function))
            continue; /* a function that calls itself, or was cut in parts */
        frame_brief(&frames[i], name, sizeof name);
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s", used ? " < " : "",
                                 i < CALLERS_DEPTH ? name : "…");
    }
    safe_text_end(ret_text, text_bytes);
}

void caller_passed_text(const struct callers *callers, const struct caller *caller, char *ret_text,
                        size_t text_bytes)
{
    struct frame frames[16];
    size_t count = frames_passed(callers->analysis->reader, caller->sum.key, frames, 16), used = 0;

    *ret_text = '\0';
    for (size_t i = count; i-- > 0 && used < text_bytes;) {
        char function[256] = "";

        if (!frames[i].function || (i + 1 < count && frames[i + 1].function &&
                                    !strcmp(frames[i].function, frames[i + 1].function)))
            continue;
        function_name_copy(frames[i].function, function, sizeof function);
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s", used ? ", " : "",
                                 function);
    }
    safe_text_end(ret_text, text_bytes);
}

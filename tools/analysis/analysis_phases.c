/* SPDX-License-Identifier: MIT */
/*
 * The program's own phases by name, steps and marks. If it names no phase and no step, load,
 * warm-up and steady state are detected from the requested memory.
 *
 * A name that begins again while open nests; its time is that of the outermost pair. The events of
 * a phase are the difference of totals between its begin and its end. A step belongs to the phases
 * that were open when it began; it ends with the next step and with the first of these phases. A
 * phase that began inside it, such as a library's range, ends without it.
 *
 * Of a part of the run, what lies in it counts: its begin resumes the open phases and the step
 * under way, with opening balances of that moment, and its end suspends them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis_parts.h"
#include "tools/base/grow.h"

#define PHASES_MOST    1024
#define SPANS_CLOSE_NS 1000 /* the first gaps to be closed */
#define LOAD_MOST      64   /* blocks that a program without frees may keep */

const char *const analysis_phase_source_name[ANALYSIS_PHASE_SOURCES] = {
    [ANALYSIS_PHASE_API] = "api",
    [ANALYSIS_PHASE_NVTX] = "nvtx",
    [ANALYSIS_PHASE_SIGNAL] = "signal",
    [ANALYSIS_PHASE_DETECTED] = "detected",
};

const struct analysis_phase *analysis_phase_find(const struct analysis *analysis, const char *name)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (!strcmp(analysis->phase[i].name, name))
            return &analysis->phase[i];
    return NULL;
}

/** Returns the row of a phase by its interned name, created when new; `ret_phase` NULL: too
 * many. */
static int phase_get(struct analysis *analysis, const char *name, enum analysis_phase_source source,
                     struct analysis_phase **ret_phase)
{
    struct analysis_phase *phase = analysis->phase;
    size_t room = analysis->phases ? 2 * analysis->phases : 16, *open;
    uint32_t row;

    *ret_phase = NULL;
    row = key_index_find(&analysis->phase_index, (uint64_t)(uintptr_t)name);
    if (row != KEY_INDEX_NONE) {
        *ret_phase = &phase[row];
        return 0;
    }
    if (analysis->phases == PHASES_MOST) {
        analysis->phases_left_out++;
        return 0;
    }
    if (analysis->phases == analysis->phases_room) {
        phase = realloc(analysis->phase, room * sizeof *phase);
        analysis->phase = phase ? phase : analysis->phase;
        open = realloc(analysis->phase_open, room * sizeof *open);
        analysis->phase_open = open ? open : analysis->phase_open;
        if (!phase || !open)
            return -ENOMEM;
        analysis->phases_room = room;
    }
    if (key_index_get(&analysis->phase_index, (uint64_t)(uintptr_t)name,
                      (uint32_t)analysis->phases) == KEY_INDEX_NONE)
        return -ENOMEM;
    phase[analysis->phases] = (struct analysis_phase){.name = name, .source = source};
    *ret_phase = &phase[analysis->phases++];
    return 0;
}

static void step_count(struct analysis_step_figures *figures, uint64_t allocations,
                       uint64_t driver_calls)
{
    figures->count++;
    figures->allocations += allocations;
    figures->driver_calls += driver_calls;
    if (allocations > figures->allocations_max)
        figures->allocations_max = allocations;
    if (driver_calls > figures->driver_calls_max)
        figures->driver_calls_max = driver_calls;
}

static int step_keep(struct analysis *analysis, const struct analysis_step *step)
{
    if (analysis->steps_kept == ANALYSIS_STEPS)
        return 0;
    if (ARRAY_GROW(analysis->step, analysis->steps_kept, analysis->steps_room, 64) < 0)
        return -ENOMEM;
    analysis->step[analysis->steps_kept++] = *step;
    return 0;
}

/** Whether a phase was open when the step under way began. */
static bool step_is_inside(const struct analysis *analysis, const struct analysis_phase *phase)
{
    return phase->begun <= analysis->step_now.phases_begun;
}

/** Counts what the step under way did since it began, or since it was resumed. */
static int step_suspend(struct analysis *analysis, uint64_t time_ns)
{
    struct analysis_step step = {
        .number = analysis->step_now.number,
        .begin_ns = analysis->step_now.begin_ns,
        .end_ns = time_ns,
        .allocations = analysis->total.allocations - analysis->step_now.allocations,
        .frees = analysis->total.frees - analysis->step_now.frees,
        .driver_calls = analysis->calls_driver - analysis->step_now.driver_calls,
        .growth_bytes = (int64_t)(analysis->requested.current - analysis->step_now.requested_bytes),
    };

    step_count(&analysis->steps, step.allocations, step.driver_calls);
    for (size_t i = 0; i < analysis->phases_open; i++) {
        struct analysis_phase *phase = &analysis->phase[analysis->phase_open[i]];

        if (step_is_inside(analysis, phase))
            step_count(&phase->steps, step.allocations, step.driver_calls);
    }
    return step_keep(analysis, &step);
}

static void step_resume(struct analysis *analysis, uint64_t time_ns)
{
    analysis->step_now.begin_ns = time_ns;
    analysis->step_now.requested_bytes = analysis->requested.current;
    analysis->step_now.allocations = analysis->total.allocations;
    analysis->step_now.frees = analysis->total.frees;
    analysis->step_now.driver_calls = analysis->calls_driver;
}

/** The step under way is over. */
static int step_end(struct analysis *analysis, uint64_t time_ns)
{
    bool counts = analysis->step_now.open && !analysis->outside;

    analysis->step_now.open = false;
    return counts ? step_suspend(analysis, time_ns) : 0;
}

static int step_begin(struct analysis *analysis, const struct trace_record *record)
{
    int error = step_end(analysis, record->time_ns);

    analysis->step_now.open = true;
    analysis->step_now.number = record->address;
    analysis->step_now.phases_begun = analysis->phases_begun;
    step_resume(analysis, record->time_ns);
    return error;
}

/** Counts begins, or a mark, in the part of the run. */
static void phase_count(struct analysis_phase *phase, uint64_t times, uint64_t time_ns)
{
    if (!phase->count && times)
        phase->first_ns = time_ns;
    phase->count += times;
}

/** The memory requested now is part of the phase. */
static void phase_level(const struct analysis *analysis, struct analysis_phase *phase)
{
    if (!phase->resumed)
        phase->opening_requested_bytes = analysis->requested.current;
    phase->resumed = true;
    if (analysis->requested.current > phase->peak_requested_bytes)
        phase->peak_requested_bytes = analysis->requested.current;
}

/** An open phase counts from here on. */
static void phase_resume(struct analysis *analysis, struct analysis_phase *phase, uint64_t time_ns)
{
    phase_count(phase, phase->uncounted, time_ns);
    phase->uncounted = 0;
    phase_level(analysis, phase);
    phase->begin_ns = time_ns;
    phase->opening.requested_bytes = analysis->requested.current;
    phase->opening.allocations = analysis->total.allocations;
    phase->opening.frees = analysis->total.frees;
    phase->opening.driver_calls = analysis->calls_driver;
    phase->opening.steps = phase->steps.count;
}

static void phase_mark(struct analysis *analysis, struct analysis_phase *phase, uint64_t time_ns)
{
    phase_count(phase, 1, time_ns);
    phase_level(analysis, phase);
}

static void phase_begin(struct analysis *analysis, struct analysis_phase *phase, uint64_t time_ns)
{
    bool outermost = !phase->open++;

    phase->uncounted++;
    if (outermost) {
        analysis->phase_open[analysis->phases_open++] = (size_t)(phase - analysis->phase);
        phase->begun = ++analysis->phases_begun;
    }
    if (analysis->outside)
        return;
    if (outermost)
        phase_resume(analysis, phase, time_ns);
    phase_count(phase, phase->uncounted, time_ns);
    phase->uncounted = 0;
}

/** Whether a span could be joined with the last one of its phase. */
static bool span_join(struct analysis *analysis, const struct analysis_span *next)
{
    size_t row = analysis->phase[next->phase].span;
    struct analysis_span *last = row ? &analysis->span[row - 1] : NULL;

    if (!last || !analysis->spans_close_ns ||
        next->begin_ns > last->end_ns + analysis->spans_close_ns)
        return false;
    last->end_ns = next->end_ns;
    return true;
}

static void span_append(struct analysis *analysis, const struct analysis_span *next)
{
    analysis->span[analysis->spans++] = *next;
    analysis->phase[next->phase].span = analysis->spans;
}

/** Twice as wide gaps are closed. */
static void spans_join(struct analysis *analysis)
{
    size_t spans = analysis->spans;

    analysis->spans_close_ns = analysis->spans_close_ns ? 2 * analysis->spans_close_ns
                                                        : SPANS_CLOSE_NS;
    for (size_t i = 0; i < analysis->phases; i++)
        analysis->phase[i].span = 0;
    analysis->spans = 0;
    for (size_t i = 0; i < spans; i++) {
        struct analysis_span next = analysis->span[i];

        if (!span_join(analysis, &next))
            span_append(analysis, &next);
    }
}

/** If no gaps are left to close, as with a thousand nested phases, later spans are dropped. */
static int span_keep(struct analysis *analysis, size_t phase, uint64_t begin_ns, uint64_t end_ns)
{
    const struct analysis_span next = {phase, begin_ns, end_ns};

    while (analysis->spans == ANALYSIS_SPANS && analysis->spans_close_ns < end_ns)
        spans_join(analysis);
    if (span_join(analysis, &next) || analysis->spans == ANALYSIS_SPANS)
        return 0;
    if (ARRAY_GROW(analysis->span, analysis->spans, analysis->spans_room, 64) < 0)
        return -ENOMEM;
    span_append(analysis, &next);
    return 0;
}

static void open_remove(struct analysis *analysis, size_t phase)
{
    size_t kept = 0;

    for (size_t i = 0; i < analysis->phases_open; i++)
        if (analysis->phase_open[i] != phase)
            analysis->phase_open[kept++] = analysis->phase_open[i];
    analysis->phases_open = kept;
}

/** Counts what an open phase did since it began, or since it was resumed. */
static int phase_suspend(struct analysis *analysis, struct analysis_phase *phase, uint64_t time_ns)
{
    uint64_t allocations = analysis->total.allocations - phase->opening.allocations;
    uint64_t driver_calls = analysis->calls_driver - phase->opening.driver_calls;

    phase->duration_ns += time_ns - phase->begin_ns;
    phase->allocations += allocations;
    phase->driver_calls += driver_calls;
    phase->frees += analysis->total.frees - phase->opening.frees;
    phase->growth_bytes += (int64_t)(analysis->requested.current - phase->opening.requested_bytes);
    if (phase->steps.count == phase->opening.steps)
        step_count(&phase->steps, allocations, driver_calls);
    return span_keep(analysis, (size_t)(phase - analysis->phase), phase->begin_ns, time_ns);
}

static int phase_end(struct analysis *analysis, struct analysis_phase *phase, uint64_t time_ns)
{
    int error = 0;

    if (!phase->open)
        return 0;
    phase->open--;
    if (phase->uncounted > phase->open)
        phase->uncounted = phase->open;
    if (phase->open)
        return 0;
    if (step_is_inside(analysis, phase))
        error = step_end(analysis, time_ns);
    open_remove(analysis, (size_t)(phase - analysis->phase));
    return error < 0 || analysis->outside ? error : phase_suspend(analysis, phase, time_ns);
}

void analysis_phases_enter(struct analysis *analysis, uint64_t time_ns)
{
    if (analysis->step_now.open)
        step_resume(analysis, time_ns);
    for (size_t i = 0; i < analysis->phases_open; i++)
        phase_resume(analysis, &analysis->phase[analysis->phase_open[i]], time_ns);
}

int analysis_phases_leave(struct analysis *analysis, uint64_t time_ns)
{
    int error = analysis->step_now.open ? step_suspend(analysis, time_ns) : 0;

    for (size_t i = 0; error == 0 && i < analysis->phases_open; i++)
        error = phase_suspend(analysis, &analysis->phase[analysis->phase_open[i]], time_ns);
    return error;
}

int analysis_add_phase(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->value);
    struct analysis_phase *phase;
    int error;

    if (record->size == TRACE_PHASE_STEP)
        return step_begin(analysis, record);
    if (!name || record->size > TRACE_PHASE_MARK)
        return 0;
    error = phase_get(analysis, name,
                      record->address < ANALYSIS_PHASE_DETECTED
                          ? (enum analysis_phase_source)record->address
                          : ANALYSIS_PHASE_API,
                      &phase);
    if (error < 0 || !phase)
        return error;
    if (record->size == TRACE_PHASE_END)
        return phase_end(analysis, phase, record->time_ns);
    if (record->size == TRACE_PHASE_BEGIN)
        phase_begin(analysis, phase, record->time_ns);
    else if (!analysis->outside)
        phase_mark(analysis, phase, record->time_ns);
    return 0;
}

void analysis_phases_level(struct analysis *analysis, uint64_t requested_bytes)
{
    for (size_t i = 0; i < analysis->phases_open; i++) {
        struct analysis_phase *phase = &analysis->phase[analysis->phase_open[i]];

        if (requested_bytes > phase->peak_requested_bytes)
            phase->peak_requested_bytes = requested_bytes;
    }
}

/** Adds a detected phase, from one cell of the series to another. */
static int phase_detect(struct analysis *analysis, const char *name, size_t begin, size_t end)
{
    const struct plateau_series *series = &analysis->plateau_series;
    const struct timeline_point before = plateau_before(series, begin),
                                after = plateau_before(series, end);
    uint64_t begin_ns = begin < series->cells ? series->cell[begin].first_ns : 0;
    uint64_t end_ns = end < series->cells ? series->cell[end].first_ns : analysis->duration_ns;
    struct analysis_phase *phase;
    int error;

    if (end <= begin || end_ns <= begin_ns)
        return 0;
    error = phase_get(analysis, name, ANALYSIS_PHASE_DETECTED, &phase);
    if (error < 0 || !phase)
        return error;
    phase->count = 1;
    phase->first_ns = phase->begin_ns = begin_ns;
    phase->duration_ns = end_ns - begin_ns;
    phase->allocations = after.allocations - before.allocations;
    phase->frees = after.frees - before.frees;
    phase->driver_calls = after.driver_calls - before.driver_calls;
    phase->opening_requested_bytes = before.requested_bytes;
    phase->growth_bytes = (int64_t)(after.requested_bytes - before.requested_bytes);
    phase->peak_requested_bytes = before.requested_bytes;
    for (size_t i = begin; i < end; i++)
        if (series->cell[i].highest_bytes > phase->peak_requested_bytes)
            phase->peak_requested_bytes = series->cell[i].highest_bytes;
    return span_keep(analysis, (size_t)(phase - analysis->phase), begin_ns, end_ns);
}

static int phases_detect(struct analysis *analysis)
{
    struct plateau plateau;
    int error;

    if (analysis->phases || analysis->steps.count ||
        !plateau_find(&analysis->plateau_series, &plateau))
        return 0;
    error = phase_detect(analysis, "load", 0, plateau.load);
    if (error == 0)
        error = phase_detect(analysis, "warm-up", plateau.load, plateau.begin);
    if (error == 0)
        error = phase_detect(analysis, "steady", plateau.begin, plateau.end);
    return error;
}

/**
 * A program that only allocates may be loading all the time, unless its steps say otherwise:
 * memory that it frees in the end was no growth, and neither are a few blocks that it never frees.
 */
static void growth_without_load(struct analysis *analysis)
{
    uint64_t blocks = 0,
             frees = analysis->teardown.begin_ns ? analysis->teardown.frees : analysis->total.frees;
    size_t kept = 0;

    for (size_t i = 0; i < analysis->growths; i++)
        blocks += analysis->growth[i].blocks;
    if (analysis->steps.count >= GROWTH_LEAST || 2 * frees >= blocks)
        return;
    for (size_t i = 0; i < analysis->growths; i++)
        if (blocks >= LOAD_MOST && analysis->sites.row[analysis->growth[i].row].leaked_blocks)
            analysis->growth[kept++] = analysis->growth[i];
    analysis->growths = kept;
}

/** Finds sites that grow; with steps, over those after the first quarter. */
static int growth_look(struct analysis *analysis)
{
    bool by_step = analysis->steps.count >= GROWTH_LEAST;
    const struct growth_end end = {.time_ns = analysis->teardown.begin_ns
                                                  ? analysis->teardown.begin_ns
                                                  : analysis->duration_ns + 1,
                                   .order = analysis->order,
                                   .steps = by_step ? analysis->steps.count : 0,
                                   .first_step = by_step ? analysis->steps.count / 4 : 0,
                                   .peak_bytes = analysis->requested.peak};
    int error = growth_find(&analysis->tracks, &end, &analysis->growth, &analysis->growths);

    if (error == 0)
        growth_without_load(analysis);
    return error;
}

/** Takes out the phases that never ran in the part of the run. */
static void phases_compact(struct analysis *analysis)
{
    size_t kept = 0;

    /* Nobody asks any more when a phase began: that holds its new place. */
    for (size_t i = 0; i < analysis->phases; i++)
        analysis->phase[i].begun = analysis->phase[i].count ? kept++ : 0;
    for (size_t i = 0; i < analysis->spans; i++)
        analysis->span[i].phase = (size_t)analysis->phase[analysis->span[i].phase].begun;
    kept = 0;
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].count)
            analysis->phase[kept++] = analysis->phase[i];
    analysis->phases = kept;
}

int analysis_phases_finish(struct analysis *analysis)
{
    int error = analysis->outside ? 0 : analysis_phases_leave(analysis, analysis->duration_ns);

    analysis->step_now.open = false;
    analysis->phases_open = 0;
    if (analysis->window.is_set)
        phases_compact(analysis);
    /* Of a part of the run neither is known. */
    if (error < 0 || analysis->window.is_set || analysis->recording.folded_records)
        return error;
    error = phases_detect(analysis);
    return error < 0 ? error : growth_look(analysis);
}

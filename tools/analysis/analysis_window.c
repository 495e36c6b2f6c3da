/* SPDX-License-Identifier: MIT */
/*
 * Figures of a part of the trace. Outside the window levels and the table continue, so the memory
 * live at its opening is its opening balance; counts and peaks are taken only inside. A window by
 * time ends the reading: memory allocated in it and live at its end counts as leaked. A window by
 * phase may open many times; memory allocated inside and never freed counts as leaked.
 *
 * An opening costs the same however many rows there are: a row learns of it before its live memory
 * changes next, or at the end. Until then it is what it was at the opening.
 */
#include <string.h>

#include "tools/analysis/analysis_parts.h"
#include "tools/base/grow.h"

static void level_enter(struct level *level)
{
    if (level->current > level->peak)
        level->peak = level->current;
}

/** The window opened since the row's live memory changed. */
static void row_enter(struct analysis *analysis, size_t breakdown, size_t row)
{
    struct tally *tally = &replay_tallies(&analysis->replay, breakdown)->row[row];
    uint64_t *openings = &analysis->window_rows[breakdown].openings[row];

    if (*openings == analysis->openings)
        return;
    *openings = analysis->openings;
    level_enter(&tally->live_bytes);
    level_enter(&tally->live_blocks);
}

void analysis_window_row(struct analysis *analysis, enum replay_row row, const struct tally *tally)
{
    static const uint8_t breakdown_of[REPLAY_ROWS] = {
        [REPLAY_SITE] = 0, [REPLAY_STACK] = 1, [REPLAY_SIZE] = 2, [REPLAY_LIBRARY] = 3,
        [REPLAY_API] = 4,  [REPLAY_KIND] = 5,  [REPLAY_PATH] = 6}; /* as replay_tallies() */
    size_t breakdown = breakdown_of[row], index;

    if (row == REPLAY_TOTAL)
        return;
    index = (size_t)(tally - replay_tallies(&analysis->replay, breakdown)->row);
    if (index < analysis->window_rows[breakdown].rows)
        row_enter(analysis, breakdown, index); /* another is as new as the event */
}

/** Rows that are new since the event before know of all openings. */
static int rows_note(struct analysis *analysis)
{
    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++) {
        struct analysis_window_rows *rows = &analysis->window_rows[i];

        while (rows->rows < replay_tallies(&analysis->replay, i)->rows) {
            if (ARRAY_GROW(rows->openings, rows->rows, rows->room, 64) < 0)
                return -ENOMEM;
            rows->openings[rows->rows++] = analysis->openings;
        }
    }
    return 0;
}

static void window_enter(struct analysis *analysis, uint64_t time_ns)
{
    struct timeline_point now;

    analysis->outside = false;
    if (!analysis->opened)
        analysis->opening = (struct analysis_opening){
            .requested_bytes = analysis->requested.current,
            .reserved_bytes = analysis->reserved.current,
            .driver_bytes = analysis->driver.current,
            .blocks = analysis->total.live_blocks.current};
    analysis->opened = true;
    analysis->entered_ns = time_ns;
    if (analysis->requested.current > analysis->requested.peak) {
        analysis->peak_serial++;
        analysis->peak_time_ns = time_ns;
        address_history_peak(&analysis->addresses, analysis->order);
    }
    analysis->openings++;
    level_enter(&analysis->total.live_bytes);
    level_enter(&analysis->total.live_blocks);
    level_enter(&analysis->requested);
    level_enter(&analysis->allocated);
    level_enter(&analysis->reserved);
    level_enter(&analysis->driver);
    now = analysis_levels_now(analysis, time_ns);
    timeline_add(&analysis->timeline, &now);
    analysis_phases_enter(analysis, time_ns);
}

static int window_leave(struct analysis *analysis, uint64_t time_ns)
{
    int error = analysis_phases_leave(analysis, time_ns);

    analysis->outside = true;
    analysis->window_ns += time_ns > analysis->entered_ns ? time_ns - analysis->entered_ns : 0;
    return error;
}

int analysis_window_before(struct analysis *analysis, uint64_t time_ns)
{
    const struct analysis_window *window = &analysis->window;
    int error = rows_note(analysis);

    if (error < 0 || window->phase)
        return error;
    if (!analysis->opened && time_ns >= window->begin_ns)
        window_enter(analysis, window->begin_ns);
    if (analysis->outside || time_ns < window->end_ns)
        return 0;
    analysis->ended = true;
    return window_leave(analysis, window->end_ns);
}

/** Looks for the row of the window's phase among the new ones; NULL: none yet. */
static const struct analysis_phase *window_phase(struct analysis *analysis)
{
    for (; !analysis->window_phase && analysis->window_looked < analysis->phases;
         analysis->window_looked++)
        if (!strcmp(analysis->phase[analysis->window_looked].name, analysis->window.phase))
            analysis->window_phase = analysis->window_looked + 1;
    return analysis->window_phase ? &analysis->phase[analysis->window_phase - 1] : NULL;
}

int analysis_window_after(struct analysis *analysis, uint64_t time_ns)
{
    const struct analysis_phase *phase;

    if (!analysis->window.phase)
        return 0;
    phase = window_phase(analysis);
    if (analysis->outside && phase && phase->open)
        window_enter(analysis, time_ns);
    else if (!analysis->outside && (!phase || !phase->open))
        return window_leave(analysis, time_ns);
    return 0;
}

bool analysis_window_needs(const struct analysis *analysis, unsigned kind)
{
    switch (kind) {
    case TRACE_EVENT_PROCESS:
    case TRACE_EVENT_RANK:
    case TRACE_EVENT_DEVICE:
    case TRACE_EVENT_BACKING:
    case TRACE_EVENT_EXIT: return true;
    case TRACE_EVENT_CONTEXT:
    case TRACE_EVENT_ALLOCATE:
    case TRACE_EVENT_FREE:
    case TRACE_EVENT_SEGMENT_ALLOCATE:
    case TRACE_EVENT_SEGMENT_FREE:
    case TRACE_EVENT_PHASE: return !analysis->ended;
    default: return false;
    }
}

static bool row_is_empty(const struct tally *row)
{
    return !row->allocations && !row->frees && !row->failures && !row->invalid_frees &&
           !row->leaked_blocks && !row->live_blocks.peak;
}

/** The index becomes invalid: nobody looks a key up afterwards. */
static void tallies_compact(struct tallies *tallies)
{
    size_t kept = 0;

    for (size_t i = 0; i < tallies->rows; i++)
        if (!row_is_empty(&tallies->row[i]))
            tallies->row[kept++] = tallies->row[i];
    tallies->rows = kept;
}

/** Moves an entry to the place of an empty one. */
static void entry_move(void *entries, size_t count, size_t bytes, size_t from, size_t to)
{
    unsigned char *left, *right;

    if (from >= count)
        return;
    left = (unsigned char *)entries + to * bytes;
    right = (unsigned char *)entries + from * bytes;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = left[i];

        left[i] = right[i];
        right[i] = byte;
    }
}

/** Renumbers everything that is numbered by site; growth is only for whole runs. */
static void sites_renumber(struct analysis *analysis)
{
    size_t kept = 0;

#define MOVE(numbered, from)                                                                       \
    entry_move((numbered).row, (numbered).rows, sizeof *(numbered).row, from, kept)
    for (size_t i = 0; i < analysis->sites.rows; i++) {
        if (row_is_empty(&analysis->sites.row[i]))
            continue;
        if (kept != i) {
            MOVE(analysis->copies, i);
            MOVE(analysis->tracks, i);
            MOVE(analysis->step_sites, i);
            MOVE(analysis->phase_sites, i);
        }
        kept++;
    }
#undef MOVE
}

int analysis_window_finish(struct analysis *analysis)
{
    int error = analysis->outside ? 0 : window_leave(analysis, analysis->duration_ns);

    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++)
        for (size_t row = 0; row < analysis->window_rows[i].rows; row++)
            row_enter(analysis, i, row);
    sites_renumber(analysis);
    for (size_t i = 0; i < REPLAY_BREAKDOWNS; i++)
        tallies_compact(replay_tallies(&analysis->replay, i));
    return error;
}

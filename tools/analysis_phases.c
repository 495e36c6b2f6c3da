/* SPDX-License-Identifier: MIT */
/*
 * What the program says of itself: phases, by their names.
 *
 * A name that is begun while it is open nests; its time is that of the outermost pair.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/analysis_parts.h"

/** The row of a phase by its name, made when it is new. */
static struct analysis_phase *phase_get(struct analysis *analysis, const char *name)
{
    struct analysis_phase *phase = analysis->phase;

    for (size_t i = 0; i < analysis->phases; i++)
        if (phase[i].name == name)
            return &phase[i];
    if (analysis->phases == analysis->phases_room) {
        size_t room = analysis->phases ? 2 * analysis->phases : 16;

        phase = room > 1024 ? NULL : realloc(phase, room * sizeof *phase);
        if (!phase)
            return NULL;
        analysis->phase = phase;
        analysis->phases_room = room;
    }
    phase[analysis->phases] = (struct analysis_phase){.name = name};
    return &phase[analysis->phases++];
}

enum { PHASE_END, PHASE_BEGIN, PHASE_MARK };

int analysis_add_phase(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->value);
    struct analysis_phase *phase = name ? phase_get(analysis, name) : NULL;

    if (!phase)
        return name ? -ENOMEM : 0;
    if (record->size == PHASE_END) {
        if (phase->open && --phase->open == 0)
            phase->duration_ns += record->time_ns - phase->begin_ns;
        return 0;
    }
    phase->count++;
    if (record->size == PHASE_BEGIN && phase->open++ == 0)
        phase->begin_ns = record->time_ns;
    if (phase->open && analysis->requested.current > phase->peak_requested_bytes)
        phase->peak_requested_bytes = analysis->requested.current;
    return 0;
}

void analysis_phases_call(struct analysis *analysis, const struct trace_record *record)
{
    for (size_t i = 0; i < analysis->phases; i++) {
        struct analysis_phase *phase = &analysis->phase[i];

        phase->allocations += phase->open && record->kind == TRACE_EVENT_ALLOCATE;
        phase->frees += phase->open && record->kind == TRACE_EVENT_FREE;
    }
}

void analysis_phases_level(struct analysis *analysis, uint64_t requested_bytes)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].open && requested_bytes > analysis->phase[i].peak_requested_bytes)
            analysis->phase[i].peak_requested_bytes = requested_bytes;
}

void analysis_phases_finish(struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].open)
            analysis->phase[i].duration_ns += analysis->duration_ns - analysis->phase[i].begin_ns;
}

/* SPDX-License-Identifier: MIT */
/*
 * Chrome's JSON trace format, which Perfetto opens: counters of the levels over time and of the
 * largest sites, slices for phases and steps, instants for marks, the peak, failures, trims and
 * invalid frees. Each trace is a process; each phase is a separate track, because phases may
 * overlap; times are microseconds since its start, with three decimals.
 */
#include "tools/report/report_formats.h"

#include <stdlib.h>

#include "tools/base/escape.h"
#include "tools/base/units.h"

#define SITES      12  /* with a counter */
#define PHASES     100 /* with a track */
#define TRACK_STEP 1   /* numbers of tracks; phases follow */

struct events {
    FILE *out;
    unsigned process; /* of the output: traces of different hosts may share a pid */
    bool has_one;
};

static void event_begin(struct events *events, const char *phase, const char *name,
                        uint64_t time_ns)
{
    fprintf(events->out, "%s{\"ph\":\"%s\",\"pid\":%u,\"tid\":0,\"ts\":%llu.%03llu,\"name\":\"%s\"",
            events->has_one ? ",\n" : "\n", phase, events->process,
            (unsigned long long)time_ns / 1000, (unsigned long long)time_ns % 1000, name);
    events->has_one = true;
}

static void process_print(struct events *events, const struct analysis *analysis, const char *trace)
{
    event_begin(events, "M", "process_name", 0);
    fputs(",\"args\":{\"name\":\"", events->out);
    escape_print(events->out, ESCAPE_JSON, analysis->command ? analysis->command : trace);
    fprintf(events->out, "%s (pid %u)\"}}",
            analysis_is_simulated(analysis) ? " (simulated device)" : "", analysis->recording.pid);
}

/** A counter appears under its name and its figure's, "requested bytes". */
static void counter_print(struct events *events, const char *name, uint64_t time_ns, uint64_t bytes)
{
    event_begin(events, "C", name, time_ns);
    fprintf(events->out, ",\"args\":{\"bytes\":%llu}}", (unsigned long long)bytes);
}

static void counters_print(struct events *events, const struct analysis *analysis)
{
    static struct timeline_point points[TIMELINE_POINTS];
    size_t count = timeline_points(&analysis->timeline, points);

    for (size_t i = 0; i < count; i++) {
        const struct timeline_point *point = &points[i];

        counter_print(events, "requested", point->time_ns, point->requested_bytes);
        counter_print(events, "allocated", point->time_ns, point->allocated_bytes);
        counter_print(events, "reserved", point->time_ns, point->reserved_bytes);
        counter_print(events, "driver", point->time_ns, point->driver_bytes);
    }
}

static void instant_print(struct events *events, const char *name, uint64_t time_ns, uint64_t bytes)
{
    event_begin(events, "i", name, time_ns);
    fprintf(events->out, ",\"s\":\"p\",\"args\":{\"bytes\":%llu,\"size\":\"%s\"}}",
            (unsigned long long)bytes, unit_bytes(bytes).text);
}

static void site_instant_print(struct events *events, const struct analysis *analysis,
                               const char *name, uint64_t time_ns, const char *key, uint64_t value,
                               uint64_t site)
{
    char place[256];

    report_site_name(analysis, site, place, sizeof place);
    event_begin(events, "i", name, time_ns);
    fprintf(events->out, ",\"s\":\"p\",\"args\":{\"%s\":%llu,\"site\":\"", key,
            (unsigned long long)value);
    escape_print(events->out, ESCAPE_JSON, place);
    fputs("\"}}", events->out);
}

static void instants_print(struct events *events, const struct analysis *analysis)
{
    if (analysis->requested.peak)
        instant_print(events, "peak", analysis->peak_time_ns, analysis->requested.peak);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        site_instant_print(events, analysis, "out of memory", analysis->postmortem[i].time_ns,
                           "request_bytes", analysis->postmortem[i].request_bytes,
                           analysis->postmortem[i].site);
    for (size_t i = 0; i < analysis->trims && i < ANALYSIS_TRIMS; i++)
        instant_print(events, "trim", analysis->trim[i].time_ns, analysis->trim[i].bytes);
    for (size_t i = 0; i < analysis->total.invalid_frees && i < ANALYSIS_INVALID_FREES; i++)
        site_instant_print(events, analysis, "invalid free", analysis->invalid_free[i].time_ns,
                           "address", analysis->invalid_free[i].address,
                           analysis->invalid_free[i].site);
}

/** The name of a track, or of a slice, comes from the trace. */
static void named_begin(struct events *events, const char *phase, unsigned track, uint64_t time_ns,
                        const char *name)
{
    fprintf(events->out, "%s{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%llu.%03llu,\"name\":\"",
            events->has_one ? ",\n" : "\n", phase, events->process, track,
            (unsigned long long)time_ns / 1000, (unsigned long long)time_ns % 1000);
    escape_print(events->out, ESCAPE_JSON, name);
    fputc('"', events->out);
    events->has_one = true;
}

static void track_name(struct events *events, unsigned track, const char *kind, const char *name)
{
    named_begin(events, "M", track, 0, "thread_name");
    fprintf(events->out, ",\"args\":{\"name\":\"%s", kind);
    escape_print(events->out, ESCAPE_JSON, name);
    fputs("\"}}", events->out);
}

static void duration_print(struct events *events, uint64_t ns)
{
    fprintf(events->out, ",\"dur\":%llu.%03llu", (unsigned long long)ns / 1000,
            (unsigned long long)ns % 1000);
}

static void phases_print(struct events *events, const struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->phases && i < PHASES; i++) {
        const struct analysis_phase *phase = &analysis->phase[i];
        unsigned track = TRACK_STEP + 1 + (unsigned)i;

        track_name(events, track, "phase ", phase->name);
        if (!phase->duration_ns) {
            named_begin(events, "i", track, phase->first_ns, phase->name);
            fprintf(events->out, ",\"s\":\"t\",\"args\":{\"times\":%llu}}",
                    (unsigned long long)phase->count);
        }
    }
    for (size_t i = 0; i < analysis->spans; i++) {
        const struct analysis_span *span = &analysis->span[i];
        const struct analysis_phase *phase = &analysis->phase[span->phase];

        if (span->phase >= PHASES || span->end_ns <= span->begin_ns)
            continue;
        named_begin(events, "X", TRACK_STEP + 1 + (unsigned)span->phase, span->begin_ns,
                    phase->name);
        duration_print(events, span->end_ns - span->begin_ns);
        fprintf(events->out, ",\"args\":{\"source\":\"%s\"}}",
                analysis_phase_source_name[phase->source]);
    }
}

static void steps_print(struct events *events, const struct analysis *analysis)
{
    char name[32];

    if (analysis->steps_kept)
        track_name(events, TRACK_STEP, "steps", "");
    for (size_t i = 0; i < analysis->steps_kept; i++) {
        const struct analysis_step *step = &analysis->step[i];

        snprintf(name, sizeof name, "step %llu", (unsigned long long)step->number);
        named_begin(events, "X", TRACK_STEP, step->begin_ns, name);
        duration_print(events, step->end_ns - step->begin_ns);
        fprintf(events->out,
                ",\"args\":{\"allocations\":%llu,\"frees\":%llu,\"driver_calls\":%llu,"
                "\"growth_bytes\":%lld}}",
                (unsigned long long)step->allocations, (unsigned long long)step->frees,
                (unsigned long long)step->driver_calls, (long long)step->growth_bytes);
    }
}

static void site_counter_print(struct events *events, const char *name, uint64_t time_ns,
                               uint64_t bytes)
{
    named_begin(events, "C", 0, time_ns, name);
    fprintf(events->out, ",\"args\":{\"bytes\":%llu}}", (unsigned long long)bytes);
}

/** Memory of the largest sites at the peak, as far as it was noted (growth.h). */
static void sites_print(struct events *events, const struct analysis *analysis)
{
    const struct tallies *sites = &analysis->sites;
    struct tally *rows = report_rows_sorted(sites);
    char place[256], name[288];

    for (size_t i = 0; rows && i < sites->rows && i < SITES; i++) {
        uint32_t row = key_index_find(&sites->index, rows[i].key);
        const struct growth_track *track = row < analysis->tracks.rows ? &analysis->tracks.row[row]
                                                                       : NULL;

        report_site_name(analysis, rows[i].key, place, sizeof place);
        snprintf(name, sizeof name, "site %s", place);
        for (unsigned k = 0; track && k < track->notes; k++)
            site_counter_print(events, name, track->note[k].time_ns, track->note[k].bytes);
        if (track && track->notes)
            site_counter_print(events, name, track->last.time_ns, track->last.bytes);
    }
    free(rows);
}

/** What was mapped together so far, and each time as an instant. */
static void defragmentation_print(struct events *events, const struct analysis *analysis)
{
    const struct defragmentation *defragmentation = &analysis->defragmentation;
    uint64_t stitched_bytes = 0;

    for (size_t i = 0; i < defragmentation->moments; i++) {
        const struct defragmentation_moment *moment = &defragmentation->moment[i];

        instant_print(events, defragmentation_kind_name[moment->kind], moment->time_ns,
                      moment->bytes);
        if (moment->kind != DEFRAGMENTATION_STITCH)
            continue;
        stitched_bytes += moment->bytes;
        counter_print(events, "stitched", moment->time_ns, stitched_bytes);
    }
}

int report_perfetto_write(const struct report_input *input, const struct report_style *style,
                          FILE *out)
{
    struct events events = {.out = out};

    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", out);
    for (size_t i = 0; i < input->count; i++) {
        events.process = (unsigned)i + 1;
        process_print(&events, input->analyses[i], input->traces[i]);
        counters_print(&events, input->analyses[i]);
        instants_print(&events, input->analyses[i]);
        phases_print(&events, input->analyses[i]);
        steps_print(&events, input->analyses[i]);
        sites_print(&events, input->analyses[i]);
        defragmentation_print(&events, input->analyses[i]);
    }
    fputs("\n]}\n", out);
    return 0;
}

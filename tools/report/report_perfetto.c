/* SPDX-License-Identifier: MIT */
/*
 * Chrome's JSON trace format, which Perfetto opens: counters of the levels over time, instants for
 * the peak, for failures, trims and invalid frees. Each trace is a process; times are microseconds
 * since its start, with three decimals.
 */
#include "tools/report/report_formats.h"

#include "tools/base/escape.h"
#include "tools/base/units.h"

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

/** A counter is shown under its name and that of its figure, "requested bytes". */
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
        defragmentation_print(&events, input->analyses[i]);
    }
    fputs("\n]}\n", out);
    return 0;
}

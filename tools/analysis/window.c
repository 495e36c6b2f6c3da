/* SPDX-License-Identifier: MIT */
#include "tools/analysis/window.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool window_option_set(struct window_request *request, int option, const char *text)
{
    switch (option) {
    case WINDOW_PHASE: request->phase = text; return true;
    case WINDOW_FROM: request->from = text; return true;
    case WINDOW_TO: request->to = text; return true;
    default: return false;
    }
}

bool window_is_wanted(const struct window_request *request)
{
    return request->phase || request->from || request->to;
}

int window_time_parse(const char *text, uint64_t duration_ns, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
    char *end;
    double value;

    if (*text < '0' || *text > '9' || text[1] == 'x' || text[1] == 'X')
        return -EINVAL;
    value = strtod(text, &end);
    end += strspn(end, " ");
    if (!strcmp(end, "%")) {
        if (value > 100)
            return -EINVAL;
        *ret_ns = (uint64_t)((double)duration_ns * value / 100);
        return 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit) && isfinite(value) && value * units[i].ns < 9e18) {
            *ret_ns = (uint64_t)(value * units[i].ns + 0.5);
            return 0;
        }
    return -EINVAL;
}

/** "no such phase: use load, decode". */
static void phases_list(const struct analysis *analysis, char *ret_text, size_t text_bytes)
{
    size_t used = (size_t)snprintf(ret_text, text_bytes, "no such phase: %s",
                                   analysis->phases ? "use " : "this trace has none");

    for (size_t i = 0; i < analysis->phases && used < text_bytes; i++)
        used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s%s", i ? ", " : "",
                                 analysis->phase[i].name);
}

static int phase_resolve(const char *name, const struct analysis *analysis,
                         struct analysis_window *ret_window, char *ret_why, size_t why_bytes)
{
    const struct analysis_phase *phase = analysis_phase_find(analysis, name);
    char phases[400];

    if (!phase) {
        phases_list(analysis, phases, sizeof phases);
        snprintf(ret_why, why_bytes, "--phase %s: %s", name, phases);
        return -ENOENT;
    }
    *ret_window = (struct analysis_window){.is_set = true, .phase = name};
    if (phase->source == ANALYSIS_PHASE_DETECTED)
        *ret_window = (struct analysis_window){.is_set = true,
                                               .begin_ns = phase->first_ns,
                                               .end_ns = phase->first_ns + phase->duration_ns};
    return 0;
}

static int times_resolve(const struct window_request *request, uint64_t duration_ns,
                         struct analysis_window *ret_window, char *ret_why, size_t why_bytes)
{
    struct analysis_window window = {.is_set = true, .end_ns = duration_ns + 1};
    const struct {
        const char *option, *text;
        uint64_t *ret_ns;
    } ends[] = {{"--from", request->from, &window.begin_ns}, {"--to", request->to, &window.end_ns}};

    for (size_t i = 0; i < 2; i++)
        if (ends[i].text && window_time_parse(ends[i].text, duration_ns, ends[i].ret_ns) < 0) {
            snprintf(ret_why, why_bytes,
                     "%s %s: not a time: give seconds (2.5), 350ms, 20us or 40%%", ends[i].option,
                     ends[i].text);
            return -EINVAL;
        }
    if (window.begin_ns > duration_ns) {
        snprintf(ret_why, why_bytes, "--from %s: the run was %.3f s long", request->from,
                 (double)duration_ns / 1e9);
        return -EINVAL;
    }
    if (window.end_ns <= window.begin_ns) {
        snprintf(ret_why, why_bytes, "--from is not before --to: swap them");
        return -EINVAL;
    }
    *ret_window = window;
    return 0;
}

int window_resolve(const struct window_request *request, struct trace_reader *reader,
                   struct analysis_window *ret_window, char *ret_why, size_t why_bytes)
{
    struct analysis *analysis;
    int error;

    if (request->phase && (request->from || request->to)) {
        snprintf(ret_why, why_bytes, "--phase cannot be combined with --from or --to");
        return -EINVAL;
    }
    error = analysis_create(reader, &analysis, ret_why, why_bytes);
    if (error < 0)
        return error;
    if (request->phase)
        error = phase_resolve(request->phase, analysis, ret_window, ret_why, why_bytes);
    else
        error = times_resolve(request, analysis->duration_ns, ret_window, ret_why, why_bytes);
    analysis_destroy(analysis);
    return error;
}

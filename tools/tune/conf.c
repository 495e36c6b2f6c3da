/* SPDX-License-Identifier: MIT */
/*
 * Contains no date and no host: the same traces give the same file.
 */
#include "tools/tune/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shim/options/options_pool.h"
#include "tools/base/escape.h"
#include "tools/base/file/infile.h"
#include "tools/base/units.h"

#define FILE_MOST_BYTES ((size_t)1 << 20)
#define OTHER_PART      16u

static const char *const goals[] = {
    [TUNE_MEMORY] = "memory", [TUNE_CALLS] = "calls", [TUNE_BALANCED] = "balanced"};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void figures_write(const char *what, const struct tune_figures *figures, FILE *out)
{
    if (!figures->completed) {
        fprintf(out, "#   %-7s does not complete\n", what);
        return;
    }
    fprintf(out,
            "#   %-7s %" PRIu64 " B reserved, %" PRIu64 " B occupied, %" PRIu64
            " driver calls, %" PRIu64 " in a second pass\n",
            what, figures->peak_reserved_bytes, figures->peak_allocated_bytes,
            figures->driver_calls, figures->driver_calls_second);
    if (figures->calls_least < figures->calls_most ||
        figures->reserved_least < figures->reserved_most)
        fprintf(out,
                "#           depending on device timing: %" PRIu64 " to %" PRIu64 " B, %" PRIu64
                " to %" PRIu64 " calls\n",
                figures->reserved_least, figures->reserved_most, figures->calls_least,
                figures->calls_most);
}

static void trace_write(const struct replay_trace *trace, bool judge,
                        const struct tune_figures *before, const struct tune_figures *after,
                        FILE *out)
{
    fprintf(out, "#\n# %s ", judge ? "validation" : "trace");
    escape_print(out, ESCAPE_LINE, base_name(trace->name));
    fprintf(out, ", hash %016" PRIx64 ", %" PRIu64 " operations, %" PRIu64 " B requested\n",
            trace->hash, trace->operations, trace->peak_requested_bytes);
    if (*trace->device_name) {
        fputs("#   device  ", out);
        escape_print(out, ESCAPE_LINE, trace->device_name);
        fprintf(out, ", %" PRIu64 " B\n", trace->device_bytes);
    }
    figures_write("before", before, out);
    figures_write("after", after, out);
}

static void promise_write(const struct replay_trace *trace, const struct tune_figures *after,
                          FILE *out)
{
    if (after->completed)
        fprintf(out,
                "# promise hash=%016" PRIx64 " operations=%" PRIu64 " reserved=%" PRIu64
                " allocated=%" PRIu64 " calls=%" PRIu64 " reserved_from=%" PRIu64
                " reserved_to=%" PRIu64 " calls_from=%" PRIu64 " calls_to=%" PRIu64 "\n",
                trace->hash, trace->operations, after->peak_reserved_bytes,
                after->peak_allocated_bytes, after->driver_calls, after->reserved_least,
                after->reserved_most, after->calls_least, after->calls_most);
}

static void options_write(const struct tune_result *result, FILE *out)
{
    for (size_t option = 0; option < OPTION_COUNT; option++) {
        const struct option_row *row = options_row(option);
        char value[OPTIONS_TEXT_BYTES];

        if (!options_pool_has(option) || option == OPTION_ID_limit || option == OPTION_ID_fill ||
            option == OPTION_ID_scrub)
            continue;
        options_format(&result->options, option, value, sizeof value);
        if (strcmp(value, row->built_in))
            fprintf(out, "%s = %s\n", row->key, value);
    }
}

int conf_write(const struct tune_request *request, const struct tune_result *result, FILE *out)
{
    fprintf(out,
            "# Options of cupool's pool, found by `cupool tune --for %s`. Use them by CUPOOL_CONF "
            "or\n# `cupool run --config`.\n#\n# %u settings were tried in %u replays of the real "
            "pool",
            goals[request->goal], result->candidates, result->replays);
    if (request->capacity_bytes)
        fprintf(out, " on a device of %" PRIu64 " B", request->capacity_bytes);
    fprintf(out, ". Each one below improves every trace by\n# more than %.1f %%.",
            100 * result->noise);
    fputs(result->gained ? "\n" : " None does: nothing to gain.\n", out);
    for (size_t i = 0; i < request->trace_count; i++)
        trace_write(&request->traces[i], false, &result->before[i], &result->after[i], out);
    if (request->judge)
        trace_write(request->judge, true, &result->before[request->trace_count],
                    &result->after[request->trace_count], out);
    fputs("#\n", out);
    for (size_t i = 0; i < request->trace_count; i++)
        promise_write(&request->traces[i], &result->after[i], out);
    fputc('\n', out);
    options_write(result, out);
    return ferror(out) ? -EIO : 0;
}

static bool promise_read(const char *line, struct promise *ret_promise)
{
    struct promise promise = {0};
    int fields = sscanf(line,
                        "# promise hash=%" SCNx64 " operations=%" SCNu64 " reserved=%" SCNu64
                        " allocated=%" SCNu64 " calls=%" SCNu64 " reserved_from=%" SCNu64
                        " reserved_to=%" SCNu64 " calls_from=%" SCNu64 " calls_to=%" SCNu64,
                        &promise.hash, &promise.operations, &promise.peak_reserved_bytes,
                        &promise.peak_allocated_bytes, &promise.driver_calls,
                        &promise.reserved_least, &promise.reserved_most, &promise.calls_least,
                        &promise.calls_most);

    if (fields == 5) { /* nothing was left open */
        promise.reserved_least = promise.reserved_most = promise.peak_reserved_bytes;
        promise.calls_least = promise.calls_most = promise.driver_calls;
    }
    if (fields != 5 && fields != 9)
        return false;
    *ret_promise = promise;
    return true;
}

int conf_promises_read(const char *path, struct promise **ret_promises, size_t *ret_count)
{
    struct promise *promises;
    size_t bytes, lines = 1, count = 0;
    char *text, *rest;
    int error = infile_read(path, FILE_MOST_BYTES, &text, &bytes);

    if (error < 0)
        return error;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    promises = calloc(lines, sizeof *promises);
    rest = text;
    for (char *line; promises && (line = strsep(&rest, "\n"));)
        count += promise_read(line, &promises[count]);
    free(text);
    if (!promises || !count) {
        free(promises);
        return promises ? -ENODATA : -ENOMEM;
    }
    *ret_promises = promises;
    *ret_count = count;
    return 0;
}

static uint64_t tolerance(uint64_t calls)
{
    return calls / 100 > 1 ? calls / 100 : 1;
}

/* Whether the figures depend on the speed of the device, which varies between runs. */
static bool is_open(const struct promise *promise)
{
    return promise->reserved_least < promise->reserved_most ||
           promise->calls_least < promise->calls_most;
}

static bool is_held(uint64_t measured, uint64_t least, uint64_t most, bool open, uint64_t apart)
{
    return open ? measured <= most + most / OTHER_PART + apart
                : measured + apart >= least && measured <= most + apart;
}

void promise_judge(const struct promise *promises, size_t count, const struct replay_trace *trace,
                   struct promise_verdict *ret_verdict)
{
    const struct replay_recorded *run = &trace->recorded;
    struct promise_verdict verdict = {.promise = &promises[0]};

    for (size_t i = 0; i < count; i++) {
        bool same = promises[i].hash == trace->hash;

        if (same || (!verdict.same_requests &&
                     promises[i].peak_reserved_bytes > verdict.promise->peak_reserved_bytes))
            verdict.promise = &promises[i];
        verdict.same_requests |= same;
    }
    if (verdict.same_requests) {
        verdict.open = is_open(verdict.promise);
        verdict.reserved_kept = is_held(run->peak_reserved_bytes, verdict.promise->reserved_least,
                                        verdict.promise->reserved_most, verdict.open, 0);
        verdict.calls_kept = is_held(run->driver_calls, verdict.promise->calls_least,
                                     verdict.promise->calls_most, verdict.open,
                                     tolerance(verdict.promise->calls_most));
    } else {
        const struct promise *most = verdict.promise;
        double calls = most->operations ? (double)most->calls_most / (double)most->operations *
                                              (double)trace->operations
                                        : 0;

        verdict.reserved_kept = run->peak_reserved_bytes <=
                                most->reserved_most + most->reserved_most / OTHER_PART;
        verdict.calls_kept = (double)run->driver_calls <= calls * (1 + 1.0 / OTHER_PART) + 1;
    }
    *ret_verdict = verdict;
}

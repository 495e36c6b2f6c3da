/* SPDX-License-Identifier: MIT */
/*
 * `cupool tune`: options for a program from its traces, with the evidence.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/escape.h"
#include "tools/base/file/outfile.h"
#include "tools/base/progress.h"
#include "tools/base/text_table.h"
#include "tools/base/units.h"
#include "tools/cli/replay_options.h"
#include "tools/replay/input.h"
#include "tools/tune/conf.h"

#define VERB_NAME "tune"

static const char help_text[] =
    "TRACE is any file that 'cupool replay' reads. With several traces, the worst result counts.\n"
    "Candidate options are replayed with the real pool. The file lists the trials, and the\n"
    "values before and after; it contains only settings that help every trace.\n\n"
    "Options:\n"
    "  -o, --output FILE      write the options to FILE (default: print the table only)\n"
    "      --for GOAL         memory, calls or balanced (default)\n"
    "      --capacity BYTES   size of a device on which every trace must complete\n"
    "      --keep-back TRACE  a trace for validation: not tuned for, but must not become worse\n"
    "      --classes N        most size classes, 8 to 32 (default 32)\n"
    "      --device N         the device of the traces (default: the busiest)\n"
    "      --scale N          bytes of a unit of size, for lifetimes in abstract units\n"
    "  -q, --quiet            no progress on the terminal\n"
    "  -h, --help\n\n"
    "Examples:\n"
    "  cupool tune infer.1234.cupool -o pool.conf\n"
    "  cupool run --config pool.conf -o tuned.cupool -- ./infer\n"
    "  cupool check --config pool.conf tuned.cupool\n"
    "  cupool tune --for memory --keep-back c.cupool a.cupool b.cupool -o pool.conf\n";

struct request {
    struct input_request input;
    const char *output, *judge;
    struct tune_request tune;
};

enum {
    OPTION_FOR = 256,
    OPTION_CAPACITY,
    OPTION_KEEP_BACK,
    OPTION_CLASSES,
    OPTION_DEVICE,
    OPTION_SCALE
};

static int goal_set(struct request *request, const char *text)
{
    static const char *const names[] = {
        [TUNE_MEMORY] = "memory", [TUNE_CALLS] = "calls", [TUNE_BALANCED] = "balanced"};

    for (unsigned goal = 0; goal < sizeof names / sizeof *names; goal++)
        if (!strcmp(names[goal], text)) {
            request->tune.goal = (enum tune_goal)goal;
            return 0;
        }
    return verb_error(VERB_NAME, EXIT_TROUBLE,
                      "--for %s: no such goal: use memory, calls or balanced", text);
}

static int option_set(void *state, int option)
{
    struct request *request = state;
    uint64_t number = 0;
    int trouble = 0;

    switch (option) {
    case 'o': request->output = optarg; break;
    case 'q': progress_silence(); break;
    case OPTION_FOR: trouble = goal_set(request, optarg); break;
    case OPTION_KEEP_BACK: request->judge = optarg; break;
    case OPTION_CAPACITY:
        trouble = replay_option_capacity(VERB_NAME, optarg, &request->tune.capacity_bytes);
        break;
    case OPTION_CLASSES:
        trouble = replay_option_number(VERB_NAME, "--classes", optarg, 8, 32, &number);
        request->tune.classes_most = (unsigned)number;
        break;
    case OPTION_DEVICE:
        trouble = replay_option_number(VERB_NAME, "--device", optarg, 0, 63, &number);
        request->input.device = (int)number;
        break;
    case OPTION_SCALE:
        return replay_option_number(VERB_NAME, "--scale", optarg, 1, UINT64_C(1) << 30,
                                    &request->input.scale);
    default: return VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"for", required_argument, NULL, OPTION_FOR},
        {"capacity", required_argument, NULL, OPTION_CAPACITY},
        {"keep-back", required_argument, NULL, OPTION_KEEP_BACK},
        {"classes", required_argument, NULL, OPTION_CLASSES},
        {"device", required_argument, NULL, OPTION_DEVICE},
        {"scale", required_argument, NULL, OPTION_SCALE},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":o:qh",   options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, request);

    if (trouble)
        return trouble;
    if (optind == argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "no trace given");
    return trouble ? trouble + 1 : 0;
}

/* ---- the table ---- */

static int row_add(struct text_table *table, const char *trace, const char *figure, uint64_t before,
                   uint64_t after, bool bytes)
{
    char name[160], old[64], new[64], change[32] = "-";
    const char *cells[] = {name, figure, old, new, change};

    snprintf(name, sizeof name, "%.150s", trace);
    snprintf(old, sizeof old, "%s", bytes ? unit_bytes(before).text : unit_count(before).text);
    snprintf(new, sizeof new, "%s", bytes ? unit_bytes(after).text : unit_count(after).text);
    if (before)
        snprintf(change, sizeof change, "%+.1f %%",
                 100.0 * ((double)after - (double)before) / (double)before);
    return text_table_add(table, cells);
}

/* The trace does not show when the device completes work before fences that it lacks. */
static int range_row_add(struct text_table *table, const struct tune_figures *before,
                         const struct tune_figures *after)
{
    char old[112] = "", new[112];
    const char *cells[] = {"", "  range", old, new, ""};

    if (before->calls_least < before->calls_most)
        snprintf(old, sizeof old, "%s to %s", unit_count(before->calls_least).text,
                 unit_count(before->calls_most).text);
    snprintf(new, sizeof new, "%s to %s", unit_count(after->calls_least).text,
             unit_count(after->calls_most).text);
    return text_table_add(table, cells);
}

/* With --capacity: a replay that was refused a request has no figures. */
static int unfinished_row_add(struct text_table *table, const struct replay_trace *trace,
                              const struct tune_figures *before, const struct tune_figures *after)
{
    char name[160], reserved[64];
    const char *cells[] = {name, "completes", before->completed ? "yes" : "no",
                           after->completed ? "yes" : "no", ""};
    int error;

    snprintf(name, sizeof name, "%.150s", trace->name);
    error = text_table_add(table, cells);
    if (error < 0 || !after->completed)
        return error;
    snprintf(reserved, sizeof reserved, "%s", unit_bytes(after->peak_reserved_bytes).text);
    return text_table_add(table, (const char *[]){"", "reserved", "-", reserved, "-"});
}

static int trace_rows(struct text_table *table, const struct replay_trace *trace,
                      const struct tune_figures *before, const struct tune_figures *after)
{
    uint64_t requested = trace->peak_requested_bytes;
    int error;

    if (!before->completed || !after->completed)
        return unfinished_row_add(table, trace, before, after);
    error = row_add(table, trace->name, "reserved", before->peak_reserved_bytes,
                    after->peak_reserved_bytes, true);

    if (error == 0)
        error = row_add(
            table, "", "rounding",
            before->peak_allocated_bytes > requested ? before->peak_allocated_bytes - requested : 0,
            after->peak_allocated_bytes > requested ? after->peak_allocated_bytes - requested : 0,
            true);
    if (error == 0)
        error = row_add(table, "", "driver calls", before->driver_calls, after->driver_calls,
                        false);
    if (error == 0 && after->calls_least < after->calls_most)
        error = range_row_add(table, before, after);
    if (error == 0)
        error = row_add(table, "", "second pass", before->driver_calls_second,
                        after->driver_calls_second, false);
    return error;
}

static int table_print(const struct tune_request *tune, const struct tune_result *result)
{
    static const struct text_column columns[] = {{"trace", false, true, 0},
                                                 {"metric", false, false, 0},
                                                 {"before", true, false, 0},
                                                 {"after", true, false, 0},
                                                 {"change", true, false, 0}};
    struct text_table *table = text_table_create(columns, 5, 0);
    int error = table ? 0 : -ENOMEM;

    for (size_t i = 0; error == 0 && i < tune->trace_count; i++)
        error = trace_rows(table, &tune->traces[i], &result->before[i], &result->after[i]);
    if (error == 0 && tune->judge)
        error = trace_rows(table, tune->judge, &result->before[tune->trace_count],
                           &result->after[tune->trace_count]);
    if (error == 0)
        return text_table_finish(table, stdout);
    text_table_finish(table, stdout);
    return error;
}

/* Explains why a setting has a range of values. */
static void range_explain(const struct tune_request *tune, const struct tune_result *result)
{
    bool open = false;

    for (size_t i = 0; i < tune->trace_count + (tune->judge != NULL); i++)
        open |= result->after[i].calls_least < result->after[i].calls_most;
    if (open)
        puts("\nrange: driver calls depend on device timing, because freed memory is reused only "
             "after the\ndevice has finished with it. The value above the range assumes the "
             "timing of the recorded run.");
}

static bool all_complete(const struct tune_request *tune, const struct tune_result *result)
{
    for (size_t i = 0; i < tune->trace_count; i++)
        if (!result->after[i].completed)
            return false;
    return true;
}

static void verdict_print(const struct tune_request *tune, const struct tune_result *result)
{
    printf("\n%u settings tried in %u replays", result->candidates, result->replays);
    if (result->stopped)
        printf(", %u of them stopped after too many driver calls", result->stopped);
    printf("; gains below %.1f %% are ignored:", 100 * result->noise);
    if (result->refused)
        puts(" nothing to gain: settings that help the traces make the validation trace worse");
    else if (!result->gained && all_complete(tune, result))
        puts(" nothing to gain");
    else if (!result->gained)
        printf(" nothing to gain\n  no setting completes every trace%s\n",
               tune->capacity_bytes ? " on a device of this size" : "");
    for (size_t i = 0; i < result->set_count; i++) {
        char value[OPTIONS_TEXT_BYTES];

        options_format(&result->options, result->set[i], value, sizeof value);
        printf("%s  %s = %s\n", i ? "" : "\n", options_row(result->set[i])->key, value);
    }
}

static int file_write(const struct request *request, const struct tune_result *result)
{
    struct outfile file;
    int error = outfile_open(request->output, OUTFILE_REPLACE, 0666, &file);

    if (error == 0) {
        error = conf_write(&request->tune, result, file.stream);
        error = outfile_close(&file, error);
    }
    return error < 0 ? verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->output,
                                  outfile_reason(error))
                     : 0;
}

static int tune_run(struct request *request)
{
    struct tune_result result;
    int error = tune_find(&request->tune, &result), trouble = 0;

    if (error == -EINVAL)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "the traces were recorded with different pool options, so they have no "
                          "common baseline: record them with the same options");
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", strerror(-error));
    error = table_print(&request->tune, &result);
    range_explain(&request->tune, &result);
    verdict_print(&request->tune, &result);
    if (error < 0)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(-error));
    if (!trouble && request->output)
        trouble = file_write(request, &result);
    if (!trouble && !result.gained)
        trouble = EXIT_FOUND;
    tune_result_done(&result);
    return trouble;
}

int verb_tune(int argc, char **argv)
{
    struct device_profile profile;
    struct request request = {
        .input = {.device = -1},
        .tune = {.goal = TUNE_BALANCED, .classes_most = 32, .profile = &profile}};
    struct replay_trace *traces, judge = {0};
    int trouble = request_read(argc, argv, &request);
    char why[1024];

    if (trouble)
        return trouble - 1;
    device_profile_init(&profile);
    traces = calloc((size_t)(argc - optind), sizeof *traces);
    if (!traces)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    request.tune.traces = traces;
    for (int i = optind; !trouble && i < argc; i++) {
        if (input_read(argv[i], &request.input, &traces[i - optind], why, sizeof why) < 0)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
        request.tune.trace_count += !trouble;
    }
    if (!trouble && request.judge) {
        if (input_read(request.judge, &request.input, &judge, why, sizeof why) < 0)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
        request.tune.judge = &judge;
    }
    if (!trouble)
        trouble = tune_run(&request);
    for (size_t i = 0; i < request.tune.trace_count; i++)
        replay_trace_done(&traces[i]);
    replay_trace_done(&judge);
    free(traces);
    return trouble;
}

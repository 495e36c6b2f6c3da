/* SPDX-License-Identifier: MIT */
/*
 * `cupool replay`: replays a trace of allocations with the pool and with models of other
 * allocators.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/progress.h"
#include "tools/cli/replay_options.h"
#include "tools/replay/input.h"
#include "tools/replay/replay_report.h"

#define VERB_NAME     "replay"
#define POLICIES_MOST 32

static const char help_text[] =
    "TRACE is a cupool trace (plain or packed), lifetimes as CSV (id,lower,upper,size), an RMM\n"
    "log, or a PyTorch memory snapshot, which is read as data: nothing in it is executed.\n\n"
    "Options:\n"
    "  -p, --policy NAME      cupool, mapped, native, pytorch, expandable, bfc, rmm-pool, async;\n"
    "                         may be repeated (default: all). cupool+KEY:VALUE,... is the\n"
    "                         pool with other options\n"
    "  -O, --option KEY:VALUE an option of the pool for every policy cupool; may be repeated\n"
    "      --capacity BYTES   size of the device (default: unlimited)\n"
    "      --find-capacity    find the smallest device on which each policy completes\n"
    "      --devices[=FILE]   list the devices that the trace fits; FILE: lines 'name = bytes'\n"
    "      --profile FILE     costs of calls, in the format of the simulated device's profiles\n"
    "      --fence-delay NS   time from a fence to the end of its work (default: as recorded, "
    "else\n"
    "                         0)\n"
    "      --device N         replay this device of the trace (default: the busiest)\n"
    "      --scale N          bytes of a unit of size, for lifetimes in abstract units\n"
    "  -f, --format FORMAT    text (default), json or markdown\n"
    "  -q, --quiet            no progress\n"
    "  -h, --help\n\n"
    "Examples:\n"
    "  cupool replay infer.1234.cupool\n"
    "  cupool replay --find-capacity --devices infer.1234.cupool\n"
    "  cupool replay -p cupool -p cupool+large_waste:25 -p pytorch infer.1234.cupool\n"
    "  cupool replay --capacity 8GiB --format json snapshot.pickle\n";

struct request {
    struct input_request input;
    const char *policy[POLICIES_MOST], *option[POLICIES_MOST];
    size_t policies, option_count;
    const char *format, *devices_path, *profile_path;
    struct replay_settings settings;
    struct device_profile profile;
    bool find_capacity, devices;
};

enum {
    OPTION_CAPACITY = 256,
    OPTION_FIND,
    OPTION_DEVICES,
    OPTION_PROFILE,
    OPTION_DELAY,
    OPTION_DEVICE,
    OPTION_SCALE
};

static int list_add(const char **list, size_t *count, const char *text)
{
    if (*count == POLICIES_MOST)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: given more than %d times", text,
                          POLICIES_MOST);
    list[(*count)++] = text;
    return 0;
}

static int option_set(void *state, int option)
{
    struct request *request = state;
    uint64_t number = 0;
    int trouble;

    switch (option) {
    case 'p': return list_add(request->policy, &request->policies, optarg);
    case 'O': return list_add(request->option, &request->option_count, optarg);
    case 'f': request->format = optarg; return 0;
    case 'q':
        request->settings.quiet = true;
        progress_silence();
        return 0;
    case OPTION_CAPACITY:
        return replay_option_capacity(VERB_NAME, optarg, &request->settings.capacity_bytes);
    case OPTION_FIND: request->find_capacity = true; return 0;
    case OPTION_DEVICES:
        request->devices = request->find_capacity = true;
        request->devices_path = optarg;
        return 0;
    case OPTION_PROFILE: request->profile_path = optarg; return 0;
    case OPTION_DELAY:
        request->settings.fence_delay_given = true;
        return replay_option_number(VERB_NAME, "--fence-delay", optarg, 0, UINT64_MAX >> 4,
                                    &request->settings.fence_delay_ns);
    case OPTION_DEVICE:
        trouble = replay_option_number(VERB_NAME, "--device", optarg, 0, 63, &number);
        request->input.device = (int)number;
        return trouble;
    case OPTION_SCALE:
        return replay_option_number(VERB_NAME, "--scale", optarg, 1, UINT64_C(1) << 30,
                                    &request->input.scale);
    default: return VERB_OPTION_UNKNOWN;
    }
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"policy", required_argument, NULL, 'p'},
                                            {"option", required_argument, NULL, 'O'},
                                            {"capacity", required_argument, NULL, OPTION_CAPACITY},
                                            {"find-capacity", no_argument, NULL, OPTION_FIND},
                                            {"devices", optional_argument, NULL, OPTION_DEVICES},
                                            {"profile", required_argument, NULL, OPTION_PROFILE},
                                            {"fence-delay", required_argument, NULL, OPTION_DELAY},
                                            {"device", required_argument, NULL, OPTION_DEVICE},
                                            {"scale", required_argument, NULL, OPTION_SCALE},
                                            {"format", required_argument, NULL, 'f'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME,   EXIT_TROUBLE, help_text,
                                                ":p:O:f:qh", options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, request);

    if (trouble)
        return trouble;
    if (optind == argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "no trace given");
    if (!trouble && strcmp(request->format, "text") && strcmp(request->format, "json") &&
        strcmp(request->format, "markdown"))
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "--format %s: no such format: use text, json or markdown",
                             request->format);
    if (!trouble && request->find_capacity && request->settings.capacity_bytes)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "--capacity and --find-capacity: give one of them");
    return trouble ? trouble + 1 : 0;
}

static void complain(void *state, const char *line)
{
    (void)state;
    verb_error(VERB_NAME, 0, "%s", line);
}

/* The policies for one trace: the pool has the options it was recorded with, then the given
 * ones. */
static int policies_make(const struct request *request, const struct replay_trace *trace,
                         struct replay_result *result)
{
    size_t count = request->policies ? request->policies : policy_count();

    result->rows = calloc(count, sizeof *result->rows);
    if (!result->rows)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *text = request->policies ? request->policy[i] : policy_name(i);
        struct policy *policy = &result->rows[i].policy;
        struct options base = trace->options;
        int problems = 0;
        char why[512];

        for (size_t j = 0; j < request->option_count; j++)
            problems += options_set_list_of(&base, request->option[j], "-O", complain, NULL);
        if (problems)
            return EXIT_TROUBLE;
        if (policy_parse(text, &base, policy, why, sizeof why) < 0)
            return verb_error(VERB_NAME, EXIT_TROUBLE, "--policy %s: %s", text, why);
        policy->as_recorded = policy->ops == &policy_cupool && !request->option_count &&
                              !strchr(text, '+');
        result->row_count++;
    }
    return 0;
}

static int result_make(const struct request *request, struct replay_result *result)
{
    for (size_t i = 0; i < result->row_count; i++) {
        struct replay_row *row = &result->rows[i];
        int error = replay_run(result->trace, &row->policy, &request->settings, &row->outcome);

        if (error == 0 && request->find_capacity && row->outcome.completed)
            error = replay_capacity_find(result->trace, &row->policy, &request->settings,
                                         &row->outcome, &row->smallest_capacity_bytes);
        if (error < 0)
            return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s: %s", result->trace->name,
                              row->policy.name, strerror(-error));
    }
    return 0;
}

static int trace_run(const struct request *request, const char *path, struct replay_result *result)
{
    char why[1024];
    int trouble;

    result->trace = calloc(1, sizeof *result->trace);
    if (!result->trace)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    if (input_read(path, &request->input, result->trace, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    trouble = policies_make(request, result->trace, result);
    return trouble ? trouble : result_make(request, result);
}

static int devices_load(const struct request *request, struct device_row **ret_rows,
                        struct replay_report *report)
{
    char why[512];

    if (!request->devices)
        return 0;
    if (!request->devices_path)
        *ret_rows = devices_built_in(&report->device_count);
    else if (devices_read(request->devices_path, ret_rows, &report->device_count, why, sizeof why) <
             0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    report->devices = *ret_rows;
    return *ret_rows ? 0 : verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
}

static int report_write(const struct request *request, const struct replay_report *report)
{
    int error = !strcmp(request->format, "json")       ? replay_report_json(report, stdout)
                : !strcmp(request->format, "markdown") ? replay_report_markdown(report, stdout)
                                                       : replay_report_text(report, stdout);

    return error < 0 ? verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(-error))
                     : 0;
}

/* With a capacity, the exit code says whether it was enough for the pool. */
static int verdict(const struct request *request, const struct replay_report *report)
{
    int verdict = EXIT_FINE;

    for (size_t i = 0; request->settings.capacity_bytes && i < report->count; i++)
        for (size_t j = 0; j < report->results[i].row_count; j++) {
            const struct replay_row *row = &report->results[i].rows[j];

            if (row->policy.ops != &policy_cupool || row->outcome.completed)
                continue;
            if (row->outcome.stopped)
                return verb_error(VERB_NAME, EXIT_TROUBLE,
                                  "%s: stopped after too many driver calls: use larger pages, as "
                                  "with -O page:128MiB",
                                  report->results[i].trace->name);
            verdict = EXIT_FOUND;
        }
    return verdict;
}

static void report_done(struct replay_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->results[i].trace)
            replay_trace_done(report->results[i].trace);
        free(report->results[i].trace);
        free(report->results[i].rows);
    }
    free(report->results);
}

int verb_replay(int argc, char **argv)
{
    struct request request = {.format = "text", .input = {.device = -1}};
    struct replay_report report = {.profile = &request.profile};
    struct device_row *devices = NULL;
    int trouble = request_read(argc, argv, &request);
    char why[512];

    if (trouble)
        return trouble - 1;
    device_profile_init(&request.profile);
    request.settings.profile = &request.profile;
    report.capacity_bytes = request.settings.capacity_bytes;
    if (request.profile_path &&
        device_profile_read(request.profile_path, &request.profile, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    trouble = devices_load(&request, &devices, &report);
    report.results = calloc((size_t)(argc - optind), sizeof *report.results);
    if (!report.results)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    for (int i = optind; !trouble && i < argc; i++)
        trouble = trace_run(&request, argv[i], &report.results[report.count++]);
    if (!trouble)
        trouble = report_write(&request, &report);
    if (!trouble)
        trouble = verdict(&request, &report);
    report_done(&report);
    free(devices);
    return trouble;
}

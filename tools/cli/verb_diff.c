/* SPDX-License-Identifier: MIT */
/*
 * `cupool diff`: two traces or baselines side by side; exit 1 when something grew.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/budget/difference.h"
#include "tools/base/disguise.h"
#include "tools/symbols/symbols.h"
#include "tools/symbols/wrappers.h"

#define VERB_NAME "diff"

static const char help_text[] =
    "BASE and NEW are traces or baselines of 'cupool check --update-baseline'.\n\n"
    "Options:\n"
    "  -f, --format FORMAT    text (default), json or markdown\n"
    "      --top N            sites shown (text, markdown: 10; json: all)\n"
    "      --tolerance GROWTH accepted growth: \"+5%\", \"+5%, min 1 MiB\" (default: +0%).\n"
    "                         Only growth beyond both the percentage and the minimum "
    "counts\n" WINDOW_HELP "      --anonymize        number the files instead of naming them\n"
    "  -h, --help\n\n"
    "Values that depend on the pool's history (reserved memory, driver calls, fragmentation) are\n"
    "shown but not judged.\n\n"
    "Examples:\n"
    "  cupool diff before.cupool after.cupool\n"
    "  cupool diff --tolerance \"+5%, min 1 MiB\" memory.baseline.json infer.1234.cupool\n"
    "  cupool diff --phase decode before.cupool after.cupool\n"
    "  cupool diff --format markdown before.cupool after.cupool >diff.md\n";

typedef int format_write(const struct difference *difference, const struct difference_style *style,
                         FILE *out);

static const struct {
    const char *name;
    format_write *write;
} formats[] = {
    {"text", difference_text}, {"json", difference_json}, {"markdown", difference_markdown}};

struct request {
    format_write *write;
    struct tolerance tolerance;
    struct difference_style style;
    struct window_request window;
    bool anonymize;
};

static int format_set(struct request *request, const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name)) {
            request->write = formats[i].write;
            return 0;
        }
    return verb_error(VERB_NAME, EXIT_TROUBLE,
                      "--format %s: no such format: use text, json or markdown", name);
}

static int top_set(struct request *request, const char *text)
{
    uint64_t top;

    if (metric_parse(METRIC_UNIT_COUNT, text, &top) < 0 || !top || top > 1000000000)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--top %s: not a count: give a number from 1",
                          text);
    request->style.top = top;
    return 0;
}

static int tolerance_set(struct request *request, const char *text)
{
    const char *why;

    if (tolerance_parse(METRIC_UNIT_BYTES, text, &request->tolerance, &why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--tolerance %s: %s: give %s", text, why,
                          TOLERANCE_ACCEPTED);
    request->style.tolerance = text;
    return 0;
}

enum { OPTION_TOP = 256, OPTION_TOLERANCE, OPTION_ANONYMIZE };

static int option_set(void *state, int option)
{
    struct request *request = state;
    int trouble = 0;

    switch (option) {
    case 'f': trouble = format_set(request, optarg); break;
    case OPTION_TOP: trouble = top_set(request, optarg); break;
    case OPTION_TOLERANCE: trouble = tolerance_set(request, optarg); break;
    case OPTION_ANONYMIZE: request->anonymize = true; break;
    default: return window_option_set(&request->window, option, optarg) ? 0 : VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *ret_request)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"top", required_argument, NULL, OPTION_TOP},
        {"tolerance", required_argument, NULL, OPTION_TOLERANCE},
        {"anonymize", no_argument, NULL, OPTION_ANONYMIZE},
        WINDOW_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":f:h",    options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, ret_request);

    if (trouble)
        return trouble;
    if (argc - optind != 2)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "give two files, base and new, not %d",
                             argc - optind);
    return trouble ? trouble + 1 : 0;
}

static int difference_write(const struct request *request, const struct difference *difference)
{
    int error;

    errno = 0;
    error = request->write(difference, &request->style, stdout);
    if (error == 0 && (fflush(stdout) == EOF || ferror(stdout)))
        error = errno ? -errno : -EIO;
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s",
                          strerror(errno ? errno : -error));
    return difference->metrics_grown || difference->sites_grown ? EXIT_FOUND : EXIT_FINE;
}

/** Prints the caveats of one side. */
static void doubts_print(const char *name, const struct snapshot *snapshot)
{
    bool bound = snapshot->sites_bound;

    for (int i = 0; i < METRIC_COUNT; i++)
        bound |= snapshot->bound[i];
    if (*snapshot->incomplete)
        verb_error(VERB_NAME, 0, "warning: %s: trace is incomplete: %s", name,
                   snapshot->incomplete);
    if (*snapshot->part)
        verb_error(VERB_NAME, 0, "warning: %s: %s", name, snapshot->part);
    if (bound)
        verb_error(VERB_NAME, 0,
                   "warning: %s: early events were dropped (trace_max), so the peaks of sites with "
                   "several stacks are upper bounds",
                   name);
}

static void warnings_print(const struct request *request, const struct snapshot *base,
                           const struct snapshot *fresh)
{
    char text[1536];

    if (difference_of_devices(base, fresh, text, sizeof text))
        verb_error(VERB_NAME, 0, "warning: %s", text);
    doubts_print(request->style.base, base);
    doubts_print(request->style.fresh, fresh);
}

int verb_diff(int argc, char **argv)
{
    struct request request = {.write = difference_text, .style = {.tolerance = "+0%"}};
    struct snapshot *base = NULL, *fresh = NULL;
    struct difference *difference = NULL;
    int trouble = request_read(argc, argv, &request);
    char why[1024];

    if (trouble)
        return trouble - 1;
    request.style.base = argv[optind];
    request.style.fresh = argv[optind + 1];
    if (snapshot_learn(request.style.base, why, sizeof why) < 0 ||
        snapshot_learn(request.style.fresh, why, sizeof why) < 0 ||
        snapshot_load(request.style.base, &request.window, &base, why, sizeof why) < 0 ||
        snapshot_load(request.style.fresh, &request.window, &fresh, why, sizeof why) < 0) {
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    } else if (difference_create(base, fresh, &request.tolerance, &difference) < 0) {
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    } else {
        warnings_print(&request, base, fresh);
        if (request.anonymize)
            disguise_begin();
        request.style.base = disguise_trace(request.style.base, 1);
        request.style.fresh = disguise_trace(request.style.fresh, 2);
        trouble = difference_write(&request, difference);
    }
    difference_destroy(difference);
    snapshot_destroy(base);
    snapshot_destroy(fresh);
    wrappers_done();
    symbols_done();
    disguise_done();
    return trouble;
}

/* SPDX-License-Identifier: MIT */
#include "tools/cli/promise_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/options/options_pool.h"
#include "tools/base/escape.h"
#include "tools/base/file/infile.h"
#include "tools/base/units.h"
#include "tools/cli/verb.h"
#include "tools/replay/input.h"
#include "tools/tune/conf.h"

#define VERB_NAME "check"

static void line_print(bool kept, const char *figure, const char *measured, const char *promised)
{
    printf("%s: %s: %s measured, %s\n", kept ? "ok" : "FAILED", figure, measured, promised);
}

/** One promised figure: for a device as fast as the recorded one, and for others. */
struct promised {
    uint64_t likely, least, most;
};

static void promised_format(bool bytes, struct promised figure, char *ret_text, size_t text_bytes)
{
    struct unit_text likely = bytes ? unit_bytes(figure.likely) : unit_count(figure.likely);
    struct unit_text from = bytes ? unit_bytes(figure.least) : unit_count(figure.least);
    struct unit_text to = bytes ? unit_bytes(figure.most) : unit_count(figure.most);

    if (figure.least == figure.most)
        snprintf(ret_text, text_bytes, "%s promised", likely.text);
    else
        snprintf(ret_text, text_bytes, "%s promised (%s to %s, depending on device timing)",
                 likely.text, from.text, to.text);
}

/* Whether memory was mapped where the file asks for it: a device may not support it. */
static bool backing_agrees(const struct replay_trace *trace)
{
    for (unsigned i = 0; i < REPLAY_CONTEXTS_MAX; i++)
        if (trace->options.backing == OPTION_BACKING_VMM && trace->backing[i].known &&
            !trace->backing[i].range_bytes)
            return false;
    return true;
}

/* Whether the run had the options of the file: otherwise the promises do not apply. */
static bool options_agree(const char *config, const struct replay_trace *trace, char *ret_wanted,
                          char *ret_had, size_t bytes)
{
    struct options wanted;

    options_init(&wanted);
    options_read_file(&wanted, config, NULL, NULL);
    options_pool_format(&wanted, ret_wanted, bytes);
    options_pool_format(&trace->options, ret_had, bytes);
    return !strcmp(ret_wanted, ret_had);
}

static int figures_print(const struct promise_verdict *verdict, const struct replay_trace *trace)
{
    const struct promise *promise = verdict->promise;
    const struct replay_recorded *run = &trace->recorded;
    bool kept = verdict->reserved_kept && verdict->calls_kept;
    char promised[224];

    promised_format(true,
                    (struct promised){promise->peak_reserved_bytes, promise->reserved_least,
                                      promise->reserved_most},
                    promised, sizeof promised);
    line_print(verdict->reserved_kept, "reserved at the peak",
               unit_bytes(run->peak_reserved_bytes).text, promised);
    promised_format(
        false, (struct promised){promise->driver_calls, promise->calls_least, promise->calls_most},
        promised, sizeof promised);
    line_print(verdict->calls_kept, "driver calls", unit_count(run->driver_calls).text, promised);
    printf("%s: %s\n", kept ? "promises kept" : "promises broken",
           verdict->open
               ? "same requests as tuned for, device timing may differ: allowed up to 1/16 above "
                 "the promise"
           : verdict->same_requests
               ? "same requests as tuned for: bytes must be equal, calls within 1 %"
               : "other requests than tuned for: allowed up to 1/16 above the promise");
    return kept ? EXIT_FINE : EXIT_FOUND;
}

static int trace_check(const char *config, const char *shown_name, bool strict,
                       const struct promise *promises, size_t count,
                       const struct replay_trace *trace)
{
    char wanted[OPTIONS_TEXT_BYTES], had[OPTIONS_TEXT_BYTES];
    struct promise_verdict verdict;

    if (!trace->recorded.known)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: not a complete trace of a run in mode pool: nothing to compare",
                          shown_name);
    if (!options_agree(config, trace, wanted, had, sizeof wanted))
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: recorded with different options than the file's ('%s', not '%s'): "
                          "run with --config",
                          shown_name, had, wanted);
    if (!backing_agrees(trace))
        return verb_error(
            VERB_NAME, EXIT_TROUBLE,
            "%s: memory could not be mapped in this run (see 'cupool report'), so the "
            "promises do not apply",
            shown_name);
    promise_judge(promises, count, trace, &verdict);
    if (!verdict.same_requests && strict)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: requests differ from those the file was tuned for", shown_name);
    return figures_print(&verdict, trace);
}

int promise_check(const char *config, const char *trace_path, const char *shown_name, bool strict)
{
    const struct input_request input = {.device = -1};
    struct replay_trace trace;
    struct promise *promises = NULL;
    size_t count = 0;
    char why[1024];
    int error = conf_promises_read(config, &promises, &count), trouble;

    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--config %s: %s", config,
                          error == -ENODATA
                              ? "no promises found: write the file with 'cupool tune -o'"
                              : infile_reason(error));
    if (input_read(trace_path, &input, &trace, why, sizeof why) < 0) {
        free(promises);
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    }
    trouble = trace_check(config, shown_name, strict, promises, count, &trace);
    replay_trace_done(&trace);
    free(promises);
    return trouble;
}

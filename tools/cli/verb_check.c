/* SPDX-License-Identifier: MIT */
/*
 * `cupool check`: checks a trace against a budget and a baseline, for CI.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/disguise.h"
#include "tools/base/escape.h"
#include "tools/budget/budget_check.h"
#include "tools/symbols/wrappers.h"
#include "tools/base/file/outfile.h"
#include "tools/analysis/window.h"
#include "tools/cli/promise_check.h"

#define VERB_NAME "check"

static const char help_text[] =
    "Options:\n"
    "      --budget FILE      limits for the program's memory (INI; see docs/ci.md)\n"
    "      --config FILE      check the promises of 'cupool tune' in that file instead\n"
    "      --baseline FILE    values of an earlier run, for KEY_growth budgets; of whole runs\n"
    "      --update-baseline  make the trace the new baseline; growth is accepted\n"
    "      --junit FILE       write JUnit XML, a test case for each budget\n"
    "      --markdown FILE    write a page for the job's summary\n"
    "      --sarif FILE       write SARIF 2.1.0, for code scanning\n"
    "      --code-quality FILE\n"
    "                         write GitLab's code quality report\n"
    "      --github           print annotations for GitHub Actions, at most 5\n"
    "      --strict           treat warnings as errors: another device or driver than the\n"
    "                         baseline's, an incomplete trace, a [site] or [phase] without a\n"
    "                         match, what a trace of limited size does not tell\n" WINDOW_HELP
    "      --anonymize        name the trace \"trace 1\", and files without their "
    "folders\n"
    "  -h, --help\n\n"
    "Prints a line for each budget that is exceeded, and a verdict. Output files are replaced.\n\n"
    "Examples:\n"
    "  cupool check --budget memory.budget infer.1234.cupool\n"
    "  cupool check --config pool.conf tuned.1234.cupool\n"
    "  cupool check --budget memory.budget --baseline memory.json --update-baseline t.cupool\n"
    "  cupool check --budget memory.budget --baseline memory.json --junit memory.xml t.cupool\n";

struct request {
    const char *budget, *config, *baseline, *junit, *markdown, *sarif, *code_quality, *trace;
    bool update, github, strict, anonymize;
    struct window_request window;
};

enum {
    OPTION_BUDGET = 256,
    OPTION_CONFIG,
    OPTION_BASELINE,
    OPTION_UPDATE,
    OPTION_JUNIT,
    OPTION_MARKDOWN,
    OPTION_SARIF,
    OPTION_CODE_QUALITY,
    OPTION_GITHUB,
    OPTION_STRICT,
    OPTION_ANONYMIZE,
};

/** Checks which options need or exclude each other. */
static int request_verify(const struct request *request, int traces)
{
    if (traces != 1)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "give one trace, not %d", traces);
    if (request->update && !request->baseline)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--update-baseline: name the file with --baseline FILE");
    if (request->config && (request->budget || request->baseline))
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--config: cannot be combined with a budget");
    if (window_is_wanted(&request->window) && (request->baseline || request->config))
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--phase, --from and --to: %s covers a whole run: give --budget alone",
                          request->baseline ? "a baseline" : "the file of --config");
    if (!request->budget && !request->update && !request->config)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "no budget given: name one with --budget FILE");
    return 0;
}

static int option_set(void *state, int option)
{
    struct request *request = state;

    switch (option) {
    case OPTION_BUDGET: request->budget = optarg; break;
    case OPTION_CONFIG: request->config = optarg; break;
    case OPTION_BASELINE: request->baseline = optarg; break;
    case OPTION_UPDATE: request->update = true; break;
    case OPTION_JUNIT: request->junit = optarg; break;
    case OPTION_MARKDOWN: request->markdown = optarg; break;
    case OPTION_SARIF: request->sarif = optarg; break;
    case OPTION_CODE_QUALITY: request->code_quality = optarg; break;
    case OPTION_GITHUB: request->github = true; break;
    case OPTION_STRICT: request->strict = true; break;
    case OPTION_ANONYMIZE: request->anonymize = true; break;
    default: return window_option_set(&request->window, option, optarg) ? 0 : VERB_OPTION_UNKNOWN;
    }
    return 0;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *ret_request)
{
    static const struct option options[] = {
        {"budget", required_argument, NULL, OPTION_BUDGET},
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"baseline", required_argument, NULL, OPTION_BASELINE},
        {"update-baseline", no_argument, NULL, OPTION_UPDATE},
        {"junit", required_argument, NULL, OPTION_JUNIT},
        {"markdown", required_argument, NULL, OPTION_MARKDOWN},
        {"sarif", required_argument, NULL, OPTION_SARIF},
        {"code-quality", required_argument, NULL, OPTION_CODE_QUALITY},
        {"github", no_argument, NULL, OPTION_GITHUB},
        {"strict", no_argument, NULL, OPTION_STRICT},
        {"anonymize", no_argument, NULL, OPTION_ANONYMIZE},
        WINDOW_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":h",      options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, ret_request);

    if (trouble)
        return trouble;
    trouble = request_verify(ret_request, argc - optind);
    ret_request->trace = argv[optind];
    return trouble ? trouble + 1 : 0;
}

/** Everything a check reads and makes. */
struct work {
    struct budget *budget;
    struct glob_work globs; /* to compare those of the budget */
    struct snapshot_trace trace;
    struct snapshot *measured, *baseline;
    struct difference *difference;
    struct budget_check *check;
};

static void work_done(struct work *work)
{
    budget_check_destroy(work->check);
    difference_destroy(work->difference);
    snapshot_destroy(work->baseline);
    snapshot_destroy(work->measured);
    snapshot_trace_close(&work->trace);
    budget_destroy(work->budget);
    wrappers_done();
    disguise_done();
}

/** The baseline has the wrappers of its run; read the trace with the same. */
static int baseline_load(struct work *work, const struct request *request, char *ret_why,
                         size_t why_bytes)
{
    if (!request->baseline || request->update)
        return 0;
    return baseline_read(request->baseline, &work->baseline, ret_why, why_bytes);
}

/** Budget and trace may both come from anyone, and the work is a product of both. */
static int globs_verify(const struct work *work, const struct request *request)
{
    return !work->globs.spent
               ? 0
               : verb_error(VERB_NAME, EXIT_TROUBLE,
                            "%s: too many or too long globs for the names in %s: give fewer, or "
                            "such that begin with letters",
                            request->budget, request->trace);
}

static int trace_read(struct work *work, const struct request *request)
{
    const char *const *ignored = work->budget ? (const char *const *)work->budget->ignored : NULL;
    size_t count = work->budget ? work->budget->ignored_count : 0;
    const struct texts *sites = work->budget ? &work->budget->sites : NULL;
    char why[1024];
    int error;

    work->globs.left = GLOB_WORK_MOST;
    wrappers_bound(&work->globs);
    for (size_t i = 0; work->budget && i < work->budget->wrappers; i++)
        if (wrappers_glob_add(work->budget->wrapper[i]) < 0)
            return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    if (snapshot_learn(request->trace, why, sizeof why) < 0 ||
        baseline_load(work, request, why, sizeof why) < 0 ||
        snapshot_trace_open(request->trace, ignored, count, &work->globs, &work->trace, why,
                            sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    if (window_is_wanted(&request->window) &&
        window_resolve(&request->window, work->trace.reader, &work->trace.window, why, sizeof why) <
            0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->trace, why);
    error = snapshot_measure(&work->trace, ignored, count, sites, &work->measured, why, sizeof why);
    if (work->globs.spent)
        return globs_verify(work, request);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s%s", request->trace, why,
                          error == -E2BIG ? "" : ": record it again");
    /* A baseline of half a run would make the next whole run look grown. */
    if (request->update && *work->measured->incomplete)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: baseline not updated, the trace is incomplete: %s: record it again",
                          request->trace, work->measured->incomplete);
    return 0;
}

static int baseline_compare(struct work *work, const struct request *request)
{
    const struct tolerance none = {0};

    if (!work->baseline)
        return 0;
    if (difference_create(work->baseline, work->measured, &none, &work->difference) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    return 0;
}

static int budget_load(struct work *work, const struct request *request)
{
    char why[1024];

    if (!request->budget)
        return 0;
    if (budget_read(request->budget, &work->budget, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    if (budget_has_growth(work->budget) && !request->baseline)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: a growth budget needs a baseline: give --baseline FILE",
                          request->budget);
    return 0;
}

static bool same_ignored(const struct snapshot *a, const struct snapshot *b)
{
    bool same = a->ignored_count == b->ignored_count;

    for (size_t i = 0; same && i < a->ignored_count; i++)
        same = !strcmp(a->ignored[i], b->ignored[i]);
    return same;
}

/** Adds the caveats of trace and baseline. */
static int doubts_add(struct work *work, const struct request *request)
{
    char text[1536];
    int error = 0;

    if (*work->measured->incomplete)
        error = budget_check_warn(work->check, "%s: trace is incomplete, values may be too low: %s",
                                  disguise_trace(request->trace, 1), work->measured->incomplete);
    if (error == 0 && *work->measured->part)
        error = budget_check_warn(work->check, "%s: %s", disguise_trace(request->trace, 1),
                                  work->measured->part);
    if (error == 0 && work->baseline &&
        difference_of_devices(work->baseline, work->measured, text, sizeof text))
        error = budget_check_warn(work->check, "%s: %s", disguise_path(request->baseline), text);
    if (error == 0 && work->baseline && !same_ignored(work->baseline, work->measured))
        error = budget_check_warn(work->check, "%s: made with a different [ignore] than that of %s",
                                  disguise_path(request->baseline), disguise_path(request->budget));
    return error;
}

static int judge(struct work *work, const struct request *request)
{
    const struct budget_check_input input = {.path = disguise_trace(request->trace, 1),
                                             .trace = &work->trace,
                                             .measured = work->measured,
                                             .budget = work->budget,
                                             .difference = work->difference};
    char why[1024];

    if (budget_check_create(&input, &work->check, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s",
                          request->baseline ? request->baseline : request->trace, why);
    if (doubts_add(work, request) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    return globs_verify(work, request);
}

/** Writes one format of the outcome to a file; NULL: not wanted. */
static int form_write(const struct budget_check *check, const char *path,
                      void (*write_form)(const struct budget_check *check, FILE *out))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory;
    int error = -ENOMEM;

    if (!path)
        return 0;
    memory = open_memstream(&text, &bytes);
    if (memory) {
        write_form(check, memory);
        error = fclose(memory) == EOF ? -ENOMEM : outfile_write(path, text, bytes);
    }
    free(text);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", path, outfile_reason(error));
    return 0;
}

static int baseline_update(const struct work *work, const struct request *request)
{
    int error;

    if (!request->update)
        return 0;
    error = baseline_write(work->measured, request->baseline);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->baseline,
                          outfile_reason(error));
    escape_line(stdout, "%s: baseline written from %s", disguise_path(request->baseline),
                disguise_trace(request->trace, 1));
    return 0;
}

static int outcome_print(const struct work *work, const struct request *request)
{
    const struct budget_check *check = work->check;

    for (size_t i = 0; i < check->warnings; i++)
        verb_error(VERB_NAME, 0, "%s%s", request->strict ? "" : "warning: ", check->warning[i]);
    errno = 0;
    if (work->budget)
        budget_check_text(check, stdout);
    if (request->github)
        budget_check_github(check, stdout);
    if (fflush(stdout) == EOF || ferror(stdout))
        return verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(errno));
    if (request->strict && check->warnings)
        return EXIT_TROUBLE;
    return check->over ? EXIT_FOUND : EXIT_FINE;
}

/** Prints the outcome first, whatever happens to the files. */
static int outcome_write(const struct work *work, const struct request *request)
{
    int code = outcome_print(work, request);
    int trouble = form_write(work->check, request->junit, budget_check_junit);

    if (!trouble)
        trouble = form_write(work->check, request->markdown, budget_check_markdown);
    if (!trouble)
        trouble = form_write(work->check, request->sarif, budget_check_sarif);
    if (!trouble)
        trouble = form_write(work->check, request->code_quality, budget_check_code_quality);
    if (!trouble && code != EXIT_TROUBLE)
        trouble = baseline_update(work, request);
    return trouble ? trouble : code;
}

int verb_check(int argc, char **argv)
{
    struct request request = {0};
    struct work work = {0};
    int trouble = request_read(argc, argv, &request);

    if (trouble)
        return trouble - 1;
    if (request.config)
        return promise_check(request.config, request.trace,
                             request.anonymize ? "trace 1" : request.trace, request.strict);
    trouble = budget_load(&work, &request);
    if (!trouble)
        trouble = trace_read(&work, &request);
    if (!trouble)
        trouble = baseline_compare(&work, &request);
    if (request.anonymize)
        disguise_begin();
    if (!trouble)
        trouble = judge(&work, &request);
    if (!trouble)
        trouble = outcome_write(&work, &request);
    work_done(&work);
    return trouble;
}

/* SPDX-License-Identifier: MIT */
/*
 * `cupool report`: reads traces, writes one report. A report to a file appears whole or not at all.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/base/file/outfile.h"
#include "tools/cli/loaded.h"
#include "tools/cli/report_pid.h"
#include "tools/symbols/wrappers.h"
#include "tools/base/progress.h"
#include "tools/report/report_formats.h"
#include "tools/analysis/window.h"

#define VERB_NAME "report"

static const char help_options[] =
    "Options:\n"
    "  -f, --format FORMAT  text (default), or another format of the list below\n"
    "  -o, --output FILE    write there instead of to standard output\n"
    "      --by WHAT        breakdown in text and markdown: site (default), library, size, api,\n"
    "                       stack, caller (of sites), phase\n"
    "      --top N          rows of each breakdown (text: 8; markdown, openmetrics: 20; html: "
    "500;\n"
    "                       others: all)\n"
    "      --phase NAME     only this phase (also load, warm-up and steady, if they\n"
    "                       were detected)\n"
    "      --from T, --to T only this part of the run: 2s, 350ms, 1.5 (seconds), 40%\n"
    "      --anonymize      anonymize the report for sharing: paths become file names; the\n"
    "                       command, build ids and phase names become hashes; traces are\n"
    "                       numbered\n"
    "      --pid PID        report on a running program, without delaying it. If it writes no\n"
    "                       trace, text shows its live statistics\n"
    "      --wrappers GLOBS functions that allocate for their callers, in addition to those\n"
    "                       detected: reports name the callers instead; separated by commas\n"
    "      --force          overwrite the output file\n"
    "  -q, --quiet          no progress on the terminal\n"
    "  -h, --help\n\n"
    "Formats:\n";

static const char help_examples[] =
    "\nSeveral traces are the ranks of a job: a merged summary, then one report each, in one "
    "output.\n"
    "--anonymize keeps: names of files without their folders, of functions (Python's too), of "
    "CUDA\n"
    "functions and of the device; lines, offsets, sizes, times, addresses and process ids.\n\n"
    "Examples:\n"
    "  cupool report infer.1234.cupool\n"
    "  cupool report --by library --top 20 infer.1234.cupool\n"
    "  cupool report --format json -o report.json infer.1234.cupool\n"
    "  cupool report --pid 1234\n"
    "  cupool report --format html -o share.html --anonymize infer.1234.cupool\n";

struct request {
    const struct report_format *format;
    const char *output; /* NULL: standard output */
    bool force, anonymize;
    struct report_style style;
    struct window_request window;
    pid_t pid; /* 0: traces are named */
};

static int name_find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return (int)i;
    return -ENOENT;
}

static int count_parse(const char *text, size_t *ret_count)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || !value || value > 1000000000)
        return -EINVAL;
    *ret_count = value;
    return 0;
}

static int format_set(struct request *request, const char *value)
{
    const struct report_format *format = report_format_find(value);
    char names[256];

    report_formats_list(names, sizeof names);
    if (!format)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--format %s: no such format: use %s", value,
                          names);
    if (report_format_missing(format))
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--format %s: not built in: install %s and build cupool again", value,
                          report_format_missing(format));
    request->format = format;
    return 0;
}

static int by_set(struct request *request, const char *value)
{
    int by = name_find(report_by_name, REPORT_BY_NAMES, value);

    if (by < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "--by %s: no such breakdown: use site, library, size, api, stack, caller "
                          "or phase",
                          value);
    request->style.by = (enum report_by)by;
    return 0;
}

/** Globs, with commas between them. */
static int wrappers_set(char *globs)
{
    char *position = NULL;

    for (char *glob = strtok_r(globs, ",", &position); glob; glob = strtok_r(NULL, ",", &position))
        if (wrappers_glob_add(glob) < 0)
            return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    return 0;
}

static int pid_set(struct request *request, const char *value)
{
    size_t pid;

    if (count_parse(value, &pid) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--pid %s: not a process id", value);
    request->pid = (pid_t)pid;
    return 0;
}

static void help_print(void)
{
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", help_options);

    for (const struct report_format *format = report_formats; format->name; format++) {
        const char *missing = report_format_missing(format);

        used += (size_t)snprintf(
            text + used, sizeof text - used, "  %-11s %s%s%s%s\n", format->name, format->help,
            missing ? " (not built in: needs " : "", missing ? missing : "", missing ? ")" : "");
    }
    snprintf(text + used, sizeof text - used, "%s", help_examples);
    verb_help(VERB_NAME, text);
}

enum { OPTION_BY = 256, OPTION_TOP, OPTION_ANONYMIZE, OPTION_FORCE, OPTION_WRAPPERS, OPTION_PID };

static int option_set(void *state, int option)
{
    struct request *request = state;
    int trouble = 0;

    switch (option) {
    case 'f': trouble = format_set(request, optarg); break;
    case 'o': request->output = optarg; break;
    case OPTION_BY: trouble = by_set(request, optarg); break;
    case OPTION_TOP:
        if (count_parse(optarg, &request->style.top) < 0)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                                 "--top %s: not a count: give a number from 1", optarg);
        break;
    case OPTION_ANONYMIZE: request->anonymize = true; break;
    case OPTION_FORCE: request->force = true; break;
    case 'q': progress_silence(); break;
    case OPTION_WRAPPERS: trouble = wrappers_set(optarg); break;
    case OPTION_PID: trouble = pid_set(request, optarg); break;
    case 'h': help_print(); break;
    default: return window_option_set(&request->window, option, optarg) ? 0 : VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *ret_request)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"by", required_argument, NULL, OPTION_BY},
                                            {"top", required_argument, NULL, OPTION_TOP},
                                            {"anonymize", no_argument, NULL, OPTION_ANONYMIZE},
                                            {"force", no_argument, NULL, OPTION_FORCE},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"wrappers", required_argument, NULL, OPTION_WRAPPERS},
                                            {"pid", required_argument, NULL, OPTION_PID},
                                            WINDOW_OPTIONS,
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, NULL,
                                                ":f:o:qh", options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, ret_request);

    if (trouble)
        return trouble;
    if (ret_request->pid && optind < argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: give a trace or --pid, not both",
                             argv[optind]);
    else if (!trouble && !ret_request->pid && optind == argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "no trace given: name a file that 'cupool run' wrote");
    return trouble ? trouble + 1 : 0;
}

static int report_write(const struct loaded *loaded, const struct request *request, FILE *out)
{
    const struct report_input input = {loaded->analysis, loaded->name, loaded->count};
    int error = request->format->write(&input, &request->style, out);

    if (error == 0 && (fflush(out) == EOF || ferror(out)))
        return errno ? -errno : -EIO;
    return error;
}

/** What is written, to a file or to standard output. */
struct output {
    const struct request *request;
    const struct loaded *loaded;          /* NULL: the page of a process alone */
    const struct report_process *process; /* NULL: traces */
};

static int output_write(const struct output *output, FILE *out)
{
    if (output->loaded)
        return report_write(output->loaded, output->request, out);
    report_process_print(output->process, output->request->style.columns, out);
    return fflush(out) == EOF || ferror(out) ? (errno ? -errno : -EIO) : 0;
}

static int output_place(const struct output *output)
{
    const struct request *request = output->request;
    struct outfile file;
    int error;

    errno = 0;
    if (!request->output) {
        error = output_write(output, stdout);
        return error < 0
                   ? verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(-error))
                   : EXIT_FINE;
    }
    error = outfile_open(request->output, request->force ? OUTFILE_REPLACE : OUTFILE_NEW, 0666,
                         &file);
    if (error == 0)
        error = outfile_close(&file, output_write(output, file.stream));
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->output,
                          outfile_reason(error));
    return EXIT_FINE;
}

/** Width of the terminal, else COLUMNS, else 100; for a file always 100. */
static unsigned columns_wanted(const struct request *request)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    size_t wanted = 100;

    if (request->output)
        return 100;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        wanted = size.ws_col;
    else if (!columns || count_parse(columns, &wanted) < 0)
        wanted = 100;
    return wanted < 40 ? 40 : wanted > 1000 ? 1000 : (unsigned)wanted;
}

static int traces_report(const struct request *request, char *const *paths, size_t count)
{
    struct loaded loaded = {.detailed = request->format->write == report_html_write};
    const struct output output = {.request = request, .loaded = &loaded};
    char why[1024];
    int trouble = 0;

    if (loaded_create(&loaded, paths, count, &request->window, why, sizeof why) < 0) {
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    } else {
        loaded_name(&loaded, paths, request->anonymize);
        trouble = output_place(&output);
    }
    loaded_destroy(&loaded);
    return trouble;
}

static int process_report(const struct request *request)
{
    struct report_process process;
    const struct output output = {.request = request, .process = &process};
    char why[512], *path = process.trace;
    int trouble;

    if (report_process_find(request->pid, &process, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--pid %d: %s", (int)request->pid, why);
    if (*process.trace)
        trouble = traces_report(request, &path, 1);
    else if (request->format != report_formats || request->anonymize ||
             window_is_wanted(&request->window))
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "--pid %d: not recorded: only a plain text report is available; use "
                             "'cupool metrics %d' for machine-readable statistics",
                             (int)request->pid, (int)request->pid);
    else
        trouble = output_place(&output);
    report_process_done(&process);
    return trouble;
}

int verb_report(int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");
    struct request request = {.format = report_formats};
    int trouble = request_read(argc, argv, &request);

    if (trouble)
        return trouble - 1;
    request.style.columns = columns_wanted(&request);
    request.style.colour = !request.output && isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
    if (request.pid)
        return process_report(&request);
    return traces_report(&request, argv + optind, (size_t)(argc - optind));
}

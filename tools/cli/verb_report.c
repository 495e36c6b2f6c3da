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

#include "tools/base/outfile.h"
#include "tools/cli/loaded.h"
#include "tools/symbols/wrappers.h"
#include "tools/base/progress.h"
#include "tools/report/report_formats.h"
#include "tools/analysis/window.h"

#define VERB_NAME "report"

static const char help_options[] =
    "Options:\n"
    "  -f, --format FORMAT  text, or another form of the list below\n"
    "  -o, --output FILE    write there instead of to standard output\n"
    "      --by WHAT        what text and markdown break down: site (default), library, size, "
    "api,\n"
    "                       stack, caller (of sites), phase\n"
    "      --top N          rows of each breakdown (text: 8; markdown, openmetrics: 20; html: "
    "500;\n"
    "                       others: all)\n"
    "      --phase NAME     the figures of a phase alone (also load, warm-up and steady, where\n"
    "                       they were found)\n"
    "      --from T, --to T the figures of a part of the run: 2s, 350ms, 1.5 (seconds), 40%\n"
    "      --anonymize      a report to give away: paths become names of files, the command, "
    "build\n"
    "                       ids and names of phases become hashes, traces are numbered\n"
    "      --wrappers GLOBS functions that hand out memory for others, in addition to those "
    "found:\n"
    "                       their callers are named instead; with commas between\n"
    "      --force          overwrite the output file\n"
    "  -q, --quiet          no progress on the terminal\n"
    "  -h, --help\n\n"
    "Formats:\n";

static const char help_examples[] =
    "\nSeveral traces are the ranks of a job: a merged summary, then one report each, in one "
    "output.\n"
    "What --anonymize leaves: names of files without their folders, of functions (Python's too), "
    "of\n"
    "CUDA functions and of the device; lines, offsets, sizes, times, addresses and process ids.\n\n"
    "Examples:\n"
    "  cupool report infer.1234.cupool\n"
    "  cupool report --by library --top 20 infer.1234.cupool\n"
    "  cupool report --format json -o report.json infer.1234.cupool\n"
    "  cupool report --format html -o share.html --anonymize infer.1234.cupool\n";

struct request {
    const struct report_format *format;
    const char *output; /* NULL: standard output */
    bool force, anonymize;
    struct report_style style;
    struct window_request window;
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
        return verb_error(VERB_NAME, EXIT_TROUBLE, "--format %s: no such format: there are %s",
                          value, names);
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
        return verb_error(
            VERB_NAME, EXIT_TROUBLE,
            "--by %s: no such breakdown: there are site, library, size, api, stack, caller "
            "and phase",
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

enum {
    OPTION_BY = 256,
    OPTION_TOP,
    OPTION_ANONYMIZE,
    OPTION_FORCE,
    OPTION_PHASE,
    OPTION_FROM,
    OPTION_TO,
    OPTION_WRAPPERS
};

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
                                            WINDOW_OPTIONS(OPTION_PHASE, OPTION_FROM, OPTION_TO),
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, trouble = 0;

    verb_options_begin();
    while (!trouble && (option = getopt_long(argc, argv, ":f:o:qh", options, NULL)) != -1) {
        switch (option) {
        case 'f': trouble = format_set(ret_request, optarg); break;
        case 'o': ret_request->output = optarg; break;
        case OPTION_BY: trouble = by_set(ret_request, optarg); break;
        case OPTION_TOP:
            if (count_parse(optarg, &ret_request->style.top) < 0)
                trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                                     "--top %s: not a count: give a number from 1", optarg);
            break;
        case OPTION_ANONYMIZE: ret_request->anonymize = true; break;
        case OPTION_FORCE: ret_request->force = true; break;
        case 'q': progress_silence(); break;
        case OPTION_PHASE: ret_request->window.phase = optarg; break;
        case OPTION_FROM: ret_request->window.from = optarg; break;
        case OPTION_TO: ret_request->window.to = optarg; break;
        case OPTION_WRAPPERS: trouble = wrappers_set(optarg); break;
        case 'h': help_print(); return EXIT_FINE + 1;
        default: trouble = verb_option_refused(VERB_NAME, EXIT_TROUBLE, option, argv);
        }
    }
    if (!trouble && optind == argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "no trace given: name a file that 'cupool run' wrote");
    return trouble ? trouble + 1 : 0;
}

static int report_write(const struct loaded *loaded, const struct request *request, FILE *out)
{
    const struct report_input input = {loaded->analysis, loaded->name, loaded->count};
    int r = request->format->write(&input, &request->style, out);

    if (r == 0 && (fflush(out) == EOF || ferror(out)))
        return errno ? -errno : -EIO;
    return r;
}

static int file_write(const struct loaded *loaded, const struct request *request)
{
    struct outfile file;
    int r = outfile_open(request->output, request->force ? OUTFILE_REPLACE : OUTFILE_NEW, 0666,
                         &file);

    if (r == 0) {
        errno = 0;
        r = outfile_close(&file, report_write(loaded, request, file.stream));
    }
    if (r < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->output, outfile_reason(r));
    return EXIT_FINE;
}

/** Of the terminal, else as COLUMNS says, else 100; of a file always 100. */
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

int verb_report(int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");
    struct request request = {.format = report_formats};
    struct loaded loaded = {0};
    char why[1024];
    int trouble = request_read(argc, argv, &request), r;

    if (trouble)
        return trouble - 1;
    request.style.columns = columns_wanted(&request);
    request.style.colour = !request.output && isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
    loaded.detailed = request.format->write == report_html_write;
    if (loaded_create(&loaded, argv + optind, (size_t)(argc - optind), &request.window, why,
                      sizeof why) < 0)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s", why);
    if (!trouble)
        loaded_name(&loaded, argv + optind, request.anonymize);
    if (!trouble && request.output) {
        trouble = file_write(&loaded, &request);
    } else if (!trouble) {
        r = report_write(&loaded, &request, stdout);
        if (r < 0)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(-r));
    }
    loaded_destroy(&loaded);
    return trouble;
}

/* SPDX-License-Identifier: MIT */
/*
 * `cupool run`: runs a program with the preload library, as transparently as possible. The exit
 * code is the program's; cupool's own output goes to stderr, at the end, on one screen.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/outplace.h"
#include "cupti/live/live_page.h"
#include "cupti/write/trace_origin.h"
#include "cupti/write/trace_writer.h"
#include "shim/options/options.h"
#include "tools/base/file/outfile.h"
#include "tools/launch/launch.h"
#include "tools/live/live_processes.h"
#include "tools/launch/locate.h"
#include "tools/launch/probe.h"
#include "tools/launch/program.h"
#include "tools/cli/run_summary.h"
#include "tools/cli/simulation.h"
#include "tools/cli/traces.h"

#define VERB_NAME       "run"
#define DEFAULT_PATTERN "%e.%p.cupool"

static const char help_text[] =
    "Options:\n"
    "  -o, --output FILE      the trace to write (default %e.%p.cupool); %p pid, %e program,\n"
    "                         %h host, %n counter, %q{VAR} environment, %% percent\n"
    "      --force            overwrite an earlier trace of that name\n"
    "      --mode MODE        pool (default), observe (record, change nothing), off\n"
    "  -O, --option KEY:VALUE any option of 'cupool options'; may be repeated\n"
    "      --config FILE      options from a file, as CUPOOL_CONF reads them ('cupool tune')\n"
    "      --sim[=PROFILE]    run on the simulated device instead of a GPU\n"
    "  -q, --quiet            no summary at the end\n"
    "  -h, --help\n\n"
    "Examples:\n"
    "  cupool run -- ./infer --model m.gguf\n"
    "  cupool run --mode observe -o 'traces/%e.%q{RANK}.cupool' -- python3 train.py\n"
    "  cupool run -O limit:24GiB -O fill:poison -- ./infer\n"
    "  cupool run --config pool.conf -- ./infer\n"
    "  cupool run --sim -- ./infer\n";

struct request {
    struct options options;
    const char *output; /* NULL: not given */
    const char *profile;
    bool simulated, force, quiet;
    int problems;
};

static void problem_print(void *state, const char *line)
{
    struct request *request = state;

    request->problems++;
    verb_error(VERB_NAME, 0, "%s", line);
}

static void line_print(void *state, const char *line)
{
    verb_error(VERB_NAME, 0, "%s", line);
}

/**
 * Sets an option for this run in the option's own variable. A bad option on the command line is
 * refused, whereas one in the environment is ignored with a message.
 */
static int option_apply(struct request *request, const char *key, const char *value,
                        const char *where)
{
    char variable[64];

    if (options_set(&request->options, key, value, OPTION_SOURCE_COMMAND, where, problem_print,
                    request) < 0)
        return EXIT_RUN_FAILED;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (!strcmp(options_row(i)->key, key)) {
            options_variable(i, variable, sizeof variable);
            setenv(variable, value, 1);
        }
    return 0;
}

static int pair_apply(struct request *request, const char *pair)
{
    const char *colon = strchr(pair, ':');
    char key[64];

    if (!colon || colon == pair || (size_t)(colon - pair) >= sizeof key)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED, "-O %s: no KEY:VALUE: see 'cupool options'",
                          pair);
    snprintf(key, sizeof key, "%.*s", (int)(colon - pair), pair);
    return option_apply(request, key, colon + 1, "-O");
}

/**
 * The program reads the file itself. It comes before all other sources, so environment and command
 * line still win.
 */
static int config_apply(struct request *request, const char *path)
{
    char *absolute = realpath(path, NULL);
    struct options ignored;
    int problems = request->problems;

    if (!absolute)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED, "--config %s: %s", path, strerror(errno));
    options_init(&ignored);
    options_read_file(&ignored, absolute, problem_print, request);
    setenv("CUPOOL_CONF", absolute, 1);
    free(absolute);
    if (request->problems > problems)
        return EXIT_RUN_FAILED;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char value[OPTIONS_TEXT_BYTES];

        if (request->options.source[i] > OPTION_SOURCE_FILE)
            continue;
        options_format(&ignored, i, value, sizeof value);
        options_set(&request->options, options_row(i)->key, value,
                    (enum option_source)ignored.source[i], "--config", NULL, NULL);
    }
    return 0;
}

enum { OPTION_FORCE = 256, OPTION_MODE, OPTION_SIM, OPTION_CONFIG };

static int option_set(void *state, int option)
{
    struct request *request = state;
    int trouble = 0;

    switch (option) {
    case 'o': request->output = optarg; break;
    case OPTION_FORCE: request->force = true; break;
    case OPTION_MODE: trouble = option_apply(request, "mode", optarg, "--mode"); break;
    case OPTION_CONFIG: trouble = config_apply(request, optarg); break;
    case 'O': trouble = pair_apply(request, optarg); break;
    case OPTION_SIM:
        request->simulated = true;
        request->profile = optarg;
        break;
    case 'q': request->quiet = true; break;
    default: return VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"force", no_argument, NULL, OPTION_FORCE},
                                            {"mode", required_argument, NULL, OPTION_MODE},
                                            {"option", required_argument, NULL, 'O'},
                                            {"config", required_argument, NULL, OPTION_CONFIG},
                                            {"sim", optional_argument, NULL, OPTION_SIM},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME,  EXIT_RUN_FAILED, help_text,
                                                "+:o:O:qh", options,         option_set};
    int trouble;

    options_load(&request->options, NULL, NULL);
    trouble = verb_options_read(&reading, argc, argv, request);
    if (trouble)
        return trouble;
    if (optind == argc)
        trouble = verb_error(VERB_NAME, EXIT_RUN_FAILED,
                             "no program given: cupool run [options] -- PROGRAM [ARGUMENTS]");
    return trouble ? trouble + 1 : 0;
}

/** The program can be watched, unless the user chose the place or disabled it. */
static void live_prepare(struct request *request)
{
    if (request->options.source[OPTION_ID_live] == OPTION_SOURCE_BUILT_IN)
        option_apply(request, "live", LIVE_PAGE_PLACE, VERB_NAME);
}

/** With strict:1 a bad option ends the run before it begins. */
static int strict_check(struct request *request)
{
    struct options ignored;

    if (!request->options.strict)
        return 0;
    request->problems += options_load(&ignored, line_print, NULL);
    if (!request->problems)
        return 0;
    return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                      "strict:1: %d bad option%s: correct the options named above",
                      request->problems, request->problems > 1 ? "s" : "");
}

/** With `force` removes an earlier trace of the user; any other file of that name is left alone. */
static int output_replace(const char *path, bool force)
{
    struct trace_file file;
    int error = force ? traces_remove(path) : traces_examine(path, &file);

    if (error == 0 && force)
        return 0;
    if (error == 0)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                          "%s: exists: overwrite it with --force, or give another name with -o",
                          path);
    if (error == -EBADMSG || error == -EACCES)
        return verb_error(
            VERB_NAME, EXIT_RUN_FAILED,
            "%s: exists and is not a cupool trace of yours: give another name with -o", path);
    return verb_error(VERB_NAME, EXIT_RUN_FAILED, "%s: %s: give another name with -o", path,
                      trace_writer_reason(error));
}

/** Returns 0 if the path to the trace is the user's own. It ends before a name with a
 * placeholder. */
static int place_check(const char *pattern)
{
    char *way = strdup(pattern), *placeholder = way ? strchr(way, '%') : NULL;
    struct outplace place;
    int error;

    if (!way)
        return -ENOMEM;
    while (placeholder && placeholder > way && placeholder[-1] != '/')
        placeholder--;
    if (placeholder)
        strcpy(placeholder, "."); /* the folder itself */
    error = outplace_find(way, &place);
    free(way);
    if (error < 0)
        return error == -ENOLINK ? error : 0;
    if (place.directory >= 0)
        close(place.directory);
    return 0;
}

/** Problems with the trace's path are reported before the program runs, not after. */
static int output_check(const char *pattern, bool force)
{
    char copy[PATH_MAX];
    const char *directory;
    struct stat status;

    if (trace_path_expand(pattern, copy, sizeof copy) == -EINVAL)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                          "%s: unknown placeholder: use %%p, %%e, %%h, %%n, %%q{VAR} or %%%%",
                          pattern);
    if (strlen(pattern) >= sizeof copy)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED, "%s: name too long: give another with -o",
                          pattern);
    strcpy(copy, pattern);
    directory = dirname(copy);
    if (!strchr(directory, '%') && access(directory, W_OK) < 0)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED, "%s: %s: give another path with -o",
                          directory, strerror(errno));
    if (place_check(pattern) < 0)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED, "%s: %s", pattern, outfile_reason(-ENOLINK));
    if (strchr(pattern, '%') || lstat(pattern, &status) < 0)
        return 0;
    return output_replace(pattern, force);
}

/** Returns the absolute pattern of the trace; NULL where recording is off. */
static int trace_prepare(struct request *request, char **ret_pattern)
{
    const char *pattern = request->output;
    int trouble;

    *ret_pattern = NULL;
    if (!pattern && request->options.source[OPTION_ID_trace] == OPTION_SOURCE_BUILT_IN)
        pattern = DEFAULT_PATTERN;
    if (!pattern)
        pattern = request->options.trace;
    if (!strcmp(pattern, "off") || request->options.mode == OPTION_MODE_OFF)
        return 0;
    trouble = traces_pattern_absolute(pattern, ret_pattern);
    if (trouble < 0)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                          "the working directory: %s: change it, or give a path with -o",
                          strerror(-trouble));
    trouble = output_check(*ret_pattern, request->force);
    return trouble ? trouble : option_apply(request, "trace", *ret_pattern, "-o");
}

/** NVTX loads the tool that this variable names; an existing one stays. */
static void nvtx_prepare(const struct request *request, const char *library)
{
    if (request->options.nvtx == OPTION_NVTX_AUTO && request->options.mode != OPTION_MODE_OFF)
        setenv("NVTX_INJECTION64_PATH", library, 0);
}

/** The program silently uses the next place; the user may want to know. */
static void places_check(const struct request *request)
{
    const char *where[] = {request->options.ipc, request->options.live};
    char text[PATH_MAX + 128];

    for (size_t i = 0; i < 2; i++)
        if (strcmp(where[i], "off") != 0 && (!i || strcmp(where[0], where[1]) != 0) &&
            live_place_is_taken(where[i], text, sizeof text))
            verb_error(VERB_NAME, 0, "warning: %s", text);
}

static int preload_prepare(const struct request *request)
{
    char library[PATH_MAX];
    int error = locate_library(library, sizeof library);

    if (error < 0)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                          "%s: preload library not found: build it, or set CUPOOL_LIBRARY",
                          library);
    error = launch_preload(library);
    nvtx_prepare(request, library);
    if (error == -EINVAL)
        return verb_error(VERB_NAME, EXIT_RUN_FAILED,
                          "%s: the loader does not accept a path with blanks or colons: move it",
                          library);
    return error < 0 ? verb_error(VERB_NAME, EXIT_RUN_FAILED, "%s", strerror(-error)) : 0;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int launch_failed(int error, const char *program)
{
    return verb_error(VERB_NAME, error == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE,
                      "%s: %s: check the program's name", program,
                      error == -ENOENT ? "not found" : strerror(-error));
}

/** Whether a trace can be created: tries it, and leaves nothing behind. Errors: those of
 * creating it. */
static int trace_probe(const char *pattern)
{
    struct trace_writer *writer;
    char path[PATH_MAX];
    int error = trace_path_expand(pattern, path, sizeof path);

    if (error == 0)
        error = trace_writer_open(path, &writer);
    if (error < 0)
        return error;
    error = outplace_remove(trace_writer_path(writer));
    trace_writer_close(writer);
    return error;
}

static void no_trace_explain(const struct request *request, const char *pattern, char *const *argv)
{
    const char *program = argv[0];
    int error;
    char *command;
    struct program inspected;
    bool found = program_inspect(program, &inspected) == 0;
    const char *escape = found ? program_escape(&inspected) : NULL;

    if (request->quiet)
        return;
    error = trace_probe(pattern);
    if (error < 0) {
        verb_error(VERB_NAME, 0, "no trace: %s: %s", pattern, trace_writer_reason(error));
        return;
    }
    if (escape) {
        verb_error(VERB_NAME, 0, "no trace: %s is not covered: %s", program, escape);
    } else if (found && inspected.has_static_cudart && request->simulated) {
        verb_error(VERB_NAME, 0,
                   "no trace: the simulated device cannot replace the CUDA runtime linked into %s: "
                   "relink with -cudart shared",
                   program);
    } else {
        command = run_command_text(argv);
        verb_error(VERB_NAME, 0,
                   "no trace: %s made no CUDA call that cupool saw: see cupool doctor %s-- %s",
                   program, request->simulated ? "--sim " : "", command ? command : program);
        free(command);
    }
}

static bool uses_cuda(const char *name)
{
    struct program program;

    return program_inspect(name, &program) == 0 &&
           (program.libraries || program.needs_driver || program.has_static_cudart);
}

/** If nothing was allocated, there may be no driver at all. */
static void driver_look(const struct request *request)
{
    struct probe probe;

    if (!request->simulated && !request->quiet && probe_run(&probe) == 0 && !*probe.driver)
        verb_error(VERB_NAME, 0,
                   "no CUDA driver found (libcuda.so.1): install the NVIDIA driver, or use the "
                   "simulated device: cupool run --sim");
}

/** After the program: completes its trace and prints what was found. */
static void run_conclude(const struct request *request, const char *pattern, uint64_t since_ns,
                         const struct launch *launch, char *const *argv)
{
    struct trace_files files;
    const struct trace_file *main_file;
    bool allocated = false;

    if (!pattern || traces_find(pattern, since_ns, &files) < 0)
        return;
    main_file = traces_of(&files, launch->pid, trace_origin());
    if (main_file) {
        int error = trace_file_append_exit(main_file->path, launch->wait_status);

        if (error < 0)
            verb_error(VERB_NAME, 0, "%s: exit status not recorded: %s", main_file->path,
                       strerror(-error));
    }
    if (files.foreign && !request->quiet)
        verb_error(VERB_NAME, 0, "skipped %zu trace%s of other users in %s", files.foreign,
                   files.foreign > 1 ? "s" : "", pattern);
    if (!files.count)
        no_trace_explain(request, pattern, argv);
    else if (!request->quiet)
        allocated = run_summary_print(&files, main_file, stderr);
    if (!allocated && (files.count || uses_cuda(argv[0])))
        driver_look(request);
    traces_done(&files);
}

int verb_run(int argc, char **argv)
{
    struct request request = {0};
    struct launch launch;
    char *pattern = NULL;
    uint64_t since_ns;
    int trouble, error;

    launch_output_ignore();
    trouble = request_read(argc, argv, &request);
    if (trouble == EXIT_FINE + 1)
        launch_output_restore(); /* help is for standard output */
    if (trouble)
        return trouble - 1;
    argv += optind;
    trouble = strict_check(&request);
    if (!trouble)
        trouble = trace_prepare(&request, &pattern);
    if (!trouble && request.simulated)
        trouble = simulation_use(VERB_NAME, EXIT_RUN_FAILED, request.profile);
    if (!trouble)
        live_prepare(&request);
    if (!trouble)
        trouble = preload_prepare(&request);
    if (trouble)
        goto out;
    if (!request.quiet && request.options.mode != OPTION_MODE_OFF)
        places_check(&request);
    since_ns = realtime_ns();
    error = launch_program(argv, &launch);
    if (error < 0) {
        trouble = launch_failed(error, argv[0]);
        goto out;
    }
    run_conclude(&request, pattern, since_ns, &launch, argv);
    trouble = launch_exit_code(launch.wait_status);
out:
    free(pattern);
    return trouble;
}

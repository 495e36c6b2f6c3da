/* SPDX-License-Identifier: MIT */
/*
 * `cupool doctor`: says what is installed, and whether a program would be covered: by inspecting
 * its file, and then, unless told otherwise, by running it in observe mode and listing what it
 * used.
 */
#include "tools/cli/verb.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "shim/options/options.h"
#include "tools/launch/launch.h"
#include "tools/live/live_processes.h"
#include "tools/launch/locate.h"
#include "tools/launch/probe.h"
#include "tools/launch/program.h"
#include "tools/report/base/report.h"
#include "tools/trace/trace_open.h"
#include "tools/cli/simulation.h"
#include "tools/cli/traces.h"
#include "tools/base/units.h"

#define VERB_NAME       "doctor"
#define DIRECTORY_NAME  "/cupool-doctor-XXXXXX"
#define DIRECTORY_BYTES 1024

static const char help_text[] =
    "Options:\n"
    "      --static         only inspect PROGRAM's file, do not run it\n"
    "      --sim[=PROFILE]  use the simulated device instead of the system's driver\n"
    "  -h, --help\n\n"
    "PROGRAM is run once, in observe mode, which records and changes nothing. If it fails, it is\n"
    "run again without cupool, to see whether cupool is the reason.\n\n"
    "Examples:\n"
    "  cupool doctor\n"
    "  cupool doctor -- ./infer --model m.gguf\n"
    "  cupool doctor --static -- python3\n";

struct request {
    bool static_only, simulated, probe;
    const char *profile;
};

static void row(const char *title, const char *value)
{
    escape_line(stdout, "%-12s %s", title, value);
}

static int option_set(void *state, int option)
{
    struct request *request = state;

    switch (option) {
    case 's': request->static_only = true; break;
    case 'd':
        request->simulated = true;
        request->profile = optarg;
        break;
    case 'p': request->probe = true; break;
    default: return VERB_OPTION_UNKNOWN;
    }
    return 0;
}

/** 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"static", no_argument, NULL, 's'},
                                            {"sim", optional_argument, NULL, 'd'},
                                            {"probe", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                "+:h",     options,      option_set};

    return verb_options_read(&reading, argc, argv, request);
}

static void library_print(const char *ret_library, bool *ret_fine)
{
    char library[PATH_MAX], complaint[512];

    *ret_fine = false;
    if (locate_library(library, sizeof library) < 0)
        escape_line(stdout, "%-12s not found in %s: build it, or set CUPOOL_LIBRARY", ret_library,
                    library);
    else if (probe_preload(library, complaint, sizeof complaint) < 0)
        escape_line(stdout, "%-12s %s: does not load: %s", ret_library, library, complaint);
    else {
        escape_line(stdout, "%-12s %s, loads", ret_library, library);
        *ret_fine = true;
    }
}

static void driver_print(const struct probe *probe)
{
    if (!*probe->driver) {
        row("driver", "libcuda.so.1 not found: install the NVIDIA driver, or use --sim");
        return;
    }
    escape_line(stdout, "%-12s %s, CUDA %d.%d, %s", "driver", probe->driver,
                probe->driver_version / 1000, probe->driver_version % 1000 / 10,
                probe->simulated ? "simulated" : "hardware");
    if (probe->driver_error)
        escape_line(stdout, "%-12s cuInit fails with error %d: no device can be used", "devices",
                    probe->driver_error);
    else
        escape_line(stdout, "%-12s %d%s", "devices", probe->devices,
                    probe->simulated ? ", simulated" : "");
}

static void toolkit_print(void)
{
    static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH"};
    const char *toolkit = "/usr/local/cuda";
    char header[PATH_MAX];

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i]) && *getenv(variables[i])) {
            toolkit = getenv(variables[i]);
            break;
        }
    snprintf(header, sizeof header, "%s/include/cuda.h", toolkit);
    row("toolkit",
        access(header, R_OK) == 0 ? toolkit : "not found (needed only to build programs)");
}

/** Where processes leave files that others of the same user read. */
static void places_print(void)
{
    struct options options;
    const char *where[] = {options.ipc, options.live};
    char text[PATH_MAX + 128];

    options_load(&options, NULL, NULL);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(where[i], "off") != 0 && live_place_is_taken(where[i], text, sizeof text))
            row(i ? "live" : "IPC", text);
}

static int installation_print(bool *ret_fine, bool *ret_has_driver)
{
    struct probe probe;
    int error;

    row("cupool", CUPOOL_VERSION);
    library_print("preload", ret_fine);
    error = probe_run(&probe);
    *ret_has_driver = error < 0 || *probe.driver;
    driver_print(&probe);
    if (error < 0)
        row("", "probing the driver failed: the following may be incomplete");
    for (int i = 0; i < PROBE_RUNTIMES; i++)
        if (*probe.runtime[i])
            escape_line(stdout, "%-12s %s: %s", "runtime", probe_runtime_name[i], probe.runtime[i]);
    if (!*probe.runtime[0] && !*probe.runtime[1] && !*probe.runtime[2])
        row("runtime", "no shared libcudart in the loader's path (programs may bundle their own)");
    toolkit_print();
    row("CUPTI", *probe.cupti ? probe.cupti : "not found");
    places_print();
    return error;
}

static void doubts_print(const struct program *program)
{
    if (program->defines_dlsym)
        row("", "defines dlsym itself: look-ups that bypass cupool's dlsym are not covered");
    if (program->uses_dlmopen)
        row("", "uses dlmopen: CUDA in another namespace runs natively and is not covered");
}

static void program_print(const struct program *program)
{
    const char *escape = program_escape(program);

    putchar('\n');
    row("program", program->path);
    if (*program->interpreter)
        escape_line(stdout, "%-12s a script for %s", "", program->interpreter);
    for (size_t i = 0; i < program->libraries; i++)
        escape_line(stdout, "%-12s linked with %s", "", program->library[i]);
    if (program->has_static_cudart)
        row("", "contains the CUDA runtime or loads the driver itself: covered at the driver API");
    if (program->is_elf && !program->libraries && !program->has_static_cudart)
        row("", "not linked with CUDA; libraries that it loads later show only in a run");
    doubts_print(program);
    if (escape)
        escape_line(stdout, "%-12s not covered: %s", "verdict", escape);
}

/** What --sim itself preloads. */
static bool is_simulated_device(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && !strcmp(slash + 1, "simgpu_files.so");
}

/** Libraries that are preloaded beside ours, from one list of them. */
static void neighbours_print(const char *list)
{
    char *copy = strdup(list ? list : ""), *rest = NULL;

    for (char *word = copy ? strtok_r(copy, ": \t\n", &rest) : NULL; word;
         word = strtok_r(NULL, ": \t\n", &rest)) {
        struct program library = {0};
        bool is_read;

        if (is_simulated_device(word))
            continue;
        is_read = program_inspect(word, &library) == 0;
        escape_line(stdout, "%-12s also preloaded: %s%s", "", word,
                    !is_read                ? " (cannot be read)"
                    : library.defines_dlsym ? " (defines its own dlsym: look-ups pass through it)"
                                            : "");
    }
    free(copy);
}

static void system_neighbours_print(void)
{
    char list[4096];
    FILE *file = fopen("/etc/ld.so.preload", "re");
    size_t length = file ? fread(list, 1, sizeof list - 1, file) : 0;

    list[length] = '\0';
    neighbours_print(list);
    if (file)
        fclose(file);
}

static const char *entry_point_of(const char *api)
{
    if (!strncmp(api, "cuda", 4))
        return "runtime";
    return !strncmp(api, "cu", 2) && isupper((unsigned char)api[2]) ? "driver" : "other";
}

/** The functions that the program is linked to call; those that were seen are removed. */
struct unseen {
    const char *name[PROGRAM_IMPORTS];
    size_t count;
};

static void unseen_remove(struct unseen *unseen, const char *name)
{
    for (size_t i = 0; i < unseen->count; i++)
        if (!strcmp(unseen->name[i], name))
            unseen->name[i] = unseen->name[--unseen->count];
}

static void unseen_print(const struct unseen *unseen)
{
    for (size_t i = 0; i < unseen->count; i++)
        escape_line(stdout, "%-12s %s: linked, not called in this run", i ? "" : "not seen",
                    unseen->name[i]);
}

/** Compares the highest level of device memory in the trace with the driver's count. */
static void account_print(const struct analysis *analysis)
{
    uint64_t bytes;
    char text[256];

    escape_line(stdout, "%-12s %s of device memory at the peak", "traced",
                unit_bytes(analysis->driver.peak > analysis->requested.peak
                               ? analysis->driver.peak
                               : analysis->requested.peak)
                    .text);
    driver_view_state_text(&analysis->driver_view, text, sizeof text);
    row("CUPTI", text);
    if (driver_view_unaccounted(analysis, &bytes))
        escape_line(stdout, "%-12s at most %s in use as the driver reports, but not in the trace",
                    "unaccounted", unit_bytes(bytes).text);
}

static void entry_points_print(const struct analysis *analysis, struct unseen *unseen)
{
    struct tally *rows = report_rows_sorted(&analysis->apis);

    for (size_t i = 0; rows && i < analysis->apis.rows; i++) {
        const char *api = trace_reader_string(analysis->reader, rows[i].key);

        unseen_remove(unseen, api ? api : "");
        escape_line(stdout, "%-12s %s (%s API): %s, %s", i ? "" : "seen", api ? api : "unknown",
                    entry_point_of(api ? api : ""),
                    unit_nouns(rows[i].allocations, "allocation").text,
                    unit_nouns(rows[i].frees, "free").text);
    }
    free(rows);
    account_print(analysis);
}

/** Reads what the run recorded. */
static int trace_print(const struct trace_file *file, struct unseen *unseen)
{
    struct trace_reader *reader = NULL;
    struct analysis *analysis = NULL;
    char why[256];
    int trouble = EXIT_FINE;

    if (trace_open(file->path, &reader, why, sizeof why) < 0 ||
        analysis_create(reader, &analysis, why, sizeof why) < 0)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", file->path, why);
    else
        entry_points_print(analysis, unseen);
    analysis_destroy(analysis);
    trace_reader_close(reader);
    return trouble;
}

static int verdict(const struct program *program, const struct trace_files *files, bool simulated)
{
    struct unseen unseen = {.count = program->imports};
    int trouble = EXIT_FINE;

    memcpy(unseen.name, program->import, sizeof unseen.name);
    for (size_t i = 0; i < files->count && trouble == EXIT_FINE; i++) {
        if (files->count > 1)
            escape_line(stdout, "%-12s %d", "process", (int)files->file[i].pid);
        trouble = trace_print(&files->file[i], &unseen);
    }
    if (trouble != EXIT_FINE)
        return trouble;
    unseen_print(&unseen);
    if (files->count) {
        row("verdict", program->defines_dlsym || program->uses_dlmopen
                           ? "covered, with the exceptions above"
                           : "covered");
        return EXIT_FINE;
    }
    if (program->defines_dlsym || program->uses_dlmopen) {
        row("verdict", program->defines_dlsym
                           ? "not covered: it defines dlsym itself, and no call was seen"
                           : "not covered: it uses dlmopen, and no call was seen");
        return EXIT_FOUND;
    }
    if (program->has_static_cudart && simulated) {
        row("verdict", "no call was seen: the simulated device cannot replace a statically linked "
                       "CUDA runtime: relink with -cudart shared");
        return EXIT_FOUND;
    }
    row("verdict", "nothing to cover: the program allocated no device memory");
    return EXIT_FINE;
}

/** "exit status 3", "signal 11 (Segmentation fault)". */
static void status_text(int wait_status, char *ret_text, size_t text_bytes)
{
    int code = launch_exit_code(wait_status), signal = code - 128;

    /* A shell reports the death of its program by a signal as its own exit status. */
    if (WIFSIGNALED(wait_status) || (signal > 0 && signal < NSIG && strsignal(signal)))
        snprintf(ret_text, text_bytes, "signal %d (%s)", signal, strsignal(signal));
    else
        snprintf(ret_text, text_bytes, "exit status %d", code);
}

/** Restores the environment as it was without cupool. */
static void environment_restore(const char *preload)
{
    if (preload)
        setenv("LD_PRELOAD", preload, 1);
    else
        unsetenv("LD_PRELOAD");
    unsetenv("CUPOOL_MODE");
    unsetenv("CUPOOL_TRACE");
    setenv("CUPOOL", "mode:off", 1); /* where others preload it */
}

static int interrupted(const char *text)
{
    return verb_error(VERB_NAME, EXIT_TROUBLE, "interrupted: %s", text);
}

/** Runs a failed program once more without cupool, to see whether cupool is the reason. Returns
 * EXIT_FINE if it is not. */
static int failure_judge(char *const *argv, const struct launch *ours, const char *preload)
{
    struct launch bare = {0};
    char text[96], ours_text[96];

    environment_restore(preload);
    fflush(stdout);
    if (launch_program(argv, &bare) < 0)
        return EXIT_FINE;
    status_text(bare.wait_status, text, sizeof text);
    status_text(ours->wait_status, ours_text, sizeof ours_text);
    escape_line(stdout, "%-12s without cupool: %s", "ran again", text);
    if (launch_is_interrupted(&bare))
        return interrupted(text);
    if (launch_exit_code(bare.wait_status) == launch_exit_code(ours->wait_status))
        return EXIT_FINE;
    escape_line(stdout, "%-12s not covered: %s with cupool, %s without", "verdict", ours_text,
                text);
    return EXIT_FOUND;
}

/** What became of a run, and of its record. */
static int run_judge(const struct program *program, char *const *argv, const struct launch *launch,
                     const struct trace_files *files, const char *preload, bool simulated)
{
    int trouble = EXIT_FINE;
    char text[96];

    status_text(launch->wait_status, text, sizeof text);
    escape_line(stdout, "%-12s %s", "ran", text);
    if (launch_is_interrupted(launch))
        return interrupted(text);
    if (launch_exit_code(launch->wait_status))
        trouble = failure_judge(argv, launch, preload);
    return trouble ? trouble : verdict(program, files, simulated);
}

static bool directory_make_in(const char *parent, char ret_path[DIRECTORY_BYTES])
{
    snprintf(ret_path, DIRECTORY_BYTES, "%s" DIRECTORY_NAME, parent);
    return mkdtemp(ret_path);
}

/** Makes a directory of the user alone, in /tmp if TMPDIR cannot have it. Its path becomes part of
 * a pattern. It is opened, because others may put another one there where everybody may rename. */
static int directory_make(char ret_path[DIRECTORY_BYTES], DIR **ret_directory)
{
    const char *parent = getenv("TMPDIR");
    int fd, error;

    if (!parent || *parent != '/' || strchr(parent, '%') ||
        strlen(parent) + sizeof DIRECTORY_NAME > DIRECTORY_BYTES ||
        !directory_make_in(parent, ret_path))
        parent = directory_make_in("/tmp", ret_path) ? "/tmp" : NULL;
    if (!parent)
        return -errno;
    fd = open(ret_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *ret_directory = fd < 0 ? NULL : fdopendir(fd);
    if (*ret_directory)
        return 0;
    error = -errno;
    if (fd >= 0)
        close(fd);
    rmdir(ret_path);
    return error;
}

static void directory_remove(const char *path, DIR *directory)
{
    const struct dirent *entry;

    while ((entry = readdir(directory)))
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

/** Runs the program in observe mode, with its trace in a temporary directory. */
static int program_run(const struct program *program, char *const *argv, bool simulated)
{
    char directory[DIRECTORY_BYTES], pattern[DIRECTORY_BYTES + 3], library[PATH_MAX];
    struct trace_files files = {0};
    struct launch launch = {0};
    const char *before = getenv("LD_PRELOAD");
    char *preload;
    DIR *files_there;
    int error = directory_make(directory, &files_there), trouble;

    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: %s: set TMPDIR to a directory that you can write to", directory,
                          strerror(-error));
    launch_output_ignore(); /* the directory is removed, whoever reads */
    preload = before ? strdup(before) : NULL;
    snprintf(pattern, sizeof pattern, "%s/%%p", directory);
    neighbours_print(getenv("LD_PRELOAD"));
    system_neighbours_print();
    error = locate_library(library, sizeof library);
    if (error == 0)
        error = launch_preload(library);
    setenv("CUPOOL_MODE", "observe", 1);
    setenv("CUPOOL_TRACE", pattern, 1);
    fflush(stdout);
    if (error == 0)
        error = launch_program(argv, &launch);
    if (error == 0)
        error = traces_find(pattern, 0, &files);
    if (error < 0) {
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: cannot run: %s", argv[0],
                             strerror(-error));
    } else {
        trouble = run_judge(program, argv, &launch, &files, preload, simulated);
    }
    traces_done(&files);
    directory_remove(directory, files_there);
    launch_output_restore();
    free(preload);
    return trouble;
}

static bool uses_cuda(const struct program *program)
{
    return program->libraries || program->needs_driver || program->has_static_cudart;
}

static int program_examine(const struct request *request, char *const *argv, bool library_fine,
                           bool has_driver)
{
    struct program program;
    int error = program_inspect(argv[0], &program);

    if (error == -EFBIG)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: mostly a hole: no program", argv[0]);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s: check the program's name", argv[0],
                          strerror(-error));
    program_print(&program);
    if (program_escape(&program))
        return EXIT_FOUND;
    if (request->static_only) {
        row("verdict", "would be covered, as far as the file shows");
        return EXIT_FINE;
    }
    if (!has_driver && !request->simulated && uses_cuda(&program)) {
        row("verdict", "cannot run here without a driver: use --sim");
        return EXIT_FOUND;
    }
    if (!library_fine)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "not run: no preload library");
    return program_run(&program, argv, request->simulated);
}

int verb_doctor(int argc, char **argv)
{
    struct request request = {0};
    bool library_fine, has_driver;
    int trouble = request_read(argc, argv, &request);

    if (trouble)
        return trouble - 1;
    if (request.probe)
        return probe_child();
    if (request.simulated)
        trouble = simulation_use(VERB_NAME, EXIT_TROUBLE, request.profile);
    if (trouble)
        return trouble;
    installation_print(&library_fine, &has_driver);
    if (optind < argc)
        return program_examine(&request, argv + optind, library_fine, has_driver);
    return library_fine ? EXIT_FINE : EXIT_TROUBLE;
}

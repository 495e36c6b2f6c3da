/* SPDX-License-Identifier: MIT */
/*
 * `cupool top`: the figures of running programs, again and again on a terminal, or once.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_NCURSES
#include <ncurses.h>
#endif

#include "tools/live/live.h"

#define VERB_NAME     "top"
#define WIDTH_DEFAULT 100

static const char help_text[] =
    "Options:\n"
    "  -d, --delay SECONDS  between two readings (default 1)\n"
    "  -n, --count N        stop after N readings\n"
    "      --from DIRECTORY where the programs' option 'live' keeps figures (default " //
    LIVE_PAGE_PLACE ")\n"
    "  -h, --help\n\n"
    "Shows programs of the same user that run under 'cupool run', or with the option\n"
    "live:" LIVE_PAGE_PLACE ". Without PID and with several of them, one line for each. Keys: q "
    "ends.\n"
    "When standard output is no terminal, every reading is printed behind the last, one by\n"
    "default.\n"
    "Figures are written during the program's own calls, ten times a second at most: they are\n"
    "as old as its last call.\n\n"
    "Examples:\n"
    "  cupool top\n"
    "  cupool top 1234\n"
    "  cupool top --count 1 1234 | head\n";

struct request {
    const char *where;
    unsigned pid;        /* 0: all */
    unsigned long count; /* of readings; 0: without end */
    double delay_s;
};

/** A positive number from an argument. 0: it is none. */
static double number_parse(const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);

    return end == text || *end || !(value > 0) || value > most ? 0 : value;
}

static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"delay", required_argument, NULL, 'd'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, trouble = 0;

    verb_options_begin();
    while (!trouble && (option = getopt_long(argc, argv, ":d:n:h", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            request->delay_s = number_parse(optarg, 86400);
            if (request->delay_s == 0)
                trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "--delay %s: give seconds, like 0.5",
                                     optarg);
            break;
        case 'n':
            request->count = (unsigned long)number_parse(optarg, 1e9);
            if (request->count == 0)
                trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "--count %s: give a number from 1",
                                     optarg);
            break;
        case 'f': request->where = optarg; break;
        case 'h': verb_help(VERB_NAME, help_text); return EXIT_FINE + 1;
        default: trouble = verb_option_refused(VERB_NAME, EXIT_TROUBLE, option, argv);
        }
    }
    if (!trouble && optind < argc) {
        request->pid = (unsigned)number_parse(argv[optind], 1e9);
        if (request->pid == 0 || optind + 1 < argc)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: give one process id, or none",
                                 argv[request->pid ? optind + 1 : optind]);
    }
    return trouble ? trouble + 1 : 0;
}

/** Reads the pages; an exit code when there are none. `seen`: there were some before. */
static int reading_take(const struct request *request, bool seen, struct live_processes *ret_now)
{
    int r = live_processes_read(request->where, request->pid, ret_now);

    if (r < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->where, strerror(-r));
    if (ret_now->count || seen)
        return 0;
    if (request->pid)
        return verb_error(
            VERB_NAME, EXIT_TROUBLE,
            "no figures of process %u: run it with 'cupool run', or set CUPOOL_LIVE=%s",
            request->pid, request->where);
    return verb_error(VERB_NAME, EXIT_TROUBLE,
                      "no program to watch: start one with 'cupool run', or set CUPOOL_LIVE=%s",
                      request->where);
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void sleep_s(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&time, NULL);
}

#ifdef HAVE_NCURSES
static void screen_print(const char *text)
{
    erase();
    for (int row = 0; *text && row < LINES; row++) {
        const char *end = strchrnul(text, '\n');
        mvaddnstr(row, 0, text, end - text < COLS ? (int)(end - text) : COLS);
        text = *end ? end + 1 : end;
    }
    refresh();
}

static void screen_begin(double delay_s)
{
    initscr();
    cbreak();
    noecho();
    curs_set(0);
    timeout((int)(delay_s * 1000));
}

/** Waits for the next reading. False: the user has seen enough. */
static bool screen_wait(void)
{
    int key = getch();

    return key != 'q' && key != 'Q' && key != 3;
}
#endif

static int show(const struct live_processes *now, const struct live_processes *before, bool screen)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    if (now->count)
#ifdef HAVE_NCURSES
        live_text_print(now, before, realtime_ns(), screen ? (unsigned)COLS : WIDTH_DEFAULT, out);
#else
        live_text_print(now, before, realtime_ns(), WIDTH_DEFAULT, out);
#endif
    else
        fputs("The program has ended.\n", out);
    fclose(out);
#ifdef HAVE_NCURSES
    if (screen)
        screen_print(text);
    else
#endif
        fputs(text, stdout);
    free(text);
    return 0;
}

static int watch(const struct request *request, bool screen)
{
    struct live_processes now = {0}, before = {0};
    int trouble = 0;

    for (unsigned long i = 0; !trouble && (!request->count || i < request->count); i++) {
        if (i) {
#ifdef HAVE_NCURSES
            if (screen && !screen_wait())
                break;
#endif
            if (!screen)
                sleep_s(request->delay_s);
        }
        live_processes_done(&before);
        before = now;
        now = (struct live_processes){0};
        trouble = reading_take(request, i > 0, &now);
        if (!trouble)
            trouble = show(&now, &before, screen);
        if (!now.count)
            break;
    }
    live_processes_done(&now);
    live_processes_done(&before);
    return trouble;
}

int verb_top(int argc, char **argv)
{
    struct request request = {.where = LIVE_PAGE_PLACE, .delay_s = 1};
    char taken[PATH_MAX + 128];
    struct live_processes now;
    int trouble = request_read(argc, argv, &request);

    if (trouble)
        return trouble - 1;
    if (live_place_is_taken(request.where, taken, sizeof taken))
        verb_error(VERB_NAME, 0, "warning: %s", taken);
    trouble = reading_take(&request, false, &now); /* an error is no matter for a screen */
    if (trouble)
        return trouble;
    live_processes_done(&now);
#ifdef HAVE_NCURSES
    if (isatty(STDOUT_FILENO)) {
        screen_begin(request.delay_s);
        trouble = watch(&request, true);
        endwin();
        return trouble;
    }
#endif
    if (!request.count)
        request.count = 1;
    return watch(&request, false);
}

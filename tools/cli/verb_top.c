/* SPDX-License-Identifier: MIT */
/*
 * `cupool top`: the statistics of running programs, on a full screen with keys, or one reading
 * after another where that is not possible.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli/report_pid.h"
#include "tools/cli/top_screen.h"
#include "tools/cli/top_sites.h"
#include "tools/live/live_processes.h"
#include "tools/trace/running.h"

#define VERB_NAME     "top"
#define WIDTH_DEFAULT 100
#define SITES_SHOWN   20  /* where there is no screen that limits them */
#define LOOK_S        0.1 /* how often sites are looked for while they are read */

static const char help_text[] =
    "Options:\n"
    "  -d, --delay SECONDS  between two readings (default 1)\n"
    "  -n, --count N        stop after N readings\n"
    "      --sort WHAT      bytes (default), peak, allocations or name\n"
    "      --no-sites       do not read the program's trace\n"
    "      --from DIRECTORY the directory in the programs' option 'live' (default " //
    LIVE_PAGE_PLACE ")\n"
    "  -h, --help\n\n"
    "Shows programs of the same user that run under 'cupool run', or with the option\n"
    "live:" LIVE_PAGE_PLACE ". Several programs are listed, one line each, unless PID is given:\n"
    "a program, or the launcher of a single one, such as 'cupool run'.\n"
    "Keys: b p a n sort by bytes, peak, allocations, name; in the list, up and down select,\n"
    "Enter shows a program, Escape goes back; h shows help, q quits.\n"
    "If standard output is not a terminal, readings are printed one after another, one by\n"
    "default; on a terminal without a screen (TERM=dumb) likewise, until interrupted.\n"
    "Programs update their statistics during their own calls, at most ten times a second, so the\n"
    "statistics are as old as the last call. Sites come from the program's trace, if it writes\n"
    "one: 'top' reads it repeatedly, a tenth of the time, and shows the age of the result.\n\n"
    "Examples:\n"
    "  cupool top\n"
    "  cupool top 1234\n"
    "  cupool top --count 1 1234 | head\n";

static const char keys_text[] =
    "Keys\n\n"
    "  b  sort by bytes that are live now\n"
    "  p  sort by peak\n"
    "  a  sort by allocations (in the list: a second)\n"
    "  n  sort by name (in the list: process id)\n\n"
    "  up, down   choose a program in the list\n"
    "  Enter      show it alone\n"
    "  Escape     go back to the list\n\n"
    "  h  this help; h again ends it\n"
    "  q  end\n\n"
    "device     memory of the program: the pool's segments, and memory outside the pool\n"
    "history    requested bytes at each reading\n"
    "sites      lines of the program, from its trace, which is read while it is written\n";

struct request {
    const char *where;
    unsigned pid;        /* 0: all */
    unsigned long count; /* of readings; 0: without end */
    double delay_s;
    enum live_sort sort;
    bool no_sites;
};

/** Parses a positive number. 0: it is none. */
static double number_parse(const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);

    return end == text || *end || !(value > 0) || value > most ? 0 : value;
}

static int sort_set(struct request *request, const char *value)
{
    for (int i = 0; i < LIVE_SORTS; i++)
        if (!strcmp(live_sort_name[i], value)) {
            request->sort = (enum live_sort)i;
            return 0;
        }
    return verb_error(VERB_NAME, EXIT_TROUBLE, "--sort %s: use bytes, peak, allocations or name",
                      value);
}

static int option_set(void *state, int option)
{
    struct request *request = state;
    int trouble = 0;

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
    case 's': trouble = sort_set(request, optarg); break;
    case 'S': request->no_sites = true; break;
    default: return VERB_OPTION_UNKNOWN;
    }
    return trouble;
}

static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"delay", required_argument, NULL, 'd'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"sort", required_argument, NULL, 's'},
                                            {"no-sites", no_argument, NULL, 'S'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":d:n:h",  options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, request);

    if (trouble)
        return trouble;
    if (optind < argc) {
        request->pid = (unsigned)number_parse(argv[optind], 1e9);
        if (request->pid == 0 || optind + 1 < argc)
            trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "%s: give one process id, or none",
                                 argv[request->pid ? optind + 1 : optind]);
    }
    return trouble ? trouble + 1 : 0;
}

/** Reads the pages; returns an exit code when there are none. `seen`: there were some before, so
 * the programs have ended. */
static int reading_take(const struct request *request, bool seen, struct live_processes *ret_now)
{
    int error = live_program_read(request->where, request->pid, ret_now);

    if (error < 0) {
        top_screen_end(); /* its message must remain readable */
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", request->where, strerror(-error));
    }
    if (ret_now->count || seen)
        return 0;
    if (request->pid)
        return verb_error(
            VERB_NAME, EXIT_TROUBLE,
            "no statistics of process %u, nor of a single program below it: run it with 'cupool "
            "run', or set CUPOOL_LIVE=%s",
            request->pid, request->where);
    return verb_error(VERB_NAME, EXIT_TROUBLE,
                      "no program to watch: start one with 'cupool run', or set CUPOOL_LIVE=%s",
                      request->where);
}

static double monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/** The processes that are watched, and their readings. */
struct watch {
    struct request *request;
    struct live_processes now, before;
    struct top_sites sites;
    struct live_history history;
    unsigned of;          /* process of the history; 0: none */
    uint64_t of_start_ns; /* when it started */
    unsigned long readings;
    bool screen, help, chosen; /* chosen: in the list, Escape goes back */
    size_t marked;             /* row of the list */
};

/** Switches to the one process that is shown, or to none. */
static void watch_turn(struct watch *watch)
{
    const struct live_page *page = watch->now.count == 1 ? watch->now.page : NULL;

    if ((page ? page->pid : 0) != watch->of ||
        (page ? page->start_realtime_ns : 0) != watch->of_start_ns) {
        watch->of = page ? page->pid : 0;
        watch->of_start_ns = page ? page->start_realtime_ns : 0;
        watch->history.readings = 0;
    }
    if (page)
        live_history_add(&watch->history, page->requested.current, realtime_ns());
    if (!watch->request->no_sites)
        top_sites_watch(&watch->sites,
                        page ? running_find((pid_t)page->pid, page->pid_namespace) : 0);
}

static int watch_read(struct watch *watch)
{
    int trouble;

    live_processes_done(&watch->before);
    watch->before = watch->now;
    watch->now = (struct live_processes){0};
    trouble = reading_take(watch->request, true, &watch->now);
    if (trouble)
        return trouble;
    watch->readings++;
    watch_turn(watch);
    return 0;
}

/** The page of a row of the list. */
static const struct live_page *marked_page(struct watch *watch)
{
    const struct live_page **order, *page;

    if (watch->now.count < 2) /* no list, and the mark stays for when there is one again */
        return NULL;
    order = calloc(watch->now.count, sizeof(void *));
    if (!order)
        return NULL;
    if (watch->marked >= watch->now.count)
        watch->marked = watch->now.count - 1;
    live_order(&watch->now, &watch->before, watch->request->sort, order);
    page = order[watch->marked];
    free(order);
    return page;
}

static char *watch_text(struct watch *watch, const struct live_view *view)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    live_text_print(&watch->now, &watch->before, realtime_ns(), view, out);
    fclose(out);
    return text;
}

/* ---- on a screen ---- */

static void screen_show(struct watch *watch)
{
    struct live_view view = {.columns = top_screen_columns(),
                             .lines = top_screen_lines() - 1,
                             .sort = watch->request->sort,
                             .plain = top_screen_is_plain(),
                             .sites = top_sites_now(&watch->sites),
                             .history = watch->of ? &watch->history : NULL,
                             .marked = marked_page(watch)};
    char *text = watch->help ? strdup(keys_text) : watch_text(watch, &view), bottom[160];

    snprintf(bottom, sizeof bottom, " q quit  h help  sorted by %s: b p a n%s",
             live_sort_name[view.sort],
             watch->now.count > 1 ? "  Enter show"
             : watch->chosen      ? "  Escape list"
                                  : "");
    if (text)
        top_screen_print(text, bottom);
    free(text);
}

/** Handles a key. False: quit. True with `ret_read`: read again at once. */
static bool key_do(struct watch *watch, int key, bool *ret_read)
{
    const struct live_page *page;

    if (key == TOP_KEY_NONE || key == TOP_KEY_SIZE)
        return true;
    if (watch->help && key != TOP_KEY_QUIT) {
        watch->help = false;
        return true;
    }
    switch (key) {
    case TOP_KEY_QUIT: return false;
    case TOP_KEY_HELP: watch->help = true; return true;
    case TOP_KEY_UP: watch->marked -= watch->marked > 0; return true;
    case TOP_KEY_DOWN: watch->marked++; return true;
    case TOP_KEY_ENTER:
        page = marked_page(watch);
        if (page) {
            watch->request->pid = page->pid;
            watch->chosen = *ret_read = true;
        }
        return true;
    case TOP_KEY_BACK:
        if (watch->chosen) {
            watch->request->pid = 0;
            watch->chosen = false;
            *ret_read = true;
        }
        return true;
    default: watch->request->sort = (enum live_sort)(key - TOP_KEY_SORT); return true;
    }
}

/** Until the next reading is due. False: to end. */
static bool screen_wait(struct watch *watch)
{
    double due_s = monotonic_s() + watch->request->delay_s, left_s;
    bool read = false;

    screen_show(watch);
    while (!read && (left_s = due_s - monotonic_s()) > 0) {
        double wait_s = watch->sites.child && left_s > LOOK_S ? LOOK_S : left_s;
        int key = top_screen_key(wait_s);

        if (top_signal() || !key_do(watch, key, &read))
            return false;
        if (top_sites_poll(&watch->sites) || key != TOP_KEY_NONE || left_s - wait_s > 0)
            screen_show(watch);
    }
    return true;
}

/* ---- without one ---- */

static unsigned columns_wanted(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col < 20 ? 20 : size.ws_col;
    return columns && number_parse(columns, 1000) >= 20 ? (unsigned)number_parse(columns, 1000)
                                                        : WIDTH_DEFAULT;
}

/** False: nobody reads it any more. */
static bool text_show(struct watch *watch)
{
    struct live_view view = {.columns = columns_wanted(),
                             .sort = watch->request->sort,
                             .plain = isatty(STDOUT_FILENO) && top_screen_is_plain(),
                             .sites_most = SITES_SHOWN,
                             .history = watch->of ? &watch->history : NULL};
    char *text;

    top_sites_wait(&watch->sites, watch->request->delay_s);
    view.sites = top_sites_now(&watch->sites);
    text = watch_text(watch, &view);
    fputs(text ? text : "", stdout);
    free(text);
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* ---- both ---- */

static int watch_run(struct watch *watch)
{
    struct request *request = watch->request;
    int trouble = 0;

    while (!trouble && !top_signal()) {
        trouble = watch_read(watch);
        if (!trouble && !watch->now.count && watch->chosen) { /* back to the list */
            request->pid = 0;
            watch->chosen = false;
            trouble = watch_read(watch);
        }
        if (trouble || !watch->now.count)
            break;
        if (watch->screen && !screen_wait(watch))
            break;
        if (!watch->screen) {
            double begun_s = monotonic_s();

            if (!text_show(watch) && !top_signal())
                return verb_error(VERB_NAME, EXIT_TROUBLE, "standard output: %s", strerror(errno));
            if (watch->readings != request->count)
                top_pause(request->delay_s - (monotonic_s() - begun_s));
        }
        if (watch->readings == request->count)
            break;
    }
    return trouble;
}

int verb_top(int argc, char **argv)
{
    struct request request = {.where = LIVE_PAGE_PLACE, .delay_s = 1};
    struct watch watch = {.request = &request};
    char taken[PATH_MAX + 128];
    int trouble = request_read(argc, argv, &request);

    if (trouble)
        return trouble - 1;
    if (live_place_is_taken(request.where, taken, sizeof taken))
        verb_error(VERB_NAME, 0, "warning: %s", taken);
    trouble = reading_take(&request, false, &watch.now); /* an error is no matter for a screen */
    if (trouble)
        return trouble;
    live_processes_done(&watch.now);
    top_signals_take();
    watch.screen = top_screen_begin();
    if (!watch.screen && !isatty(STDOUT_FILENO) && !request.count)
        request.count = 1;
    trouble = watch_run(&watch);
    top_screen_end();
    if (!trouble && !watch.now.count)
        puts("The program has ended.");
    live_processes_done(&watch.now);
    live_processes_done(&watch.before);
    top_sites_done(&watch.sites);
    if (top_signal() && top_signal() != SIGINT) {
        signal(top_signal(), SIG_DFL);
        raise(top_signal());
    }
    return trouble;
}

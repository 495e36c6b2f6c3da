/* SPDX-License-Identifier: MIT */
/*
 * The child writes one header and rows, and ends; the end of the pipe marks a complete answer.
 */
#include "tools/cli/top_sites.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cupti/base/clock.h"
#include "tools/base/progress.h"
#include "tools/base/units.h"
#include "tools/cli/loaded.h"
#include "tools/cli/report_pid.h"
#include "tools/cli/top_screen.h"
#include "tools/report/base/report.h"

#define REST       9 /* times the work's own duration pass before it begins again */
#define REST_LEAST UINT64_C(1000000000)
#define NICE       10

/** What the child says first. */
struct answer {
    uint64_t rows;
    char why[144]; /* why there are none; empty: there are */
};

/* ---- in the child ---- */

static int by_live_bytes(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;

    return left->leaked_bytes != right->leaked_bytes
               ? (left->leaked_bytes < right->leaked_bytes ? 1 : -1)
               : tally_compare(a, b);
}

static void rows_write(const struct analysis *analysis, FILE *out)
{
    struct tally *row = report_rows_sorted(&analysis->sites);
    struct answer answer = {.rows = row ? analysis->sites.rows : 0};

    if (row)
        qsort(row, answer.rows, sizeof *row, by_live_bytes);
    answer.rows = answer.rows < TOP_SITES ? answer.rows : TOP_SITES;
    fwrite(&answer, sizeof answer, 1, out);
    for (size_t i = 0; i < answer.rows; i++) {
        struct live_site site = {.bytes = row[i].leaked_bytes,
                                 .blocks = row[i].leaked_blocks,
                                 .peak_bytes = row[i].live_bytes.peak,
                                 .allocations = row[i].allocations};

        report_site_name(analysis, row[i].key, site.name, sizeof site.name);
        fwrite(&site, sizeof site, 1, out);
    }
    free(row);
}

static void work(pid_t pid, FILE *out)
{
    struct report_process process;
    struct loaded loaded = {0};
    struct answer answer = {0};
    char why[1024] = "out of memory", *path = process.trace;
    int error = -ENOENT;

    progress_silence();
    if (report_process_find(pid, &process, why, sizeof why) == 0) {
        if (process.is_removed)
            snprintf(why, sizeof why, "its trace was removed");
        else if (!*process.trace)
            snprintf(why, sizeof why, "the program is not recorded");
        else
            error = loaded_create(&loaded, &path, 1, NULL, why, sizeof why);
    }
    if (error < 0)
        snprintf(answer.why, sizeof answer.why, "no sites: %.120s", why);
    if (*answer.why)
        fwrite(&answer, sizeof answer, 1, out);
    else
        rows_write(loaded.analysis[0], out);
    fflush(out);
}

_Noreturn static void child_run(pid_t pid, pid_t parent, int to_parent)
{
    static const int signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP, SIGWINCH,
                                  SIGSEGV, SIGBUS,  SIGABRT, SIGFPE,  SIGILL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    FILE *out = fdopen(to_parent, "w");

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], signals[i] == SIGINT || signals[i] == SIGTSTP ? SIG_IGN : SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it has ended before it could be said */
        _exit(0);
    setpriority(PRIO_PROCESS, 0, NICE);
    for (int i = STDIN_FILENO; i <= STDERR_FILENO && null >= 0; i++)
        dup2(null, i);
    if (out)
        work(pid, out);
    _exit(0);
}

/* ---- in the parent ---- */

static void work_end(struct top_sites *sites)
{
    if (!sites->child)
        return;
    kill(sites->child, SIGKILL);
    while (waitpid(sites->child, NULL, 0) < 0 && errno == EINTR)
        ;
    close(sites->from_child);
    sites->child = 0;
}

static void work_begin(struct top_sites *sites)
{
    int ends[2];
    pid_t parent;

    sites->begun_ns = monotonic_ns();
    sites->due_ns = sites->begun_ns + REST_LEAST;
    sites->bytes = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    fflush(NULL);
    parent = getpid();
    sites->child = fork();
    if (sites->child == 0) {
        close(ends[0]);
        child_run(sites->watched, parent, ends[1]);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    sites->from_child = ends[0];
    if (sites->child < 0) {
        close(ends[0]);
        sites->child = 0;
    }
}

/** Rows of a complete answer; an incomplete one is ignored. */
static void answer_take(struct top_sites *sites)
{
    struct answer answer = {.rows = UINT64_MAX};
    struct live_site *row;

    if (sites->bytes >= sizeof answer)
        memcpy(&answer, sites->text, sizeof answer);
    answer.why[sizeof answer.why - 1] = '\0';
    if (*answer.why || answer.rows > TOP_SITES ||
        sites->bytes != sizeof answer + answer.rows * sizeof *row) {
        snprintf(sites->sites.state, sizeof sites->sites.state, "%s",
                 *answer.why ? answer.why : "no sites: reading them failed");
        sites->sites.rows = 0;
        sites->known_ns = 0;
        return;
    }
    row = realloc(sites->sites.row, (answer.rows + 1) * sizeof *row);
    if (!row)
        return;
    memcpy(row, sites->text + sizeof answer, answer.rows * sizeof *row);
    for (size_t i = 0; i < answer.rows; i++)
        row[i].name[sizeof row[i].name - 1] = '\0';
    sites->sites.row = row;
    sites->sites.rows = answer.rows;
    sites->known_ns = sites->begun_ns;
}

/** Reads the child's output. True: it is at its end. */
static bool child_read(struct top_sites *sites)
{
    for (;;) {
        ssize_t got;

        if (sites->bytes == sites->room) {
            size_t room = sites->room ? 2 * sites->room : 65536;
            char *grown = realloc(sites->text, room);

            if (!grown)
                return true;
            sites->text = grown;
            sites->room = room;
        }
        got = read(sites->from_child, sites->text + sites->bytes, sites->room - sites->bytes);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        if (got < 0)
            return false;
        sites->bytes += (size_t)got;
    }
}

void top_sites_watch(struct top_sites *sites, pid_t pid)
{
    if (sites->watched == pid)
        return;
    work_end(sites);
    sites->watched = pid;
    sites->known_ns = sites->due_ns = 0;
    sites->sites.rows = 0;
    snprintf(sites->sites.state, sizeof sites->sites.state, "sites: reading the trace");
}

bool top_sites_poll(struct top_sites *sites)
{
    bool changed = false;

    if (sites->child && child_read(sites)) {
        uint64_t now = monotonic_ns(), took_ns = now - sites->begun_ns;

        answer_take(sites);
        work_end(sites);
        sites->due_ns = now + (REST * took_ns > REST_LEAST ? REST * took_ns : REST_LEAST);
        changed = true;
    }
    if (sites->watched && !sites->child && monotonic_ns() >= sites->due_ns)
        work_begin(sites);
    return changed;
}

void top_sites_wait(struct top_sites *sites, double seconds)
{
    uint64_t until_ns = monotonic_ns() + (uint64_t)(seconds * 1e9), now;

    while (!top_sites_poll(sites) && sites->child && !top_signal() &&
           (now = monotonic_ns()) < until_ns) {
        struct pollfd ends[] = {{.fd = sites->from_child, .events = POLLIN},
                                {.fd = top_signal_descriptor(), .events = POLLIN}};

        if (poll(ends, 2, (int)((until_ns - now) / 1000000) + 1) < 0)
            return; /* a signal */
    }
}

const struct live_sites *top_sites_now(struct top_sites *sites)
{
    if (!sites->watched)
        return NULL;
    if (sites->known_ns)
        snprintf(sites->sites.state, sizeof sites->sites.state, "sites as of %s ago",
                 unit_duration(monotonic_ns() - sites->known_ns).text);
    return &sites->sites;
}

void top_sites_done(struct top_sites *sites)
{
    work_end(sites);
    free(sites->text);
    free(sites->sites.row);
    *sites = (struct top_sites){0};
}

/* SPDX-License-Identifier: MIT */
#include "tools/cli/report_pid.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/trace/running.h"

#define CHILDREN_MOST  64
#define LAUNCHERS_MOST 3 /* between a process and the recorded one */

/** The page of one process: a process in another namespace may have the same number. */
static int page_find(pid_t pid, pid_t own_pid, struct live_processes *ret_live)
{
    char where[PATH_MAX + 64], path[64];
    struct live_processes all;
    struct stat own_namespace = {0};
    size_t kept = 0;
    int error = running_place(pid, "CUPOOL_LIVE", LIVE_PAGE_PLACE, where, sizeof where);

    if (error == 0)
        error = live_processes_read(where, (unsigned)own_pid, &all);
    if (error < 0)
        return error;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    if (stat(path, &own_namespace) < 0)
        own_namespace.st_ino = 0;
    for (size_t i = 0; i < all.count; i++)
        if (!own_namespace.st_ino || !all.page[i].pid_namespace ||
            all.page[i].pid_namespace == (uint32_t)own_namespace.st_ino)
            all.page[kept++] = all.page[i];
    all.count = kept;
    *ret_live = all;
    return 0;
}

static const char *reason(int error)
{
    switch (error) {
    case -ESRCH: return "no such process, or it has ended";
    case -EACCES:
        return "no permission: the process belongs to another user or is protected: run this "
               "as its user";
    default: return strerror(-error);
    }
}

/** Returns the one wanted process under a launcher such as 'cupool run'; 0: none, or several. */
static pid_t only_child(pid_t pid, unsigned depth, bool (*is_wanted)(pid_t pid, const char *where),
                        const char *where)
{
    pid_t child[CHILDREN_MOST], found = 0;
    size_t count = running_children(pid, child, CHILDREN_MOST);

    for (size_t i = 0; i < count; i++) {
        pid_t one = is_wanted(child[i], where) ? child[i]
                    : depth                    ? only_child(child[i], depth - 1, is_wanted, where)
                                               : 0;

        if (one && found)
            return 0;
        found = one ? one : found;
    }
    return found;
}

static bool is_recorded(pid_t pid, const char *where)
{
    char path[PATH_MAX + 64];
    struct running_process process;

    (void)where;
    return running_look(pid, &process, path, sizeof path) == 0 && process.has_trace;
}

static bool has_page(pid_t pid, const char *where)
{
    struct live_processes live;
    bool found = live_processes_read(where, (unsigned)pid, &live) == 0;

    if (!found)
        return false;
    found = live.count != 0;
    live_processes_done(&live);
    return found;
}

int live_program_read(const char *where, unsigned pid, struct live_processes *ret_processes)
{
    int error = live_processes_read(where, pid, ret_processes);
    pid_t child = error == 0 && pid && !ret_processes->count
                      ? only_child((pid_t)pid, LAUNCHERS_MOST, has_page, where)
                      : 0;

    return child ? live_processes_read(where, (unsigned)child, ret_processes) : error;
}

/** What a process without a trace has. */
static int page_take(pid_t pid, const struct running_process *found, struct report_process *process,
                     char *ret_why, size_t why_bytes)
{
    int error = page_find(pid, found->own_pid, &process->live);

    process->is_removed = found->is_removed;
    if (error == 0 && process->live.count)
        return 0;
    if (!found->has_cupool)
        snprintf(
            ret_why, why_bytes,
            "not running under cupool, nor the launcher of a single recorded program: start it "
            "with 'cupool run -- PROGRAM'");
    else if (found->is_removed)
        snprintf(ret_why, why_bytes, "its trace was removed, and it has no live page");
    else
        snprintf(ret_why, why_bytes,
                 "no data: it has called no CUDA function yet, or has neither a trace nor a live "
                 "page: start it with 'cupool run'");
    report_process_done(process);
    return -ENOENT;
}

int report_process_find(pid_t pid, struct report_process *ret_process, char *ret_why,
                        size_t why_bytes)
{
    struct running_process found;
    pid_t child;
    int error;

    *ret_process = (struct report_process){.pid = pid};
    error = running_look(pid, &found, ret_process->trace, sizeof ret_process->trace);
    child = error == 0 && !found.has_cupool ? only_child(pid, LAUNCHERS_MOST, is_recorded, NULL)
                                            : 0;
    if (child) {
        ret_process->pid = pid = child;
        error = running_look(pid, &found, ret_process->trace, sizeof ret_process->trace);
    }
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s", reason(error));
        return error;
    }
    return found.has_trace ? 0 : page_take(pid, &found, ret_process, ret_why, why_bytes);
}

void report_process_done(struct report_process *process)
{
    live_processes_done(&process->live);
}

void report_process_print(const struct report_process *process, unsigned columns, FILE *out)
{
    const struct live_processes before = {0};
    const struct live_view view = {.columns = columns};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(out,
            "Process %d %s. Its live statistics, without sites, history and findings\n"
            "(record it with 'cupool run' for these):\n\n",
            (int)process->pid,
            process->is_removed ? "writes to a trace that was removed" : "is not recorded");
    live_text_print(&process->live, &before,
                    (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec, &view,
                    out);
}

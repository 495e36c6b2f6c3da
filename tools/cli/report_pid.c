/* SPDX-License-Identifier: MIT */
#include "tools/cli/report_pid.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/trace/running.h"

/** The page of a process alone: another namespace may have its number, too. */
static int page_find(pid_t pid, pid_t own_pid, struct live_processes *ret_live)
{
    char where[PATH_MAX + 64], path[64];
    struct live_processes all;
    struct stat namespace = {0};
    size_t kept = 0;
    int r = running_place(pid, "CUPOOL_LIVE", LIVE_PAGE_PLACE, where, sizeof where);

    if (r == 0)
        r = live_processes_read(where, (unsigned)own_pid, &all);
    if (r < 0)
        return r;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    if (stat(path, &namespace) < 0)
    namespace.st_ino = 0;
    for (size_t i = 0; i < all.count; i++)
        if (!namespace.st_ino || !all.page[i].pid_namespace ||
            all.page[i].pid_namespace == (uint32_t) namespace.st_ino)
            all.page[kept++] = all.page[i];
    all.count = kept;
    *ret_live = all;
    return 0;
}

static const char *reason(int error)
{
    switch (error) {
    case -ESRCH: return "no such process: it has ended, or never was";
    case -EACCES:
        return "a process of another user, or one that may not be looked into: run this "
               "as the user that runs it";
    default: return strerror(-error);
    }
}

int report_process_find(pid_t pid, struct report_process *ret_process, char *ret_why,
                        size_t why_bytes)
{
    struct running_process found;
    int r;

    *ret_process = (struct report_process){.pid = pid};
    r = running_look(pid, &found, ret_process->trace, sizeof ret_process->trace);
    if (r < 0) {
        snprintf(ret_why, why_bytes, "%s", reason(r));
        return r;
    }
    if (found.has_trace)
        return 0;
    ret_process->is_removed = found.is_removed;
    r = page_find(pid, found.own_pid, &ret_process->live);
    if (r == 0 && ret_process->live.count)
        return 0;
    if (!found.has_cupool)
        snprintf(ret_why, why_bytes, "not under cupool: start it with 'cupool run -- PROGRAM'");
    else if (found.is_removed)
        snprintf(ret_why, why_bytes, "its record was removed, and it keeps no live page");
    else
        snprintf(ret_why, why_bytes,
                 "nothing is known of it: it has called no CUDA function yet, or it neither "
                 "records nor keeps a live page: start it with 'cupool run'");
    report_process_done(ret_process);
    return -ENOENT;
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
            "Process %d %s, so this is what it publishes of itself:\n"
            "no sites, no history, no findings. 'cupool run' records.\n\n",
            (int)process->pid,
            process->is_removed ? "writes a record that was removed" : "is not recorded");
    live_text_print(&process->live, &before,
                    (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec, &view,
                    out);
}

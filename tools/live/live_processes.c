/* SPDX-License-Identifier: MIT */
/*
 * Finds and reads live pages. See live.h. A page that cannot be read is skipped: its process may
 * be ending, or be of another version.
 */
#include "tools/live/live_processes.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cupti/live/living_file.h"

struct search {
    unsigned pid;
    struct live_processes found;
    int error;
};

static void page_add(void *state, int file, const char *name)
{
    struct search *search = state;
    struct live_processes *found = &search->found;
    struct live_page *grown;

    if (search->pid && strtoul(name + strlen(LIVE_PAGE_PREFIX), NULL, 10) != search->pid)
        return;
    grown = reallocarray(found->page, found->count + 1, sizeof *grown);
    if (!grown) {
        search->error = -ENOMEM;
        return;
    }
    found->page = grown;
    if (live_page_read(file, &grown[found->count]) == 0)
        found->count++;
}

static int by_pid(const void *a, const void *b)
{
    const struct live_page *left = a, *right = b;

    if (left->pid != right->pid)
        return left->pid < right->pid ? -1 : 1;
    return (left->start_realtime_ns > right->start_realtime_ns) -
           (left->start_realtime_ns < right->start_realtime_ns);
}

int live_processes_read(const char *where, unsigned pid, struct live_processes *ret_processes)
{
    struct search search = {.pid = pid};
    unsigned number = 0;
    int directory;

    while ((directory = living_directory_next(where, &number)) >= 0) {
        living_files_visit(directory, LIVE_PAGE_PREFIX, page_add, &search);
        close(directory);
    }
    if (search.error < 0) {
        live_processes_done(&search.found);
        return search.error;
    }
    if (search.found.count)
        qsort(search.found.page, search.found.count, sizeof *search.found.page, by_pid);
    *ret_processes = search.found;
    return 0;
}

bool live_place_is_taken(const char *where, char *ret_text, size_t text_bytes)
{
    char path[PATH_MAX];
    uid_t owner;

    if (!living_directory_is_taken(where, path, sizeof path, &owner))
        return false;
    if (owner == geteuid()) {
        snprintf(ret_text, text_bytes,
                 "%s is not a private directory of yours: remove it; using another directory",
                 path);
    } else {
        const struct passwd *user = getpwuid(owner);

        snprintf(ret_text, text_bytes,
                 "%s belongs to user %u (%s): have it removed; using another directory", path,
                 owner, user ? user->pw_name : "unnamed");
    }
    return true;
}

void live_processes_done(struct live_processes *processes)
{
    free(processes->page);
    *processes = (struct live_processes){0};
}

static bool is_same_process(const struct live_page *a, const struct live_page *b)
{
    return a->pid == b->pid && a->pid_namespace == b->pid_namespace &&
           a->start_realtime_ns == b->start_realtime_ns;
}

const struct live_page *live_processes_find(const struct live_processes *processes,
                                            const struct live_page *page)
{
    for (size_t i = 0; i < processes->count; i++)
        if (is_same_process(&processes->page[i], page))
            return &processes->page[i];
    return NULL;
}

void live_pid_text(const struct live_processes *processes, const struct live_page *page,
                   char ret_text[LIVE_PID_BYTES])
{
    bool is_shared = false;

    for (size_t i = 0; i < processes->count; i++)
        is_shared |= processes->page[i].pid == page->pid &&
                     !is_same_process(&processes->page[i], page);
    if (is_shared)
        snprintf(ret_text, LIVE_PID_BYTES, "%u@%u", page->pid, page->pid_namespace);
    else
        snprintf(ret_text, LIVE_PID_BYTES, "%u", page->pid);
}

struct live_value live_sum(const struct live_page *page, const char *name)
{
    struct live_value sum = {0, 0};

    for (unsigned figure = 0; figure < page->figures; figure++)
        if (!strcmp(page->name[figure].text, name))
            for (unsigned i = 0; i < page->contexts; i++) {
                sum.current += page->context[i].value[figure].current;
                sum.peak += page->context[i].value[figure].peak;
            }
    return sum;
}

/* SPDX-License-Identifier: MIT */
/*
 * Processes that publish live statistics, and their output as text: for a terminal and for
 * Prometheus.
 *
 * Threading: no shared state.
 */
#ifndef TOOLS_LIVE_LIVE_PROCESSES_H
#define TOOLS_LIVE_LIVE_PROCESSES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cupti/live/live_page.h"

/** Pages of living processes, by pid. */
struct live_processes {
    struct live_page *page;
    size_t count;
};

/**
 * Reads the pages below WHERE/cupool-UID; `pid` 0: of all processes. No directory means no
 * process. Errors: -ENOMEM; those of the system.
 */
int live_processes_read(const char *where, unsigned pid, struct live_processes *ret_processes);
/**
 * Whether the name of the user's directory is taken in `where`: by whom, as part of a message.
 * Another place is then used.
 */
bool live_place_is_taken(const char *where, char *ret_text, size_t text_bytes);

void live_processes_done(struct live_processes *processes);

/** Finds the same process's page in an earlier reading, NULL when it is not there. */
const struct live_page *live_processes_find(const struct live_processes *processes,
                                            const struct live_page *page);

#define LIVE_PID_BYTES 24

/** A process's pid; with its namespace if another of the processes has the same. */
void live_pid_text(const struct live_processes *processes, const struct live_page *page,
                   char ret_text[LIVE_PID_BYTES]);

/** A figure summed over contexts; 0 when the page does not have it. */
struct live_value live_sum(const struct live_page *page, const char *name);

/* ---- what `cupool top` shows ---- */

/** What rows are sorted by: sites, or processes. */
enum live_sort {
    LIVE_SORT_BYTES,
    LIVE_SORT_PEAK,
    LIVE_SORT_ALLOCATIONS,
    LIVE_SORT_NAME,
    LIVE_SORTS
};

extern const char *const live_sort_name[LIVE_SORTS];

/** A site of the program's trace, if known. */
struct live_site {
    uint64_t bytes, blocks; /* live now */
    uint64_t peak_bytes, allocations;
    char name[224];
};

struct live_sites {
    struct live_site *row;
    size_t rows;
    char state[160]; /* how old they are, or why there are none */
};

#define LIVE_HISTORY 512

/** Levels of a process, one for each reading; the oldest are dropped. */
struct live_history {
    uint64_t level[LIVE_HISTORY], time_ns[LIVE_HISTORY];
    size_t readings; /* in all; the last stands at (readings - 1) % LIVE_HISTORY */
};

void live_history_add(struct live_history *history, uint64_t level, uint64_t time_ns);

struct live_view {
    unsigned columns, lines; /* at most; lines 0: all */
    enum live_sort sort;
    bool plain;                         /* ASCII alone */
    const struct live_sites *sites;     /* of one process; NULL: none are shown */
    size_t sites_most;                  /* 0: all */
    const struct live_history *history; /* the same */
    const struct live_page *marked;     /* a row of the table; NULL: none */
};

/**
 * Prints the pages. `before` is an earlier reading, for rates; it may be empty. One process is
 * shown in full, several as a table. `now_realtime_ns` gives the age of a page.
 */
void live_text_print(const struct live_processes *now, const struct live_processes *before,
                     uint64_t now_realtime_ns, const struct live_view *view, FILE *out);

/** Orders the pages as the table shows them; `ret_order` has room for all. */
void live_order(const struct live_processes *now, const struct live_processes *before,
                enum live_sort sort, const struct live_page **ret_order);

/** OpenMetrics text of all processes. */
void live_metrics_print(const struct live_processes *processes, FILE *out);

#endif

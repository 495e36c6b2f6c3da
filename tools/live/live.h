/* SPDX-License-Identifier: MIT */
/*
 * Processes that publish live figures, and those figures as text: for a terminal and for
 * Prometheus.
 *
 * Threading: no state of its own.
 */
#ifndef TOOLS_LIVE_LIVE_H
#define TOOLS_LIVE_LIVE_H

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
 * Reads the pages below WHERE/cupool-UID; `pid` 0: of all processes. No directory means no process.
 * Errors: -ENOMEM; as the system said.
 */
int live_processes_read(const char *where, unsigned pid, struct live_processes *ret_processes);
/**
 * Whether the name of the user's directory is taken in `where`: by whom, as part of a message.
 * Another place is used then.
 */
bool live_place_is_taken(const char *where, char *ret_text, size_t text_bytes);

void live_processes_done(struct live_processes *processes);

/** The same process's page in an earlier reading, NULL when it is not there. */
const struct live_page *live_processes_find(const struct live_processes *processes,
                                            const struct live_page *page);

#define LIVE_PID_BYTES 24

/** A process's pid; with its namespace where another of the processes has the same. */
void live_pid_text(const struct live_processes *processes, const struct live_page *page,
                   char ret_text[LIVE_PID_BYTES]);

/** A figure summed over contexts; 0 when the page does not have it. */
struct live_value live_sum(const struct live_page *page, const char *name);

/**
 * What `cupool top` shows. `before` is an earlier reading, for rates; it may be empty. One process
 * is shown in full, several as a table. `now_realtime_ns` tells how old a page is.
 */
void live_text_print(const struct live_processes *now, const struct live_processes *before,
                     uint64_t now_realtime_ns, unsigned width, FILE *out);

/** OpenMetrics text of all processes. */
void live_metrics_print(const struct live_processes *processes, FILE *out);

#endif

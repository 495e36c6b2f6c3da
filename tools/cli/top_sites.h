/* SPDX-License-Identifier: MIT */
/*
 * Sites of a running program for `cupool top`. A child process at low priority repeatedly analyses
 * the trace as it stands, at most a tenth of the time. The program is not involved, and any failure
 * of the child becomes a sentence in the place of the sites.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_TOP_SITES_H
#define TOOLS_CLI_TOP_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/live/live_processes.h"

#define TOP_SITES 256 /* those with most bytes */

struct top_sites {
    pid_t watched; /* 0: none */
    pid_t child;   /* 0: none is at work */
    int from_child;
    char *text; /* its output so far */
    size_t bytes, room;
    uint64_t begun_ns, due_ns; /* of the work; when the next begins */
    uint64_t known_ns;         /* when the sites were read; 0: not yet */
    struct live_sites sites;
};

/** Switches to another process, 0: to none. {0} before the first call. */
void top_sites_watch(struct top_sites *sites, pid_t pid);

/** Takes results and starts again when it is time. Whether anything changed. */
bool top_sites_poll(struct top_sites *sites);

/** Waits for sites, or for a reason why there are none, for a limited time. */
void top_sites_wait(struct top_sites *sites, double seconds);

/** Returns the sites with their age; NULL: no process is watched. */
const struct live_sites *top_sites_now(struct top_sites *sites);

void top_sites_done(struct top_sites *sites);

#endif

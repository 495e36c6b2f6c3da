/* SPDX-License-Identifier: MIT */
/*
 * The driver's memory by CUPTI's account, matched with the driver calls in the trace.
 *
 * An allocation of CUPTI is accounted for if a recorded call took memory at the same address at
 * that time; for an array, which has a handle and no address, if a call that made an array was in
 * progress. The rest is unaccounted: it reached the driver by a call that is not hooked, and counts
 * under the library that made the call. So a clock difference cannot turn seen memory into unseen
 * memory, nor make a figure negative.
 *
 * CUPTI delivers late, so events are collected while the trace is read, and replayed afterwards.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_ANALYSIS_DRIVER_VIEW_H
#define TOOLS_ANALYSIS_DRIVER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/read/trace_reader.h"

#define DRIVER_VIEW_POOLS 256 /* further ones count as none */

struct analysis;
struct driver_event;
struct driver_seen;
struct tallies;

/** Device memory from a moment on. */
struct driver_step {
    uint64_t time_ns, total_bytes, unaccounted_bytes;
};

/** A stream-ordered pool as CUPTI last saw it. */
struct driver_pool {
    uint64_t address;
    uint32_t device;
    bool destroyed;
    uint64_t bytes, peak_bytes, used_bytes, peak_used_bytes, trims;
};

struct driver_view {
    /* Outcome of the recording; `state` 0: the trace does not say. */
    unsigned state;      /* enum trace_cupti: the last one that says whether it is on */
    bool was_on;         /* there are figures */
    bool is_whole;       /* nothing was dropped or left in CUPTI's hands */
    uint64_t result;     /* CUPTI's own, where it refused */
    uint64_t version;    /* cuptiGetVersion */
    const char *library; /* NULL: none */
    uint64_t clock_error_ns, dropped;

    uint64_t allocations, frees, unaccounted_allocations;
    uint64_t total_peak_bytes, unaccounted_peak_bytes, unaccounted_end_bytes;
    uint64_t host_peak_bytes; /* page-locked */
    struct driver_step *step; /* in order of time */
    size_t steps, steps_room;
    struct tallies *libraries; /* unaccounted memory by module path; NULL before the end */
    struct driver_pool pool[DRIVER_VIEW_POOLS];
    size_t pools;

    struct driver_event *event; /* while the trace is read */
    size_t events, events_room;
    struct driver_seen *seen;
    size_t seens, seens_room;
};

/** Takes the driver's account from one record. Errors: -ENOMEM. */
int driver_view_add(struct analysis *analysis, const struct trace_record *record);

/** Behind the last record. Errors: -ENOMEM. */
int driver_view_finish(struct analysis *analysis);

void driver_view_done(struct driver_view *view);

/** The levels at a moment. False where CUPTI gave none. */
bool driver_view_at(const struct driver_view *view, uint64_t time_ns, struct driver_step *ret_step);

/** Highest memory unknown to the trace: by CUPTI, else by cuMemGetInfo. False: not known. */
bool driver_view_unaccounted(const struct analysis *analysis, uint64_t *ret_bytes);

/** The state's name in lower case. */
const char *driver_view_state_name(const struct driver_view *view);

/** A line on what became of CUPTI. */
void driver_view_state_text(const struct driver_view *view, char *ret_text, size_t text_bytes);

#endif

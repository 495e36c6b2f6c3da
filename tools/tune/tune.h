/* SPDX-License-Identifier: MIT */
/*
 * Finds pool options for traces, and shows by replay that they are better.
 *
 * Candidates are replayed with the real pool. Starting from the recorded options, one option after
 * the other takes the value that lowers the cost most, until none does. A setting is kept only if
 * leaving it out makes the result worse on every trace, beyond noise; so the file contains only
 * settings shown to help. With several traces the worst counts.
 *
 * Deterministic: the same traces in the same order give the same settings.
 *
 * Threading: one at a time.
 */
#ifndef TOOLS_TUNE_TUNE_H
#define TOOLS_TUNE_TUNE_H

#include "tools/replay/replay.h"

/** The goal to reduce; the other figure must not increase. */
enum tune_goal { TUNE_MEMORY, TUNE_CALLS, TUNE_BALANCED };

struct tune_request {
    struct replay_trace *traces;
    size_t trace_count;
    const struct replay_trace *judge; /* takes no part in the search and may refuse; or NULL */
    enum tune_goal goal;
    uint64_t capacity_bytes; /* the device; 0: endless */
    unsigned classes_most;   /* 2 to 32 */
    const struct device_profile *profile;
};

/** Figures of one trace. */
struct tune_figures {
    bool completed;
    uint64_t peak_reserved_bytes, peak_allocated_bytes, driver_calls, driver_calls_second;
    /* From the fastest device to the slowest, as far as the trace permits; equal if it
     * determines everything. */
    uint64_t reserved_least, reserved_most, calls_least, calls_most;
};

struct tune_result {
    struct options options;      /* in force with the file */
    struct options base;         /* before */
    struct tune_figures *before; /* by trace; the judge's last */
    struct tune_figures *after;
    unsigned candidates; /* settings tried */
    unsigned replays;
    unsigned stopped;         /* of these, for too many driver calls */
    double noise;             /* each setting gains more than this part */
    bool gained;              /* some setting was shown to help */
    bool refused;             /* by the judge: there was one, but not for its trace */
    size_t set[OPTION_COUNT]; /* options that were changed */
    size_t set_count;
};

/** Errors: -ENOMEM; -EINVAL the traces were recorded with different options. */
int tune_find(const struct tune_request *request, struct tune_result *ret_result);
void tune_result_done(struct tune_result *result);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Basis for comparing two runs: the figures of the table in metrics.h, the devices, and the sites
 * under names that outlive a rebuild. It comes from a trace or a baseline file, and contains
 * nothing that differs between identical runs: no times, pids, addresses or host names.
 *
 * A baseline is a small JSON file with sorted keys, schema cupool.baseline/1, suitable for a
 * repository. It has only the largest sites and says how many it left out.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BUDGET_SNAPSHOT_H
#define TOOLS_BUDGET_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "tools/budget/metrics.h"
#include "tools/budget/site_names.h"
#include "tools/analysis/window.h"
#include "tools/base/texts.h"

#define SNAPSHOT_BASELINE_SITES 50

/*
 * FIGURE(name, value from `struct tally *row`)   figures of a site, in the order sites sort by.
 */
#define SNAPSHOT_FIGURES(FIGURE)                                                                   \
    FIGURE(peak_bytes, row->live_bytes.peak)                                                       \
    FIGURE(leaked_bytes, row->leaked_bytes)                                                        \
    FIGURE(at_peak_bytes, row->live_bytes.at_peak)                                                 \
    FIGURE(requested_bytes, row->requested_bytes)                                                  \
    FIGURE(allocations, row->allocations)

enum snapshot_figure {
#define FIGURE(name, value) SNAPSHOT_##name,
    SNAPSHOT_FIGURES(FIGURE)
#undef FIGURE
        SNAPSHOT_FIGURE_COUNT
};

extern const char *const snapshot_figure_name[SNAPSHOT_FIGURE_COUNT];

/** Functions that are kept of a site's call paths. */
#define SNAPSHOT_RELATED 16

struct snapshot_site {
    const char *module, *function; /* texts of the snapshot */
    /* Its callers, nearest first, and the wrappers between it and CUDA. By them a site is found
     * again if another build gives it its neighbour's name. */
    const char *related[SNAPSHOT_RELATED];
    size_t relateds;
    const char
        *file; /* of the line that leaks most, else holds most; NULL: not known, as in baselines */
    const char *path;   /* of that file, as debug information has it; NULL: not known */
    const char *folder; /* where it begins if it is relative; NULL: not known */
    uint64_t line;
    uint64_t failures, invalid_frees; /* 0 in baselines */
    uint64_t unserved;                /* allocations not from the pool's memory; 0 in baselines */
    uint64_t pinned_bytes;            /* free space of segments (fragmentation.h); 0 in baselines */
    uint64_t pinned_line;             /* in the same file, that pins most */
    uint64_t figure[SNAPSHOT_FIGURE_COUNT];
};

struct snapshot_device {
    char *name, *driver;
};

/** Figures of a phase that the program named. */
struct snapshot_phase {
    const char *name;
    uint64_t value[PHASE_METRIC_COUNT];
};

/** Figures of the sites that a glob fits, together. */
struct snapshot_set {
    uint64_t peak_bytes, leaked_bytes;
    bool bound;  /* the peak is an upper bound */
    bool fitted; /* there is such a site */
};

struct snapshot {
    struct texts texts;     /* of its sites */
    bool has[METRIC_COUNT]; /* a baseline of an older cupool may lack some */
    uint64_t metric[METRIC_COUNT];
    bool bound[METRIC_COUNT]; /* at most that much: early events were dropped (trace_max) */
    bool sites_bound;         /* the same of the peaks of sites */
    struct snapshot_device *device;
    size_t devices;
    struct snapshot_site *site; /* by figures, largest first, then by name */
    size_t sites;
    struct snapshot_phase *phase; /* none in baselines */
    size_t phases;
    struct snapshot_set *set; /* by number of the glob; none in baselines */
    uint64_t sites_left_out;  /* smaller than all that are here */
    bool has_pinned;          /* it is not of a baseline */
    char **ignored;           /* globs of sites that count nowhere, sorted */
    size_t ignored_count;
    char incomplete[256]; /* what the trace lacks; empty: nothing */
    char part[160];       /* what the part lacks of a trace of limited size; empty: nothing */
};

/** A trace opened for measuring. */
struct snapshot_trace {
    struct trace_reader *reader;
    struct site_names *names;
    struct analysis_window window; /* the part that is measured */
    struct glob_work *work;        /* for comparing globs; NULL: without a limit */
};

/**
 * Learns the wrappers of a trace or a baseline (wrappers.h). Do this for all compared files before
 * the first is opened. Errors as snapshot_load().
 */
int snapshot_learn(const char *path, char *ret_why, size_t why_bytes);

/** Opens a trace. On failure `ret_why` says what is wrong, where, and what to do. */
int snapshot_trace_open(const char *path, const char *const *ignored, size_t ignored_count,
                        struct glob_work *work, struct snapshot_trace *ret_trace, char *ret_why,
                        size_t why_bytes);
void snapshot_trace_close(struct snapshot_trace *trace);

/** `sites`: globs of sites to measure together. Errors: negative errno, with one line in ret_why;
 * -E2BIG: of too many globs. */
int snapshot_measure(const struct snapshot_trace *trace, const char *const *ignored,
                     size_t ignored_count, const struct texts *sites,
                     struct snapshot **ret_snapshot, char *ret_why, size_t why_bytes);

/**
 * Reads a trace or a baseline, whichever the file is. `window` may select a part of the run, which
 * a baseline does not have. Errors as above.
 */
int snapshot_load(const char *path, const struct window_request *window,
                  struct snapshot **ret_snapshot, char *ret_why, size_t why_bytes);

/** NULL is accepted. */
void snapshot_destroy(struct snapshot *snapshot);

/** For qsort: figures, largest first, then module and function. */
int snapshot_site_compare(const void *a, const void *b);

/** By module and function, the order of baselines. */
int snapshot_site_compare_name(const void *a, const void *b);

/** Returns the site that pins most of the free space of segments, or NULL. */
const struct snapshot_site *snapshot_pins_most(const struct snapshot *snapshot);

/** As below, with the line that pins most. */
void snapshot_pinned_text(const struct snapshot_site *site, char *ret_text, size_t text_bytes);

/** For people: "model.cc:41 decode (libmodel.so)", without a line "decode (libmodel.so)". */
void snapshot_site_text(const struct snapshot_site *site, char *ret_text, size_t text_bytes);

/* baseline.c */

/** Errors: -ENOENT and others of the system, -EBADMSG, -EPROTONOSUPPORT, with ret_why. */
int baseline_read(const char *path, struct snapshot **ret_snapshot, char *ret_why,
                  size_t why_bytes);

/** Replaces the file whole. Errors: negative errno. */
int baseline_write(const struct snapshot *snapshot, const char *path);

/** A metric's figure as written in files: percentages in percent. */
json_t *metric_json(enum metric_unit unit, uint64_t value);

#endif

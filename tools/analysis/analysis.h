/* SPDX-License-Identifier: MIT */
/*
 * Turns events into figures: one pass over a trace in time order.
 *
 * "Requested" is device memory of every kind that the program has requested and not freed.
 * "Reserved" is the memory that the pool holds from the driver. "Driver" is reserved plus the
 * memory that came from the driver outside the pool. Without a pool, requested and driver are the
 * same. Other memory (pinned host memory, address ranges, imports) is counted by kind only.
 *
 * Threading: an analysis belongs to one thread.
 */
#ifndef TOOLS_ANALYSIS_ANALYSIS_H
#define TOOLS_ANALYSIS_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/replay/memory_kind.h"
#include "cupti/replay/replay.h"
#include "cupti/read/trace_reader.h"
#include "cupti/format/verdict.h"
#include "tools/analysis/address_map.h"
#include "tools/analysis/series/aftermath.h"
#include "tools/analysis/series/copies.h"
#include "tools/analysis/defragmentation.h"
#include "tools/analysis/driver_view.h"
#include "tools/analysis/fragmentation.h"
#include "tools/analysis/series/growth.h"
#include "tools/analysis/memory_errors.h"
#include "tools/analysis/site_sets.h"
#include "tools/analysis/series/plateau.h"
#include "tools/analysis/series/pool_levels.h"
#include "tools/analysis/series/slices.h"
#include "tools/analysis/series/step_sites.h"
#include "tools/analysis/series/timeline.h"

#define ANALYSIS_INVALID_FREES    100 /* kept with their sites; all are counted */
#define ANALYSIS_POSTMORTEMS      100
#define ANALYSIS_POSTMORTEM_POOLS 16
#define ANALYSIS_POSTMORTEM_PARTS 5
#define ANALYSIS_FAILURES         100  /* the same */
#define ANALYSIS_SPANS            1000 /* of phases; when there are more, close ones are joined */
#define ANALYSIS_STEPS            4000 /* kept with their figures; all are counted */
#define ANALYSIS_TRIMS            1000 /* kept with their times; all are counted */
#define ANALYSIS_DEVICES          REPLAY_DEVICES

struct analysis_device {
    uint32_t index;
    const char *name;
    bool simulated;
    uint64_t total_bytes;
    uint64_t driver_version, runtime_version;
};

struct analysis_invalid_free {
    uint64_t time_ns, address, error;
    uint64_t site, allocation_site, first_free_site;
    uint16_t api;
};

/** A key of a breakdown and its bytes. */
struct analysis_part {
    uint64_t key, bytes;
};

/** A context's figures in a post-mortem. */
struct analysis_postmortem_pool {
    uint32_t context;
#define POSTMORTEM_POOL(name, help) uint64_t name;
#include "cupti/format/postmortem.def"
};

/**
 * A request that the pool could not serve. If the program was refused, it also has the state of
 * memory at that time, recorded by the process, and the live memory, from the trace.
 */
struct analysis_postmortem {
    uint64_t time_ns, request_bytes, held_free_bytes;
    struct timeline_point levels;
    uint64_t site;
    uint32_t context, thread;
    uint32_t number; /* from 1; 0: the pool's failure alone */
    bool is_refused; /* to the program; what follows is known */
    enum verdict verdict;
    struct verdict_facts facts;
    struct analysis_postmortem_pool pool[ANALYSIS_POSTMORTEM_POOLS];
    size_t pools;
    struct analysis_part sites[ANALYSIS_POSTMORTEM_PARTS];     /* largest first; 0 bytes: none */
    struct analysis_part libraries[ANALYSIS_POSTMORTEM_PARTS]; /* the same */
};

struct analysis_failure {
    uint64_t time_ns, request_bytes, site;
};

/** Memory the pool gave back, and when. */
struct analysis_trim {
    uint64_t time_ns, bytes;
};

/** Source of a phase; the first three as in the trace. */
enum analysis_phase_source {
    ANALYSIS_PHASE_API = TRACE_PHASE_SOURCE_API,
    ANALYSIS_PHASE_NVTX = TRACE_PHASE_SOURCE_NVTX,
    ANALYSIS_PHASE_SIGNAL = TRACE_PHASE_SOURCE_SIGNAL,
    ANALYSIS_PHASE_DETECTED,
    ANALYSIS_PHASE_SOURCES
};

extern const char *const analysis_phase_source_name[ANALYSIS_PHASE_SOURCES];

/** Figures of steps: sums, and the highest of one. */
struct analysis_step_figures {
    uint64_t count;
    uint64_t allocations, allocations_max;
    uint64_t driver_calls, driver_calls_max;
};

struct analysis_phase {
    const char *name;
    enum analysis_phase_source source;
    uint64_t count, open;      /* begun in all; begun and not ended */
    uint64_t uncounted, begun; /* of those open, outside the part; number of the outermost begin */
    bool resumed;              /* it ran in the part */
    uint64_t duration_ns, begin_ns, first_ns;
    uint64_t allocations, frees, driver_calls, peak_requested_bytes;
    uint64_t opening_requested_bytes; /* when it first began, or the part did */
    int64_t growth_bytes;             /* of requested memory, over all its spans */
    /* Its steps; without any inside, each time from begin to end is one. */
    struct analysis_step_figures steps;
    size_t span; /* its last one, as row + 1; 0: none */
    struct {     /* at the outermost begin, or that of the part */
        uint64_t requested_bytes, allocations, frees, driver_calls, steps;
    } opening;
};

/** A time from begin to end of a phase. */
struct analysis_span {
    size_t phase;
    uint64_t begin_ns, end_ns;
};

/** From one cupool_step() to the next, or to the end of a phase that was open when it began. */
struct analysis_step {
    uint64_t number, begin_ns, end_ns;
    uint64_t allocations, frees, driver_calls;
    int64_t growth_bytes;
};

/** The part of a trace that figures are of. */
struct analysis_window {
    bool is_set;
    uint64_t begin_ns, end_ns; /* of the trace; ignored when there is a phase */
    const char *phase;         /* NULL: by time */
};

/** State when a window opened. */
struct analysis_opening {
    uint64_t requested_bytes, reserved_bytes, driver_bytes, blocks;
};

/** For each row of a breakdown, how many openings of the window its peaks account for. */
struct analysis_window_rows {
    uint64_t *openings;
    size_t rows, room;
};

/** A pool counter as last recorded; its reader sums it over contexts. */
struct analysis_counter {
    const char *name;
    uint32_t context;
    uint64_t current, peak, at_peak;
};

/**
 * Selects and joins code addresses: `map` returns the site to count an address under, or false to
 * leave out its allocations, failures and invalid frees.
 */
struct analysis_lens {
    bool (*map)(void *context, uint64_t site, uint64_t *ret_site);
    void *context;
};

struct analysis {
    union {
        struct replay replay;
        struct replay; /* its fields are the analysis's own */
    };
    const struct trace_reader *reader;
    const struct analysis_lens *lens; /* NULL: every address is a site of its own */
    struct site_sets *sets;           /* NULL: none */
    struct trace_summary recording;
    struct analysis_window window;
    bool opened;                    /* the window was entered */
    bool ended;                     /* the window by time is over */
    uint64_t entered_ns, window_ns; /* last entered; time inside */
    uint64_t openings;              /* of the window, so far */
    struct analysis_window_rows window_rows[REPLAY_BREAKDOWNS];
    struct analysis_opening opening;

    const char *command, *version;
    bool has_rank;
    uint64_t rank, ranks; /* ranks 0: unknown */
    const char *rank_variable;
    bool has_exit;
    uint32_t wait_status;
    struct analysis_device device[ANALYSIS_DEVICES];
    size_t devices;

    struct {
        bool joined;   /* a site's own peak is a sum of those of its stacks */
        bool left_out; /* the lens leaves out stacks: driver memory and calls are at most so */
        uint64_t peak_bound; /* what the peak is at most until then; 0: it is exact */
    } carried;               /* of a trace of limited size */
    struct driver_view driver_view;
    struct pool_levels pool_levels;
    struct defragmentation defragmentation;
    uint64_t stack; /* of the record under way, as the trace has it; sites are as the lens joins */
    struct slices *slices;                  /* NULL: not kept, as of a part of the run */
    struct address_history slice_addresses; /* at the peak of the open slice */
    uint64_t map_work, slice_asked, slice_driver, slice_invalid; /* until the open slice */
    struct fragmentation fragmentation;                          /* at the peak */
    struct timeline timeline;
    struct aftermath aftermath;
    struct memory_errors memory_errors;
    struct analysis_invalid_free invalid_free[ANALYSIS_INVALID_FREES];
    struct analysis_postmortem postmortem[ANALYSIS_POSTMORTEMS];
    struct analysis_failure failure[ANALYSIS_FAILURES];
    struct analysis_trim trim[ANALYSIS_TRIMS];
    struct analysis_phase *phase;
    size_t phases, phases_room;
    struct key_index phase_index; /* by text */
    size_t window_phase;          /* row of the window's phase + 1; 0: not there yet */
    size_t window_looked;         /* rows that were compared with its name */
    size_t *phase_open;           /* rows of the open ones */
    size_t phases_open;
    struct plateau_series plateau_series;
    uint64_t phases_left_out;   /* records of names beyond the most that are kept */
    struct analysis_span *span; /* in the order of their ends */
    size_t spans, spans_room;
    uint64_t spans_close_ns; /* gaps up to this were closed */
    struct analysis_step_figures steps;
    struct step_sites step_sites;  /* of cupool_step() */
    struct step_sites phase_sites; /* where the times of a phase are its steps */
    uint64_t phases_begun;
    struct analysis_step *step;
    size_t steps_kept, steps_room;
    struct {
        bool open;
        uint64_t number, begin_ns, requested_bytes, allocations, frees, driver_calls;
        uint64_t phases_begun; /* before it */
    } step_now;
    struct growth_tracks tracks; /* live blocks of each site */
    struct copies copies;        /* of each site */
    struct {
        uint64_t begin_ns;       /* 0: not seen */
        uint64_t frees;          /* before it */
        uint64_t last_ns, bytes; /* of the last call; when the last allocation was made */
    } teardown;                  /* the frees with which the program ends */
    struct growth_site *growth;  /* leak candidates, most blocks first */
    size_t growths;
    struct analysis_counter *counter;
    size_t counters, counters_room;
    struct key_index counter_index; /* by name and context */
};

/** How to analyse. */
struct analysis_request {
    const struct analysis_lens *lens; /* used only during the call; NULL: none */
    struct site_sets *sets;           /* followed during the call; NULL: none */
    struct analysis_window window;
    bool detailed; /* stacks by thread, and the run in slices */
};

/**
 * Reads all events of a reader, which must outlive the analysis. Errors: as trace_reader_next(),
 * with one line in ret_why.
 */
int analysis_create(struct trace_reader *reader, struct analysis **ret_analysis, char *ret_why,
                    size_t why_bytes);

/** Reads them through a lens, which is used only during the call. */
int analysis_create_through(struct trace_reader *reader, const struct analysis_lens *lens,
                            struct analysis **ret_analysis, char *ret_why, size_t why_bytes);

/** Reads a part of the trace likewise: everything before it forms the opening balance. */
int analysis_create_as(struct trace_reader *reader, const struct analysis_request *request,
                       struct analysis **ret_analysis, char *ret_why, size_t why_bytes);

/** Returns the row of a phase, NULL when none has that name. */
const struct analysis_phase *analysis_phase_find(const struct analysis *analysis, const char *name);

/**
 * Starts from the carry of a trace of limited size (trace_carry.h), which summarises the events no
 * longer in it; `add` replays records. Errors: -ENOMEM, -EBADMSG.
 */
int analysis_carry_load(struct analysis *analysis,
                        int (*add)(struct analysis *analysis, const struct trace_record *record));

/** NULL is accepted. */
void analysis_destroy(struct analysis *analysis);

/** The site that a stack is counted under. */
uint64_t analysis_site_of_stack(const struct analysis *analysis, uint64_t stack);

/** Whether the program ended by a signal, is still running, or its end is unknown: then live
 * memory need not be a leak. */
bool analysis_was_killed(const struct analysis *analysis);

/** All levels as they are. */
struct timeline_point analysis_levels_now(const struct analysis *analysis, uint64_t time_ns);

/** A counter's last value, summed over contexts. Errors: -ENOENT never recorded. */
int analysis_counter_get(const struct analysis *analysis, const char *name, uint64_t *ret_current);

/** Calls that reached the driver: the pool's own count where it was recorded, else the calls in
 * the trace.
 */
uint64_t analysis_driver_calls(const struct analysis *analysis);

bool analysis_is_simulated(const struct analysis *analysis);

/** Whether memory was served from a pool at all. */
bool analysis_has_pool(const struct analysis *analysis);

/** Exit code as a shell shows it: 128+N for signal N; -1 when the trace does not say. */
int analysis_exit_status(const struct analysis *analysis);

/** Ratio of the program's memory to the memory taken from the driver, both at the peak. */
double analysis_overhead(const struct analysis *analysis);
double analysis_internal(const struct analysis *analysis);

/** Anonymizes command, paths of libraries and names of phases, once disguise_begin() was called. */
void analysis_disguise(struct analysis *analysis);

/** Returns stacks, separate for each thread where threads are known; with one thread they are
 * `stacks`. */
static inline const struct tallies *analysis_paths(const struct analysis *analysis)
{
    return analysis->has_paths ? &analysis->paths : &analysis->stacks;
}

/** Upper bound of the size class with a key of `sizes`. */
uint64_t analysis_size_class_bytes(uint64_t key);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The replay of allocations, frees and segments: levels, live blocks and breakdowns after each
 * event. The tool's analysis uses it for a trace, and so does the writer of a trace of limited size
 * for the events it discards (trace_fold.h). Both get the same figures because they take the same
 * steps.
 *
 * A trace is not trusted and may be incomplete, so nothing here relies on pairs. A free of an
 * unknown address is counted, an allocation at a live address replaces the block there, and levels
 * never go below zero.
 *
 * Memory comes from pages, never from malloc. Functions that return int fail only with -ENOMEM.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_REPLAY_H
#define CUPTI_REPLAY_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "cupti/base/histogram.h"
#include "cupti/base/key_index.h"
#include "cupti/format/trace_format.h"
#include "cupti/replay/address_history.h"
#include "cupti/replay/block_table.h"
#include "cupti/replay/lifetimes.h"
#include "cupti/replay/tally.h"

#define REPLAY_DEVICES 64

/* TALLIES(name, NAME)   the breakdowns that are carried */
#define REPLAY_TALLIES(TALLIES)                                                                    \
    TALLIES(stacks, STACKS)                                                                        \
    TALLIES(sizes, SIZES)                                                                          \
    TALLIES(libraries, LIBRARIES) /* key: as replay_watch.library_of gives it */                   \
    TALLIES(apis, APIS)                                                                            \
    TALLIES(kinds, KINDS)

/** The driver's own account of a device when it had the least free memory, and the program's
 * levels on that device at that time. */
struct replay_memory_info {
    uint64_t time_ns, free_bytes, total_bytes;
    uint64_t device, requested_bytes, allocated_bytes, driver_bytes;
};

/** Sums, marks and levels, as a trace of limited size carries them: part of its format. */
struct replay_figures {
    uint64_t duration_ns;
    uint64_t peak_serial, peak_time_ns;
    uint64_t calls_asked;  /* allocations and frees of the program, failed ones too */
    uint64_t calls_driver; /* seen to reach the driver */
    uint64_t segment_allocations, segment_frees, fences, epoch_waits, trims, trimmed_bytes;
    uint64_t unmatched_frees, replaced_blocks;
    uint64_t has_memory_info;
    uint64_t unaccounted_bytes; /* in use by the driver's account, but unknown here; highest */
    uint64_t postmortems;
    struct level requested, allocated, reserved, driver;
    struct tally total; /* device memory */
    struct histogram latency;
    struct lifetimes lifetimes;
    struct replay_memory_info memory_info;
};

/** Levels of one device, without managed memory, which has no device of its own. */
struct replay_device {
    uint64_t requested_bytes, allocated_bytes;
    uint64_t driver_bytes; /* segments, and memory outside the pool */
};

/** Rows of an allocation, one of each breakdown. */
enum replay_row {
    REPLAY_TOTAL,
    REPLAY_SITE,
    REPLAY_STACK,
    REPLAY_SIZE,
    REPLAY_LIBRARY,
    REPLAY_API,
    REPLAY_PATH,
    REPLAY_KIND,
    REPLAY_ROWS
};

/** Callbacks of a replay's owner; `context` belongs to the owner. */
struct replay_watch {
    /** The module of a stack, as a key of `libraries`. */
    uint64_t (*library_of)(void *context, uint64_t stack);
    /** The levels changed: those of requests (`requested`), or those of segments alone. NULL:
     * unwatched; not called while nothing is counted. */
    void (*levels)(void *context, bool requested, uint64_t time_ns);
    /** A block of device memory became live (+1) or ended (-1) at a site, a row of `sites`.
     * NULL: unwatched; not called while nothing is counted. */
    int (*block)(void *context, const struct tally *site, const struct replay_block *block,
                 int sign, uint64_t time_ns);
    /** The live memory of a row is about to change or to be copied to another row, or has changed
     * (`done`). NULL: unwatched; so are the callbacks below. */
    void (*row)(void *context, enum replay_row row, const struct tally *tally, bool done);
    /** A call was counted under a row. */
    void (*call)(void *context, enum replay_row row, const struct tally *tally,
                 const struct trace_record *record);
    /** A block was counted as leaked under a row. */
    void (*leak)(void *context, enum replay_row row, const struct tally *tally,
                 const struct replay_block *block);
    /** A block is about to leave the table. */
    void (*leave)(void *context, const struct replay_block *block);
    void *context;
};

struct replay {
    union {
        struct replay_figures figures;
        struct replay_figures; /* named directly, too */
    };
    struct replay_watch watch;
    bool by_site;               /* sites differ from stacks, and are tallied too */
    bool by_thread;             /* paths are tallied, once a second thread allocates */
    bool outside;               /* levels move, nothing is counted */
    bool has_thread, has_paths; /* one thread is known; several are, and paths are tallied */
    uint32_t path_thread;       /* the first one; 0: not known */
    struct tallies sites, paths;
    struct tallies stacks, sizes, libraries, apis, kinds;
    struct key_index site_of_stack; /* key of a stack: its site; only with by_site */
    struct block_table block_table;
    struct address_history addresses;
    struct replay_device device_now[REPLAY_DEVICES];
    uint64_t levels_ns; /* when a level changed last */
    uint64_t order;     /* allocations of device memory so far, those outside too */
};

/** Key of a path. */
static inline uint64_t replay_path_key(uint32_t stack, uint32_t thread)
{
    return (uint64_t)stack << 32 | thread;
}

#define REPLAY_BREAKDOWNS 7

/** All tallies, in no relevant order. */
static inline struct tallies *replay_tallies(struct replay *replay, size_t index)
{
    struct tallies *const all[REPLAY_BREAKDOWNS] = {
        &replay->sites, &replay->stacks, &replay->sizes, &replay->libraries,
        &replay->apis,  &replay->kinds,  &replay->paths};

    return all[index];
}

/**
 * Replays an event; events come in time order. `stack` is the site in the trace; a lens may have
 * put another into the record. Events that move no memory are ignored, except that fences, waits,
 * trims and invalid frees are counted.
 */
int replay_add(struct replay *replay, const struct trace_record *record, uint64_t stack);

/** Adds a block or a segment to (+1), or takes it from (-1), the levels of its device. */
void replay_device_add(struct replay *replay, const struct replay_block *block, int sign);

/** Counts live blocks as leaked. */
int replay_find_leaks(struct replay *replay);

/** Whether a record is an allocation of device memory that was refused. */
bool replay_is_failure(const struct trace_record *record);

void replay_done(struct replay *replay);

#endif

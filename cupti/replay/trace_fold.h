/* SPDX-License-Identifier: MIT */
/*
 * Summary of events from reused blocks: statistics, live blocks, and the few records that cannot be
 * summed up.
 *
 * A trace with a size limit folds its oldest events (trace_ring.h) and writes the result, the
 * carry, into the file. Replaying the remaining events on top of the carry gives the same figures
 * as all events would: the fold and the tool's analysis share one replay (replay.h). The key of a
 * library is the string id of the module's path. The carry does not include the timeline of the
 * folded part, its phases and the driver's own view.
 *
 * The carry is one sequence of bytes: trace_carry_header, then the rows of the sections in the
 * order of TRACE_CARRY_SECTIONS, each row a multiple of 8 bytes.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_REPLAY_TRACE_FOLD_H
#define CUPTI_REPLAY_TRACE_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "cupti/replay/replay.h"

#define TRACE_FOLD_FREES       100  /* invalid frees kept with their sites; all are counted */
#define TRACE_FOLD_POSTMORTEMS 100  /* kept with their levels; all are counted */
#define TRACE_FOLD_FAILURES    100  /* the first ones; all are counted */
#define TRACE_FOLD_TRIMS       1000 /* kept with their times; all are counted */
#define TRACE_FOLD_RECORDS     4096 /* kept as they are; the rest is counted as forgotten */

/** The pool could not serve a request. */
struct trace_fold_postmortem {
    uint64_t time_ns, request_bytes, held_free_bytes;
    uint64_t number; /* of the post-mortem with these levels; 0: a failure of the pool */
    uint64_t requested_bytes, allocated_bytes, reserved_bytes, driver_bytes; /* levels */
    uint64_t site;
    uint32_t thread, context;
};

/** A refused allocation. */
struct trace_fold_failure {
    uint64_t time_ns, request_bytes, site;
};

struct trace_fold_trim {
    uint64_t time_ns, bytes;
};

/** Folded slots of a block that is still in the file. */
struct trace_fold_progress {
    uint32_t sequence, slots;
};

/* SECTION(NAME, type) */
#define TRACE_CARRY_SECTIONS(SECTION)                                                              \
    SECTION(PROGRESS, struct trace_fold_progress)                                                  \
    SECTION(STACKS, struct tally)                                                                  \
    SECTION(SIZES, struct tally)                                                                   \
    SECTION(LIBRARIES, struct tally)                                                               \
    SECTION(APIS, struct tally)                                                                    \
    SECTION(KINDS, struct tally)                                                                   \
    SECTION(LIVE, struct replay_block)                                                             \
    SECTION(GONE_AT_PEAK, struct replay_block)                                                     \
    SECTION(GONE_AT_END, struct replay_block)                                                      \
    SECTION(FAILURES, struct trace_fold_failure)                                                   \
    SECTION(RECORDS, struct trace_record)                                                          \
    SECTION(INVALID_FREES, struct trace_record)                                                    \
    SECTION(POSTMORTEMS, struct trace_fold_postmortem)                                             \
    SECTION(TRIMS, struct trace_fold_trim)

enum trace_carry_section {
#define SECTION(NAME, type) TRACE_CARRY_##NAME,
    TRACE_CARRY_SECTIONS(SECTION)
#undef SECTION
        TRACE_CARRY_SECTION_COUNT
};

struct trace_carry_header {
    uint64_t next_sequence; /* blocks from here on are not folded; earlier ones that PROGRESS does
                               not list are, as a whole */
    uint64_t rows[TRACE_CARRY_SECTION_COUNT];
    struct replay_figures figures;
    uint64_t peak_order; /* see struct address_history */
    uint64_t folded;     /* events */
    uint64_t forgotten;  /* events dropped without a trace */
    uint64_t cut_ns;     /* no folded event took effect later */
};

struct trace_fold {
    const uint32_t *module_of; /* by site id: text id of the module's path; immutable */
    struct replay replay;
    uint64_t folded, forgotten, cut_ns; /* as in the header */
    struct trace_fold_store *store;     /* the rows of fixed number */
};

struct trace_fold_store {
    size_t records, trims, postmortems; /* rows used; of the others, by their figures */
    struct trace_record record[TRACE_FOLD_RECORDS];
    struct trace_record invalid_free[TRACE_FOLD_FREES];
    struct trace_fold_postmortem postmortem[2 * TRACE_FOLD_POSTMORTEMS];
    struct trace_fold_failure failure[TRACE_FOLD_FAILURES];
    struct trace_fold_trim trim[TRACE_FOLD_TRIMS];
};

/** Bytes of a section's row. */
size_t trace_carry_row_bytes(enum trace_carry_section section);

/** Errors: -ENOMEM. */
int trace_fold_init(struct trace_fold *ret_fold, const uint32_t *module_of);

/** Folds an event; events come in time order. Errors: -ENOMEM. */
int trace_fold_add(struct trace_fold *fold, const struct trace_record *record);

/** Rows of a section except PROGRESS, and the bytes that trace_fold_write() produces. */
size_t trace_fold_rows(const struct trace_fold *fold, enum trace_carry_section section);
size_t trace_fold_bytes(const struct trace_fold *fold, size_t progress_rows);

/** Gives the carry piece by piece to `put`. */
void trace_fold_write(const struct trace_fold *fold, uint64_t next_sequence,
                      const struct trace_fold_progress *progress, size_t progress_rows,
                      void (*put)(void *context, const void *data, size_t bytes), void *context);

#endif

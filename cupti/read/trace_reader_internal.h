/* SPDX-License-Identifier: MIT */
/*
 * Shared by the parts of the reader: trace_reader.c opens traces and resolves ids, trace_scan.c
 * makes the first pass, trace_merge.c returns the events.
 */
#ifndef CUPTI_READ_TRACE_READER_INTERNAL_H
#define CUPTI_READ_TRACE_READER_INTERNAL_H

#include <stdbool.h>

#include "cupti/base/likely.h"
#include "cupti/read/trace_reader.h"

/** One block with events. */
struct trace_block_entry {
    uint64_t order_ns; /* of its first event */
    uint32_t block;    /* position in the file */
    uint32_t sequence;
    uint16_t first_slot; /* of its first event */
    uint16_t slots;      /* slots that may be read */
};

struct trace_text {
    char *text;
    uint32_t build_id; /* of the last module with this path: string id, 0: none */
};

struct trace_place {
    uint64_t offset;   /* of Python: the line */
    uint32_t module;   /* string id of the path; 0: none */
    uint32_t function; /* string id, of Python; 0: none */
    uint32_t caller;   /* place of the calling frame; 0: none */
    bool is_python;
};

struct trace_merge;

struct trace_reader {
    struct trace_source source;
    uint32_t version;
    bool scaled;               /* TRACE_FLAG_SCALED */
    struct trace_carry *carry; /* NULL: none */
    struct trace_summary summary;
    bool ends; /* an END record was read */
    struct trace_block_entry *entry;
    size_t entries, entries_room;
    struct trace_text *text; /* by id - 1 */
    size_t texts, texts_room;
    uint64_t text_bytes;
    struct trace_place *place; /* by id - 1 */
    size_t places, places_room;
    uint32_t *note;            /* arrays by id - 1: the user's */
    struct trace_merge *merge; /* NULL before the first rewind */
};

/** Formats the reason of an error and returns the error. */
__attribute__((format(printf, 5, 6))) int trace_fail(int error, uint64_t offset, char *ret_why,
                                                     size_t why_bytes, const char *format, ...);

/** Reads exactly `bytes` at `offset`, or as many as there are; returns their number or a
 * negative errno. */
int64_t trace_read_at(const struct trace_reader *reader, void *buffer, size_t bytes,
                      uint64_t offset);

/**
 * Finds the first block from a position on that may hold nonzero bytes. Whole blocks of zeros are
 * unused; the last block always counts.
 */
uint64_t trace_block_next(const struct trace_reader *reader, uint64_t position);

/** A block of a file with reused blocks. */
struct trace_block_place {
    uint32_t sequence, position;
    uint32_t carry;  /* number of the carry it is a piece of; 0: none */
    uint32_t folded; /* slots the carry stands for */
};

/**
 * Lists the blocks in use by their sequence, with the slots of each that the last complete carry
 * includes, and keeps that carry. free() the list.
 */
int trace_carry_scan(struct trace_reader *reader, struct trace_block_place **ret_places,
                     size_t *ret_count, char *ret_why, size_t why_bytes);

/** NULL is accepted. */
void trace_carry_free(struct trace_carry *carry);

/** Runs the first pass: verifies all blocks, collects definitions and the list of blocks with
 * events. */
int trace_scan(struct trace_reader *reader, char *ret_why, size_t why_bytes);

void trace_merge_free(struct trace_merge *merge);

static inline bool trace_kind_is_definition(uint16_t kind)
{
    return kind == TRACE_EVENT_STRING || kind == TRACE_EVENT_MODULE || kind == TRACE_EVENT_SITE ||
           kind == TRACE_EVENT_PYTHON;
}

/** Converts a record to this version: latencies of older traces are plain numbers. */
static inline struct trace_record trace_record_adapt(const struct trace_reader *reader,
                                                     const struct trace_record *record)
{
    struct trace_record adapted = *record;

    if (!reader->scaled)
        adapted.latency = trace_latency(record->latency);
    return adapted;
}

/** trace_record_order_ns of a record as it stands in the file. */
static inline uint64_t trace_record_order_in(const struct trace_reader *reader,
                                             const struct trace_record *record)
{
    struct trace_record adapted;

    if (likely(reader->scaled || record->latency < TRACE_LATENCY_PLAIN))
        return trace_record_order_ns(record);
    adapted = trace_record_adapt(reader, record);
    return trace_record_order_ns(&adapted);
}

/** Whether an event took effect after the time at which the source is cut. */
static inline bool trace_record_is_late(const struct trace_reader *reader,
                                        const struct trace_record *record)
{
    return reader->source.until_ns &&
           trace_record_order_in(reader, record) > reader->source.until_ns;
}

/** Whether this reader knows every enumeration value of a record. */
bool trace_record_is_known(const struct trace_record *record);

/** Returns the slots of a record with its text; 0 when its size is impossible. */
uint32_t trace_record_slots(const struct trace_record *record);

#endif

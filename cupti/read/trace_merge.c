/* SPDX-License-Identifier: MIT */
/*
 * Returns events in time order: a merge of the blocks that overlap in time.
 *
 * Blocks enter a heap in the order of their first event, and are ordered there by their next one.
 * Each keeps a window of a few slots, so even if all blocks overlap, the cost is 2 KiB a block.
 * Within a block time is forced to be monotonic. File order uses the same code with the position in
 * the file as the key.
 */
#include "cupti/read/trace_reader_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_SLOTS 32

/** A block under way. */
struct cursor {
    uint64_t key; /* of the record it stands at */
    uint32_t block, sequence;
    uint16_t slot;     /* it stands at */
    uint16_t slots;    /* end of the readable ones */
    uint16_t window;   /* slot of the window's first record */
    uint16_t windowed; /* records in the window */
    struct trace_record record[WINDOW_SLOTS];
};

struct trace_merge {
    enum trace_order order;
    size_t next; /* entry of the first block not taken up yet */
    struct cursor **heap;
    size_t cursors, room;
};

void trace_merge_free(struct trace_merge *merge)
{
    if (!merge)
        return;
    for (size_t i = 0; i < merge->cursors; i++)
        free(merge->heap[i]);
    free(merge->heap);
    free(merge);
}

static bool before(const struct cursor *a, const struct cursor *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void heap_swap(struct trace_merge *merge, size_t a, size_t b)
{
    struct cursor *other = merge->heap[a];

    merge->heap[a] = merge->heap[b];
    merge->heap[b] = other;
}

static void heap_sink(struct trace_merge *merge)
{
    size_t at = 0, child;

    while ((child = 2 * at + 1) < merge->cursors) {
        if (child + 1 < merge->cursors && before(merge->heap[child + 1], merge->heap[child]))
            child++;
        if (!before(merge->heap[child], merge->heap[at]))
            return;
        heap_swap(merge, at, child);
        at = child;
    }
}

static int heap_add(struct trace_merge *merge, struct cursor *cursor)
{
    size_t at = merge->cursors;

    if (at == merge->room) {
        size_t room = merge->room ? merge->room * 2 : 64;
        struct cursor **heap = realloc(merge->heap, room * sizeof(void *));

        if (!heap)
            return -ENOMEM;
        merge->heap = heap;
        merge->room = room;
    }
    merge->heap[merge->cursors++] = cursor;
    for (; at && before(merge->heap[at], merge->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_swap(merge, at, (at - 1) / 2);
    return 0;
}

/** Returns the record at the cursor, and reads it into the window if needed. NULL: cannot read. */
static const struct trace_record *cursor_record(const struct trace_reader *reader,
                                                struct cursor *cursor)
{
    uint32_t slots = (uint32_t)cursor->slots - cursor->slot;
    uint64_t offset = (uint64_t)cursor->block * TRACE_BLOCK_BYTES +
                      (uint64_t)(cursor->slot + 1) * TRACE_SLOT_BYTES;
    size_t bytes;

    if (cursor->slot >= cursor->window && cursor->slot < cursor->window + cursor->windowed)
        return &cursor->record[cursor->slot - cursor->window];
    if (slots > WINDOW_SLOTS)
        slots = WINDOW_SLOTS;
    bytes = slots * sizeof *cursor->record;
    if (trace_read_at(reader, cursor->record, bytes, offset) != (int64_t)bytes)
        return NULL;
    cursor->window = cursor->slot;
    cursor->windowed = (uint16_t)slots;
    return cursor->record;
}

/**
 * Advances to the next event at or after the cursor's slot: 1; 0 after the last one; -EIO when the
 * file changed during reading.
 */
static int cursor_settle(const struct trace_reader *reader, enum trace_order order,
                         struct cursor *cursor)
{
    while (cursor->slot < cursor->slots) {
        const struct trace_record *record = cursor_record(reader, cursor);
        uint32_t slots = record ? trace_record_slots(record) : 0;
        uint64_t key;

        if (!slots)
            return -EIO;
        if (!record->kind || !trace_record_is_known(record) ||
            trace_kind_is_definition(record->kind) || trace_record_is_late(reader, record)) {
            cursor->slot = (uint16_t)(cursor->slot + slots);
            continue;
        }
        key = order == TRACE_ORDER_TIME ? trace_record_order_in(reader, record) : cursor->sequence;
        if (key > cursor->key)
            cursor->key = key;
        return 1;
    }
    return 0;
}

/** Takes up a block. */
static int cursor_begin(const struct trace_reader *reader, struct trace_merge *merge,
                        const struct trace_block_entry *entry)
{
    struct cursor *cursor = malloc(sizeof *cursor);
    int got;

    if (!cursor)
        return -ENOMEM;
    *cursor = (struct cursor){.block = entry->block,
                              .sequence = entry->sequence,
                              .slot = entry->first_slot,
                              .slots = entry->slots};
    got = cursor_settle(reader, merge->order, cursor);
    if (got > 0)
        got = heap_add(merge, cursor);
    else
        got = got < 0 ? got : -EIO;
    if (got < 0)
        free(cursor);
    return got;
}

static uint64_t entry_key(const struct trace_merge *merge, const struct trace_block_entry *entry)
{
    return merge->order == TRACE_ORDER_TIME ? entry->order_ns : entry->sequence;
}

/** Adds every block that may hold the next event. */
static int blocks_take_up(const struct trace_reader *reader, struct trace_merge *merge)
{
    while (
        merge->next < reader->entries &&
        (!merge->cursors || entry_key(merge, &reader->entry[merge->next]) <= merge->heap[0]->key)) {
        int error = cursor_begin(reader, merge, &reader->entry[merge->next]);

        if (error < 0)
            return error;
        merge->next++;
    }
    return 0;
}

/** Advances the first cursor of the heap past the record it returned. */
static int first_advance(const struct trace_reader *reader, struct trace_merge *merge)
{
    struct cursor *cursor = merge->heap[0];
    int error;

    cursor->slot++;
    error = cursor_settle(reader, merge->order, cursor);
    if (error < 0)
        return error;
    if (error == 0) {
        merge->heap[0] = merge->heap[--merge->cursors];
        free(cursor);
    }
    heap_sink(merge);
    return 0;
}

static int compare_time(const void *a, const void *b)
{
    const struct trace_block_entry *left = a, *right = b;

    if (left->order_ns != right->order_ns)
        return left->order_ns < right->order_ns ? -1 : 1;
    return (left->sequence > right->sequence) - (left->sequence < right->sequence);
}

static int compare_file(const void *a, const void *b)
{
    const struct trace_block_entry *left = a, *right = b;

    return (left->sequence > right->sequence) - (left->sequence < right->sequence);
}

int trace_reader_rewind(struct trace_reader *reader, enum trace_order order)
{
    trace_merge_free(reader->merge);
    reader->merge = calloc(1, sizeof *reader->merge);
    if (!reader->merge)
        return -ENOMEM;
    reader->merge->order = order;
    if (reader->entries)
        qsort(reader->entry, reader->entries, sizeof *reader->entry,
              order == TRACE_ORDER_TIME ? compare_time : compare_file);
    return 0;
}

/** Clears ids that were defined in the lost part of an incomplete trace. */
static int ids_check(const struct trace_reader *reader, const struct cursor *cursor,
                     struct trace_record *record, char *ret_why, size_t why_bytes)
{
    bool api = record->api <= reader->texts, site = record->site <= reader->places;
    bool named_site = record->kind != TRACE_EVENT_DEVICE; /* there the site field is a version */

    if (api && (site || !named_site))
        return 0;
    if (reader->summary.complete)
        return trace_fail(-EBADMSG,
                          (uint64_t)cursor->block * TRACE_BLOCK_BYTES +
                              (uint64_t)(cursor->slot + 1) * TRACE_SLOT_BYTES,
                          ret_why, why_bytes, "damaged: event with an unknown %s %llu",
                          api ? "site" : "text",
                          (unsigned long long)(api ? record->site : record->api));
    if (!api)
        record->api = 0;
    if (!site && named_site)
        record->site = 0;
    return 0;
}

static int changed(int error, char *ret_why, size_t why_bytes)
{
    snprintf(ret_why, why_bytes, "%s",
             error == -ENOMEM ? "out of memory" : "the file changed while it was read");
    return error;
}

int trace_reader_next(struct trace_reader *reader, struct trace_record *ret_record, char *ret_why,
                      size_t why_bytes)
{
    struct trace_merge *merge = reader->merge;
    struct trace_record record;
    int error = merge ? 0 : trace_reader_rewind(reader, TRACE_ORDER_TIME);

    merge = reader->merge;
    if (error == 0)
        error = blocks_take_up(reader, merge);
    if (error < 0)
        return changed(error, ret_why, why_bytes);
    if (!merge->cursors)
        return 0;
    record = trace_record_adapt(
        reader, &merge->heap[0]->record[merge->heap[0]->slot - merge->heap[0]->window]);
    error = ids_check(reader, merge->heap[0], &record, ret_why, why_bytes);
    if (error < 0)
        return error;
    error = first_advance(reader, merge);
    if (error < 0)
        return changed(error, ret_why, why_bytes);
    *ret_record = record;
    return 1;
}

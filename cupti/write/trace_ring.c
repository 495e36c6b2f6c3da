/* SPDX-License-Identifier: MIT */
/*
 * Blocks are given back several at a time, at least as many as the carry occupies if the file has
 * room. So writing the carry costs no more than the events it replaces.
 */
#include "cupti/write/trace_ring.h"

#include <errno.h>
#include <string.h>

#include "cupti/base/crc32c.h"
#include "cupti/base/pages.h"
#include "cupti/format/trace_record.h"

#define BLOCKS_AT_ONCE      16 /* blocks given back at once: this, or as many as the carry has, */
#define SHARE_OF_FILE       8  /* but not more than this part of the file */
#define FIRST_CARRY_PERCENT 38 /* of the file are kept for the first carry */
#define DEFINITION_BLOCKS   2  /* kept for definitions */
#define CARRY_MORE_BLOCKS   2  /* what a carry may grow by that is not live blocks */
#define PIECE_BYTES         ((size_t)(TRACE_BLOCK_SLOTS - 1) * TRACE_SLOT_BYTES)

/** A block with events to fold, and the position in it. */
struct ring_cursor {
    uint64_t key; /* order of the event it stands at */
    struct trace_store_place *place;
    const struct trace_record *record;
    uint16_t slot;
};

int trace_ring_init(struct trace_ring *ret_ring, struct trace_store *store,
                    const uint32_t *module_of)
{
    *ret_ring = (struct trace_ring){.store = store};
    ret_ring->cursor = pages_map(store->most_blocks * sizeof *ret_ring->cursor);
    ret_ring->progress = pages_map(store->most_blocks * sizeof *ret_ring->progress);
    if (!ret_ring->cursor || !ret_ring->progress)
        return -ENOMEM;
    return trace_fold_init(&ret_ring->fold, module_of);
}

static bool place_is_sealed(const struct trace_store_place *place)
{
    return __atomic_load_n(&place->block->count, __ATOMIC_ACQUIRE) != 0;
}

static const struct trace_record *place_record(const struct trace_store_place *place, uint16_t slot)
{
    return (const struct trace_record *)(const void *)(place->block + 1) + slot;
}

static uint16_t record_kind(const struct trace_record *record)
{
    return __atomic_load_n(&record->kind, __ATOMIC_ACQUIRE);
}

/** Advances to the next event at or after the cursor's slot. False: there is none yet. */
static bool cursor_settle(struct ring_cursor *cursor)
{
    const struct trace_store_place *place = cursor->place;
    uint32_t count = __atomic_load_n(&place->block->count, __ATOMIC_ACQUIRE);

    for (; cursor->slot < (count ? count : TRACE_BLOCK_SLOTS); cursor->slot++) {
        cursor->record = place_record(place, cursor->slot);
        if (record_kind(cursor->record)) {
            uint64_t key = trace_record_order_ns(cursor->record);

            /* Within a block time does not go backwards. */
            cursor->key = key > cursor->key ? key : cursor->key;
            return true;
        }
        if (!count)
            return false;
    }
    return false;
}

static bool cursor_before(const struct ring_cursor *a, const struct ring_cursor *b)
{
    return a->key != b->key ? a->key < b->key : a->place->sequence < b->place->sequence;
}

static void heap_sink(struct trace_ring *ring)
{
    struct ring_cursor *heap = ring->cursor, sinking = heap[0];
    uint32_t at = 0, child;

    while ((child = 2 * at + 1) < ring->cursors) {
        if (child + 1 < ring->cursors && cursor_before(&heap[child + 1], &heap[child]))
            child++;
        if (!cursor_before(&heap[child], &sinking))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = sinking;
}

static void heap_add(struct trace_ring *ring, const struct ring_cursor *cursor)
{
    struct ring_cursor *heap = ring->cursor;
    uint32_t at = ring->cursors++;

    for (; at && cursor_before(cursor, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = *cursor;
}

/** Returns the oldest sealed block of events that is not chosen yet. */
static struct trace_store_place *oldest_find(struct trace_store *store)
{
    struct trace_store_place *oldest = NULL;

    for (uint64_t i = 1; i < store->blocks; i++) {
        struct trace_store_place *place = &store->at[i];

        if (place->use == TRACE_STORE_EVENTS && !place->ending &&
            (!oldest || place->sequence < oldest->sequence) && place_is_sealed(place))
            oldest = place;
    }
    return oldest;
}

static uint64_t batch_blocks(const struct trace_ring *ring)
{
    uint64_t share = ring->store->most_blocks / SHARE_OF_FILE;
    uint64_t wanted = ring->carry_blocks > BLOCKS_AT_ONCE ? ring->carry_blocks : BLOCKS_AT_ONCE;

    return wanted < share ? wanted : share;
}

static uint64_t sealed_count(const struct trace_store *store)
{
    uint64_t sealed = 0;

    for (uint64_t i = 1; i < store->blocks; i++)
        sealed += store->at[i].use == TRACE_STORE_EVENTS && place_is_sealed(&store->at[i]);
    return sealed;
}

/**
 * Chooses the blocks to give back, at most half of the sealed ones: folded events should be so old
 * that no thread can still add an earlier one. Returns the time of their last event. False: there
 * is none.
 */
static bool batch_choose(struct trace_ring *ring, uint64_t *ret_until_ns)
{
    struct trace_store_place *place;
    uint64_t until_ns = 0, chosen = 0, wanted = (sealed_count(ring->store) + 1) / 2;

    if (wanted > batch_blocks(ring))
        wanted = batch_blocks(ring);
    while (chosen < wanted && (place = oldest_find(ring->store))) {
        struct ring_cursor cursor = {.place = place, .slot = place->folded, .key = place->key};

        for (; cursor_settle(&cursor); cursor.slot++)
            if (cursor.key > until_ns)
                until_ns = cursor.key;
        place->ending = true;
        chosen++;
    }
    *ret_until_ns = until_ns;
    return chosen;
}

/** Takes up every block that has an event to fold. */
static void cursors_begin(struct trace_ring *ring, uint64_t until_ns)
{
    const struct trace_store *store = ring->store;

    ring->cursors = 0;
    for (uint64_t i = 1; i < store->blocks; i++) {
        struct trace_store_place *place = &store->at[i];
        struct ring_cursor cursor = {.place = place, .slot = place->folded, .key = place->key};

        if (place->use == TRACE_STORE_EVENTS && cursor_settle(&cursor) && cursor.key <= until_ns)
            heap_add(ring, &cursor);
    }
}

/** Folds all events that take effect up to a moment. */
static int events_fold(struct trace_ring *ring, uint64_t until_ns)
{
    int error = 0;

    cursors_begin(ring, until_ns);
    while (ring->cursors && error == 0) {
        struct ring_cursor *first = &ring->cursor[0];

        error = trace_fold_add(&ring->fold, first->record);
        first->place->folded = ++first->slot;
        first->place->key = first->key;
        if (!cursor_settle(first) || first->key > until_ns)
            *first = ring->cursor[--ring->cursors];
        if (ring->cursors)
            heap_sink(ring);
    }
    return error;
}

/** A carry on its way into blocks. */
struct carry_writer {
    struct trace_store *store;
    struct trace_block_header *block; /* being filled; NULL: none */
    uint32_t number, sequence;
    size_t whole_bytes, done_bytes, piece_bytes;
    int error;
};

/** Makes the block count, its last word last. */
static void piece_finish(struct carry_writer *writer)
{
    struct trace_block_header *block = writer->block;
    bool last = writer->done_bytes == writer->whole_bytes;
    struct trace_record *record = (struct trace_record *)(void *)(block + 1);

    *record = (struct trace_record){.kind = last ? TRACE_EVENT_CHECKPOINT : TRACE_EVENT_CARRY,
                                    .value = writer->number,
                                    .address = writer->done_bytes - writer->piece_bytes,
                                    .size = writer->piece_bytes,
                                    .site = writer->whole_bytes};
    block->sequence = writer->sequence;
    block->carry = writer->number;
    block->count = 1 + (uint32_t)((writer->piece_bytes + TRACE_SLOT_BYTES - 1) / TRACE_SLOT_BYTES);
    block->checksum = crc32c(block + 1, (size_t)block->count * TRACE_SLOT_BYTES);
    __atomic_store_n(&block->magic, TRACE_BLOCK_MAGIC, __ATOMIC_RELEASE);
    writer->block = NULL;
    writer->piece_bytes = 0;
}

static void carry_put(void *context, const void *data, size_t bytes)
{
    struct carry_writer *writer = context;

    while (bytes && !writer->error) {
        size_t part = PIECE_BYTES - writer->piece_bytes;
        void *block;

        if (!writer->block) {
            writer->error = trace_store_take_locked(writer->store, TRACE_STORE_CARRY, &block,
                                                    &writer->sequence);
            if (writer->error)
                return;
            writer->block = block;
        }
        part = part < bytes ? part : bytes;
        memcpy((char *)(writer->block + 2) + writer->piece_bytes, data, part);
        writer->piece_bytes += part;
        writer->done_bytes += part;
        data = (const char *)data + part;
        bytes -= part;
        if (writer->piece_bytes == PIECE_BYTES || writer->done_bytes == writer->whole_bytes)
            piece_finish(writer);
    }
}

/** What the carry stands for in blocks that stay. */
static size_t progress_list(struct trace_ring *ring)
{
    const struct trace_store *store = ring->store;
    size_t rows = 0;

    for (uint64_t i = 1; i < store->blocks; i++)
        if (store->at[i].use == TRACE_STORE_EVENTS && !store->at[i].ending)
            ring->progress[rows++] = (struct trace_fold_progress){store->at[i].sequence,
                                                                  store->at[i].folded};
    return rows;
}

static int carry_write(struct trace_ring *ring)
{
    size_t rows = progress_list(ring);
    struct carry_writer writer = {.store = ring->store,
                                  .number = ring->number + 1,
                                  .whole_bytes = trace_fold_bytes(&ring->fold, rows)};
    uint64_t blocks = (writer.whole_bytes + PIECE_BYTES - 1) / PIECE_BYTES;

    if (blocks > trace_store_left_locked(ring->store))
        return ring->store->limit_error;
    trace_fold_write(&ring->fold, ring->store->sequence, ring->progress, rows, carry_put, &writer);
    if (writer.error)
        return writer.error == -EAGAIN ? ring->store->limit_error : writer.error;
    ring->number++;
    ring->carry_blocks = blocks;
    return 0;
}

/** Gives back the blocks that the new carry includes, and the previous carry. */
static void blocks_return(struct trace_ring *ring)
{
    struct trace_store *store = ring->store;

    for (uint32_t i = 1; i < store->blocks; i++) {
        const struct trace_store_place *place = &store->at[i];
        bool old_carry = place->use == TRACE_STORE_CARRY && place->block->carry != ring->number;

        if (old_carry || (place->use == TRACE_STORE_EVENTS && place->ending))
            trace_store_return_locked(store, i);
    }
}

static int rotate_locked(struct trace_ring *ring)
{
    uint64_t until_ns;
    int error;

    if (!batch_choose(ring, &until_ns))
        return -EAGAIN;
    error = events_fold(ring, until_ns);
    if (error == 0)
        error = carry_write(ring);
    if (error == 0)
        blocks_return(ring);
    return error;
}

/**
 * Room to reserve for writing the next carry. The size of the first one is unknown; a later one
 * grows by the blocks that became live, or were live at the peak, in a batch.
 */
static uint64_t reserve_blocks(const struct trace_ring *ring)
{
    uint64_t batch = batch_blocks(ring);
    uint64_t carry = ring->number ? ring->carry_blocks + batch
                                  : ring->store->most_blocks * FIRST_CARRY_PERCENT / 100;

    return carry + batch + CARRY_MORE_BLOCKS + DEFINITION_BLOCKS;
}

int trace_ring_block(struct trace_ring *ring, void **ret_block, uint32_t *ret_sequence)
{
    struct trace_store *store = ring->store;
    int error;

    pthread_mutex_lock(&store->lock);
    error = atomic_load_explicit(&store->error, memory_order_relaxed);
    while (error == 0 && trace_store_left_locked(store) <= reserve_blocks(ring))
        error = rotate_locked(ring);
    /* All blocks of events are being filled: using the reserve is better than keeping it. */
    if (error == -EAGAIN && trace_store_left_locked(store) > DEFINITION_BLOCKS)
        error = 0;
    if (error == 0)
        error = trace_store_take_locked(store, TRACE_STORE_EVENTS, ret_block, ret_sequence);
    if (error < 0 && error != -EAGAIN)
        atomic_store_explicit(&store->error, error, memory_order_relaxed);
    pthread_mutex_unlock(&store->lock);
    return error;
}

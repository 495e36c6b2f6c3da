/* SPDX-License-Identifier: MIT */
/*
 * The first pass over a trace: one block in memory at a time.
 *
 * A block is sealed (count and checksum, both verified), open (read up to its first unwritten slot;
 * the rest is lost), unused (all zero), or cut by the end of the file. Strings and sites are
 * numbered without gaps in file order, so a definition with another number is damage.
 */
#include "cupti/read/trace_reader_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/crc32c.h"

#define TEXTS_MOST_BYTES (UINT64_C(64) << 20)
#define ROWS_MOST        (UINT32_C(1) << 20)

/** One block as read. */
struct block {
    uint64_t offset;   /* in the file */
    uint32_t position; /* in the file, in blocks */
    uint32_t slots;    /* slots present */
    uint32_t folded;   /* slots that the carry includes */
    bool cut;          /* the file ends in it */
    _Alignas(8) struct trace_block_header header;
    struct trace_record slot[TRACE_BLOCK_SLOTS];
};

struct scan {
    struct trace_reader *reader;
    struct block *block;
    char *why;
    size_t why_bytes;
};

#define FAIL(scan, error, offset, ...)                                                             \
    trace_fail(error, offset, (scan)->why, (scan)->why_bytes, __VA_ARGS__)

static bool is_zero(const void *data, size_t bytes)
{
    const unsigned char *byte = data;

    return !bytes || (!byte[0] && !memcmp(byte, byte + 1, bytes - 1));
}

/** Makes room for one more row of a growing array; the array itself may move. */
static void *rows_room(void *rows, size_t used, size_t *room, size_t row_bytes)
{
    size_t more = *room ? *room * 2 : 64;
    void *grown;

    if (used < *room)
        return rows;
    grown = realloc(rows, more * row_bytes);
    if (grown)
        *room = more;
    return grown;
}

static uint64_t slot_offset(const struct block *block, uint32_t slot)
{
    return block->offset + (uint64_t)(slot + 1) * TRACE_SLOT_BYTES;
}

static int string_add(struct scan *scan, const struct trace_record *record, uint64_t offset)
{
    struct trace_reader *reader = scan->reader;
    struct trace_text *text;

    if (record->value != reader->texts + 1 || reader->texts == ROWS_MOST ||
        reader->text_bytes + record->size > TEXTS_MOST_BYTES)
        return FAIL(scan, -EBADMSG, offset, "damaged: text %llu after text %zu",
                    (unsigned long long)record->value, reader->texts);
    text = rows_room(reader->text, reader->texts, &reader->texts_room, sizeof *text);
    if (!text)
        return FAIL(scan, -ENOMEM, offset, "out of memory");
    reader->text = text;
    text += reader->texts;
    *text = (struct trace_text){.text = strndup((const char *)(record + 1), record->size)};
    if (!text->text)
        return FAIL(scan, -ENOMEM, offset, "out of memory");
    reader->texts++;
    reader->text_bytes += record->size;
    return 0;
}

static int module_add(struct scan *scan, const struct trace_record *record, uint64_t offset)
{
    struct trace_reader *reader = scan->reader;

    if (!record->value || record->value > reader->texts || record->site > reader->texts)
        return FAIL(scan, -EBADMSG, offset, "damaged: module with unknown text");
    reader->text[record->value - 1].build_id = (uint32_t)record->site;
    return 0;
}

static int site_add(struct scan *scan, const struct trace_record *record, uint64_t offset)
{
    struct trace_reader *reader = scan->reader;
    struct trace_place *place;
    bool is_python = record->kind == TRACE_EVENT_PYTHON;

    if (record->value != reader->places + 1 || reader->places == ROWS_MOST)
        return FAIL(scan, -EBADMSG, offset, "damaged: site %llu after site %zu",
                    (unsigned long long)record->value, reader->places);
    if (record->size > reader->texts || (is_python && record->stream > reader->texts))
        return FAIL(scan, -EBADMSG, offset, "damaged: site with unknown module");
    /* Accepts only frames that stand before it, so a walk from frame to frame ends. */
    if (record->site > reader->places)
        return FAIL(scan, -EBADMSG, offset, "damaged: site %llu is called by site %llu",
                    (unsigned long long)record->value, (unsigned long long)record->site);
    place = rows_room(reader->place, reader->places, &reader->places_room, sizeof *place);
    if (!place)
        return FAIL(scan, -ENOMEM, offset, "out of memory");
    reader->place = place;
    place[reader->places++] = (struct trace_place){.offset = record->address,
                                                   .module = (uint32_t)record->size,
                                                   .function = is_python ? record->stream : 0,
                                                   .caller = (uint32_t)record->site,
                                                   .is_python = is_python};
    return 0;
}

static int definition_add(struct scan *scan, const struct trace_record *record, uint64_t offset)
{
    switch (record->kind) {
    case TRACE_EVENT_STRING: return string_add(scan, record, offset);
    case TRACE_EVENT_MODULE: return module_add(scan, record, offset);
    default: return site_add(scan, record, offset);
    }
}

/** Notes an event; the first of a block puts the block on the list. */
static int event_add(struct scan *scan, const struct trace_record *record, uint32_t slot,
                     bool *listed)
{
    struct trace_reader *reader = scan->reader;
    struct trace_block_entry *entry;

    if (trace_record_is_late(reader, record))
        return 0;
    reader->summary.events++;
    if (record->time_ns > reader->summary.last_ns)
        reader->summary.last_ns = record->time_ns;
    reader->ends |= record->kind == TRACE_EVENT_END;
    if (*listed)
        return 0;
    entry = rows_room(reader->entry, reader->entries, &reader->entries_room, sizeof *entry);
    if (!entry)
        return FAIL(scan, -ENOMEM, slot_offset(scan->block, slot), "out of memory");
    reader->entry = entry;
    entry[reader->entries++] = (struct trace_block_entry){
        .order_ns = trace_record_order_in(reader, record),
        .block = scan->block->position,
        .sequence = scan->block->header.sequence,
        .first_slot = (uint16_t)slot};
    *listed = true;
    return 0;
}

/** Counts the written slots behind the first gap of a block that is not sealed. */
static uint32_t slots_behind_gap(const struct block *block, uint32_t from)
{
    uint32_t used = 0;

    for (uint32_t slot = from; slot < block->slots; slot++)
        used += !is_zero(&block->slot[slot], TRACE_SLOT_BYTES);
    return used;
}

/** Reads one record. `ret_slots` is its size; 0 means that the block ends here. */
static int record_scan(struct scan *scan, uint32_t slot, uint32_t end, bool sealed, bool *listed,
                       uint32_t *ret_slots)
{
    const struct block *block = scan->block;
    const struct trace_record *record = &block->slot[slot];
    struct trace_summary *summary = &scan->reader->summary;
    uint64_t offset = slot_offset(block, slot);

    *ret_slots = 1;
    if (!record->kind) {
        uint32_t behind = sealed ? 1 : slots_behind_gap(block, slot);

        summary->lost_records += behind;
        *ret_slots = sealed;
        return 0;
    }
    if (!trace_record_is_known(record)) {
        summary->unknown_records++;
        return 0;
    }
    if (!trace_record_slots(record))
        return FAIL(scan, -EBADMSG, offset, "damaged: record of %llu bytes",
                    (unsigned long long)record->size);
    if (!trace_kind_is_definition(record->kind) && slot < block->folded)
        return 0;
    if (!trace_kind_is_definition(record->kind))
        return event_add(scan, record, slot, listed);
    *ret_slots = trace_record_slots(record);
    if (!*ret_slots || (slot + *ret_slots > end && !block->cut))
        return FAIL(scan, -EBADMSG, offset, "damaged: text of %llu bytes",
                    (unsigned long long)record->size);
    if (slot + *ret_slots > end) {
        summary->lost_records++;
        *ret_slots = 0;
        return 0;
    }
    return definition_add(scan, record, offset);
}

/** All records of a block's first `end` slots. */
static int records_scan(struct scan *scan, uint32_t end, bool sealed)
{
    struct trace_reader *reader = scan->reader;
    bool listed = false;
    uint32_t slot = 0, step;

    for (; slot < end; slot += step) {
        int error = record_scan(scan, slot, end, sealed, &listed, &step);

        if (error < 0)
            return error;
        if (!step)
            break;
    }
    if (listed)
        reader->entry[reader->entries - 1].slots = (uint16_t)slot;
    return 0;
}

static int sealed_scan(struct scan *scan)
{
    const struct block *block = scan->block;
    uint32_t count = block->header.count;

    if (count > TRACE_BLOCK_SLOTS)
        return FAIL(scan, -EBADMSG, block->offset, "damaged: %u slots in block %u", count,
                    block->position);
    if (count <= block->slots) {
        if (block->header.checksum != crc32c(block->slot, (size_t)count * TRACE_SLOT_BYTES))
            return FAIL(scan, -EBADMSG, block->offset, "damaged: checksum of block %u",
                        block->position);
        return records_scan(scan, count, true);
    }
    scan->reader->summary.lost_records += count - block->slots;
    return records_scan(scan, block->slots, true);
}

static int block_scan(struct scan *scan)
{
    const struct block *block = scan->block;
    struct trace_summary *summary = &scan->reader->summary;

    if (scan->reader->version == TRACE_VERSION_LIMITED && !block->header.magic)
        return 0; /* given back, or on its way into use */
    /* Its owner died before it wrote the magic: last in the header, but before any record. */
    if (!block->header.magic && is_zero(block->slot, (size_t)block->slots * TRACE_SLOT_BYTES) &&
        (!block->header.sequence || block->header.sequence == block->position))
        return 0;
    if (block->header.magic != TRACE_BLOCK_MAGIC)
        return FAIL(scan, -EBADMSG, block->offset, "damaged: no block where block %u belongs",
                    block->position);
    if (block->header.sequence != block->position && scan->reader->version != TRACE_VERSION_LIMITED)
        return FAIL(scan, -EBADMSG, block->offset, "damaged: block %u where block %u belongs",
                    block->header.sequence, block->position);
    summary->blocks++;
    if (block->cut)
        summary->lost_blocks++;
    if (block->header.count)
        return sealed_scan(scan);
    summary->open_blocks++;
    return records_scan(scan, block->slots, false);
}

/** Reads the block at a position: 1, 0 at the end of the file, or negative errno. */
static int block_read(struct scan *scan, uint32_t position)
{
    struct block *block = scan->block;
    uint64_t offset = (uint64_t)position * TRACE_BLOCK_BYTES;
    int64_t got = trace_read_at(scan->reader, &block->header, TRACE_BLOCK_BYTES, offset);

    if (got < 0)
        return FAIL(scan, (int)got, offset, "%s", strerror((int)-got));
    if (got == 0)
        return 0;
    block->offset = offset;
    block->position = position;
    block->folded = 0;
    block->cut = got < TRACE_BLOCK_BYTES;
    block->slots = got < TRACE_SLOT_BYTES ? 0 : (uint32_t)(got / TRACE_SLOT_BYTES) - 1;
    if (block->cut)
        scan->reader->summary.lost_bytes += (uint64_t)(TRACE_BLOCK_BYTES - got);
    if (got < TRACE_SLOT_BYTES) { /* not even its header */
        scan->reader->summary.lost_blocks++;
        return 0;
    }
    return 1;
}

/** All blocks in the order of the file. */
static int blocks_scan(struct scan *scan)
{
    int got = 1;

    for (uint64_t position = 1; got > 0; position++) {
        position = trace_block_next(scan->reader, position);
        if (position > UINT32_MAX)
            return 0;
        got = block_read(scan, (uint32_t)position);
        if (got <= 0)
            break;
        got = block_scan(scan);
        got = got < 0 ? got : 1;
    }
    return got;
}

/** Lists the blocks of a file with reused blocks, in the order of their use. */
static int places_scan(struct scan *scan)
{
    struct trace_block_place *places = NULL;
    size_t count = 0;
    int got = trace_carry_scan(scan->reader, &places, &count, scan->why, scan->why_bytes);

    for (size_t i = 0; i < count && got == 0; i++) {
        if (places[i].carry)
            continue;
        got = block_read(scan, places[i].position);
        if (got <= 0)
            continue;
        scan->block->folded = places[i].folded;
        got = block_scan(scan);
    }
    free(places);
    return got;
}

int trace_scan(struct trace_reader *reader, char *ret_why, size_t why_bytes)
{
    struct scan scan = {reader, malloc(sizeof *scan.block), ret_why, why_bytes};
    struct trace_summary *summary = &reader->summary;
    int error;

    static_assert(offsetof(struct block, slot) - offsetof(struct block, header) == TRACE_SLOT_BYTES,
                  "header and slots are read at once");
    if (!scan.block)
        return FAIL(&scan, -ENOMEM, 0, "out of memory");
    error = reader->version == TRACE_VERSION_LIMITED ? places_scan(&scan) : blocks_scan(&scan);
    free(scan.block);
    summary->strings = reader->texts;
    summary->sites = reader->places;
    summary->complete = summary->closed && reader->ends && !summary->dropped_records &&
                        !summary->lost_records && !summary->lost_blocks && !summary->stop_errno;
    return error;
}

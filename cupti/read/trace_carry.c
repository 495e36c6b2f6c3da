/* SPDX-License-Identifier: MIT */
/*
 * Finds the valid carry in a trace with reused blocks.
 *
 * A carry is in pieces, one to a block. The highest-numbered carry with all pieces is valid; a
 * higher one was being written when the process died. The block headers are read first: definitions
 * must be read in the order in which blocks were used, and events only where the carry does not
 * include them.
 */
#include "cupti/read/trace_carry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/crc32c.h"
#include "cupti/read/trace_reader_internal.h"

/** One block of a carry. */
struct piece {
    uint32_t number, position;
    uint64_t offset, bytes, whole_bytes;
    bool last;
};

struct carry_scan {
    struct trace_reader *reader;
    struct trace_block_place *place;
    size_t places, places_room;
    struct piece *piece;
    size_t pieces;
    char *why;
    size_t why_bytes;
};

#define FAIL(scan, error, offset, ...)                                                             \
    trace_fail(error, offset, (scan)->why, (scan)->why_bytes, __VA_ARGS__)

static int compare_place(const void *a, const void *b)
{
    const struct trace_block_place *left = a, *right = b;

    return (left->sequence > right->sequence) - (left->sequence < right->sequence);
}

/** Highest number first, its pieces in order. */
static int compare_piece(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;

    if (left->number != right->number)
        return left->number > right->number ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

/** Lists blocks in use, and damage where a block should be. */
static int places_list(struct carry_scan *scan)
{
    uint64_t blocks = scan->reader->summary.file_bytes / TRACE_BLOCK_BYTES + 1;
    struct trace_block_header header;

    for (uint64_t i = trace_block_next(scan->reader, 1); i < blocks && i < UINT32_MAX;
         i = trace_block_next(scan->reader, i + 1)) {
        uint64_t offset = i * TRACE_BLOCK_BYTES;
        int64_t got = trace_read_at(scan->reader, &header, sizeof header, offset);

        if (got < 0)
            return FAIL(scan, (int)got, offset, "%s", strerror((int)-got));
        if (got < (int64_t)sizeof header)
            break;
        if (!header.magic)
            continue;
        if (header.magic != TRACE_BLOCK_MAGIC || !header.sequence)
            return FAIL(scan, -EBADMSG, offset, "damaged: no block where one belongs");
        if (scan->places == scan->places_room) {
            size_t room = scan->places_room ? 2 * scan->places_room : 64;
            struct trace_block_place *grown = reallocarray(scan->place, room, sizeof *grown);

            if (!grown)
                return FAIL(scan, -ENOMEM, offset, "out of memory");
            scan->place = grown;
            scan->places_room = room;
        }
        scan->place[scan->places++] = (struct trace_block_place){
            .sequence = header.sequence, .position = (uint32_t)i, .carry = header.carry};
    }
    if (scan->places)
        qsort(scan->place, scan->places, sizeof *scan->place, compare_place);
    for (size_t i = 1; i < scan->places; i++)
        if (scan->place[i].sequence == scan->place[i - 1].sequence)
            return FAIL(scan, -EBADMSG, (uint64_t)scan->place[i].position * TRACE_BLOCK_BYTES,
                        "damaged: block %u twice", scan->place[i].sequence);
    return 0;
}

/** Reads a block that may be a piece of a carry. 1: it is one, 0: the file ends in it. */
static int piece_read(struct carry_scan *scan, const struct trace_block_place *place,
                      unsigned char *block, struct piece *ret_piece)
{
    const struct trace_block_header *header = (const void *)block;
    const struct trace_record *record = (const void *)(header + 1);
    uint64_t offset = (uint64_t)place->position * TRACE_BLOCK_BYTES;
    int64_t got = trace_read_at(scan->reader, block, TRACE_BLOCK_BYTES, offset);

    if (got < 0)
        return FAIL(scan, (int)got, offset, "%s", strerror((int)-got));
    if (got < TRACE_BLOCK_BYTES)
        return 0;
    if (!header->count || header->count > TRACE_BLOCK_SLOTS ||
        header->checksum != crc32c(record, (size_t)header->count * TRACE_SLOT_BYTES))
        return FAIL(scan, -EBADMSG, offset, "damaged: checksum of block %u", place->position);
    if ((record->kind != TRACE_EVENT_CARRY && record->kind != TRACE_EVENT_CHECKPOINT) ||
        record->value != place->carry ||
        record->size > (uint64_t)(header->count - 1) * TRACE_SLOT_BYTES)
        return FAIL(scan, -EBADMSG, offset, "damaged: piece of carry %u", place->carry);
    *ret_piece = (struct piece){.number = place->carry,
                                .position = place->position,
                                .offset = record->address,
                                .bytes = record->size,
                                .whole_bytes = record->site,
                                .last = record->kind == TRACE_EVENT_CHECKPOINT};
    return 1;
}

static int pieces_list(struct carry_scan *scan, unsigned char *block)
{
    scan->piece = malloc((scan->places + 1) * sizeof *scan->piece);
    if (!scan->piece)
        return FAIL(scan, -ENOMEM, 0, "out of memory");
    for (size_t i = 0; i < scan->places; i++) {
        int got = scan->place[i].carry
                      ? piece_read(scan, &scan->place[i], block, &scan->piece[scan->pieces])
                      : 0;

        if (got < 0)
            return got;
        scan->pieces += (size_t)got;
    }
    if (scan->pieces)
        qsort(scan->piece, scan->pieces, sizeof *scan->piece, compare_piece);
    return 0;
}

/** Counts the pieces from `first` that make a complete carry; 0: they do not. */
static size_t whole_carry(const struct carry_scan *scan, size_t first)
{
    uint64_t bytes = 0;

    for (size_t i = first; i < scan->pieces; i++) {
        const struct piece *piece = &scan->piece[i];

        if (piece->number != scan->piece[first].number || piece->offset != bytes ||
            piece->whole_bytes != scan->piece[first].whole_bytes)
            return 0;
        bytes += piece->bytes;
        if (piece->last)
            return bytes == piece->whole_bytes ? i + 1 - first : 0;
    }
    return 0;
}

/** Splits the bytes into sections. */
static bool sections_find(struct trace_carry *carry, uint64_t bytes)
{
    uint64_t at = sizeof *carry->header;

    static_assert(sizeof(struct tally) % 8 == 0 && sizeof(struct replay_block) % 8 == 0,
                  "rows are aligned");
    if (bytes < at)
        return false;
    carry->header = (const void *)carry->bytes;
    for (int i = 0; i < TRACE_CARRY_SECTION_COUNT; i++) {
        uint64_t row_bytes = trace_carry_row_bytes(i);

        if (carry->header->rows[i] > (bytes - at) / row_bytes)
            return false;
        carry->rows[i] = carry->bytes + at;
        at += carry->header->rows[i] * row_bytes;
    }
    return at == bytes;
}

static int carry_assemble(struct carry_scan *scan, size_t first, size_t pieces)
{
    uint64_t bytes = scan->piece[first].whole_bytes;
    struct trace_carry *carry = calloc(1, sizeof *carry);
    uint64_t offset = (uint64_t)scan->piece[first].position * TRACE_BLOCK_BYTES;

    if (carry)
        carry->bytes = malloc(bytes + 1);
    if (!carry || !carry->bytes) {
        free(carry);
        return FAIL(scan, -ENOMEM, offset, "out of memory");
    }
    scan->reader->carry = carry;
    for (size_t i = first; i < first + pieces; i++) {
        const struct piece *piece = &scan->piece[i];

        offset = (uint64_t)piece->position * TRACE_BLOCK_BYTES;
        if (trace_read_at(scan->reader, carry->bytes + piece->offset, piece->bytes,
                          offset + 2 * TRACE_SLOT_BYTES) != (int64_t)piece->bytes)
            return FAIL(scan, -EIO, offset, "the file changed while it was read");
    }
    if (!sections_find(carry, bytes))
        return FAIL(scan, -EBADMSG, offset, "damaged: sections of carry %u",
                    scan->piece[first].number);
    return 0;
}

static int carry_find(struct carry_scan *scan)
{
    struct trace_summary *summary = &scan->reader->summary;

    for (size_t i = 0, pieces; i < scan->pieces; i++) {
        if (i && scan->piece[i].number == scan->piece[i - 1].number)
            continue;
        pieces = whole_carry(scan, i);
        if (pieces)
            return carry_assemble(scan, i, pieces);
        summary->torn_carries++;
    }
    return 0;
}

/** What the carry says of each block. */
static int progress_apply(struct carry_scan *scan)
{
    const struct trace_carry *carry = scan->reader->carry;
    const struct trace_fold_progress *row = carry->rows[TRACE_CARRY_PROGRESS];
    size_t rows = carry->header->rows[TRACE_CARRY_PROGRESS];

    for (size_t i = 0; i < scan->places; i++)
        if (!scan->place[i].carry && scan->place[i].sequence < carry->header->next_sequence)
            scan->place[i].folded = TRACE_BLOCK_SLOTS;
    for (size_t i = 0; i < rows; i++) {
        const struct trace_block_place key = {.sequence = row[i].sequence};
        struct trace_block_place *place = scan->places ? bsearch(&key, scan->place, scan->places,
                                                                 sizeof *scan->place, compare_place)
                                                       : NULL;

        if (place)
            place->folded = row[i].slots;
    }
    scan->reader->summary.folded_records = carry->header->folded;
    scan->reader->summary.forgotten_records = carry->header->forgotten;
    scan->reader->summary.kept_from_ns = carry->header->cut_ns;
    return 0;
}

int trace_carry_scan(struct trace_reader *reader, struct trace_block_place **ret_places,
                     size_t *ret_count, char *ret_why, size_t why_bytes)
{
    struct carry_scan scan = {.reader = reader, .why = ret_why, .why_bytes = why_bytes};
    unsigned char *block = aligned_alloc(64, TRACE_BLOCK_BYTES);
    int error = block ? places_list(&scan) : FAIL(&scan, -ENOMEM, 0, "out of memory");

    if (error == 0)
        error = pieces_list(&scan, block);
    if (error == 0)
        error = carry_find(&scan);
    if (error == 0 && reader->carry)
        error = progress_apply(&scan);
    free(block);
    free(scan.piece);
    if (error < 0) {
        free(scan.place);
        return error;
    }
    *ret_places = scan.place;
    *ret_count = scan.places;
    return 0;
}

void trace_carry_free(struct trace_carry *carry)
{
    if (carry)
        free(carry->bytes);
    free(carry);
}

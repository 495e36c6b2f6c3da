/* SPDX-License-Identifier: MIT */
/*
 * A string is replaced within its slots, so nothing in the file moves.
 */
#include "tools/trace/anonymize.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/crc32c.h"
#include "cupti/read/trace_carry.h"
#include "tools/base/disguise.h"

#define TEXT_MOST_BYTES 4096

struct anonymize {
    uint64_t texts;
    bool *stays; /* by id */
};

static void text_keep(struct anonymize *anonymize, uint64_t id)
{
    if (id <= anonymize->texts)
        anonymize->stays[id] = true;
}

static void record_keep(struct anonymize *anonymize, const struct trace_record *record)
{
    if (record->kind != TRACE_EVENT_CUPTI_STATE) /* there it is a path */
        text_keep(anonymize, record->api);
    if (record->kind == TRACE_EVENT_PROCESS)
        text_keep(anonymize, record->address);
    if (record->kind == TRACE_EVENT_DEVICE || record->kind == TRACE_EVENT_OPTIONS)
        text_keep(anonymize, record->value);
}

/** Texts that only folded events name. */
static void carry_keep(struct anonymize *anonymize, const struct trace_carry *carry)
{
    const struct trace_record *record = carry->rows[TRACE_CARRY_RECORDS];
    const struct tally *api = carry->rows[TRACE_CARRY_APIS];
    const struct replay_block *block = carry->rows[TRACE_CARRY_LIVE];

    for (uint64_t i = 0; i < carry->header->rows[TRACE_CARRY_RECORDS]; i++)
        record_keep(anonymize, &record[i]);
    for (uint64_t i = 0; i < carry->header->rows[TRACE_CARRY_APIS]; i++)
        text_keep(anonymize, api[i].key);
    for (uint64_t i = 0; i < carry->header->rows[TRACE_CARRY_LIVE]; i++)
        text_keep(anonymize, block[i].api);
}

int anonymize_create(struct trace_reader *reader, struct anonymize **ret_anonymize, char *ret_why,
                     size_t why_bytes)
{
    struct anonymize *anonymize = calloc(1, sizeof *anonymize);
    struct trace_record record;
    int error = -ENOMEM;

    snprintf(ret_why, why_bytes, "out of memory");
    if (!anonymize)
        return error;
    anonymize->texts = trace_reader_summary(reader)->strings;
    anonymize->stays = calloc(anonymize->texts + 1, sizeof *anonymize->stays);
    if (!anonymize->stays || trace_reader_rewind(reader, TRACE_ORDER_FILE) < 0)
        goto destroy;
    if (trace_reader_carry(reader))
        carry_keep(anonymize, trace_reader_carry(reader));
    while ((error = trace_reader_next(reader, &record, ret_why, why_bytes)) > 0)
        record_keep(anonymize, &record);
    if (error < 0)
        goto destroy;
    *ret_anonymize = anonymize;
    return 0;
destroy:
    anonymize_destroy(anonymize);
    return error;
}

/** A string's slots, all inside the block. */
static void text_replace(struct trace_record *record, size_t slots)
{
    char *text = (char *)(record + 1);
    char hash[DISGUISE_TEXT_BYTES];

    disguise_hash(text, record->size, hash);
    memset(text, 0, slots * TRACE_SLOT_BYTES);
    record->size = (uint64_t)snprintf(text, slots * TRACE_SLOT_BYTES, "%s", hash);
    record->size += (slots - 1) * TRACE_SLOT_BYTES; /* zeros, for it must take the same slots */
}

void anonymize_file_header(unsigned char *block, size_t bytes)
{
    struct trace_file_header *header = (void *)block;

    if (bytes >= sizeof *header)
        header->origin = 0;
}

void anonymize_block(const struct anonymize *anonymize, unsigned char *block, size_t bytes)
{
    struct trace_block_header *header = (void *)block;
    struct trace_record *slot = (void *)(header + 1);
    size_t slots = bytes < TRACE_SLOT_BYTES ? 0 : bytes / TRACE_SLOT_BYTES - 1;
    size_t end = header->count && header->count < slots ? header->count : slots;

    /* A block without magic is unused, or was given back and may still hold old slots. */
    if (slots && header->magic != TRACE_BLOCK_MAGIC)
        memset(slot, 0, slots * TRACE_SLOT_BYTES);
    if (!slots || header->magic != TRACE_BLOCK_MAGIC || header->carry)
        return;
    for (size_t i = 0; i < end;) {
        size_t text_slots = slot[i].kind == TRACE_EVENT_STRING && slot[i].size <= TEXT_MOST_BYTES
                                ? (slot[i].size + TRACE_SLOT_BYTES - 1) / TRACE_SLOT_BYTES
                                : 0;
        bool whole = i + text_slots < end;

        if (text_slots && whole &&
            (slot[i].value > anonymize->texts || !anonymize->stays[slot[i].value]))
            text_replace(&slot[i], text_slots);
        if (text_slots && !whole) /* truncated: not read */
            memset(&slot[i + 1], 0, (end - i - 1) * TRACE_SLOT_BYTES);
        i += 1 + text_slots;
    }
    if (header->count && header->count <= slots)
        header->checksum = crc32c(slot, (size_t)header->count * TRACE_SLOT_BYTES);
}

void anonymize_destroy(struct anonymize *anonymize)
{
    if (!anonymize)
        return;
    free(anonymize->stays);
    free(anonymize);
}

/* SPDX-License-Identifier: MIT */
/*
 * Strings are not copied: the table points into the mapped file. A string and its record never
 * straddle blocks.
 */
#include "cupti/write/trace_intern.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cupti/stack/module_find.h"
#include "cupti/base/pages.h"
#include "cupti/base/safe_text.h"

#define TEXT_MOST_BYTES  4096
#define TEXT_FIRST_BITS  10
#define MODULES          4096
#define TEXT_SLOTS(size) (((size) + TRACE_SLOT_BYTES - 1) / TRACE_SLOT_BYTES)

struct intern_text {
    uint64_t hash;
    const char *text;
    uint32_t bytes;
    uint32_t id; /* 0: free entry */
};

struct intern_module {
    uint64_t load_address;
    uint32_t path;
    uint32_t build_id;
};

int trace_intern_init(struct trace_intern *ret_intern, struct trace_store *store, uint32_t tid)
{
    memset(ret_intern, 0, sizeof *ret_intern);
    ret_intern->store = store;
    ret_intern->lane.tid = tid;
    ret_intern->text_bits = TEXT_FIRST_BITS;
    ret_intern->text = pages_map(sizeof *ret_intern->text << TEXT_FIRST_BITS);
    ret_intern->module = pages_map(sizeof *ret_intern->module * MODULES);
    ret_intern->module_of = pages_map(sizeof *ret_intern->module_of * (SITE_TABLE_MOST + 1));
    if (!ret_intern->module_of || !ret_intern->text || !ret_intern->module ||
        site_table_init(&ret_intern->table) < 0 || site_table_init(&ret_intern->stacks) < 0)
        return -ENOMEM;
    pthread_mutex_init(&ret_intern->lock, NULL);
    return 0;
}

/** Makes room for a definition, in a new block if the old one is full. */
static struct trace_record *reserve_locked(struct trace_intern *intern, uint32_t slots)
{
    struct trace_record *slot = trace_lane_reserve(&intern->lane, slots);
    uint32_t sequence;
    void *block;

    if (slot || intern->closed)
        return slot;
    if (trace_store_block(intern->store, TRACE_STORE_DEFINITIONS, &block, &sequence) < 0)
        return NULL;
    trace_lane_seal(&intern->lane);
    trace_lane_start(&intern->lane, block, sequence);
    return trace_lane_reserve(&intern->lane, slots);
}

static bool define_locked(struct trace_intern *intern, const struct trace_record *record,
                          uint64_t time_ns)
{
    struct trace_record *slot = intern->closed ? NULL : reserve_locked(intern, 1);

    if (slot)
        trace_record_publish(slot, record, intern->lane.tid, time_ns);
    return slot;
}

static uint64_t text_hash(const char *text, size_t bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/** Returns the entry of a string, or the free one where it belongs. */
static struct intern_text *text_place(struct intern_text *table, uint32_t bits, uint64_t hash,
                                      const char *text, size_t bytes)
{
    uint32_t mask = (UINT32_C(1) << bits) - 1, i = (uint32_t)hash & mask;

    while (table[i].id && !(table[i].hash == hash && table[i].bytes == bytes &&
                            !memcmp(table[i].text, text, bytes)))
        i = (i + 1) & mask;
    return &table[i];
}

static int texts_grow_locked(struct trace_intern *intern)
{
    uint32_t bits = intern->text_bits + 1;
    struct intern_text *table = pages_map(sizeof *table << bits);

    if (!table)
        return -ENOMEM;
    for (uint32_t i = 0; i < UINT32_C(1) << intern->text_bits; i++) {
        const struct intern_text *old = &intern->text[i];

        if (old->id)
            *text_place(table, bits, old->hash, old->text, old->bytes) = *old;
    }
    munmap(intern->text, sizeof *table << intern->text_bits);
    intern->text = table;
    intern->text_bits = bits;
    return 0;
}

static uint32_t text_add_locked(struct trace_intern *intern, struct intern_text *place,
                                uint64_t hash, const char *text, size_t bytes, uint64_t time_ns)
{
    struct trace_record *slot = intern->closed
                                    ? NULL
                                    : reserve_locked(intern, 1 + (uint32_t)TEXT_SLOTS(bytes));
    struct trace_record record = {
        .kind = TRACE_EVENT_STRING, .size = bytes, .value = intern->texts + 1};

    if (!slot)
        return 0;
    memcpy(slot + 1, text, bytes);
    trace_record_publish(slot, &record, intern->lane.tid, time_ns);
    *place = (struct intern_text){.hash = hash,
                                  .text = (const char *)(slot + 1),
                                  .bytes = (uint32_t)bytes,
                                  .id = ++intern->texts};
    return place->id;
}

static uint32_t string_locked(struct trace_intern *intern, const char *text, uint64_t time_ns)
{
    size_t bytes = safe_text_cut(text, TEXT_MOST_BYTES);
    uint64_t hash = text_hash(text, bytes);
    struct intern_text *place = text_place(intern->text, intern->text_bits, hash, text, bytes);

    if (place->id)
        return place->id;
    if (intern->texts >= UINT32_C(1) << (intern->text_bits - 1)) {
        if (texts_grow_locked(intern) < 0)
            return 0;
        place = text_place(intern->text, intern->text_bits, hash, text, bytes);
    }
    return text_add_locked(intern, place, hash, text, bytes, time_ns);
}

uint32_t trace_intern_string(struct trace_intern *intern, const char *text, uint64_t time_ns)
{
    uint32_t id;

    pthread_mutex_lock(&intern->lock);
    id = string_locked(intern, text, time_ns);
    pthread_mutex_unlock(&intern->lock);
    return id;
}

/** Returns the string id of a module's path, and writes a new module. 0: cannot. */
static uint32_t module_locked(struct trace_intern *intern, const struct module_place *place,
                              uint64_t time_ns)
{
    uint32_t path = string_locked(intern, place->path, time_ns);
    uint32_t build_id = place->build_id[0] ? string_locked(intern, place->build_id, time_ns) : 0;
    struct trace_record record = {.kind = TRACE_EVENT_MODULE,
                                  .size = place->extent_bytes,
                                  .address = place->load_address,
                                  .value = path,
                                  .site = build_id};
    struct intern_module module = {place->load_address, path, build_id};

    for (uint32_t i = 0; i < intern->modules; i++)
        if (!memcmp(&intern->module[i], &module, sizeof module))
            return path;
    if (!path || intern->modules == MODULES || !define_locked(intern, &record, time_ns))
        return 0;
    intern->module[intern->modules++] = module;
    return path;
}

static uint32_t frame_add_locked(struct trace_intern *intern, const struct trace_record *frame,
                                 struct site_key key, uint64_t time_ns)
{
    struct trace_record record = *frame;

    record.value = intern->sites + 1;
    if (record.value <= SITE_TABLE_MOST)
        intern->module_of[record.value] = (uint32_t)record.size;
    if (intern->table.used == SITE_TABLE_MOST || !define_locked(intern, &record, time_ns))
        return 0;
    site_table_insert(&intern->table, key, ++intern->sites);
    return intern->sites;
}

static uint32_t site_add_locked(struct trace_intern *intern, uint64_t address, uint32_t caller,
                                const struct module_place *place, uint64_t time_ns)
{
    uint32_t module = place ? module_locked(intern, place, time_ns) : 0;
    struct trace_record record = {.kind = TRACE_EVENT_SITE,
                                  .size = module,
                                  .address = module ? address - place->load_address : address,
                                  .site = caller};

    return frame_add_locked(intern, &record, trace_intern_key(address, caller), time_ns);
}

uint32_t trace_intern_site(struct trace_intern *intern, uint64_t address, uint32_t caller,
                           uint64_t time_ns)
{
    struct site_key key = trace_intern_key(address, caller);
    uint32_t id = site_table_find(&intern->table, key);
    struct module_place *place;
    bool placed;

    if (id)
        return id;
    place = pages_map(sizeof *place);
    placed = place && module_find((const void *)(uintptr_t)address, place) == 0;
    pthread_mutex_lock(&intern->lock);
    id = site_table_find(&intern->table, key);
    if (!id)
        id = site_add_locked(intern, address, caller, placed ? place : NULL, time_ns);
    pthread_mutex_unlock(&intern->lock);
    pages_unmap(place, sizeof *place);
    return id;
}

/** Packs two string ids and a line into a number that is no address: its highest bit is set. */
static struct site_key python_key(uint32_t file, uint32_t function, uint32_t line, uint32_t caller)
{
    return (struct site_key){
        UINT64_C(1) << 63 | (uint64_t)file << 43 | (uint64_t)function << 23 | line, caller};
}

#define PYTHON_TEXTS UINT32_C(0xfffff) /* ids that fit the key */
#define PYTHON_LINES UINT32_C(0x7fffff)

uint32_t trace_intern_python(struct trace_intern *intern, const char *file, const char *function,
                             uint32_t line, uint32_t caller, uint64_t time_ns)
{
    struct trace_record record = {.kind = TRACE_EVENT_PYTHON,
                                  .address = line < PYTHON_LINES ? line : PYTHON_LINES,
                                  .site = caller};
    struct site_key key;
    uint32_t id = 0;

    pthread_mutex_lock(&intern->lock);
    record.size = string_locked(intern, file, time_ns);
    record.stream = string_locked(intern, function, time_ns);
    if (record.size && record.size <= PYTHON_TEXTS && record.stream &&
        record.stream <= PYTHON_TEXTS) {
        key = python_key((uint32_t)record.size, record.stream, (uint32_t)record.address, caller);
        id = site_table_find(&intern->table, key);
        if (!id)
            id = frame_add_locked(intern, &record, key, time_ns);
    }
    pthread_mutex_unlock(&intern->lock);
    return id;
}

void trace_intern_close(struct trace_intern *intern)
{
    pthread_mutex_lock(&intern->lock);
    intern->closed = true;
    trace_lane_seal(&intern->lane);
    pthread_mutex_unlock(&intern->lock);
}

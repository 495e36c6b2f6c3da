/* SPDX-License-Identifier: MIT */
/*
 * Set-up and tear-down of the tests of tiers: a pool of small bf16 blocks in host memory, content
 * that follows from a block's number, and a store that a test can stop, fail and damage.
 */
#ifndef TESTS_UNIT_TIER_FIXTURE_H
#define TESTS_UNIT_TIER_FIXTURE_H

#include "tests/unit/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cupool/tier.h"

#define NONE   CUPOOL_STREAM_NONE
#define LAYERS 2u
#define BLOCKS 32u

static struct cupool_device *device;
static struct cupool_kv *pool;
static struct cupool_tiers *tiers;
static uint64_t clock_now = 1000;

static inline uint64_t clock_read(void *state)
{
    return clock_now;
}

static inline struct cupool_kv_config config_of(uint32_t blocks)
{
    struct cupool_kv_config config;

    cupool_kv_config_init(&config);
    config.blocks = blocks;
    config.layers = LAYERS;
    config.kv_heads = 2;
    config.head_dim = 64;
    config.key_type = config.value_type = CUPOOL_KV_BF16;
    config.clock_ns = clock_read;
    return config;
}

static inline void pool_make(const struct cupool_kv_config *config)
{
    cr_assert_eq(cupool_device_host(&device), 0);
    cr_assert_eq(cupool_kv_create(device, config, &pool), 0);
}

static inline void setup(void)
{
    struct cupool_kv_config config = config_of(BLOCKS);

    pool_make(&config);
}

static inline void tiers_make(const struct cupool_tiers_config *config,
                              const struct cupool_tier *which, uint32_t count)
{
    int error = cupool_tiers_create(device, pool, config, which, count, &tiers);

    cr_assert_eq(error, 0, "cupool_tiers_create: %d", error);
}

static inline void check(void)
{
    char why[160] = "";

    cr_assert_eq(cupool_kv_check(pool, why, sizeof(why)), 0, "%s", why);
    if (tiers)
        cr_assert_eq(cupool_tiers_check(tiers, why, sizeof(why)), 0, "%s", why);
}

static inline void teardown(void)
{
    struct cupool_kv_statistics stats;

    if (tiers)
        cr_assert_eq(cupool_tiers_drain(tiers), 0);
    check();
    cupool_tiers_destroy(tiers);
    tiers = NULL;
    cr_assert_eq(cupool_kv_stats(pool, &stats), 0);
    cr_assert_eq(stats.active + stats.mutable_blocks + stats.complete, 0, "references are left");
    cupool_kv_destroy(pool);
    cupool_device_close(device);
}

static inline struct cupool_tier host_tier(uint64_t bytes)
{
    struct cupool_tier tier = {.name = "host", .bytes = bytes};

    cr_assert_eq(cupool_tier_host(bytes, &tier.store), 0);
    return tier;
}

static inline struct cupool_kv_hash hash_of(uint64_t number)
{
    struct cupool_kv_hash hash = {{0}};

    memcpy(hash.bytes, &number, sizeof(number));
    number = ~number;
    memcpy(hash.bytes + 16, &number, sizeof(number));
    return hash;
}

/* A value of bf16 between 1 and 2, or its negative. */
static inline uint16_t value_of(uint64_t number, uint32_t layer, size_t at)
{
    uint64_t mixed = (number * 1000003 + layer * 8191 + at) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint16_t)(0x3f80u | (mixed >> 40 & 0x7f) | (mixed >> 63 << 15));
}

static inline uint16_t *layer_of(cupool_kv_handle handle, uint32_t layer, size_t *ret_count)
{
    struct cupool_kv_geometry geometry;
    void *memory;

    cupool_kv_strides(pool, &geometry);
    cr_assert_eq(cupool_kv_memory(pool, handle, layer, CUPOOL_KV_KEY, &memory, NULL), 0);
    *ret_count = geometry.layer_bytes / sizeof(uint16_t);
    return memory;
}

static inline void fill(cupool_kv_handle handle, uint64_t number)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        size_t count;
        uint16_t *values = layer_of(handle, layer, &count);

        for (size_t at = 0; at < count; at++)
            values[at] = value_of(number, layer, at);
    }
}

/** Whether a block has what fill() wrote, bit by bit. */
static inline bool is_filled(cupool_kv_handle handle, uint64_t number)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        size_t count;
        const uint16_t *values = layer_of(handle, layer, &count);

        for (size_t at = 0; at < count; at++)
            if (values[at] != value_of(number, layer, at))
                return false;
    }
    return true;
}

/** Takes, fills and registers blocks first, first + 1, … as one sequence. */
static inline void make(uint64_t first, uint32_t count, cupool_kv_handle *handles)
{
    struct cupool_kv_hash *hashes = calloc(count, sizeof(*hashes));

    cr_assert_eq(cupool_kv_allocate(pool, count, NONE, handles), 0, "%s", cupool_kv_error(pool));
    for (uint32_t at = 0; at < count; at++) {
        hashes[at] = hash_of(first + at);
        fill(handles[at], first + at);
    }
    cr_assert_eq(cupool_kv_complete(pool, handles, count), 0);
    cr_assert_eq(
        cupool_kv_register(pool, handles, hashes, count, NULL, CUPOOL_KV_KEEP_BOTH, NONE, handles),
        0);
    free(hashes);
}

static inline void give(const cupool_kv_handle *handles, uint32_t count)
{
    cr_assert_eq(cupool_kv_release(pool, handles, count, NONE), 0);
}

/** Offloads and waits for the end; how many are stored. */
static inline int offload(const cupool_kv_handle *handles, uint32_t count, uint32_t *ret_stored)
{
    cupool_kv_ticket ticket;
    int error = cupool_tiers_offload(tiers, handles, count, NONE, NULL, NULL, &ticket);

    if (error < 0)
        return error;
    cr_assert_eq(cupool_tiers_drain(tiers), 0);
    return cupool_tiers_result(tiers, ticket, ret_stored);
}

/** Makes blocks, offloads them and takes them out of the pool. */
static inline void away(uint64_t first, uint32_t count)
{
    cupool_kv_handle handles[BLOCKS];
    uint32_t stored = 0;

    make(first, count, handles);
    cr_assert_eq(offload(handles, count, &stored), 0);
    cr_assert_eq(stored, count);
    give(handles, count);
    cr_assert_eq(cupool_kv_trim(pool, 0, NULL), 0);
}

static inline enum cupool_tier_presence presence(uint64_t number)
{
    struct cupool_kv_hash hash = hash_of(number);
    uint8_t found = 255;

    cr_assert_eq(cupool_tiers_lookup(tiers, &hash, 1, &found), 0);
    return (enum cupool_tier_presence)found;
}

/** Matches and brings back; gives the references back after a look at the content. */
static inline uint32_t back(uint64_t first, uint32_t count)
{
    struct cupool_kv_hash hashes[64];
    cupool_kv_handle handles[64];
    uint32_t matched = 0;

    cr_assert(count <= 64);
    for (uint32_t at = 0; at < count; at++)
        hashes[at] = hash_of(first + at);
    cr_assert_eq(cupool_tiers_match(tiers, hashes, count, NONE, handles, NULL, &matched), 0);
    for (uint32_t at = 0; at < matched; at++)
        cr_assert(is_filled(handles[at], first + at), "block %u has other content", at);
    give(handles, matched);
    return matched;
}

static inline struct cupool_tier_statistics tier_stats(uint32_t tier)
{
    struct cupool_tier_statistics stats;

    cr_assert_eq(cupool_tier_stats(tiers, tier, &stats), 0);
    return stats;
}

static inline struct cupool_tiers_statistics tiers_stats(void)
{
    struct cupool_tiers_statistics stats;

    cr_assert_eq(cupool_tiers_stats(tiers, &stats), 0);
    return stats;
}

/* A store of a table of functions, as a caller may bring one. */

#define SHELF_ENTRIES 128u

static struct shelf {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct cupool_tier_item entries[SHELF_ENTRIES]; /* data NULL: free */
    int put_error, get_error;                       /* of each item; 0: none */
    int away;                                       /* the whole store, as an error */
    bool put_held, get_held;                        /* calls wait */
    unsigned puts, gets, waiting;                   /* calls; of those that wait now */
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static inline struct cupool_tier_item *shelf_find(const struct cupool_kv_hash *key)
{
    for (uint32_t at = 0; at < SHELF_ENTRIES; at++)
        if (shelf.entries[at].data && memcmp(&shelf.entries[at].key, key, sizeof(*key)) == 0)
            return &shelf.entries[at];
    return NULL;
}

static inline void shelf_wait(const bool *held)
{
    shelf.waiting++;
    pthread_cond_broadcast(&shelf.moved);
    while (*held)
        pthread_cond_wait(&shelf.moved, &shelf.lock);
    shelf.waiting--;
}

static inline int shelf_put(void *state, struct cupool_tier_item *items, uint32_t count)
{
    pthread_mutex_lock(&shelf.lock);
    shelf_wait(&shelf.put_held);
    shelf.puts++;
    for (uint32_t at = 0; at < count && shelf.away == 0; at++) {
        struct cupool_tier_item *entry = shelf_find(&items[at].key);

        items[at].error = shelf.put_error;
        for (uint32_t next = 0; next < SHELF_ENTRIES && !entry; next++)
            if (!shelf.entries[next].data)
                entry = &shelf.entries[next];
        if (items[at].error != 0 || !entry)
            continue;
        free(entry->data);
        *entry = items[at];
        entry->data = malloc(items[at].bytes);
        memcpy(entry->data, items[at].data, items[at].bytes);
    }
    int error = shelf.away;
    pthread_mutex_unlock(&shelf.lock);
    return error;
}

static inline int shelf_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    pthread_mutex_lock(&shelf.lock);
    shelf_wait(&shelf.get_held);
    shelf.gets++;
    for (uint32_t at = 0; at < count && shelf.away == 0; at++) {
        const struct cupool_tier_item *entry = shelf_find(&items[at].key);

        items[at].error = shelf.get_error != 0 ? shelf.get_error : !entry ? -ENOENT : 0;
        if (items[at].error == 0 && entry->bytes > items[at].bytes)
            items[at].error = -ENOSPC;
        if (items[at].error != 0)
            continue;
        memcpy(items[at].data, entry->data, entry->bytes);
        items[at].bytes = entry->bytes;
    }
    int error = shelf.away;
    pthread_mutex_unlock(&shelf.lock);
    return error;
}

static inline void shelf_remove(void *state, const struct cupool_tier_item *items, uint32_t count)
{
    pthread_mutex_lock(&shelf.lock);
    for (uint32_t at = 0; at < count; at++) {
        struct cupool_tier_item *entry = shelf_find(&items[at].key);

        if (entry) {
            free(entry->data);
            entry->data = NULL;
        }
    }
    pthread_mutex_unlock(&shelf.lock);
}

static inline struct cupool_tier shelf_tier(uint64_t bytes, bool shared)
{
    return (struct cupool_tier){
        .store = {.shared = shared, .put = shelf_put, .get = shelf_get, .remove = shelf_remove},
        .name = "shelf",
        .bytes = bytes,
        .entries = SHELF_ENTRIES,
    };
}

/** Makes calls wait, or lets them go. */
static inline void shelf_hold(bool *held, bool value)
{
    pthread_mutex_lock(&shelf.lock);
    *held = value;
    pthread_cond_broadcast(&shelf.moved);
    pthread_mutex_unlock(&shelf.lock);
}

/** Waits until a call waits. */
static inline void shelf_await(void)
{
    pthread_mutex_lock(&shelf.lock);
    while (shelf.waiting == 0)
        pthread_cond_wait(&shelf.moved, &shelf.lock);
    pthread_mutex_unlock(&shelf.lock);
}

static inline struct cupool_tiers_config tiers_config(void)
{
    struct cupool_tiers_config config;

    cupool_tiers_config_init(&config);
    config.identity = "test";
    return config;
}

#endif

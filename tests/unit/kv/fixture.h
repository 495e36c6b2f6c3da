/* SPDX-License-Identifier: MIT */
/*
 * Set-up and tear-down of most tests: a fake device, a pool of ten blocks of 16 tokens (1 to 10;
 * block 0 is the null block), and a check that nothing was broken or left behind.
 */
#ifndef TESTS_UNIT_KV_FIXTURE_H
#define TESTS_UNIT_KV_FIXTURE_H

#include "tests/unit/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kv/fake.h"

#define NONE CUPOOL_STREAM_NONE

static struct fake fake;
static struct cupool_kv *pool;

static inline struct cupool_kv_config config_ten(void)
{
    struct cupool_kv_config config;

    cupool_kv_config_init(&config);
    config.blocks = 10;
    config.null_block = 1;
    return config;
}

static inline struct cupool_kv *pool_make(const struct cupool_kv_config *config)
{
    struct kv_backend backend = fake_backend(&fake);
    struct cupool_kv *made = NULL;
    int error = kv_create(&backend, config, &made);

    cr_assert_eq(error, 0, "kv_create: %d", error);
    return made;
}

static inline void setup(void)
{
    struct cupool_kv_config config = config_ten();

    pool = pool_make(&config);
}

static inline void check_of(struct cupool_kv *which)
{
    char why[160] = "";
    int error = cupool_kv_check(which, why, sizeof(why));

    cr_assert_eq(error, 0, "%s", why);
}

static inline void check(void)
{
    check_of(pool);
}

static inline void teardown(void)
{
    if (pool) {
        check();
        cupool_kv_destroy(pool);
    }
    cr_assert_eq(fake.live_fences, 0, "%d fences left", fake.live_fences);
    cr_assert_eq(fake.memory, 0, "%d pieces of memory left", fake.memory);
    cr_assert_eq(fake.pages, 0, "%d pages left", fake.pages);
    cr_assert_eq(fake.errors, 0, "the backend's contract was broken");
}

static inline struct cupool_kv_statistics stats_now(void)
{
    struct cupool_kv_statistics stats;

    cr_assert_eq(cupool_kv_stats(pool, &stats), 0);
    return stats;
}

static inline struct cupool_kv_hash hash_number(uint64_t number)
{
    struct cupool_kv_hash hash = {{0}};

    memcpy(hash.bytes, &number, sizeof(number));
    number = ~number;
    memcpy(hash.bytes + 16, &number, sizeof(number));
    return hash;
}

static inline void hashes_number(struct cupool_kv_hash *hashes, uint64_t first, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        hashes[at] = hash_number(first + at);
}

/** Allocates or fails the test. */
static inline void take(uint32_t count, cupool_kv_handle *handles)
{
    int error = cupool_kv_allocate(pool, count, NONE, handles);

    cr_assert_eq(error, 0, "allocation of %u: %d (%s)", count, error, cupool_kv_error(pool));
}

static inline void give(const cupool_kv_handle *handles, uint32_t count)
{
    int error = cupool_kv_release(pool, handles, count, NONE);

    cr_assert_eq(error, 0, "release of %u: %d (%s)", count, error, cupool_kv_error(pool));
}

/** Completes and registers under hashes first, first + 1, … */
static inline void enter(cupool_kv_handle *handles, uint32_t count, uint64_t first)
{
    struct cupool_kv_hash *hashes = calloc(count + 1, sizeof(*hashes));

    hashes_number(hashes, first, count);
    cr_assert_eq(cupool_kv_complete(pool, handles, count), 0);
    cr_assert_eq(
        cupool_kv_register(pool, handles, hashes, count, NULL, CUPOOL_KV_KEEP_BOTH, NONE, handles),
        0, "%s", cupool_kv_error(pool));
    free(hashes);
}

static inline uint32_t found(uint64_t first, uint32_t count, cupool_kv_handle *handles)
{
    struct cupool_kv_hash hashes[64];
    uint32_t matched = 0;

    cr_assert(count <= 64);
    hashes_number(hashes, first, count);
    cr_assert_eq(cupool_kv_match(pool, hashes, count, handles, &matched), 0);
    return matched;
}

static inline uint32_t seen(uint64_t first, uint32_t count)
{
    struct cupool_kv_hash hashes[64];
    uint32_t matched = 0;

    cr_assert(count <= 64);
    hashes_number(hashes, first, count);
    cr_assert_eq(cupool_kv_peek(pool, hashes, count, &matched), 0);
    return matched;
}

/** The ids, in order, as text: "1,2,3". */
static inline const char *ids(const cupool_kv_handle *handles, uint32_t count)
{
    static char text[1024];
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t at = 0; at < count; at++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%u", at > 0 ? "," : "",
                                   cupool_kv_id(handles[at]));
    return text;
}

#endif

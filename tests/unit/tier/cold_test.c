/* SPDX-License-Identifier: MIT */
/*
 * The cold store: entries of every size, room to the last leaf, fragments.
 */
#include "tests/random.h"
#include "tests/unit/tier/fixture.h"

#include "pool/tier/cold.h"

static struct cold cold;

static void holds(void)
{
    const char *why = cold_check(&cold);

    cr_assert(!why, "%s", why);
}

static uint8_t byte_of(uint64_t number, size_t at)
{
    return (uint8_t)((number * 31 + at * 7 + at / 4096) ^ 0x5a);
}

static uint8_t *bytes_of(uint64_t number, size_t bytes)
{
    uint8_t *data = malloc(bytes + 1);

    for (size_t at = 0; at < bytes; at++)
        data[at] = byte_of(number, at);
    return data;
}

static uint64_t put(uint64_t number, size_t bytes)
{
    uint8_t *data = bytes_of(number, bytes);
    uint64_t token = 0;
    int error = cold_put(&cold, data, bytes, &token);

    free(data);
    cr_assert(error == 0 || error == -ENOSPC);
    return error == 0 ? token : 0;
}

static void get(uint64_t token, uint64_t number, size_t bytes)
{
    uint8_t *expected = bytes_of(number, bytes), *data = malloc(bytes + 1);
    size_t size = 0;

    cr_assert_eq(cold_get(&cold, token, data, bytes, &size), 0);
    cr_assert_eq(size, bytes);
    cr_assert_eq(memcmp(data, expected, bytes), 0);
    if (bytes > 0)
        cr_assert_eq(cold_get(&cold, token, data, bytes - 1, &size), -ENOSPC);
    free(data);
    free(expected);
}

Test(cold, sizes_around_leaves_and_segments)
{
    const size_t edges[] = {0, 1, 4079, 4080, 4081, 8192, 2097135, 2097136, 2097137, 5000000};

    cr_assert_eq(cold_init(&cold, 0), -EINVAL);
    cr_assert_eq(cold_init(&cold, 4 * COLD_SEGMENT_BYTES), 0);
    for (size_t at = 0; at < sizeof(edges) / sizeof(edges[0]); at++) {
        uint64_t before = cold.free_leaves, token = put(at, edges[at]);

        cr_assert_neq(token, 0, "%zu bytes", edges[at]);
        cr_assert_eq((before - cold.free_leaves) * COLD_LEAF_BYTES, cold_charge(edges[at]));
        get(token, at, edges[at]);
        cold_free(&cold, token);
        cr_assert_eq(cold.free_leaves, before);
        holds();
    }
    cold_done(&cold);
}

Test(cold, fragments_serve_an_entry_of_any_size)
{
    static uint64_t tokens[1024];

    cr_assert_eq(cold_init(&cold, 2 * COLD_SEGMENT_BYTES), 0);
    for (unsigned at = 0; at < 1024; at++)
        cr_assert_neq(tokens[at] = put(at, 4000), 0);
    cr_assert_eq(cold.free_leaves, 0);
    cr_assert_eq(put(1, 1), 0, "it is full");
    for (unsigned at = 0; at < 1024; at += 2)
        cold_free(&cold, tokens[at]);
    cr_assert_eq(cold.free_leaves, 512);
    /* 512 single leaves, none beside another: as many pieces. */
    uint64_t token = put(7, 512 * 4080);
    cr_assert_neq(token, 0);
    cr_assert_eq(cold.free_leaves, 0);
    get(token, 7, 512 * 4080);
    for (unsigned at = 1; at < 1024; at += 2)
        get(tokens[at], at, 4000);
    cold_free(&cold, token);
    cr_assert_eq(put(7, 512 * 4080 + 1), 0);
    cr_assert_eq(cold.free_leaves, 512, "what does not fit leaves nothing behind");
    holds();
    cold_done(&cold);
}

Test(cold, random_entries_stay_what_they_are)
{
    struct {
        uint64_t token, number;
        size_t bytes;
    } kept[64] = {{0}};
    uint64_t state = 99;

    cr_assert_eq(cold_init(&cold, 3 * COLD_SEGMENT_BYTES), 0);
    for (unsigned step = 0; step < 2000; step++) {
        state = random_lcg(state);
        unsigned slot = (unsigned)(state >> 33) % 64;
        if (kept[slot].token != 0) {
            get(kept[slot].token, kept[slot].number, kept[slot].bytes);
            cold_free(&cold, kept[slot].token);
        }
        kept[slot].number = step;
        kept[slot].bytes = (size_t)(state >> 40) % (step % 16 == 0 ? 3000000 : 60000);
        kept[slot].token = put(step, kept[slot].bytes);
        if (step % 64 == 0)
            holds();
    }
    cold_done(&cold);
}

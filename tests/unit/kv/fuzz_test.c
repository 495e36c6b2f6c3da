/* SPDX-License-Identifier: MIT */
/*
 * Every function with handles, counts and hashes at random, right and wrong: none may crash, and a
 * call that answers an error must leave every figure as it was. CUPOOL_TEST_SEED changes the run.
 */
#include "tests/random.h"
#include "tests/unit/kv/fixture.h"

#include "include/cupool/sequence.h"

#define STEPS 200000
#define KNOWN 64u

static uint64_t random_state;
static cupool_kv_handle known[KNOWN]; /* handles, some of them no longer valid */
static cupool_sequence sequences[16];
static struct cupool_sequences *set;

static uint32_t draw(uint32_t below)
{
    random_state = random_xorshift(random_state);
    return (uint32_t)(random_state >> 20) % below;
}

static cupool_kv_handle some_handle(void)
{
    switch (draw(8)) {
    case 0: return draw(UINT32_MAX);
    case 1: return (uint64_t)draw(UINT32_MAX) << 32 | draw(12);
    case 2: return UINT64_MAX;
    case 3: return 0;
    default: return known[draw(KNOWN)];
    }
}

static void keep(const cupool_kv_handle *handles, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        if (handles[at] != 0)
            known[draw(KNOWN)] = handles[at];
}

static uint64_t figures(void)
{
    struct cupool_kv_statistics s = stats_now();

    return s.free + 31 * s.mutable_blocks + 37 * s.complete + 41 * s.active + 43 * s.inactive +
           47 * s.pinned + 53 * s.draining + 59 * s.evictions + 61 * s.registrations +
           67 * s.total + 71 * s.events;
}

static int call_pool(uint32_t which, cupool_kv_handle *handles, struct cupool_kv_hash *hashes,
                     uint32_t count, uint32_t *matched)
{
    cupool_stream stream = draw(2) ? NONE : FAKE_STREAM(1 + draw(3));
    struct cupool_kv_priority_range ranges[2] = {{draw(4), draw(4), draw(120), draw(3)},
                                                 {draw(9), draw(9), draw(120), draw(3)}};
    cupool_kv_handle out[16] = {0};
    struct cupool_kv_block block;
    void *memory;
    int error;

    switch (which) {
    case 0:
    case 1:
        error = cupool_kv_allocate(pool, count, stream, out);
        keep(out, error == 0 ? count : 0);
        return error;
    case 2: return cupool_kv_retain(pool, handles, count);
    case 3: return cupool_kv_complete(pool, handles, count);
    case 4:
    case 5:
        error = cupool_kv_register(pool, handles, hashes, count, NULL, draw(3), stream, out);
        keep(out, error == 0 ? count : 0);
        return error;
    case 6:
        error = cupool_kv_match(pool, hashes, count, out, matched);
        keep(out, error == 0 ? *matched : 0);
        return error;
    case 7:
        error = cupool_kv_match_scattered(pool, hashes, count, out, matched);
        keep(out, error == 0 ? count : 0);
        return error;
    case 8: return cupool_kv_set_priorities(pool, handles, count, ranges, draw(3));
    case 9: return cupool_kv_pin(pool, handles, count);
    case 10: return cupool_kv_unpin(pool, hashes, count);
    case 11: return cupool_kv_evict(pool, draw(3), draw(4), NULL);
    case 12: return cupool_kv_forget(pool, hashes, count, NULL);
    case 13: return cupool_kv_memory(pool, handles[0], draw(4), (int)draw(4) - 1, &memory, NULL);
    case 14: return cupool_kv_describe(pool, handles[0], &block);
    case 15: return cupool_kv_register_partial(pool, handles[0], hashes, NULL, draw(20), stream);
    case 16: return cupool_kv_stream_order(pool, handles, count, stream);
    case 17: return draw(50) == 0 ? cupool_kv_resize(pool, draw(16), NULL) : 0;
    case 18: return cupool_kv_reset(pool, NULL);
    case 19: return cupool_kv_cancel(pool, some_handle());
    case 20: return cupool_kv_prefetch_loaded(pool, some_handle(), draw(9), 0);
    case 21:
        error = cupool_kv_upgrade(pool, some_handle(), out);
        keep(out, error == 0);
        return error;
    default: fake_pass(&fake, draw(4)); return cupool_kv_poll(pool);
    }
}

/* Releases and copies are looked at apart: part of them may happen (see kv.h). */
static void call_release(cupool_kv_handle *handles, uint32_t count)
{
    cupool_kv_handle out = 0;

    if (draw(3) == 0 && cupool_kv_make_writable(pool, handles[0], NONE, &out) == 0)
        keep(&out, 1);
    else
        cupool_kv_release(pool, handles, count, draw(2) ? NONE : FAKE_STREAM(2));
}

Test(kv_fuzz, no_call_crashes_and_errors_change_nothing, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    const char *seed = getenv("CUPOOL_TEST_SEED");

    random_state = (seed ? strtoull(seed, NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15);
    config.max_blocks = 12;
    config.layers = config.kv_heads = config.head_dim = 2;
    config.events = 4;
    config.clear = 1;
    pool = pool_make(&config);
    for (unsigned step = 0; step < STEPS; step++) {
        struct cupool_kv_hash hashes[16];
        cupool_kv_handle handles[16];
        uint32_t count = draw(6), matched = 0;

        for (unsigned at = 0; at < 16; at++) {
            handles[at] = some_handle();
            hashes[at] = hash_number(draw(20));
            if (draw(50) == 0)
                hashes[at].bytes[31] ^= 1;
        }
        if (draw(3) == 0) {
            call_release(handles, count);
        } else {
            uint64_t before = figures();

            cupool_kv_poll(pool);
            before = figures();
            uint32_t which = draw(23);
            int error = call_pool(which, handles, hashes, count, &matched);
            cr_assert(error >= 0 || error == -EAGAIN || error == -EINVAL || error == -ESTALE ||
                          error == -ENOMEM || error == -ERANGE || error == -EBUSY ||
                          error == -EILSEQ,
                      "call %u: %d", which, error);
            if (error < 0 && error != -EAGAIN)
                cr_assert_eq(figures(), before, "call %u changed something: %d", which, error);
        }
        if (step % 100 == 0)
            check();
    }
}

static int call_sequence(uint32_t which, cupool_sequence sequence, const int32_t *tokens,
                         uint32_t count, uint32_t slot)
{
    const int32_t *table;
    uint32_t number;
    cupool_kv_handle handle;

    switch (which) {
    case 0: return cupool_sequence_create(set, NULL, draw(5), &sequences[slot]);
    case 1: return cupool_sequence_append(set, sequence, tokens, count, NONE);
    case 2: return cupool_sequence_commit(set, sequence, NONE);
    case 3: return cupool_sequence_match(set, sequence, tokens, count, NONE, &number);
    case 4: return cupool_sequence_fork(set, sequence, NONE, &sequences[slot]);
    case 5: return cupool_sequence_truncate(set, sequence, draw(40), NONE);
    case 6: return cupool_sequence_slide(set, sequence, draw(40), NONE);
    case 7: return cupool_sequence_reserve(set, sequence, count, NONE);
    case 8: return cupool_sequence_table(set, sequence, draw(3), &table, &number);
    case 9: return cupool_sequence_place(set, sequence, draw(3), draw(50), &handle, &number);
    case 10: return cupool_sequences_tables(set, draw(2), NONE, &table, &number);
    default: return cupool_sequence_remove(set, sequence, NONE);
    }
}

Test(kv_fuzz, sequences_in_any_order, .init = setup, .fini = teardown)
{
    struct cupool_sequences_config config;
    struct cupool_kv_member member = {pool, 0};
    int32_t tokens[64] = {0};
    char why[128] = "";

    random_state = UINT64_C(0x9e3779b97f4a7c15);
    cupool_sequences_config_init(&config);
    config.sequences = 6;
    config.max_tokens = 60;
    config.partial = 1;
    cr_assert_eq(cupool_sequences_create(&member, 1, &config, &set), 0);
    for (unsigned step = 0; step < STEPS; step++) {
        cupool_sequence sequence = draw(20) ? sequences[draw(16)]
                                            : (uint64_t)draw(9) << 32 | draw(9);

        for (unsigned at = 0; at < 64; at++)
            tokens[at] = (int32_t)(at / 8 + (draw(40) == 0));
        int error = call_sequence(draw(12), sequence, tokens, draw(40), draw(16));
        cr_assert(error >= 0 || error == -EINVAL || error == -ESTALE || error == -ENOMEM ||
                      error == -ENOBUFS || error == -EOVERFLOW,
                  "%d: %s", error, cupool_sequences_error(set));
        if (step % 100 == 0) {
            check();
            cr_assert_eq(cupool_sequences_check(set, why, sizeof(why)), 0, "%s", why);
        }
    }
    cupool_sequences_destroy(set);
    cr_assert_eq(stats_now().available, 10, "a sequence left blocks behind");
}

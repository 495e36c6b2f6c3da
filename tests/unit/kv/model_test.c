/* SPDX-License-Identifier: MIT */
/*
 * Ten million random operations against a model that a reader can check by eye.
 *
 * The model keeps, for each block, its state, references, hash and handle; free blocks and cached
 * ones by the order in which they became so. It predicts the result of every call, which blocks it
 * gives, and what is evicted. Invalid handles are mixed in, and must change nothing. The pool's own
 * check runs after each thousand steps. CUPOOL_TEST_SEED and CUPOOL_TEST_STEPS change the run.
 */
#include "tests/random.h"
#include "tests/unit/kv/fixture.h"

#define BLOCKS 48u
#define HASHES 160u
#define MOST   12u

struct model_block {
    enum cupool_kv_state state;
    uint32_t references, hash, order; /* order: position among victims, by stamp */
    cupool_kv_handle handle, old;     /* old: of an earlier owner */
    bool live;                        /* handle is valid */
};

static struct model_block blocks[BLOCKS + 1];
static uint32_t free_stack[BLOCKS], free_count, stamp;
static uint64_t random_state = 88172645463325252ull;
static uint64_t evictions, hits, queries;

static uint32_t draw(uint32_t below)
{
    random_state = random_xorshift(random_state);
    return (uint32_t)(random_state >> 20) % below;
}

static void model_free(uint32_t id)
{
    blocks[id].state = CUPOOL_KV_FREE;
    blocks[id].live = false;
    free_stack[free_count++] = id;
}

static uint32_t model_victim(void)
{
    uint32_t best = 0;

    for (uint32_t id = 1; id <= BLOCKS; id++)
        if (blocks[id].state == CUPOOL_KV_INACTIVE &&
            (best == 0 || blocks[id].order < blocks[best].order))
            best = id;
    return best;
}

/* The block that a look-up finds: the first registered of that hash. Duplicates are refused in
 * this test, so there is one. */
static uint32_t model_find(uint32_t hash)
{
    for (uint32_t id = 1; id <= BLOCKS; id++)
        if ((blocks[id].state == CUPOOL_KV_ACTIVE || blocks[id].state == CUPOOL_KV_INACTIVE) &&
            blocks[id].hash == hash)
            return id;
    return 0;
}

static uint32_t model_available(void)
{
    uint32_t count = free_count;

    for (uint32_t id = 1; id <= BLOCKS; id++)
        count += blocks[id].state == CUPOOL_KV_INACTIVE;
    return count;
}

static void model_taken(uint32_t id, cupool_kv_handle handle)
{
    cr_assert_eq(cupool_kv_id(handle), id, "block %u, the model says %u", cupool_kv_id(handle), id);
    cr_assert_neq(handle, blocks[id].handle, "the handle of an earlier owner came back");
    blocks[id] = (struct model_block){.old = blocks[id].handle,
                                      .state = CUPOOL_KV_MUTABLE,
                                      .references = 1,
                                      .handle = handle,
                                      .live = true};
}

static void step_allocate(void)
{
    cupool_kv_handle handles[MOST];
    uint32_t count = 1 + draw(MOST);
    int error = cupool_kv_allocate(pool, count, NONE, handles);

    if (count > model_available()) {
        cr_assert_eq(error, -ENOMEM);
        return;
    }
    cr_assert_eq(error, 0);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t id = free_count > 0 ? free_stack[--free_count] : model_victim();

        evictions += blocks[id].state == CUPOOL_KV_INACTIVE;
        model_taken(id, handles[at]);
    }
}

static void model_release(uint32_t id)
{
    struct model_block *block = &blocks[id];

    if (--block->references > 0)
        return;
    if (block->state == CUPOOL_KV_ACTIVE) {
        block->state = CUPOOL_KV_INACTIVE;
        block->order = ++stamp;
        block->live = false;
    } else {
        model_free(id);
    }
}

/* A block in use, or 0. */
static uint32_t some_live(void)
{
    uint32_t start = draw(BLOCKS);

    for (uint32_t at = 0; at < BLOCKS; at++)
        if (blocks[1 + (start + at) % BLOCKS].live)
            return 1 + (start + at) % BLOCKS;
    return 0;
}

static void step_release(void)
{
    cupool_kv_handle handles[MOST];
    uint32_t chosen[MOST], count = 0, most = 1 + draw(MOST), start = draw(BLOCKS);

    for (uint32_t at = 0; at < BLOCKS && count < most; at++) {
        uint32_t id = 1 + (start + at) % BLOCKS;

        if (blocks[id].live && draw(2)) {
            chosen[count] = id;
            handles[count++] = blocks[id].handle;
        }
    }
    cr_assert_eq(cupool_kv_release(pool, handles, count, NONE), 0);
    for (uint32_t at = 0; at < count; at++)
        if (blocks[chosen[at]].state != CUPOOL_KV_ACTIVE)
            model_release(chosen[at]);
    for (uint32_t at = count; at > 0; at--)
        if (blocks[chosen[at - 1]].state == CUPOOL_KV_ACTIVE)
            model_release(chosen[at - 1]);
}

static void step_retain(void)
{
    uint32_t id = some_live();

    if (id == 0 || blocks[id].references > 5)
        return;
    cr_assert_eq(cupool_kv_retain(pool, &blocks[id].handle, 1), 0);
    blocks[id].references++;
}

static void step_complete(void)
{
    uint32_t id = some_live();

    if (id == 0)
        return;
    cr_assert_eq(cupool_kv_complete(pool, &blocks[id].handle, 1), 0);
    if (blocks[id].state == CUPOOL_KV_MUTABLE)
        blocks[id].state = CUPOOL_KV_COMPLETE;
}

static void step_register(void)
{
    uint32_t id = some_live(), hash = draw(HASHES);
    struct cupool_kv_hash key = hash_number(hash);
    cupool_kv_handle out;

    if (id == 0)
        return;
    struct model_block *block = &blocks[id];
    int error = cupool_kv_register(pool, &block->handle, &key, 1, NULL, CUPOOL_KV_ANSWER_FIRST,
                                   NONE, &out);
    if (block->state == CUPOOL_KV_MUTABLE ||
        (block->state == CUPOOL_KV_ACTIVE && block->hash != hash)) {
        cr_assert_eq(error, -EINVAL);
        return;
    }
    cr_assert_eq(error, 0);
    uint32_t first = model_find(hash);
    if (block->state == CUPOOL_KV_ACTIVE || first == 0) {
        cr_assert_eq(out, block->handle);
        block->state = CUPOOL_KV_ACTIVE;
        block->hash = hash;
        return;
    }
    cr_assert_eq(cupool_kv_id(out), first);
    blocks[first].state = CUPOOL_KV_ACTIVE;
    blocks[first].references = blocks[first].live ? blocks[first].references + 1 : 1;
    blocks[first].live = true;
    blocks[first].handle = out;
    model_release(id);
}

static void step_match(void)
{
    struct cupool_kv_hash hashes[MOST];
    cupool_kv_handle handles[MOST];
    uint32_t count = 1 + draw(MOST), first = draw(HASHES), matched, seen_count;

    for (uint32_t at = 0; at < count; at++)
        hashes[at] = hash_number((first + at) % HASHES);
    cr_assert_eq(cupool_kv_peek(pool, hashes, count, &seen_count), 0);
    cr_assert_eq(cupool_kv_match(pool, hashes, count, handles, &matched), 0);
    cr_assert_eq(matched, seen_count);
    for (uint32_t at = 0; at <= matched && at < count; at++) {
        uint32_t id = model_find((first + at) % HASHES);

        cr_assert_eq(id != 0, at < matched);
        if (id == 0)
            break;
        cr_assert_eq(cupool_kv_id(handles[at]), id);
        blocks[id].references = blocks[id].live ? blocks[id].references + 1 : 1;
        blocks[id].state = CUPOOL_KV_ACTIVE;
        blocks[id].live = true;
        blocks[id].handle = handles[at];
    }
    hits += matched;
    queries += count;
}

static void step_evict(void)
{
    uint32_t count = draw(3), evicted, expected = 0;

    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, count, &evicted), 0);
    for (uint32_t at = 0, id; at < count && (id = model_victim()) != 0; at++, expected++) {
        evictions++;
        model_free(id);
    }
    cr_assert_eq(evicted, expected);
}

/* A handle that is not valid: nothing may change. */
static void step_invalid(void)
{
    uint32_t id = 1 + draw(BLOCKS);
    cupool_kv_handle handle = blocks[id].live ? blocks[id].handle + (1ull << 32)
                                              : blocks[id].handle;
    struct cupool_kv_hash hash = hash_number(draw(HASHES));

    if (blocks[id].old != 0 && draw(2))
        handle = blocks[id].old;
    else if (draw(4) == 0)
        handle = (uint64_t)draw(UINT32_MAX) << 32 | draw(2 * BLOCKS);
    if (handle == blocks[handle % (BLOCKS + 1)].handle && blocks[handle % (BLOCKS + 1)].live)
        return;
    uint32_t at = (uint32_t)handle;
    if (at >= 1 && at <= BLOCKS && blocks[at].live && blocks[at].handle == handle)
        return;
    cr_assert_lt(cupool_kv_release(pool, &handle, 1, NONE), 0);
    cr_assert_lt(cupool_kv_retain(pool, &handle, 1), 0);
    cr_assert_lt(cupool_kv_complete(pool, &handle, 1), 0);
    cr_assert_lt(
        cupool_kv_register(pool, &handle, &hash, 1, NULL, CUPOOL_KV_KEEP_BOTH, NONE, &handle), 0);
}

static void compare(void)
{
    struct cupool_kv_statistics stats = stats_now();
    uint32_t counts[8] = {0};

    for (uint32_t id = 1; id <= BLOCKS; id++)
        counts[blocks[id].state]++;
    cr_assert_eq(stats.free, counts[CUPOOL_KV_FREE]);
    cr_assert_eq(stats.mutable_blocks, counts[CUPOOL_KV_MUTABLE]);
    cr_assert_eq(stats.complete, counts[CUPOOL_KV_COMPLETE]);
    cr_assert_eq(stats.active, counts[CUPOOL_KV_ACTIVE]);
    cr_assert_eq(stats.inactive, counts[CUPOOL_KV_INACTIVE]);
    cr_assert_eq(stats.evictions, evictions);
    cr_assert_eq(stats.hits, hits);
    cr_assert_eq(stats.queries, queries);
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : standard;
}

Test(kv_model, random_operations_do_what_the_model_says, .fini = teardown)
{
    static void (*const steps_of[])(void) = {
        step_allocate, step_allocate, step_release,  step_release, step_retain,
        step_complete, step_complete, step_register, step_match,   step_register,
        step_match,    step_evict,    step_invalid,
    };
    uint64_t steps = setting("CUPOOL_TEST_STEPS", 10000000);
    struct cupool_kv_config config = config_ten();

    random_state ^= setting("CUPOOL_TEST_SEED", 1) * UINT64_C(0x9e3779b97f4a7c15);
    config.blocks = BLOCKS;
    pool = pool_make(&config);
    for (uint32_t id = BLOCKS; id > 0; id--)
        model_free(id);
    for (uint64_t step = 0; step < steps; step++) {
        steps_of[draw(sizeof(steps_of) / sizeof(*steps_of))]();
        if (step % 1000 == 0) {
            check();
            compare();
        }
    }
    compare();
}

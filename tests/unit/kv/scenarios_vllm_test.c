/* SPDX-License-Identifier: MIT */
/*
 * Requirements of a pool from the tests of vLLM v1: numbers 1 to 44 of the list in
 * docs/engine.md. Each test names the file it comes from; 40 to 44 are those of lower tiers:
 * tests/unit/tier.
 */
#include "tests/unit/kv/fixture.h"

#include "include/cupool/sequence.h"

static struct cupool_sequences *set;
static int32_t tokens[256];

static void set_make(unsigned partial)
{
    struct cupool_kv_member member = {pool, 0};
    struct cupool_sequences_config config;

    cupool_sequences_config_init(&config);
    config.sequences = 8;
    config.max_tokens = 256;
    config.partial = (int)partial;
    cr_assert_eq(cupool_sequences_create(&member, 1, &config, &set), 0);
    for (int at = 0; at < 256; at++)
        tokens[at] = at;
}

static void setup_set(void)
{
    setup();
    set_make(0);
}

static void setup_partial(void)
{
    setup();
    set_make(1);
}

static void teardown_set(void)
{
    char why[160] = "";

    cr_assert_eq(cupool_sequences_check(set, why, sizeof(why)), 0, "%s", why);
    cupool_sequences_destroy(set);
    teardown();
}

/** A request: cached blocks are matched, the rest appended and committed. */
static cupool_sequence request(const int32_t *prompt, uint32_t count, uint32_t *ret_hit_blocks)
{
    cupool_sequence sequence;
    uint32_t matched;

    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &sequence), 0);
    cr_assert_eq(cupool_sequence_match(set, sequence, prompt, count, NONE, &matched), 0);
    cr_assert_eq(cupool_sequence_append(set, sequence, prompt + matched, count - matched, NONE), 0);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    if (ret_hit_blocks)
        *ret_hit_blocks = matched / 16;
    return sequence;
}

static const char *row(cupool_sequence sequence)
{
    static char text[256];
    const int32_t *table;
    uint32_t blocks;
    size_t length = 0;

    cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
    text[0] = '\0';
    for (uint32_t at = 0; at < blocks; at++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%d", at > 0 ? "," : "",
                                   table[at]);
    return text;
}

static uint32_t references(uint32_t id)
{
    return kv_references(kv_load(&pool->records[id]));
}

static void end(cupool_sequence sequence)
{
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
}

/* test_prefix_caching.py: test_prefill */
Test(vllm, s01_to_s05_prefill_hits_frees_and_evicts, .init = setup_set, .fini = teardown_set)
{
    int32_t other[256];
    cupool_kv_handle all[10];
    uint32_t hits;

    cupool_sequence first = request(tokens, 55, &hits);
    cr_assert_str_eq(row(first), "1,2,3,4");
    cr_assert_eq(hits, 0);
    cr_assert_eq(stats_now().active, 3, "three of them have a hash");
    cr_assert_eq(stats_now().mutable_blocks, 1);

    memcpy(other, tokens, sizeof(other));
    for (int at = 48; at < 256; at++)
        other[at] = 1000 + at;
    cupool_sequence second = request(other, 53, &hits);
    cr_assert_eq(hits, 3);
    cr_assert_str_eq(row(second), "1,2,3,5");
    for (uint32_t id = 1; id <= 3; id++)
        cr_assert_eq(references(id), 2);
    cr_assert_eq(stats_now().available, 5);

    end(first);
    end(second);
    cr_assert_eq(stats_now().available, 10);

    cupool_sequence third = request(other, 50, &hits);
    cr_assert_eq(hits, 3);
    cr_assert_str_eq(row(third), "1,2,3,5");
    cr_assert_eq(stats_now().available, 6);
    end(third);

    take(10, all);
    cr_assert_str_eq(ids(all, 10), "5,4,6,7,8,9,10,3,2,1", "hashless first, cached tail first");
    cr_assert_eq(stats_now().available, 0);
    give(all, 10);
}

/* test_decode */
Test(vllm, s06_decoding_takes_a_block_when_one_is_full, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = request(tokens, 55, NULL);

    cr_assert_eq(cupool_sequence_append(set, sequence, tokens + 55, 4, NONE), 0);
    cr_assert_str_eq(row(sequence), "1,2,3,4");
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens + 59, 19, NONE), 0);
    cr_assert_str_eq(row(sequence), "1,2,3,4,5");
    cr_assert_eq(stats_now().active, 3);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    cr_assert_eq(stats_now().active, 4, "the filled block has its hash");
    end(sequence);
}

/* test_computed_blocks_not_evicted, test_cache_blocks: touching takes from the queue */
Test(vllm, s07_touching_two_queued_blocks_leaves_seven, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], again[2], one;

    take(10, handles);
    enter(handles, 10, 0);
    give(handles, 10);
    take(1, &one);
    cr_assert_eq(found(0, 2, again), 2);
    cr_assert_eq(stats_now().available, 7);
    give(again, 2);
    give(&one, 1);
}

/* test_basic_prefix_caching_disabled, test_partial_blocks… of a pool of one */
Test(vllm, s08_a_cached_block_handed_out_loses_its_hash, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handle;

    config.blocks = 1;
    pool = pool_make(&config);
    take(1, &handle);
    enter(&handle, 1, 1);
    give(&handle, 1);
    cr_assert_eq(seen(1, 1), 1);
    take(1, &handle);
    cr_assert_eq(seen(1, 1), 0);
    give(&handle, 1);
}

/* test_computed_blocks_not_evicted */
Test(vllm, s09_a_block_just_matched_is_not_the_victim, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[2], hit, victim;

    config.blocks = 2;
    pool = pool_make(&config);
    take(2, handles);
    enter(handles, 2, 1);
    give(handles, 2);
    cr_assert_eq(found(1, 1, &hit), 1);
    take(1, &victim);
    cr_assert_eq(cupool_kv_id(hit), 1);
    cr_assert_eq(cupool_kv_id(victim), 2);
    give(&hit, 1);
    give(&victim, 1);
}

/* test_basic_prefix_caching_disabled */
Test(vllm, s10_caching_off_hits_nothing, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[2];

    config.caching = 0;
    pool = pool_make(&config);
    take(2, handles);
    enter(handles, 2, 1);
    give(handles, 2);
    cr_assert_eq(seen(1, 2), 0);
    cr_assert_eq(stats_now().free, 10);
}

/* test_cache_blocks */
Test(vllm, s11_caching_step_by_step, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[3];

    take(3, handles);
    enter(handles, 2, 1);
    cr_assert_eq(pool->table.entries, 2);
    enter(handles + 2, 1, 3);
    cr_assert_eq(pool->table.entries, 3);
    give(handles, 3);
}

/* test_cache_blocks_multi_group */
Test(vllm, s12_a_hit_needs_all_groups, .init = setup, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv *first = pool, *second = pool_make(&config);
    struct cupool_kv_member members[2] = {{first, 0}, {second, 0}};
    cupool_kv_handle handles[3], other[3];
    struct cupool_kv_hash hashes[3];
    uint32_t matched = 9;

    hashes_number(hashes, 0, 3);
    take(3, handles);
    enter(handles, 3, 0);
    cr_assert_eq(cupool_kv_match_group(members, 2, hashes, 3, NULL, &matched), 0);
    cr_assert_eq(matched, 0);
    pool = second;
    take(2, other);
    enter(other, 2, 0);
    cr_assert_eq(cupool_kv_match_group(members, 2, hashes, 3, NULL, &matched), 0);
    cr_assert_eq(matched, 32);
    cr_assert_eq(cupool_kv_match_group(members, 1, hashes, 3, NULL, &matched), 0);
    cr_assert_eq(matched, 48);
    give(other, 2);
    cupool_kv_destroy(second);
    pool = first;
    give(handles, 3);
}

static struct cupool_kv_hash one_block(const struct cupool_kv_scope *scope)
{
    struct cupool_kv_identity identity = {.method = CUPOOL_KV_SHA256, .block_tokens = 16};
    struct cupool_kv_hash root, hashes[2];
    int32_t prompt[32];

    for (int at = 0; at < 32; at++)
        prompt[at] = 7;
    cr_assert_eq(cupool_kv_identity_root(&identity, scope, &root), 0);
    cr_assert_eq(cupool_kv_identity_blocks(&identity, scope, &root, prompt, 0, 2, hashes), 0);
    return hashes[1];
}

static bool same(struct cupool_kv_hash a, struct cupool_kv_hash b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* test_mm_prefix_caching */
Test(vllm, s13_media_count_with_digest_and_relative_offset)
{
    struct cupool_kv_media image = {.digest = {1}, .offset = 10, .tokens = 12};
    struct cupool_kv_scope scope = {.media = &image, .media_count = 1};
    struct cupool_kv_hash plain = one_block(NULL), with = one_block(&scope);

    cr_assert(!same(plain, with), "the item begins before the block, at offset -6");
    image.digest[31] = 1;
    cr_assert(!same(with, one_block(&scope)), "the whole digest counts");
    image.digest[31] = 0;
    cr_assert(same(with, one_block(&scope)));
    image.offset = 11;
    cr_assert(!same(with, one_block(&scope)), "the place counts");
    image.offset = 32;
    cr_assert(same(plain, one_block(&scope)), "an item behind the block does not");
}

/* test_cache_key_salting */
Test(vllm, s14_another_salt_hits_nothing, .init = setup_set, .fini = teardown_set)
{
    struct cupool_kv_scope mine = {.salt = "a", .salt_bytes = 1},
                           other = {.salt = "b", .salt_bytes = 1};
    cupool_sequence sequence;
    uint32_t matched;

    cr_assert_eq(cupool_sequence_create(set, &mine, 0, &sequence), 0);
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens, 55, NONE), 0);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    end(sequence);
    cr_assert_eq(cupool_sequence_create(set, &mine, 0, &sequence), 0);
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 55, NONE, &matched), 0);
    cr_assert_eq(matched, 48);
    end(sequence);
    cr_assert_eq(cupool_sequence_create(set, &other, 0, &sequence), 0);
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 55, NONE, &matched), 0);
    cr_assert_eq(matched, 0);
    end(sequence);
}

/* test_prefill_not_enough_free_blocks_with_computed_blocks */
Test(vllm, s15_without_room_references_stay, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = request(tokens, 48, NULL), second;
    cupool_kv_handle rest[7];
    uint32_t matched;

    take(7, rest);
    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &second), 0);
    cr_assert_eq(cupool_sequence_match(set, second, tokens, 100, NONE, &matched), 0);
    cr_assert_eq(matched, 48);
    cr_assert_eq(cupool_sequence_append(set, second, tokens + 48, 52, NONE), -ENOMEM);
    for (uint32_t id = 1; id <= 3; id++)
        cr_assert_eq(references(id), 2);
    end(second);
    for (uint32_t id = 1; id <= 3; id++)
        cr_assert_eq(references(id), 1);
    end(sequence);
    give(rest, 7);
}

/* test_reset_prefix_cache */
Test(vllm, s16_reset_fails_in_use, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[4];
    uint32_t in_use = 0;

    take(4, handles);
    enter(handles, 3, 0);
    cr_assert_eq(cupool_kv_reset(pool, &in_use), -EBUSY);
    cr_assert_eq(in_use, 4);
    cr_assert_eq(seen(0, 3), 3);
    give(handles, 4);
    cr_assert_eq(cupool_kv_reset(pool, &in_use), 0);
    cr_assert_eq(seen(0, 3), 0);
    cr_assert_eq(stats_now().free, 10);
}

/* test_block_lookup_cache_multi_blocks_per_key */
Test(vllm, s17_of_two_blocks_of_one_hash_evicting_one_keeps_the_entry, .init = setup,
     .fini = teardown)
{
    cupool_kv_handle handles[2];
    uint32_t evicted;

    take(2, handles);
    enter(handles, 1, 5);
    enter(handles + 1, 1, 5);
    give(handles, 2);
    cr_assert_eq(pool->table.entries, 1);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 1, &evicted), 0);
    cr_assert_eq(seen(5, 1), 1);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 1, &evicted), 0);
    cr_assert_eq(seen(5, 1), 0);
}

static uint32_t events_take(struct cupool_kv_event *events, struct cupool_kv_hash *hashes)
{
    uint32_t count = 0;

    cr_assert_eq(cupool_kv_events_poll(pool, events, 8, hashes, 64, &count, NULL), 0);
    return count;
}

/* test_kv_cache_events, test_eviction… */
Test(vllm, s18_to_s20_events, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv_event events[8];
    struct cupool_kv_hash hashes[64], more[3], parent = hash_number(99);
    cupool_kv_handle handles[10], late[3];

    config.events = 16;
    config.group = 3;
    pool = pool_make(&config);
    cr_assert_eq(events_take(events, hashes), 0, "nothing to say");
    take(10, handles);
    enter(handles, 10, 0);
    cr_assert_eq(events_take(events, hashes), 1);
    cr_assert_eq(events[0].kind, CUPOOL_KV_STORED);
    cr_assert_eq(events[0].count, 10);
    cr_assert_eq(events[0].group, 3);
    cr_assert_eq(events[0].has_parent, 0);
    cr_assert(same(hashes[9], hash_number(9)));
    cr_assert_eq(events_take(events, hashes), 0, "taking drains");
    give(handles, 10);
    take(3, late);
    hashes_number(more, 50, 3);
    cr_assert_eq(cupool_kv_complete(pool, late, 3), 0);
    cr_assert_eq(cupool_kv_register(pool, late, more, 3, &parent, CUPOOL_KV_KEEP_BOTH, NONE, late),
                 0);
    cr_assert_eq(events_take(events, hashes), 2);
    cr_assert_eq(events[0].kind, CUPOOL_KV_REMOVED);
    cr_assert_eq(events[0].count, 3);
    cr_assert(same(hashes[0], hash_number(9)), "removals descend");
    cr_assert_eq(events[1].kind, CUPOOL_KV_STORED);
    cr_assert(same(events[1].parent, parent));
    cr_assert_eq(events[1].first, 3);
    cr_assert_eq(events[1].sequence, events[0].sequence + 1);
    give(late, 3);
    cr_assert_eq(cupool_kv_reset(pool, NULL), 0);
    cr_assert_eq(events_take(events, hashes), 1);
    cr_assert_eq(events[0].kind, CUPOOL_KV_CLEARED);
    /* 19: behind a block that was here already, the parent is still the one before it. */
    take(3, late);
    hashes_number(more, 70, 3);
    enter(late, 2, 70);
    give(late, 2);
    events_take(events, hashes);
    take(2, late);
    cupool_kv_handle again[3] = {late[0], late[1], late[2]};
    cr_assert_eq(cupool_kv_complete(pool, again, 3), 0);
    cr_assert_eq(
        cupool_kv_register(pool, again, more, 3, NULL, CUPOOL_KV_ANSWER_FIRST, NONE, again), 0);
    cr_assert_eq(events_take(events, hashes), 1);
    cr_assert_eq(events[0].count, 1);
    cr_assert(same(events[0].parent, more[1]), "logical parent");
    give(again, 3);
}

/** Pools of one geometry with windows, all holding the same three blocks. */
static void group_fill(struct cupool_kv_member *members, uint32_t count, uint32_t blocks)
{
    struct cupool_kv_config config = config_ten();

    for (uint32_t at = 0; at < count; at++) {
        cupool_kv_handle handles[10];

        pool = members[at].pool = pool_make(&config);
        take(blocks, handles);
        enter(handles, blocks, 0);
        give(handles, blocks);
    }
}

static uint32_t group_hit(const struct cupool_kv_member *members, uint32_t count, uint32_t blocks)
{
    struct cupool_kv_hash hashes[10];
    uint32_t matched;

    hashes_number(hashes, 0, blocks);
    cr_assert_eq(cupool_kv_match_group(members, count, hashes, blocks, NULL, &matched), 0);
    return matched / 16;
}

static void forget(struct cupool_kv *which, uint64_t number)
{
    struct cupool_kv_hash hash = hash_number(number);
    uint32_t forgotten;

    cr_assert_eq(cupool_kv_forget(which, &hash, 1, &forgotten), 0);
    cr_assert_eq(forgotten, 1);
}

static void group_end(struct cupool_kv_member *members, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        check_of(members[at].pool);
        cupool_kv_destroy(members[at].pool);
    }
    pool = NULL;
}

/* test_prefill_hybrid_model */
Test(vllm, s21_a_full_and_two_windowed_groups, .fini = teardown)
{
    struct cupool_kv_member members[3] = {{NULL, 0}, {NULL, 32}, {NULL, 32}};

    group_fill(members, 3, 3);
    cr_assert_eq(group_hit(members, 3, 3), 3);
    forget(members[1].pool, 0);
    cr_assert_eq(group_hit(members, 3, 3), 3, "outside the window");
    forget(members[2].pool, 2);
    cr_assert_eq(group_hit(members, 3, 3), 0, "one windowed group has no tail, the other no head");
    group_end(members, 3);
    group_fill(members, 3, 3);
    forget(members[0].pool, 0);
    cr_assert_eq(group_hit(members, 3, 3), 0, "the first full block is gone");
    group_end(members, 3);
    group_fill(members, 3, 3);
    forget(members[1].pool, 2);
    cr_assert_eq(group_hit(members, 3, 3), 2, "the last is gone");
    group_end(members, 3);
}

/* test_prefill_hybrid_model_eagle, hybrid block sizes */
Test(vllm, s22_block_sizes_of_32_and_16_together, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv_member members[2] = {{NULL, 0}, {NULL, 0}};
    struct cupool_kv_hash fine[6], coarse[3];
    cupool_kv_handle handles[6];

    hashes_number(fine, 0, 6);
    for (unsigned at = 0; at < 3; at++)
        coarse[at] = fine[at * 2 + 1]; /* 37: the coarse hash is the fine one at the boundary */
    pool = members[0].pool = pool_make(&config);
    take(6, handles);
    enter(handles, 6, 0);
    give(handles, 6);
    config.block_tokens = 32;
    pool = members[1].pool = pool_make(&config);
    take(3, handles);
    cr_assert_eq(cupool_kv_complete(pool, handles, 3), 0);
    cr_assert_eq(
        cupool_kv_register(pool, handles, coarse, 3, NULL, CUPOOL_KV_KEEP_BOTH, NONE, handles), 0);
    give(handles, 3);
    cr_assert_eq(group_hit(members, 2, 6), 6);
    forget(members[0].pool, 5);
    cr_assert_eq(group_hit(members, 2, 6), 4);
    group_end(members, 2);
}

static const char *tail(int64_t alignment, int64_t retention, uint64_t count)
{
    static char text[128];
    uint32_t positions[32], found_count = 0;
    size_t length = 0;

    if (cupool_kv_window_tail(8, 8, alignment, retention, count, positions, 32, &found_count) < 0)
        return "refused";
    text[0] = '\0';
    for (uint32_t at = 0; at < found_count; at++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%u", at > 0 ? "," : "",
                                   positions[at]);
    return text;
}

/* sliding-window tail-only caching; retention interval */
Test(vllm, s23_s24_windowed_tails)
{
    cr_assert_str_eq(tail(32, 32, 64), "3,7");
    cr_assert_str_eq(tail(32, 64, 128), "7,11,15", "multiples of 64, and the same prompt again");
    cr_assert_str_eq(tail(32, 64, 100), "7,11", "a multiple of 64, and the prompt's own end");
    cr_assert_str_eq(tail(32, 64, 96), "7,11", "who goes on hits 96 tokens, the same prompt 64");
    cr_assert_str_eq(tail(32, 64, 0), "");
    cr_assert_str_eq(tail(32, 64, 130), "7,15");
    cr_assert_str_eq(tail(32, 33, 64), "refused");
    cr_assert_str_eq(tail(32, -32, 64), "refused");
}

/* test_prompt_logprobs_skip_cache */
Test(vllm, s25_prompt_log_probabilities_take_no_hit, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence;
    uint32_t matched = 9;

    end(request(tokens, 55, NULL));
    cr_assert_eq(cupool_sequence_create(set, NULL, CUPOOL_SEQUENCE_NO_MATCH, &sequence), 0);
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 55, NONE, &matched), 0);
    cr_assert_eq(matched, 0);
    end(sequence);
}

/* test_eagle…: lookahead tokens */
Test(vllm, s26_drafts_that_shrink_take_no_block, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = request(tokens, 14, NULL);

    cr_assert_eq(cupool_sequence_reserve(set, sequence, 16, NONE), 0);
    cr_assert_str_eq(row(sequence), "1,2");
    cr_assert_eq(cupool_sequence_reserve(set, sequence, 1, NONE), 0);
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens + 14, 1, NONE), 0);
    cr_assert_str_eq(row(sequence), "1,2");
    end(sequence);
}

/* test_kv_cache_utils.py: FreeKVCacheBlockQueue */
Test(vllm, s27_s28_the_queue, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], middle, more[10];

    take(10, handles);
    cr_assert_str_eq(ids(handles, 10), "1,2,3,4,5,6,7,8,9,10");
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, more), -ENOMEM, "nothing to pop");
    enter(handles, 10, 0);
    give(handles, 10);
    cr_assert_eq(found(4, 1, &middle), 1);
    give(&middle, 1);
    take(9, more);
    cr_assert_str_eq(ids(more, 9), "10,9,8,7,6,4,3,2,1", "5 went from the middle to the end");
    give(more, 3);
    take(3, more);
    cr_assert_str_eq(ids(more, 3), "8,9,10", "prepended with the last of the call on top");
    give(more, 9);
}

/* test_hash_block_tokens…: NONE_HASH */
Test(vllm, s29_the_root_is_the_same_everywhere)
{
    struct cupool_kv_identity identity = {.method = CUPOOL_KV_SHA256, .block_tokens = 16};
    struct cupool_kv_hash root, block;
    char text[65];

    cr_assert_eq(cupool_kv_identity_root(&identity, NULL, &root), 0);
    for (int at = 0; at < 16; at++)
        tokens[at] = at;
    cr_assert_eq(cupool_kv_identity_blocks(&identity, NULL, &root, tokens, 0, 1, &block), 0);
    for (int at = 0; at < 32; at++)
        snprintf(text + 2 * at, 3, "%02x", block.bytes[at]);
    /* Computed by Python's hashlib from the layout in identity.c. */
    cr_assert_str_eq(text, "7feeec6dff146af395ae3e91eef501f0300ea3dbe7a7252aea37b6c8cb1e1a9b");
}

/* test_metrics: CachingMetrics */
Test(vllm, s30_hit_rate_over_a_window, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[20], again[64];
    double rate;

    config.blocks = 20;
    config.window = 2;
    pool = pool_make(&config);
    take(9, handles);
    enter(handles, 9, 0);
    give(handles, 9);
    give(again, found(0, 20, again));
    cupool_kv_stats_window(pool, NULL, NULL, &rate);
    cr_assert_float_eq(rate, 0.45, 1e-9);
    give(again, found(8, 20, again));
    cupool_kv_stats_window(pool, NULL, NULL, &rate);
    cr_assert_float_eq(rate, 0.25, 1e-9);
    give(again, found(2, 20, again));
    cupool_kv_stats_window(pool, NULL, NULL, &rate);
    cr_assert_float_eq(rate, 0.2, 1e-9, "the first has left the window");
}

/* test_generate_block_hash_extra_keys_lora */
Test(vllm, s31_the_adapter_is_in_the_key)
{
    struct cupool_kv_scope one = {.adapter = "sql", .adapter_generation = 1};
    struct cupool_kv_scope two = {.adapter = "sql", .adapter_generation = 2};
    struct cupool_kv_scope three = {.adapter = "sq"};

    cr_assert(!same(one_block(NULL), one_block(&one)));
    cr_assert(!same(one_block(&one), one_block(&two)), "loaded again under its old name");
    cr_assert(!same(one_block(&one), one_block(&three)));
    cr_assert(same(one_block(&one), one_block(&one)));
}

/* test_block_pool_double_free.py */
Test(vllm, s32_to_s34_double_free, .init = setup, .fini = teardown)
{
    cupool_kv_handle handle, twice[2], null_handle = (uint64_t)1 << 32;

    take(1, &handle);
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    twice[0] = twice[1] = handle;
    cr_assert_eq(cupool_kv_release(pool, twice, 2, NONE), 0);
    cr_assert_eq(stats_now().free, 10, "free once");
    take(1, &handle);
    twice[0] = twice[1] = handle;
    cr_assert_eq(cupool_kv_release(pool, twice, 2, NONE), -ESTALE, "one release, and an error");
    cr_assert_eq(stats_now().free, 10);
    cr_assert_eq(pool->stack_count, 10);
    take(1, &handle);
    enter(&handle, 1, 1);
    twice[0] = twice[1] = handle;
    cr_assert_eq(cupool_kv_release(pool, twice, 2, NONE), -ESTALE);
    cr_assert_eq(stats_now().inactive, 1);
    cr_assert_eq(cupool_kv_release(pool, &null_handle, 1, NONE), -EINVAL, "the null block stays");
}

/* test_hash_collision_defense.py */
Test(vllm, s35_s36_equal_hash_other_tokens, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash first = hash_number(1), second = first;
    cupool_kv_handle handles[2], again;
    uint32_t matched;

    second.bytes[20] ^= 1; /* the fingerprint differs */
    take(2, handles);
    enter(handles, 1, 1);
    cr_assert_eq(cupool_kv_complete(pool, handles + 1, 1), 0);
    cr_assert_eq(cupool_kv_register(pool, handles + 1, &second, 1, NULL, CUPOOL_KV_KEEP_BOTH, NONE,
                                    handles + 1),
                 -EILSEQ);
    cr_assert_eq(cupool_kv_match(pool, &second, 1, &again, &matched), 0);
    cr_assert_eq(matched, 0, "a collision is a miss");
    cr_assert_geq(stats_now().collisions, 2);
    give(handles, 1);
    cr_assert_eq(cupool_kv_forget(pool, &first, 1, NULL), 0);
    cr_assert_eq(cupool_kv_register(pool, handles + 1, &second, 1, NULL, CUPOOL_KV_KEEP_BOTH, NONE,
                                    handles + 1),
                 0, "the fingerprint went with the eviction");
    give(handles + 1, 1);
}

/* test_partial_prefix_cache_primitives.py */
Test(vllm, s38_s39_partial_entries_are_replaced, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv_hash three = hash_number(3), seven = hash_number(7), hashes[8];
    struct cupool_kv_event events[8];
    cupool_kv_handle handle;

    config.events = 8;
    pool = pool_make(&config);
    take(1, &handle);
    cr_assert_eq(cupool_kv_register_partial(pool, handle, &three, NULL, 3, NONE), 0);
    cr_assert_eq(seen(3, 1), 1);
    cr_assert_eq(cupool_kv_register_partial(pool, handle, &three, NULL, 16, NONE), -EINVAL);
    cr_assert_eq(cupool_kv_register_partial(pool, handle, &seven, NULL, 7, NONE), 0);
    cr_assert_eq(seen(3, 1), 0);
    cr_assert_eq(seen(7, 1), 1);
    enter(&handle, 1, 16);
    cr_assert_eq(seen(7, 1), 0);
    uint32_t count;
    cr_assert_eq(cupool_kv_events_poll(pool, events, 8, hashes, 8, &count, NULL), 0);
    cr_assert_eq(count, 5);
    static const enum cupool_kv_event_kind kinds[] = {
        CUPOOL_KV_STORED, CUPOOL_KV_REMOVED, CUPOOL_KV_STORED, CUPOOL_KV_REMOVED, CUPOOL_KV_STORED};
    for (unsigned at = 0; at < 5; at++)
        cr_assert_eq(events[at].kind, kinds[at]);
    give(&handle, 1);
    cr_assert_eq(seen(3, 1) + seen(7, 1), 0, "a stale partial entry never comes back");
    cr_assert_eq(seen(16, 1), 1);
}

Test(vllm, partial_blocks_of_sequences_are_matched, .init = setup_partial, .fini = teardown_set)
{
    cupool_sequence sequence = request(tokens, 21, NULL), second;
    uint32_t matched;

    end(sequence);
    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &second), 0);
    cr_assert_eq(cupool_sequence_match(set, second, tokens, 40, NONE, &matched), 0);
    cr_assert_eq(matched, 21, "16 of a full block and 5 of a partial one, copied");
    cr_assert_eq(stats_now().copies, 1);
    cr_assert_eq(cupool_sequence_append(set, second, tokens + 21, 19, NONE), 0);
    end(second);
}

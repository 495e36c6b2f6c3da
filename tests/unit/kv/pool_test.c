/* SPDX-License-Identifier: MIT */
/*
 * A pool's functions one by one: states, handles, references, memory, errors that change nothing.
 */
#include "tests/unit/kv/fixture.h"

Test(kv_pool, a_block_goes_through_its_states, .init = setup, .fini = teardown)
{
    struct cupool_kv_block block;
    cupool_kv_handle handle, again;

    take(1, &handle);
    cr_assert_eq(cupool_kv_describe(pool, handle, &block), 0);
    cr_assert_eq(block.state, CUPOOL_KV_MUTABLE);
    cr_assert_eq(cupool_kv_complete(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_describe(pool, handle, &block), 0);
    cr_assert_eq(block.state, CUPOOL_KV_COMPLETE);
    enter(&handle, 1, 7);
    cr_assert_eq(cupool_kv_describe(pool, handle, &block), 0);
    cr_assert_eq(block.state, CUPOOL_KV_ACTIVE);
    cr_assert_eq(block.references, 1);
    give(&handle, 1);
    struct cupool_kv_statistics stats = stats_now();
    cr_assert_eq(stats.inactive, 1);
    cr_assert_eq(stats.available, 10);
    cr_assert_eq(found(7, 1, &again), 1);
    cr_assert_eq(cupool_kv_id(again), cupool_kv_id(handle));
    cr_assert_neq(again, handle, "the generation grows when the last reference goes");
    give(&again, 1);
    uint32_t evicted;
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 5, &evicted), 0);
    cr_assert_eq(evicted, 1);
    cr_assert_eq(stats_now().free, 10);
    cr_assert_eq(seen(7, 1), 0);
}

Test(kv_pool, stale_double_and_foreign_handles_change_nothing, .init = setup, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    struct cupool_kv *other = pool_make(&config);
    cupool_kv_handle handle, foreign, bad[] = {0, 5, UINT64_MAX, 1ull << 32, 1ull << 32 | 99};
    void *memory;

    take(1, &handle);
    cr_assert_eq(cupool_kv_allocate(other, 1, NONE, &foreign), 0);
    cr_assert_eq(cupool_kv_release(pool, &foreign, 1, NONE), -ESTALE);
    give(&handle, 1);
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, NONE), -ESTALE);
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), -ESTALE);
    cr_assert_eq(cupool_kv_complete(pool, &handle, 1), -ESTALE);
    cr_assert_eq(cupool_kv_memory(pool, handle, 0, 0, &memory, NULL), -EINVAL);
    for (unsigned at = 0; at < sizeof(bad) / sizeof(*bad); at++) {
        int error = cupool_kv_release(pool, &bad[at], 1, NONE);

        cr_assert(error == -EINVAL || error == -ESTALE, "%d", error);
    }
    cr_assert_eq(stats_now().free, 10);
    cr_assert_geq(stats_now().stale, 7);
    cr_assert_str_eq(cupool_kv_error(pool), "the handle is stale or not of this pool");
    check_of(other);
    cr_assert_eq(cupool_kv_release(other, &foreign, 1, NONE), 0);
    cupool_kv_destroy(other);
}

Test(kv_pool, one_bad_handle_refuses_the_whole_call, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[3];

    take(2, handles);
    handles[2] = handles[0] + (1ull << 32);
    cr_assert_eq(cupool_kv_release(pool, handles, 3, NONE), -ESTALE);
    cr_assert_eq(cupool_kv_retain(pool, handles, 3), -ESTALE);
    cr_assert_eq(cupool_kv_complete(pool, handles, 3), -ESTALE);
    cr_assert_eq(stats_now().mutable_blocks, 2);
    give(handles, 2);
}

Test(kv_pool, a_block_registered_twice_in_one_call_is_refused, .init = setup, .fini = teardown)
{
    struct cupool_kv_hash hashes[3];
    cupool_kv_handle handles[3];

    take(2, handles);
    handles[2] = handles[0];
    hashes_number(hashes, 0, 3);
    cr_assert_eq(cupool_kv_complete(pool, handles, 2), 0);
    cr_assert_eq(
        cupool_kv_register(pool, handles, hashes, 3, NULL, CUPOOL_KV_KEEP_BOTH, NONE, handles),
        -EINVAL);
    cr_assert_eq(stats_now().complete, 2, "nothing was registered");
    give(handles, 2);
}

Test(kv_pool, memory_is_real_and_apart)
{
    struct cupool_kv_config config = config_ten();
    static const enum cupool_kv_layout layouts[] = {CUPOOL_KV_BLOCKS_FIRST, CUPOOL_KV_LAYERS_FIRST};

    config.layers = 3;
    config.kv_heads = 2;
    config.head_dim = 24;
    config.value_type = CUPOOL_KV_I8;
    for (unsigned at = 0; at < 2; at++) {
        cupool_kv_handle handles[10];
        struct cupool_kv_geometry geometry;

        config.layout = layouts[at];
        pool = pool_make(&config);
        cupool_kv_strides(pool, &geometry);
        cr_assert_eq(geometry.key_bytes, 16 * 2 * 24 * 2);
        cr_assert_eq(geometry.value_bytes, 16 * 2 * 24);
        take(10, handles);
        for (unsigned pass = 0; pass < 2; pass++)
            for (uint32_t block = 0; block < 10; block++)
                for (uint32_t layer = 0; layer < 3; layer++)
                    for (int side = 0; side < 2; side++) {
                        uint8_t mark = (uint8_t)(block * 8 + layer * 2 + (uint32_t)side);
                        void *memory;
                        size_t bytes;

                        cr_assert_eq(
                            cupool_kv_memory(pool, handles[block], layer, side, &memory, &bytes),
                            0);
                        if (pass == 0)
                            memset(memory, mark, bytes);
                        for (size_t byte = 0; byte < bytes; byte += 7)
                            cr_assert_eq(((uint8_t *)memory)[byte], mark);
                    }
        void *memory;
        cr_assert_eq(cupool_kv_memory(pool, handles[0], 3, 0, &memory, NULL), -EINVAL);
        cr_assert_eq(cupool_kv_memory(pool, handles[0], 0, 2, &memory, NULL), -EINVAL);
        give(handles, 10);
        teardown();
    }
}

Test(kv_pool, clear_zeroes_what_becomes_free)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[10];
    uint8_t *memory;
    size_t bytes;

    config.layers = 1;
    config.kv_heads = 1;
    config.head_dim = 16;
    config.clear = 1;
    pool = pool_make(&config);
    take(10, handles);
    for (unsigned at = 0; at < 10; at++) {
        cr_assert_eq(cupool_kv_memory(pool, handles[at], 0, 0, (void **)&memory, &bytes), 0);
        cr_assert_eq(memory[0], 0, "memory is zero from the start");
        memset(memory, 0xee, bytes);
    }
    enter(handles + 5, 5, 100);
    int fills = fake.fills;
    give(handles, 5);
    cr_assert_eq(fake.fills, fills + 5, "cleared when they become free, not later");
    give(handles + 5, 5);
    cr_assert_eq(fake.fills, fills + 5, "cached blocks keep their content");
    take(10, handles);
    for (unsigned at = 0; at < 10; at++) {
        cr_assert_eq(cupool_kv_memory(pool, handles[at], 0, 0, (void **)&memory, &bytes), 0);
        for (size_t byte = 0; byte < bytes; byte++)
            cr_assert_eq(memory[byte], 0, "block %u of 10 has content", at);
    }
    give(handles, 10);
    teardown();
}

Test(kv_pool, a_copy_without_a_stream_waits_for_the_writer, .fini = teardown)
{
    struct cupool_kv_hash hash = hash_number(1);
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handle, copy;

    config.layers = 2;
    config.kv_heads = 1;
    config.head_dim = 8;
    pool = pool_make(&config);
    take(1, &handle);
    cr_assert_eq(cupool_kv_complete(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_register(pool, &handle, &hash, 1, NULL, CUPOOL_KV_KEEP_BOTH,
                                    FAKE_STREAM(1), &handle),
                 0);
    int copies = fake.copies;
    cr_assert_eq(cupool_kv_make_writable(pool, handle, NONE, &copy), -EAGAIN);
    cr_assert_eq(fake.copies, copies, "what the other stream writes is not there yet");
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_kv_make_writable(pool, handle, NONE, &copy), 0);
    cr_assert(fake.copies > copies);
    give(&copy, 1);
}

Test(kv_pool, a_shared_block_is_copied_before_it_is_written)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handle, same, copy;
    uint8_t *memory, *other;
    size_t bytes;

    config.layers = 2;
    config.kv_heads = 1;
    config.head_dim = 8;
    config.layout = CUPOOL_KV_LAYERS_FIRST;
    pool = pool_make(&config);
    take(1, &handle);
    cr_assert_eq(cupool_kv_memory(pool, handle, 1, 1, (void **)&memory, &bytes), 0);
    memset(memory, 0x77, bytes);
    cr_assert_eq(cupool_kv_make_writable(pool, handle, NONE, &same), 0);
    cr_assert_eq(same, handle, "sole owner");
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_make_writable(pool, handle, NONE, &copy), 0);
    cr_assert_neq(copy, handle);
    cr_assert_eq(cupool_kv_memory(pool, copy, 1, 1, (void **)&other, &bytes), 0);
    cr_assert_eq(memcmp(memory, other, bytes), 0);
    cr_assert_neq(memory, other);
    enter(&handle, 1, 1);
    give(&copy, 1);
    cr_assert_eq(cupool_kv_make_writable(pool, handle, NONE, &copy), 0);
    cr_assert_neq(copy, handle, "a registered block is never written");
    cr_assert_eq(seen(1, 1), 1);
    cr_assert_eq(stats_now().copies, 2);
    give(&copy, 1);
    teardown();
}

Test(kv_pool, a_released_block_waits_for_the_work_of_its_stream, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], more[10];

    take(10, handles);
    cr_assert_eq(cupool_kv_release(pool, handles, 4, FAKE_STREAM(1)), 0);
    cr_assert_eq(stats_now().draining, 4);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, more), -EAGAIN, "no stream to order behind");
    cr_assert_eq(cupool_kv_allocate(pool, 2, FAKE_STREAM(1), more), 0);
    cr_assert_eq(fake.waits, 0, "the same stream is in order anyway");
    cr_assert_eq(cupool_kv_allocate(pool, 1, FAKE_STREAM(2), more + 2), 0);
    cr_assert_eq(fake.waits, 1, "another one waits on the device");
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, more + 3), 0);
    cr_assert_eq(stats_now().draining, 0);
    give(more, 4);
    give(handles + 4, 6);
}

Test(kv_pool, work_of_two_streams_is_waited_for_both, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], more;

    take(10, handles);
    cr_assert_eq(cupool_kv_retain(pool, handles, 1), 0);
    cr_assert_eq(cupool_kv_release(pool, handles, 1, FAKE_STREAM(1)), 0);
    cr_assert_eq(cupool_kv_release(pool, handles, 1, FAKE_STREAM(2)), 0);
    fake_pass(&fake, 2);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &more), -EAGAIN, "stream 1 still works");
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &more), 0);
    give(&more, 1);
    give(handles + 1, 9);
}

Test(kv_pool, a_cached_block_is_evicted_only_behind_its_readers, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10], again, more;

    take(10, handles);
    enter(handles, 10, 0);
    cr_assert_eq(cupool_kv_release(pool, handles, 10, FAKE_STREAM(3)), 0);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &more), -EAGAIN);
    cr_assert_eq(stats_now().evictions, 0);
    cr_assert_eq(found(0, 1, &again), 1, "reading is no problem");
    cr_assert_eq(cupool_kv_stream_order(pool, &again, 1, FAKE_STREAM(4)), 0);
    cr_assert_eq(fake.waits, 1);
    give(&again, 1);
    fake_pass(&fake, 3);
    take(1, &more);
    cr_assert_eq(cupool_kv_id(more), cupool_kv_id(handles[9]), "the tail goes first");
    give(&more, 1);
}

Test(kv_pool, a_captured_stream_takes_no_release, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[2];

    take(2, handles);
    fake.captured = 5;
    cr_assert_eq(cupool_kv_release(pool, handles, 2, FAKE_STREAM(5)), -EBUSY);
    cr_assert_eq(stats_now().mutable_blocks, 2, "nothing was released");
    fake.captured = 0;
    cr_assert_eq(cupool_kv_release(pool, handles, 2, FAKE_STREAM(5)), 0);
}

/* Blocks of 1 KiB of keys and values that are zero when they are handed out. */
static struct cupool_kv_config config_clear(void)
{
    struct cupool_kv_config config = config_ten();

    config.layers = 1;
    config.kv_heads = 1;
    config.head_dim = 16;
    config.clear = 1;
    return config;
}

static uint8_t *keys_of(cupool_kv_handle handle)
{
    void *memory = NULL;
    size_t bytes;

    cr_assert_eq(cupool_kv_memory(pool, handle, 0, 0, &memory, &bytes), 0);
    return memory;
}

Test(kv_pool, zeroing_comes_after_all_announced_work)
{
    struct cupool_kv_config config = config_clear();
    cupool_kv_handle handle;

    pool = pool_make(&config);
    take(1, &handle);
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, FAKE_STREAM(1)), 0);
    uint64_t readers = fake.serial;
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, FAKE_STREAM(3)), 0);
    cr_assert_eq(fake.filled[3], readers, "stream 3 zeroes behind the readers of stream 1");
    /* Without a stream to zero on, it waits for the next owner. */
    fake_pass(&fake, 1);
    fake_pass(&fake, 3);
    take(1, &handle);
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, FAKE_STREAM(1)), 0);
    int fills = fake.fills;
    keys_of(handle)[5] = 9;
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, NONE), 0);
    cr_assert_eq(fake.fills, fills, "stream 1 still reads it");
    fake_pass(&fake, 1);
    cupool_kv_handle all[10];
    take(10, all);
    cr_assert_eq(fake.fills, fills + 1);
    for (unsigned at = 0; at < 10; at++)
        cr_assert_eq(keys_of(all[at])[5], 0);
    give(all, 10);
    teardown();
}

Test(kv_pool, zeroing_is_waited_for)
{
    struct cupool_kv_config config = config_clear();
    cupool_kv_handle all[10], handle;

    pool = pool_make(&config);
    take(10, all);
    enter(all, 10, 0);
    give(all, 10);
    cr_assert_eq(cupool_kv_allocate(pool, 10, FAKE_STREAM(1), all), 0, "victims, zeroed now");
    give(all, 10);
    cr_assert_eq(cupool_kv_allocate(pool, 1, NONE, &handle), -EAGAIN, "stream 1 is still zeroing");
    int waits = fake.waits;
    cr_assert_eq(cupool_kv_allocate(pool, 1, FAKE_STREAM(3), &handle), 0);
    cr_assert_eq(fake.waits, waits + 1);
    give(&handle, 1);
    fake_pass(&fake, 1);
    fake_pass(&fake, 3);
    take(1, &handle);
    give(&handle, 1);
    /* Zeroing is no part of a graph. */
    take(10, all);
    enter(all, 10, 20);
    give(all, 10);
    fake.captured = 5;
    cr_assert_eq(cupool_kv_allocate(pool, 10, FAKE_STREAM(5), all), -EBUSY);
    check();
    fake.captured = 0;
    cr_assert_eq(cupool_kv_allocate(pool, 10, FAKE_STREAM(5), all), 0);
    for (unsigned at = 0; at < 10; at++)
        cr_assert_eq(keys_of(all[at])[0], 0);
    give(all, 10);
    fake_pass(&fake, 5);
    teardown();
}

Test(kv_pool, pages_that_come_back_are_zero)
{
    struct cupool_kv_config config = config_clear();
    cupool_kv_handle all[10];
    uint32_t evicted;

    config.elastic = 1;
    config.page_bytes = 4096;
    pool = pool_make(&config);
    for (unsigned round = 0; round < 2; round++) {
        take(10, all);
        for (unsigned at = 0; at < 10; at++) {
            for (unsigned byte = 0; byte < 512; byte++)
                cr_assert_eq(keys_of(all[at])[byte], 0, "round %u, block %u", round, at);
            memset(keys_of(all[at]), 1, 512);
        }
        give(all, 10);
        cr_assert_eq(cupool_kv_trim(pool, 0, &evicted), 0);
    }
    teardown();
}

Test(kv_pool, the_threads_own_stream_is_another_in_each, .init = setup, .fini = teardown)
{
    cupool_kv_handle all[10], handle;

    take(10, all);
    cr_assert_eq(cupool_kv_release(pool, all, 10, CUPOOL_STREAM_PER_THREAD), 0);
    cr_assert_eq(cupool_kv_allocate(pool, 1, CUPOOL_STREAM_PER_THREAD, &handle), 0);
    cr_assert_eq(fake.waits, 1, "another thread may have released it");
    /* Two threads' work is two: the newer fence does not stand for the older one. */
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, CUPOOL_STREAM_PER_THREAD), 0);
    int fences = fake.live_fences;
    cr_assert_eq(cupool_kv_release(pool, &handle, 1, CUPOOL_STREAM_PER_THREAD), 0);
    cr_assert_eq(fake.live_fences, fences + 1);
    /* A request that any thread may serve waits for the device. */
    cupool_kv_ticket ticket;
    cr_assert_eq(cupool_kv_allocate_async(pool, 1, CUPOOL_STREAM_PER_THREAD, 0, &handle, NULL, NULL,
                                          &ticket),
                 0);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), -EINPROGRESS);
    fake_pass(&fake, 2);
    cr_assert_eq(cupool_kv_ticket_result(pool, ticket), 0);
    give(&handle, 1);
}

Test(kv_pool, a_duplicate_is_exchanged_behind_its_writer, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[2], got;
    struct cupool_kv_hash hash = hash_number(7);

    take(2, handles);
    cr_assert_eq(cupool_kv_complete(pool, handles, 2), 0);
    cr_assert_eq(cupool_kv_register(pool, handles, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST,
                                    FAKE_STREAM(1), handles),
                 0);
    uint64_t writer = fake.serial;
    cr_assert_eq(cupool_kv_register(pool, handles + 1, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST,
                                    FAKE_STREAM(3), &got),
                 0);
    cr_assert_eq(got, handles[0]);
    cr_assert_eq(fake.waited[3], writer, "stream 3 reads what stream 1 wrote");
    /* A stream that cannot wait keeps its own block. */
    cupool_kv_handle own;
    take(1, &own);
    cr_assert_eq(cupool_kv_complete(pool, &own, 1), 0);
    fake.fail_at = fake.calls + 2; /* after the fence */
    fake.fail_error = -EIO;
    cr_assert_eq(cupool_kv_register(pool, &own, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST,
                                    FAKE_STREAM(4), &got),
                 0);
    cr_assert_eq(got, own);
    /* Without a stream nobody would wait: both stay until that work has ended. */
    cupool_kv_handle more[2];
    take(2, more);
    cr_assert_eq(cupool_kv_complete(pool, more, 2), 0);
    cr_assert_eq(cupool_kv_register(pool, more, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST, NONE, &got),
                 0);
    cr_assert_eq(got, more[0]);
    fake_pass(&fake, 1);
    fake_pass(&fake, 3);
    cr_assert_eq(
        cupool_kv_register(pool, more + 1, &hash, 1, NULL, CUPOOL_KV_ANSWER_FIRST, NONE, &got), 0);
    cr_assert_eq(got, handles[0]);
    give(more, 1);
    give(handles, 1);
    give(handles, 1);
    give(handles, 1);
    give(&own, 1);
    for (unsigned stream = 0; stream < 8; stream++)
        fake_pass(&fake, stream);
}

Test(kv_pool, a_captured_stream_copies_nothing)
{
    struct cupool_kv_config config = config_clear();
    cupool_kv_handle handle, own;

    pool = pool_make(&config);
    take(1, &handle);
    cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
    fake.captured = 5;
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(cupool_kv_make_writable(pool, handle, FAKE_STREAM(5), &own), -EBUSY);
        cr_assert_eq(stats_now().free, 9, "no block is lost");
        cr_assert_eq(fake.copies, 0, "and no work is in the graph");
    }
    give(&handle, 1);
    give(&handle, 1);
    teardown();
}

Test(kv_pool, more_fences_than_entries, .init = setup, .fini = teardown)
{
    cupool_kv_handle handle;

    for (unsigned round = 0; round < 3000; round++) {
        cr_assert_eq(cupool_kv_allocate(pool, 1, FAKE_STREAM(1 + round % 3), &handle), 0);
        cr_assert_eq(cupool_kv_retain(pool, &handle, 1), 0);
        cr_assert_eq(cupool_kv_release(pool, &handle, 1, FAKE_STREAM(1 + round % 5)), 0);
        cr_assert_eq(cupool_kv_release(pool, &handle, 1, FAKE_STREAM(1 + round % 3)), 0, "%u: %s",
                     round, cupool_kv_error(pool));
        if (round % 500 == 0)
            check();
    }
    for (unsigned stream = 0; stream < 8; stream++)
        fake_pass(&fake, stream);
    cr_assert_eq(cupool_kv_poll(pool), 0);
    cr_assert_eq(stats_now().free, 10);
}

Test(kv_pool, pinned_blocks_stay, .init = setup, .fini = teardown)
{
    cupool_kv_handle handles[10];
    struct cupool_kv_hash hashes[10];
    uint32_t evicted;

    take(10, handles);
    enter(handles, 10, 0);
    cr_assert_eq(cupool_kv_pin(pool, handles, 3), 0);
    give(handles, 10);
    cr_assert_eq(stats_now().pinned, 3);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_AGGRESSIVE, 10, &evicted), 0);
    cr_assert_eq(evicted, 7);
    cr_assert_eq(cupool_kv_allocate(pool, 8, NONE, handles), -ENOMEM);
    cr_assert_eq(seen(0, 10), 3);
    hashes_number(hashes, 0, 10);
    cr_assert_eq(cupool_kv_unpin(pool, hashes, 10), 0);
    take(10, handles);
    give(handles, 10);
}

static uint64_t rank_by_hits(void *state, const struct cupool_kv_block *block)
{
    return block->hits;
}

static int veto_id(void *state, const struct cupool_kv_block *block)
{
    return block->id != *(uint32_t *)state;
}

Test(kv_pool, a_custom_policy_orders_and_vetoes)
{
    struct cupool_kv_config config = config_ten();
    uint32_t vetoed = 4, evicted;
    cupool_kv_handle handles[10], again[10];

    config.policy = CUPOOL_KV_CUSTOM;
    cr_assert_eq(kv_create(&(struct kv_backend){0}, &config, &pool), -EINVAL, "a rank is needed");
    config.custom = (struct cupool_kv_custom){&vetoed, rank_by_hits, veto_id};
    pool = pool_make(&config);
    take(10, handles);
    enter(handles, 10, 0);
    give(handles, 10);
    cr_assert_eq(found(0, 2, again), 2);
    give(again, 2);
    take(7, again);
    cr_assert_str_eq(ids(again, 7), "10,9,8,7,6,5,3", "4 is vetoed, 1 and 2 were hit");
    cr_assert_eq(cupool_kv_allocate(pool, 3, NONE, again + 7), -ENOMEM, "the veto holds");
    check();
    take(2, again + 7);
    cr_assert_str_eq(ids(again + 7, 2), "2,1");
    cr_assert_eq(seen(3, 1), 1);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_NORMAL, 1, &evicted), 0);
    cr_assert_eq(evicted, 0);
    cr_assert_eq(cupool_kv_evict(pool, CUPOOL_KV_EVICT_AGGRESSIVE, 1, &evicted), 0);
    cr_assert_eq(evicted, 1);
    give(again, 9);
    teardown();
}

struct level_log {
    enum cupool_pressure levels[16];
    unsigned count;
};

static void level_note(void *state, enum cupool_pressure level, double usage)
{
    struct level_log *log = state;

    cr_assert(log->count < 16);
    log->levels[log->count++] = level;
    check(); /* outside the lock: the pool may be called */
}

Test(kv_pool, pressure_has_hysteresis, .init = setup, .fini = teardown)
{
    struct level_log log = {.count = 0};
    struct cupool_pressure_thresholds bad = {0.9, 0.7, 0.1}, good = {0.7, 0.9, 0.15};
    cupool_kv_handle handles[10];

    cr_assert_eq(cupool_kv_pressure(pool, &bad, level_note, &log), -EINVAL);
    cr_assert_eq(cupool_kv_pressure(pool, &good, level_note, &log), 0);
    take(6, handles);
    cr_assert_eq(log.count, 0);
    take(1, handles + 6);
    cr_assert_eq(log.levels[0], CUPOOL_PRESSURE_NORMAL);
    give(handles + 6, 1);
    cr_assert_eq(log.count, 1, "6 of 10 is within the hysteresis");
    take(4, handles + 6);
    cr_assert_eq(log.levels[1], CUPOOL_PRESSURE_AGGRESSIVE);
    give(handles + 8, 2);
    cr_assert_eq(log.count, 2, "8 of 10 is still within it");
    give(handles + 5, 3);
    cr_assert_eq(log.levels[2], CUPOOL_PRESSURE_NONE);
    cr_assert_eq(log.count, 3);
    give(handles, 5);
}

Test(kv_pool, elastic_memory_comes_and_goes_with_use)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[10];
    uint32_t evicted;
    void *memory;
    size_t bytes;

    config.blocks = 64;
    config.layers = 4;
    config.kv_heads = 2;
    config.head_dim = 32;
    config.elastic = 1;
    config.page_bytes = 65536;
    pool = pool_make(&config);
    int least = fake.pages;
    take(10, handles);
    for (unsigned at = 0; at < 10; at++) {
        cr_assert_eq(cupool_kv_memory(pool, handles[at], 3, 1, &memory, &bytes), 0);
        memset(memory, 1, bytes);
    }
    cr_assert_gt(fake.pages, least);
    enter(handles + 8, 2, 0);
    give(handles, 10);
    cr_assert_eq(cupool_kv_trim(pool, 2, &evicted), 0);
    cr_assert_gt(fake.pages, least, "cached blocks keep their pages");
    cr_assert_eq(cupool_kv_trim(pool, 0, &evicted), 0);
    cr_assert_eq(evicted, 2);
    cr_assert_eq(fake.pages, least);
    /* A page that cannot be had: nothing was allocated. */
    fake.fail_at = fake.calls + 2;
    fake.fail_error = -ENOMEM;
    cr_assert_eq(cupool_kv_allocate(pool, 10, NONE, handles), -ENOMEM);
    cr_assert_eq(stats_now().free, 64);
    check();
    take(10, handles);
    give(handles, 10);
    teardown();
}

Test(kv_pool, a_pool_grows_and_shrinks, .fini = teardown)
{
    struct cupool_kv_config config = config_ten();
    cupool_kv_handle handles[20];
    uint32_t overflow = 99;

    config.max_blocks = 20;
    pool = pool_make(&config);
    cr_assert_eq(cupool_kv_allocate(pool, 11, NONE, handles), -ENOMEM);
    cr_assert_eq(cupool_kv_resize(pool, 20, &overflow), 0);
    take(20, handles);
    enter(handles + 10, 5, 0);
    cr_assert_eq(cupool_kv_resize(pool, 10, &overflow), 0);
    cr_assert_eq(overflow, 10);
    check();
    give(handles, 20);
    cr_assert_eq(stats_now().total, 10);
    cr_assert_eq(seen(0, 5), 0);
    cr_assert_eq(cupool_kv_resize(pool, 21, NULL), -ERANGE);
    cr_assert_eq(cupool_kv_resize(pool, 0, NULL), -ERANGE);
    cr_assert_eq(cupool_kv_resize(pool, 15, &overflow), 0);
    cr_assert_eq(stats_now().free, 15);
}

Test(kv_pool, what_is_refused_at_creation)
{
    struct kv_backend backend = fake_backend(&fake);
    struct cupool_kv_config good = config_ten(), config;
    struct cupool_kv *made = (struct cupool_kv *)&good;

#define REFUSED(change)                                                                            \
    config = good;                                                                                 \
    change;                                                                                        \
    cr_assert_lt(kv_create(&backend, &config, &made), 0, #change);                                 \
    cr_assert_eq((void *)made, (void *)&good, "the output was touched")
    REFUSED(config.blocks = 0);
    REFUSED(config.max_blocks = 5);
    REFUSED(config.blocks = UINT32_MAX);
    REFUSED(config.block_tokens = 0);
    REFUSED(config.layers = 1);
    REFUSED(config.window = 0);
    REFUSED(config.requests = 0);
    REFUSED(config.policy = 9);
    REFUSED(config.elastic = 1);
    REFUSED((config.layers = UINT32_MAX, config.kv_heads = 65536, config.head_dim = 65536));
    REFUSED((config.layers = config.kv_heads = config.head_dim = 1, config.key_type = 77));
}

Test(kv_pool, creation_survives_every_failure)
{
    struct kv_backend backend = fake_backend(&fake);
    struct cupool_kv_config config = config_ten();
    int failures = 0;

    config.events = 4;
    config.layers = config.kv_heads = config.head_dim = 1;
    for (int elastic = 0; elastic < 2; elastic++) {
        for (enum cupool_kv_policy policy = CUPOOL_KV_LRU; policy <= CUPOOL_KV_CUSTOM; policy++) {
            config.policy = policy;
            config.elastic = elastic;
            config.custom = (struct cupool_kv_custom){NULL, rank_by_hits, NULL};
            for (uint64_t at = 1;; at++) {
                struct cupool_kv *made = NULL;

                heap_fail_at(at);
                int error = kv_create(&backend, &config, &made);
                heap_fail_at(0);
                if (error == 0) {
                    cupool_kv_destroy(made);
                    break;
                }
                cr_assert_eq(error, -ENOMEM);
                failures++;
            }
        }
        for (uint64_t at = 1;; at++) {
            struct cupool_kv *made = NULL;

            fake.fail_at = fake.calls + at;
            fake.fail_error = -ENOMEM;
            int error = kv_create(&backend, &config, &made);
            fake.fail_at = 0;
            if (error == 0) {
                cupool_kv_destroy(made);
                break;
            }
            failures++;
        }
    }
    cr_assert_gt(failures, 50);
    teardown();
}

/* What an engine asks of a pool that it did not make: the size of a block, heads, their dimension.
 */
Test(kv_pool, its_configuration_is_told, .fini = teardown)
{
    struct cupool_kv_config config = config_ten(), known;

    config.layers = 2;
    config.kv_heads = 3;
    config.head_dim = 24;
    pool = pool_make(&config);
    cupool_kv_config_of(pool, &known);
    cr_assert_eq(known.blocks, 10);
    cr_assert_eq(known.max_blocks, 10);
    cr_assert_eq(known.block_tokens, 16);
    cr_assert_eq(known.kv_heads, 3);
    cr_assert_eq(known.head_dim, 24);
}

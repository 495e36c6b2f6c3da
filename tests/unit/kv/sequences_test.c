/* SPDX-License-Identifier: MIT */
/*
 * Sequences: tables, sharing, rollback, windows, several pools, and an end at every step.
 */
#include "tests/unit/kv/fixture.h"

#include "include/cupool/sequence.h"

static struct cupool_sequences *set;
static int32_t tokens[512];

static void set_over(const struct cupool_kv_member *members, uint32_t count)
{
    struct cupool_sequences_config config;

    cupool_sequences_config_init(&config);
    config.sequences = 4;
    config.max_tokens = 400;
    for (int at = 0; at < 512; at++)
        tokens[at] = at * 7;
    cr_assert_eq(cupool_sequences_create(members, count, &config, &set), 0);
}

static void setup_set(void)
{
    struct cupool_kv_member member;

    setup();
    member = (struct cupool_kv_member){pool, 0};
    set_over(&member, 1);
}

static void set_check(void)
{
    char why[160] = "";

    cr_assert_eq(cupool_sequences_check(set, why, sizeof(why)), 0, "%s", why);
}

static void teardown_set(void)
{
    set_check();
    cupool_sequences_destroy(set);
    teardown();
}

static cupool_sequence make(void)
{
    cupool_sequence sequence;

    cr_assert_eq(cupool_sequence_create(set, NULL, 0, &sequence), 0);
    return sequence;
}

static void append(cupool_sequence sequence, uint32_t from, uint32_t count)
{
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens + from, count, NONE), 0, "%s",
                 cupool_sequences_error(set));
}

Test(kv_sequences, a_block_at_each_multiple_of_the_block_size, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence sequence = make();
    const int32_t *table;
    cupool_kv_handle handle;
    uint32_t blocks, offset;

    for (uint32_t at = 0; at < 49; at++) {
        append(sequence, at, 1);
        cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
        cr_assert_eq(blocks, at / 16 + 1);
    }
    cr_assert_eq(stats_now().active, 3, "full blocks were registered by later appends");
    cr_assert_eq(cupool_sequence_place(set, sequence, 0, 33, &handle, &offset), 0);
    cr_assert_eq((int32_t)cupool_kv_id(handle), table[2]);
    cr_assert_eq(offset, 1);
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens, 352, NONE), -EOVERFLOW);
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens, 351, NONE), -ENOMEM);
    cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 4, "an append that fails leaves the sequence as it was");
}

Test(kv_sequences, what_was_not_committed_is_not_cached, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = make();
    uint32_t matched;

    append(sequence, 0, 64);
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
    sequence = make();
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 64, NONE, &matched), 0);
    cr_assert_eq(matched, 0, "an aborted request leaves nothing to match");
    append(sequence, 0, 64);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), -ESTALE);
    sequence = make();
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 64, NONE, &matched), 0);
    cr_assert_eq(matched, 48, "the last token has to be computed");
    cr_assert_eq(cupool_sequence_match(set, sequence, tokens, 64, NONE, &matched), -EINVAL);
}

Test(kv_sequences, forks_share_until_they_write, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence parent = make(), child;
    const int32_t *mine, *other;
    uint32_t blocks;

    append(parent, 0, 40);
    cr_assert_eq(cupool_sequence_fork(set, parent, NONE, &child), 0);
    cr_assert_eq(stats_now().available, 7);
    append(child, 100, 1);
    cr_assert_eq(cupool_sequence_table(set, parent, 0, &mine, &blocks), 0);
    cr_assert_eq(cupool_sequence_table(set, child, 0, &other, &blocks), 0);
    cr_assert_eq(mine[0], other[0]);
    cr_assert_eq(mine[1], other[1]);
    cr_assert_neq(mine[2], other[2]);
    append(parent, 40, 1);
    cr_assert_eq(stats_now().copies, 1, "the last owner writes in place");
    append(parent, 41, 30);
    append(child, 101, 30);
    set_check();
    cr_assert_eq(cupool_sequence_remove(set, parent, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, child, NONE), 0);
    cr_assert_eq(stats_now().available, 10);
}

Test(kv_sequences, without_room_for_the_copy_nothing_is_kept, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence parent = make(), child;
    cupool_kv_handle rest[8];
    const int32_t *table;
    uint32_t blocks;

    append(parent, 0, 20);
    cr_assert_eq(cupool_sequence_fork(set, parent, NONE, &child), 0);
    take(7, rest);
    cr_assert_eq(cupool_sequence_append(set, child, tokens, 13, NONE), -ENOMEM,
                 "one block for the tokens, none for the copy");
    cr_assert_eq(cupool_sequence_table(set, child, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 2);
    cr_assert_eq(stats_now().free, 1);
    give(rest, 7);
}

Test(kv_sequences, rejected_drafts_are_taken_back, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = make();
    uint32_t length;

    append(sequence, 0, 30);
    append(sequence, 30, 8);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    cr_assert_eq(cupool_sequence_truncate(set, sequence, 31, NONE), 0);
    cr_assert_eq(cupool_sequence_length(set, sequence, &length), 0);
    cr_assert_eq(length, 31);
    append(sequence, 200, 4);
    cr_assert_eq(cupool_sequence_truncate(set, sequence, 36, NONE), -EINVAL);
    /* The block registered with the refused drafts is unchanged. */
    cupool_sequence again = make();
    uint32_t matched;
    cr_assert_eq(cupool_sequence_match(set, again, tokens, 38, NONE, &matched), 0);
    cr_assert_eq(matched, 32);
    cr_assert_eq(cupool_sequence_truncate(set, sequence, 0, NONE), 0);
    append(sequence, 0, 20);
}

Test(kv_sequences, a_window_slides_over_null_blocks, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = make();
    const int32_t *table;
    uint32_t blocks;

    append(sequence, 0, 96);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    cr_assert_eq(cupool_sequence_slide(set, sequence, 40, NONE), 0);
    cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 6);
    for (unsigned at = 0; at < 6; at++)
        cr_assert_eq(table[at] == 0, at < 3, "block %u", at);
    cr_assert_eq(stats_now().inactive, 3, "they stay cached");
    cr_assert_eq(cupool_sequence_truncate(set, sequence, 20, NONE), -EINVAL);
    append(sequence, 96, 10);
    cr_assert_eq(cupool_sequence_slide(set, sequence, 40, NONE), 0);
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
    cr_assert_eq(stats_now().available, 10);
}

Test(kv_sequences, tables_reach_the_device_by_one_copy, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence first = make(), second = make();
    const int32_t *tables;
    uint32_t width;

    append(first, 0, 40);
    append(second, 50, 20);
    int copies = fake.copies;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    cr_assert_eq(width, 25);
    cr_assert_eq(fake.copies, copies + 1);
    for (unsigned at = 0; at < 3; at++)
        cr_assert_eq(tables[cupool_sequence_row(first) * width + at], (int32_t)at + 1);
    cr_assert_eq(tables[cupool_sequence_row(second) * width + 1], 5);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    cr_assert_eq(fake.copies, copies + 1, "nothing changed, nothing is copied");
    /* Staging is not written again before its copy has run. */
    int error = 0;
    unsigned ahead = 0;
    for (; ahead < 20 && error == 0; ahead++) {
        cr_assert_eq(cupool_sequence_truncate(set, second, 0, NONE), 0);
        append(second, 60, 20);
        error = cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width);
    }
    cr_assert_eq(error, -EAGAIN);
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    fake_pass(&fake, 1);
}

Test(kv_sequences, tables_copied_on_another_stream_are_waited_for, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence sequence = make();
    const int32_t *tables;
    uint32_t width;

    append(sequence, 0, 40);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    uint64_t copy = fake.serial;
    int copies = fake.copies;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(3), &tables, &width), 0);
    cr_assert_eq(fake.copies, copies, "nothing has changed");
    cr_assert_eq(fake.waited[3], copy, "but the copy may not have run");
    cr_assert_eq(cupool_sequences_tables(set, 0, NONE, &tables, &width), -EAGAIN);
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_sequences_tables(set, 0, NONE, &tables, &width), 0);
    int waits = fake.waits;
    append(sequence, 40, 30);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    cr_assert_eq(fake.waits, waits, "its own copy comes before in any case");
    fake_pass(&fake, 1);
}

Test(kv_sequences, tables_wait_for_readers_of_rows_that_change, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence first = make(), second;
    const int32_t *tables;
    uint32_t width;

    append(first, 0, 40);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    fake_pass(&fake, 1);
    cr_assert_eq(cupool_sequence_remove(set, first, FAKE_STREAM(1)), 0);
    uint64_t last_step = fake.serial;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(3), &tables, &width), 0);
    cr_assert_eq(fake.waited[3], 0, "the row is as it was");
    second = make();
    cr_assert_eq(cupool_sequence_row(second), cupool_sequence_row(first));
    cr_assert_eq(cupool_sequence_append(set, second, tokens, 40, FAKE_STREAM(3)), 0);
    cr_assert_eq(fake.waited[3], 0, "there are blocks without work");
    cr_assert_eq(cupool_sequences_tables(set, 0, NONE, &tables, &width), -EAGAIN);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(3), &tables, &width), 0);
    cr_assert_eq(fake.waited[3], last_step);
    fake_pass(&fake, 1);
    fake_pass(&fake, 3);
}

Test(kv_sequences, a_copy_of_tables_without_a_fence_keeps_its_staging, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence sequence = make();
    const int32_t *tables;
    uint32_t width;

    append(sequence, 0, 40);
    fake.fail_at = fake.calls + 2; /* the copy, the fence */
    fake.fail_error = -ENOMEM;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), -ENOMEM);
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(3), &tables, &width), -EAGAIN);
    int fences = fake.live_fences;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(1), &tables, &width), 0);
    cr_assert_eq(fake.live_fences, fences + 2, "one of each copy");
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(3), &tables, &width), 0);
    cr_assert_neq(fake.waited[3], 0);
    fake_pass(&fake, 1);
}

Test(kv_sequences, a_match_that_fails_leaves_the_sequence_empty, .init = setup_set,
     .fini = teardown_set)
{
    cupool_sequence writer = make(), reader = make();
    uint32_t matched = 99, length;

    append(writer, 0, 40);
    cr_assert_eq(cupool_sequence_commit(set, writer, FAKE_STREAM(1)), 0);
    fake.captured = 5;
    cr_assert_eq(cupool_sequence_match(set, reader, tokens, 40, FAKE_STREAM(5), &matched), -EBUSY);
    fake.captured = 0;
    cr_assert_eq(matched, 99);
    cr_assert_eq(cupool_sequence_length(set, reader, &length), 0);
    cr_assert_eq(length, 0);
    set_check();
    cr_assert_eq(cupool_sequence_match(set, reader, tokens, 40, FAKE_STREAM(5), &matched), 0);
    cr_assert_eq(matched, 32);
    fake_pass(&fake, 1);
}

Test(kv_sequences, a_captured_stream_gets_no_tables, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence sequence = make(), child;
    const int32_t *tables, *table;
    uint32_t width, blocks;

    append(sequence, 0, 40);
    fake.captured = 5;
    int copies = fake.copies;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(5), &tables, &width), -EBUSY);
    cr_assert_eq(fake.copies, copies);
    cr_assert_eq(cupool_sequence_fork(set, sequence, NONE, &child), 0);
    uint32_t available = stats_now().available;
    cr_assert_eq(cupool_sequence_append(set, child, tokens, 1, FAKE_STREAM(5)), -EBUSY);
    cr_assert_eq(stats_now().available, available);
    cr_assert_eq(cupool_sequence_table(set, child, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 3);
    fake.captured = 0;
    cr_assert_eq(cupool_sequences_tables(set, 0, FAKE_STREAM(5), &tables, &width), 0);
    cr_assert_eq(tables[cupool_sequence_row(sequence) * width + 2], 3);
    fake_pass(&fake, 5);
}

Test(kv_sequences, a_block_of_another_stream_is_waited_for, .init = setup_set, .fini = teardown_set)
{
    cupool_sequence first = make(), second = make();

    /* One prompt twice, neither in the cache: the second commit takes the first one's blocks. */
    cr_assert_eq(cupool_sequence_append(set, first, tokens, 32, FAKE_STREAM(1)), 0);
    cr_assert_eq(cupool_sequence_append(set, second, tokens, 32, FAKE_STREAM(3)), 0);
    cr_assert_eq(cupool_sequence_commit(set, first, FAKE_STREAM(1)), 0);
    uint64_t written = fake.serial;
    cr_assert_eq(cupool_sequence_commit(set, second, FAKE_STREAM(3)), 0);
    cr_assert_eq(stats_now().duplicates, 2);
    cr_assert_geq(fake.waited[3], written);
    for (unsigned stream = 0; stream < 8; stream++)
        fake_pass(&fake, stream);
}

/** Two pools: full attention of 32 tokens a block, a window of 48 in blocks of 16. */
static struct cupool_kv_member members[2];

static void setup_two(void)
{
    struct cupool_kv_config config = config_ten();

    members[1] = (struct cupool_kv_member){pool_make(&config), 48};
    config.block_tokens = 32;
    members[0] = (struct cupool_kv_member){pool_make(&config), 0};
    set_over(members, 2);
}

static void teardown_two(void)
{
    set_check();
    cupool_sequences_destroy(set);
    for (unsigned at = 0; at < 2; at++) {
        struct cupool_kv_statistics stats;

        cr_assert_eq(cupool_kv_stats(members[at].pool, &stats), 0);
        cr_assert_eq(stats.available, 10);
        check_of(members[at].pool);
        cupool_kv_destroy(members[at].pool);
    }
    teardown();
}

Test(kv_sequences, two_geometries_go_together, .init = setup_two, .fini = teardown_two)
{
    cupool_sequence sequence = make(), again;
    const int32_t *table;
    uint32_t blocks, matched;

    append(sequence, 0, 130);
    cr_assert_eq(cupool_sequence_commit(set, sequence, NONE), 0);
    cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 5);
    cr_assert_eq(cupool_sequence_table(set, sequence, 1, &table, &blocks), 0);
    cr_assert_eq(blocks, 9);
    cr_assert_eq(cupool_sequence_append(set, sequence, tokens, 60, NONE), -ENOMEM,
                 "the windowed pool has one block left, and the full one gives nothing for it");
    cr_assert_eq(cupool_sequence_table(set, sequence, 0, &table, &blocks), 0);
    cr_assert_eq(blocks, 5);
    cr_assert_eq(cupool_sequence_slide(set, sequence, 0, NONE), 0);
    append(sequence, 130, 60);
    cr_assert_eq(cupool_sequence_remove(set, sequence, NONE), 0);
    again = make();
    cr_assert_eq(cupool_sequence_match(set, again, tokens, 131, NONE, &matched), 0);
    cr_assert_eq(matched, 128);
    cr_assert_eq(cupool_sequence_table(set, again, 1, &table, &blocks), 0);
    cr_assert_eq(table[4], 0, "before the window");
    cr_assert_neq(table[5], 0);
    append(again, 128, 20);
    cr_assert_eq(cupool_sequence_remove(set, again, NONE), 0);
}

/* A life of a sequence in numbered steps, ended before step `last`. */
static void life(unsigned last, cupool_sequence *sequences, unsigned *count)
{
    uint32_t matched;

    *count = 0;
    if (last == 0)
        return;
    sequences[(*count)++] = make();
    if (last > 1)
        cupool_sequence_match(set, sequences[0], tokens, 100, FAKE_STREAM(1), &matched);
    if (last > 2)
        cupool_sequence_append(set, sequences[0], tokens, 40, FAKE_STREAM(1));
    if (last > 3)
        cupool_sequence_commit(set, sequences[0], FAKE_STREAM(1));
    if (last > 4 && cupool_sequence_fork(set, sequences[0], FAKE_STREAM(1), &sequences[1]) == 0)
        (*count)++;
    if (last > 5 && *count > 1)
        cupool_sequence_append(set, sequences[1], tokens + 300, 20, FAKE_STREAM(2));
    if (last > 6)
        cupool_sequence_truncate(set, sequences[0], 10, FAKE_STREAM(1));
    if (last > 7)
        cupool_sequence_append(set, sequences[0], tokens + 400, 4, FAKE_STREAM(1));
    if (last > 8 && *count > 1)
        cupool_sequence_slide(set, sequences[1], 20, FAKE_STREAM(2));
}

Test(kv_sequences, ended_or_failing_at_every_step_nothing_leaks, .init = setup_set,
     .fini = teardown_set)
{
    unsigned failed = 0;

    for (unsigned last = 0; last <= 9; last++) {
        for (uint64_t fail = 0; fail < 40; fail++) {
            cupool_sequence sequences[2];
            unsigned count;

            fake.fail_at = fail == 0 ? 0 : fake.calls + fail;
            fake.fail_error = fail % 2 ? -ENOMEM : -EIO;
            life(last, sequences, &count);
            failed += fake.fail_at != 0 && fake.calls >= fake.fail_at;
            fake.fail_at = 0;
            set_check();
            check();
            for (unsigned at = 0; at < count; at++)
                cr_assert_eq(cupool_sequence_remove(set, sequences[at], NONE), 0);
            for (unsigned stream = 0; stream < 4; stream++)
                fake_pass(&fake, stream);
            cr_assert_geq(cupool_kv_poll(pool), 0);
            cr_assert_eq(stats_now().available, 10, "step %u, call %llu", last,
                         (unsigned long long)fail);
            cr_assert_eq(cupool_kv_reset(pool, NULL), 0);
        }
    }
    cr_assert_gt(failed, 10, "only %u calls failed", failed);
}

Test(kv_sequences, a_set_survives_every_failure_of_its_creation, .init = setup, .fini = teardown)
{
    struct cupool_kv_member member = {pool, 0};
    struct cupool_sequences_config config;
    unsigned failures = 0;

    cupool_sequences_config_init(&config);
    config.sequences = 2;
    config.max_tokens = 64;
    for (int device = 0; device < 2; device++) {
        for (uint64_t at = 1;; at++) {
            struct cupool_sequences *made = NULL;

            if (device)
                fake.fail_at = fake.calls + at, fake.fail_error = -ENOMEM;
            else
                heap_fail_at(at);
            int error = cupool_sequences_create(&member, 1, &config, &made);
            fake.fail_at = 0;
            heap_fail_at(0);
            if (error == 0) {
                cupool_sequences_destroy(made);
                break;
            }
            failures++;
        }
    }
    cr_assert_gt(failures, 10);
    config.max_tokens = 0;
    struct cupool_sequences *made;
    cr_assert_eq(cupool_sequences_create(&member, 1, &config, &made), -EINVAL);
}

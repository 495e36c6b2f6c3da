/* SPDX-License-Identifier: MIT */
/*
 * From events to figures: the sample's figures by hand, and the parts they are made of.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cupti/trace_support.h"
#include "tests/unit/tools/sample.h"
#include "tools/analysis/analysis.h"
#include "tools/symbols/frames.h"
#include "tools/base/units.h"

#define MIB UINT64_C(1048576)
#define MS  UINT64_C(1000000)

/** A trace under way, and its figures once it is read. */
struct subject {
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct analysis *analysis;
};

static void subject_begin(struct subject *subject)
{
    support_path(subject->path);
    subject->writer = support_open(subject->path);
}

static const struct analysis *subject_read(struct subject *subject)
{
    char why[256] = "";

    trace_writer_close(subject->writer);
    subject->reader = support_read(subject->path);
    cr_assert(analysis_create(subject->reader, &subject->analysis, why, sizeof why) == 0, "%s",
              why);
    return subject->analysis;
}

static void subject_end(struct subject *subject)
{
    analysis_destroy(subject->analysis);
    trace_reader_close(subject->reader);
    support_remove(subject->path);
}

static void emit(struct subject *subject, struct trace_record record)
{
    trace_writer_emit(subject->writer, &record);
}

static struct trace_record allocate(uint64_t time_ns, uint64_t address, uint64_t bytes)
{
    return (struct trace_record){.kind = TRACE_EVENT_ALLOCATE,
                                 .memory = TRACE_MEMORY_DEVICE,
                                 .outcome = TRACE_OUTCOME_PASSED,
                                 .context = 1,
                                 .time_ns = time_ns,
                                 .address = address,
                                 .size = bytes,
                                 .value = bytes};
}

static struct trace_record release(uint64_t time_ns, uint64_t address)
{
    return (struct trace_record){.kind = TRACE_EVENT_FREE,
                                 .memory = TRACE_MEMORY_DEVICE,
                                 .outcome = TRACE_OUTCOME_PASSED,
                                 .context = 1,
                                 .time_ns = time_ns,
                                 .address = address};
}

Test(analysis, sample)
{
    struct subject subject;
    const struct analysis *analysis;

    subject_begin(&subject);
    sample_emit(subject.writer);
    analysis = subject_read(&subject);
    cr_expect_str_eq(analysis->command, "./sample --model m.gguf");
    cr_expect(analysis->devices == 1 && analysis->device[0].simulated);
    cr_expect(analysis_is_simulated(analysis) && analysis_has_pool(analysis));
    cr_expect(analysis_exit_status(analysis) == -1);
    cr_expect(analysis->total.allocations == 3);
    cr_expect(analysis->total.frees == 2);
    cr_expect(analysis->total.failures == 1);
    cr_expect(analysis->total.hits == 1 && analysis->total.misses == 1);
    cr_expect(analysis->total.passed == 1 && analysis->total.waits == 0);
    cr_expect(analysis->total.invalid_frees == 1);
    cr_expect(analysis->total.leaked_blocks == 1 && analysis->total.leaked_bytes == 600000);
    cr_expect(analysis->requested.peak == 4 * MIB + 600000);
    cr_expect(analysis->allocated.peak == 4 * MIB + 602112);
    cr_expect(analysis->reserved.peak == 2 * MIB);
    cr_expect(analysis->driver.peak == 5 * MIB);
    cr_expect(analysis->driver.at_peak == 5 * MIB);
    cr_expect(analysis->peak_time_ns == 4 * MS);
    cr_expect(analysis->calls_asked == 6, "4 allocations, 2 frees");
    /* C's two calls, D, one segment; for the pool's own calls its counter says 5. */
    cr_expect(analysis_driver_calls(analysis) == 3 + 5);
    cr_expect(analysis->postmortems == 1 && analysis->postmortem[0].held_free_bytes == MIB);
    cr_expect(analysis->unaccounted_bytes == 10 * MIB);
    cr_expect_float_eq(analysis_overhead(analysis), 1 - (4.0 * MIB + 600000) / (5.0 * MIB), 1e-9);
    subject_end(&subject);
}

/** Managed memory is from the driver, too, so it does not hide what is idle in the pool. */
Test(analysis, managed_memory_is_from_the_driver)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record managed = allocate(30, 0x8000000, 3 * MIB);
    struct trace_record pooled = allocate(20, 0x1000000, MIB);

    managed.memory = TRACE_MEMORY_MANAGED;
    pooled.outcome = TRACE_OUTCOME_MISS;
    subject_begin(&subject);
    emit(&subject, (struct trace_record){.kind = TRACE_EVENT_SEGMENT_ALLOCATE,
                                         .memory = TRACE_MEMORY_DEVICE,
                                         .context = 1,
                                         .time_ns = 10,
                                         .address = 0x1000000,
                                         .size = 5 * MIB});
    emit(&subject, pooled);
    emit(&subject, managed);
    analysis = subject_read(&subject);
    cr_expect(analysis->requested.peak == 4 * MIB);
    cr_expect(analysis->driver.at_peak == 8 * MIB && analysis->driver.peak == 8 * MIB);
    cr_expect_float_eq(analysis_overhead(analysis), 0.5, 1e-9);
    subject_end(&subject);
}

/** The driver's account of a device is compared with the program's memory on that device. */
Test(analysis, memory_info_is_of_one_device)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record other = allocate(10, 0x1000000, 100 * MIB);
    struct trace_record managed = allocate(20, 0x8000000, 50 * MIB);

    managed.memory = TRACE_MEMORY_MANAGED;
    other.device = 1;
    subject_begin(&subject);
    emit(&subject, other);
    emit(&subject, managed);
    emit(&subject, allocate(30, 0x2000000, 300 * MIB));
    emit(&subject, (struct trace_record){.kind = TRACE_EVENT_MEMORY_INFO,
                                         .time_ns = 40,
                                         .size = 600 * MIB,
                                         .value = 1000 * MIB});
    analysis = subject_read(&subject);
    cr_expect(analysis->memory_info.device == 0 && analysis->memory_info.free_bytes == 600 * MIB);
    cr_expect(analysis->memory_info.requested_bytes == 300 * MIB);
    cr_expect(analysis->memory_info.allocated_bytes == 300 * MIB);
    cr_expect(analysis->memory_info.driver_bytes == 300 * MIB);
    cr_expect(analysis->unaccounted_bytes == 100 * MIB);
    subject_end(&subject);
}

/** Without a pool, requested and driver memory are equal. */
Test(analysis, without_a_pool_requested_is_driver)
{
    struct subject subject;
    const struct analysis *analysis;

    subject_begin(&subject);
    emit(&subject, allocate(10, 0x1000, 1000));
    emit(&subject, allocate(20, 0x2000, 5000));
    emit(&subject, release(30, 0x1000));
    emit(&subject, release(40, 0x2000));
    analysis = subject_read(&subject);
    cr_expect(analysis->requested.peak == 6000 && analysis->driver.peak == 6000);
    cr_expect(analysis->reserved.peak == 0);
    cr_expect(!analysis_has_pool(analysis));
    cr_expect(analysis_overhead(analysis) == 0 && analysis_internal(analysis) == 0);
    cr_expect(analysis->total.leaked_blocks == 0);
    cr_expect(analysis_driver_calls(analysis) == 4);
    subject_end(&subject);
}

/** A row's bytes at the peak are known although the row did not change then. */
Test(analysis, rows_know_the_peak)
{
    struct subject subject;
    const struct analysis *analysis;
    const struct tally *small, *large;

    subject_begin(&subject);
    emit(&subject, allocate(10, 0x1000, 512));
    emit(&subject, allocate(20, 0x2000, 512));
    emit(&subject, release(30, 0x1000));
    emit(&subject, allocate(40, 0x100000, MIB)); /* the peak: 512 and 1 MiB */
    emit(&subject, release(50, 0x2000));
    emit(&subject, release(60, 0x100000));
    for (uint64_t i = 0; i < 20; i++)
        emit(&subject, allocate(70 + i, 0x3000 + i * 0x1000, 512));
    analysis = subject_read(&subject);
    small = tallies_get(&subject.analysis->sizes, 9);
    large = tallies_get(&subject.analysis->sizes, 20);
    cr_expect(analysis->peak_time_ns == 40);
    cr_expect(small->live_bytes.at_peak == 512 && small->live_blocks.at_peak == 1);
    cr_expect(small->live_bytes.peak == 20 * 512);
    cr_expect(large->live_bytes.at_peak == MIB);
    subject_end(&subject);
}

Test(analysis, traces_that_do_not_add_up)
{
    struct subject subject;
    const struct analysis *analysis;

    subject_begin(&subject);
    emit(&subject, release(5, 0x9000)); /* never allocated here */
    emit(&subject, allocate(10, 0x1000, 1000));
    emit(&subject, allocate(20, 0x1000, 2000)); /* its free was lost */
    emit(&subject, release(30, 0x1000));
    emit(&subject, release(31, 0x1000));
    emit(&subject, allocate(40, 0x2000, UINT64_MAX)); /* absurd */
    emit(&subject, release(50, 0x2000));
    analysis = subject_read(&subject);
    cr_expect(analysis->unmatched_frees == 2);
    cr_expect(analysis->replaced_blocks == 1);
    cr_expect(analysis->requested.current == 0);
    cr_expect(analysis->total.leaked_blocks == 0);
    subject_end(&subject);
}

/** Reused address: a slow free on one thread, a quick allocation on another. */
Test(analysis, reuse_while_the_free_still_returns)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record slow = release(1100, 0x1000);

    slow.latency = 300;
    subject_begin(&subject);
    emit(&subject, allocate(500, 0x1000, 4096));
    emit(&subject, slow);
    emit(&subject, allocate(1000, 0x1000, 4096));
    analysis = subject_read(&subject);
    cr_expect(analysis->replaced_blocks == 0);
    cr_expect(analysis->requested.peak == 4096);
    cr_expect(analysis->total.leaked_blocks == 1);
    subject_end(&subject);
}

Test(analysis, a_context_takes_its_memory_along)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record other = allocate(25, 0x5000, 300);

    other.context = 2;
    subject_begin(&subject);
    emit(&subject, allocate(10, 0x1000, 1000));
    emit(&subject, allocate(20, 0x2000, 2000));
    emit(&subject, other);
    emit(&subject, (struct trace_record){
                       .kind = TRACE_EVENT_CONTEXT, .time_ns = 30, .context = 1, .value = 0});
    emit(&subject, allocate(40, 0x1000, 100));
    analysis = subject_read(&subject);
    cr_expect(analysis->requested.current == 400, "the other context's block and the new one");
    cr_expect(analysis->replaced_blocks == 0);
    cr_expect(analysis->total.leaked_blocks == 4 && analysis->total.leaked_bytes == 3400);
    subject_end(&subject);
}

Test(analysis, what_outlives_a_context_stays)
{
    static const uint8_t kinds[] = {TRACE_MEMORY_PHYSICAL, TRACE_MEMORY_ASYNC, TRACE_MEMORY_ARRAY};
    struct subject subject;
    const struct analysis *analysis;

    subject_begin(&subject);
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct trace_record record = allocate(10 + i, 0x1000 * (i + 1), 1000u << i);

        record.memory = kinds[i];
        emit(&subject, record);
    }
    emit(&subject, (struct trace_record){
                       .kind = TRACE_EVENT_CONTEXT, .time_ns = 30, .context = 1, .value = 0});
    analysis = subject_read(&subject);
    cr_expect(analysis->requested.current == 3000, "the array alone is gone");
    subject_end(&subject);
}

Test(analysis, a_device_answers_for_its_own_memory)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record first = allocate(10, 0x1000, 5000), second = allocate(11, 0x2000, 700);

    first.outcome = second.outcome = TRACE_OUTCOME_PASSED;
    second.device = 1;
    subject_begin(&subject);
    emit(&subject, first);
    emit(&subject, second);
    emit(&subject, (struct trace_record){.kind = TRACE_EVENT_MEMORY_INFO,
                                         .time_ns = 20,
                                         .device = 1,
                                         .size = 10000 - 900,
                                         .value = 10000});
    analysis = subject_read(&subject);
    cr_expect(analysis->unaccounted_bytes == 200, "900 taken, 700 known on that device");
    subject_end(&subject);
}

Test(analysis, kinds_are_kept_apart)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record record = allocate(10, 0x1000, 1000);

    subject_begin(&subject);
    for (uint8_t memory = TRACE_MEMORY_DEVICE; memory <= TRACE_MEMORY_MEMPOOL; memory++) {
        record.memory = memory;
        record.address = memory == TRACE_MEMORY_MAPPING ? 0x1000u * TRACE_MEMORY_VIRTUAL
                                                        : 0x1000u * memory;
        emit(&subject, record);
    }
    analysis = subject_read(&subject);
    cr_expect(analysis->kinds.rows == 11);
    cr_expect(analysis->replaced_blocks == 0, "a mapping lies in its range");
    cr_expect(analysis->total.allocations == 5, "device, async, managed, array, physical");
    cr_expect(analysis->requested.peak == 5000);
    subject_end(&subject);
}

Test(analysis, phases)
{
    struct subject subject;
    const struct analysis *analysis;
    struct trace_record phase = {.kind = TRACE_EVENT_PHASE};

    subject_begin(&subject);
    phase.value = trace_writer_string(subject.writer, "decode");
    emit(&subject, allocate(5, 0x1000, 100));
    for (uint64_t step = 0; step < 3; step++) {
        phase.time_ns = 10 + 100 * step;
        phase.size = 1;
        emit(&subject, phase);
        emit(&subject, allocate(20 + 100 * step, 0x2000, 1000 * step));
        emit(&subject, release(30 + 100 * step, 0x2000));
        phase.time_ns = 50 + 100 * step;
        phase.size = 0;
        emit(&subject, phase);
    }
    analysis = subject_read(&subject);
    cr_assert(analysis->phases == 1);
    cr_expect_str_eq(analysis->phase[0].name, "decode");
    cr_expect(analysis->phase[0].count == 3 && analysis->phase[0].duration_ns == 120);
    cr_expect(analysis->phase[0].allocations == 3 && analysis->phase[0].frees == 3);
    cr_expect(analysis->phase[0].peak_requested_bytes == 2100);
    subject_end(&subject);
}

/** Decimation loses points but neither the peak nor the end. */
Test(timeline, keeps_peak_and_end)
{
    static struct timeline timeline;
    static struct timeline_point points[TIMELINE_POINTS];
    uint64_t seed = support_seed(), highest = 0, highest_ns = 0, last = 0;
    struct timeline_point point = {0};
    bool found = false;
    size_t count;

    for (int i = 0; i < 100000; i++) {
        point.time_ns += support_random(&seed) % 100000;
        point.requested_bytes = support_random(&seed) % 1000000;
        if (point.requested_bytes > highest) {
            highest = point.requested_bytes;
            highest_ns = point.time_ns;
        }
        timeline_add(&timeline, &point);
    }
    count = timeline_points(&timeline, points);
    cr_assert(count > TIMELINE_SPANS / 2 && count <= TIMELINE_POINTS);
    for (size_t i = 0; i < count; i++) {
        cr_assert(points[i].time_ns >= last);
        last = points[i].time_ns;
        found |= points[i].time_ns == highest_ns && points[i].requested_bytes == highest;
    }
    cr_expect(found);
    cr_expect(last == point.time_ns);
}

static int compare_values(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

Test(histogram, quantiles_are_near_the_true_ones)
{
    static struct histogram histogram;
    static uint64_t values[10000];
    uint64_t seed = support_seed();

    cr_expect(histogram_quantile(&histogram, 500) == 0);
    for (size_t i = 0; i < 10000; i++) {
        values[i] = support_random(&seed) >> support_random(&seed) % 64;
        histogram_add(&histogram, values[i]);
    }
    qsort(values, 10000, sizeof *values, compare_values);
    for (unsigned per_mille = 1; per_mille <= 1000; per_mille++) {
        uint64_t exact = values[10 * per_mille - 1];
        uint64_t estimate = histogram_quantile(&histogram, per_mille);

        cr_assert(estimate >= exact && estimate - exact <= exact / 16, "%u: %llu for %llu",
                  per_mille, (unsigned long long)estimate, (unsigned long long)exact);
    }
    cr_expect(histogram.max == values[9999]);
}

/** Against a plain list: exactly the elements added and not removed are found. */
Test(block_table, random_operations)
{
    enum { ADDRESSES = 3000 };
    static bool live[ADDRESSES];
    struct block_table block_table = {0};
    uint64_t seed = support_seed();
    size_t count = 0, position = 0, seen = 0;

    for (int i = 0; i < 200000; i++) {
        uint64_t n = support_random(&seed) % ADDRESSES;
        struct replay_block *block = block_table_find(&block_table, BLOCK_SPACE_ADDRESS, n << 9);

        cr_assert((block != NULL) == live[n]);
        cr_assert(!block_table_find(&block_table, BLOCK_SPACE_HANDLE, n << 9));
        if (block) {
            cr_assert(block->requested_bytes == n);
            block_table_remove(&block_table, block);
        } else {
            const struct replay_block added = {
                .address = n << 9, .requested_bytes = n, .space = BLOCK_SPACE_ADDRESS};

            cr_assert(block_table_add(&block_table, &added) == 0);
        }
        live[n] = !live[n];
    }
    for (size_t n = 0; n < ADDRESSES; n++)
        count += live[n];
    while (block_table_next(&block_table, &position))
        seen++;
    cr_expect(seen == count);
    block_table_done(&block_table);
}

/** A context gives each of its blocks once, and none of another's. */
Test(block_table, blocks_of_a_context)
{
    enum { BLOCKS = 5000, CONTEXTS = 7 };
    struct block_table block_table = {0};
    struct replay_block *block;
    size_t taken = 0, kept = 0, position = 0;

    for (uint64_t i = 0; i < BLOCKS; i++) {
        const struct replay_block added = {.address = i << 44 | i << 9,
                                           .requested_bytes = i,
                                           .context = (uint32_t)(i % CONTEXTS),
                                           .space = BLOCK_SPACE_ADDRESS};

        cr_assert(block_table_add(&block_table, &added) == 0);
    }
    for (uint64_t i = 0; i < BLOCKS; i += 2 * CONTEXTS) /* of context 0, freed before it ends */
        block_table_remove(&block_table,
                           block_table_find(&block_table, BLOCK_SPACE_ADDRESS, i << 44 | i << 9));
    for (uint32_t context = 0; context < CONTEXTS - 1; context++)
        while ((block = block_table_context_take(&block_table, context))) {
            cr_assert(block->space == BLOCK_SPACE_ADDRESS && block->context == context);
            cr_assert(block->requested_bytes % CONTEXTS == context);
            taken++;
            if (block->requested_bytes % 3 == 0)
                kept++; /* it outlives its context */
            else
                block_table_remove(&block_table, block);
            cr_assert(taken <= BLOCKS);
        }
    cr_expect(taken == BLOCKS - BLOCKS / CONTEXTS - (BLOCKS + 2 * CONTEXTS - 1) / (2 * CONTEXTS));
    while ((block = block_table_next(&block_table, &position))) {
        cr_assert(block->context == CONTEXTS - 1 || block->requested_bytes % 3 == 0);
        kept -= block->context != CONTEXTS - 1;
        cr_assert(block_table_find(&block_table, BLOCK_SPACE_ADDRESS, block->address) == block);
    }
    cr_expect(kept == 0);
    block_table_done(&block_table);
}

Test(units, for_people)
{
    cr_expect_str_eq(unit_bytes(0).text, "0 B");
    cr_expect_str_eq(unit_bytes(1023).text, "1023 B");
    cr_expect_str_eq(unit_bytes(1024).text, "1.0 KiB");
    cr_expect_str_eq(unit_bytes(1536 * 1024).text, "1.5 MiB");
    cr_expect_str_eq(unit_bytes(UINT64_MAX).text, "16.0 EiB");
    cr_expect_str_eq(unit_bytes(MIB - 1).text, "1.0 MiB", "never 1024.0 KiB");
    cr_expect_str_eq(unit_count(0).text, "0");
    cr_expect_str_eq(unit_count(999).text, "999");
    cr_expect_str_eq(unit_count(1234567).text, "1,234,567");
    cr_expect_str_eq(unit_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
    cr_expect_str_eq(unit_nouns(0, "allocation").text, "0 allocations");
    cr_expect_str_eq(unit_nouns(1, "driver call").text, "1 driver call");
    cr_expect_str_eq(unit_nouns(UINT64_MAX, "driver call").text,
                     "18,446,744,073,709,551,615 driver calls");
    cr_expect_str_eq(unit_nouns(UINT64_MAX, "minor finding").text,
                     "18,446,744,073,709,551,615 minor findings");
    cr_expect_str_eq(unit_duration(999).text, "999 ns");
    cr_expect_str_eq(unit_duration(1500).text, "1.5 us");
    cr_expect_str_eq(unit_duration(125 * UINT64_C(1000000000)).text, "2 min 05 s");
    cr_expect_str_eq(unit_percent(1, 8).text, "12.5 %");
    cr_expect_str_eq(unit_percent(0, 0).text, "-");
}

/** A free is recorded after what it set off, which it took effect before: levels end as they are.
 */
Test(levels, follow_time_where_a_free_lies_before_its_segment)
{
    struct subject subject;
    const struct analysis *analysis;
    struct timeline_point points[TIMELINE_POINTS];
    struct trace_record freed = release(9 * MS, 0x1000);
    size_t count;

    subject_begin(&subject);
    emit(&subject, allocate(1 * MS, 0x1000, MIB));
    emit(&subject, (struct trace_record){.kind = TRACE_EVENT_SEGMENT_ALLOCATE,
                                         .memory = TRACE_MEMORY_DEVICE,
                                         .context = 1,
                                         .time_ns = 2 * MS,
                                         .size = 4 * MIB,
                                         .address = 0x7f0000000000});
    emit(&subject, (struct trace_record){.kind = TRACE_EVENT_SEGMENT_FREE,
                                         .memory = TRACE_MEMORY_DEVICE,
                                         .context = 1,
                                         .time_ns = 8 * MS,
                                         .address = 0x7f0000000000});
    freed.latency = 2 * MS;
    emit(&subject, freed);
    analysis = subject_read(&subject);
    count = timeline_points(&analysis->timeline, points);
    cr_assert(count > 0);
    cr_expect(points[count - 1].requested_bytes == 0 && points[count - 1].driver_bytes == 0);
    for (size_t i = 1; i < count; i++)
        cr_expect(points[i].time_ns >= points[i - 1].time_ns);
    subject_end(&subject);
}

/** Blocks of a thread, two of three of them freed. */
struct sliced {
    struct subject *subject;
    uint64_t first, end, sites;
};

static void *sliced_emit(void *state)
{
    const struct sliced *sliced = state;
    struct trace_writer *writer = sliced->subject->writer;

    for (uint64_t i = sliced->first; i < sliced->end; i++) {
        struct trace_record record = allocate(2000 * i + 1000, 0x1000 * (i + 1), 512 + i % 7);

        record.site = trace_writer_site(writer, (const char *)sliced_emit + i % sliced->sites);
        emit(sliced->subject, record);
        if (i % 3)
            emit(sliced->subject, release(2000 * i + 2000, 0x1000 * (i + 1)));
    }
    return NULL;
}

/** A trace of blocks of two threads, and its analysis with slices. */
static const struct analysis *sliced_read(struct subject *subject, uint64_t blocks, uint64_t sites)
{
    struct sliced first = {subject, 0, blocks / 2, sites},
                  last = {subject, blocks / 2, blocks, sites};
    struct analysis_request request = {.detailed = true};
    pthread_t thread;
    char why[256] = "";

    subject_begin(subject);
    sliced_emit(&first);
    cr_assert(pthread_create(&thread, NULL, sliced_emit, &last) == 0);
    pthread_join(thread, NULL);
    trace_writer_close(subject->writer);
    subject->reader = support_read(subject->path);
    cr_assert(analysis_create_as(subject->reader, &request, &subject->analysis, why, sizeof why) ==
                  0,
              "%s", why);
    return subject->analysis;
}

static void slices_compare(const struct analysis *analysis, enum slice_table table,
                           const struct tally *rows, size_t count)
{
    const struct slices *slices = analysis->slices;

    for (size_t row = 0; row < count; row++) {
        uint64_t allocations = 0, frees = 0, bytes = 0, leaked = 0, peak = 0;

        for (size_t i = 0; i < slices->count; i++) {
            struct slice_figures figures = slices_get(slices, i, table, row);

            allocations += figures.allocations;
            frees += figures.frees;
            bytes += figures.requested_bytes;
            leaked += figures.leaked_bytes;
            peak = figures.peak > peak ? figures.peak : peak;
            cr_expect(figures.at_peak <= figures.peak);
        }
        cr_expect(allocations == rows[row].allocations && frees == rows[row].frees);
        cr_expect(bytes == rows[row].requested_bytes && leaked == rows[row].leaked_bytes);
        cr_expect(peak == rows[row].live_bytes.peak);
    }
}

static void slices_check(uint64_t blocks, uint64_t sites, size_t least, size_t most)
{
    struct subject subject;
    const struct analysis *analysis = sliced_read(&subject, blocks, sites);
    const struct slices *slices = analysis->slices;
    uint64_t highest = 0;

    cr_assert(slices && slices->open == slices->count);
    cr_expect(analysis->has_paths && analysis->paths.rows > analysis->stacks.rows);
    cr_expect(slices->count >= least && slices->count <= most, "%zu slices", slices->count);
    slices_compare(analysis, SLICE_TOTAL, &analysis->total, 1);
    slices_compare(analysis, SLICE_SITES, analysis->sites.row, analysis->sites.rows);
    slices_compare(analysis, SLICE_PATHS, analysis_paths(analysis)->row,
                   analysis_paths(analysis)->rows);
    slices_compare(analysis, SLICE_SIZES, analysis->sizes.row, analysis->sizes.rows);
    for (size_t i = 0; i < slices->count; i++) {
        uint64_t sum = 0, peak = slices->slice[i].peak.requested_bytes;

        for (size_t row = 0; row < analysis->sites.rows; row++)
            sum += slices_get(slices, i, SLICE_SITES, row).at_peak;
        cr_expect(sum == peak && slices_get(slices, i, SLICE_TOTAL, 0).at_peak == peak);
        highest = peak > highest ? peak : highest;
    }
    cr_expect(highest == analysis->requested.peak);
    subject_end(&subject);
}

/** The figures of all slices add up to those of the run, also after slices were joined. */
Test(slices, are_the_run_together)
{
    slices_check(3000, 10, SLICES_MOST, SLICES_MOST);
    slices_check(60000, 3000, SLICES_LEAST, SLICES_MOST / 2);
}

/** Frames that only start a program or a thread are omitted; others stay. */
Test(frames, are_without_the_start_of_the_c_runtime)
{
    const char *libc = "/lib/x86_64-linux-gnu/libc.so.6", *own = "/app/serve";
#define FRAME(path, name)                                                                          \
    {                                                                                              \
        .site.module = (path), .function = (name)                                                  \
    }
    const struct frame program[] = {
        FRAME(own, "serve"), FRAME(own, "main"), FRAME(libc, "__libc_start_call_main"),
        FRAME(libc, "__libc_start_main@@GLIBC_2.34"), FRAME(own, "_start")};
    const struct frame stripped[] = {FRAME(own, NULL), FRAME(libc, NULL), FRAME(libc, NULL),
                                     FRAME(own, NULL)};
    const struct frame thread[] = {FRAME(own, "worker"), FRAME("/lib/libstdc++.so.6", NULL),
                                   FRAME(libc, "start_thread"), FRAME(libc, "__clone3")};
    const struct frame at_exit[] = {FRAME(own, "close_all"), FRAME(libc, "exit"), FRAME(libc, NULL),
                                    FRAME(own, "_start")};
    const struct frame library[] = {FRAME(own, "serve"), FRAME(libc, "qsort"), FRAME(own, "main")};
    const struct frame nothing_else[] = {FRAME(libc, "start_thread"), FRAME(libc, "clone")};
    const struct frame python[] = {
        FRAME(own, "serve"),
        {.site = {.module = "/app/clone.py", .function = "clone"}, .function = "clone"}};
#undef FRAME

    cr_expect(frames_without_start(program, 5) == 2);
    cr_expect(frames_without_start(stripped, 4) == 1);
    cr_expect(frames_without_start(thread, 4) == 1);
    cr_expect(frames_without_start(at_exit, 4) == 2);
    cr_expect(frames_without_start(library, 3) == 3);
    cr_expect(frames_without_start(nothing_else, 2) == 2);
    cr_expect(frames_without_start(python, 2) == 2);
    cr_expect(frames_without_start(NULL, 0) == 0);
}

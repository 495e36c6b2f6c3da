/* SPDX-License-Identifier: MIT */
/*
 * Phases, steps and windows of synthetic traces; the steady state, growing sites, unlike ranks and
 * verdicts of synthetic series.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/format/verdict.h"
#include "tests/unit/cupti/trace_support.h"
#include "tools/analysis/analysis.h"
#include "tools/analysis/job.h"
#include "tools/analysis/series/plateau.h"
#include "tools/analysis/window.h"

#define MIB UINT64_C(1048576)
#define MS  UINT64_C(1000000)

/** A trace under way; time goes on by 1 ms with each record. */
struct subject {
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    uint64_t now_ns;
};

static void subject_begin(struct subject *subject)
{
    *subject = (struct subject){0};
    support_path(subject->path);
    subject->writer = support_open(subject->path);
}

static void subject_close(struct subject *subject)
{
    trace_writer_close(subject->writer);
    subject->reader = support_read(subject->path);
}

static struct analysis *analyse(const struct subject *subject, const struct analysis_window *window)
{
    const struct analysis_request request = {.window = *window};
    struct analysis *analysis;
    char why[256] = "";

    cr_assert(analysis_create_as(subject->reader, &request, &analysis, why, sizeof why) == 0, "%s",
              why);
    return analysis;
}

static void subject_end(struct subject *subject)
{
    trace_reader_close(subject->reader);
    support_remove(subject->path);
}

static void emit(struct subject *subject, struct trace_record record)
{
    record.time_ns = subject->now_ns += MS;
    trace_writer_emit(subject->writer, &record);
}

static void phase(struct subject *subject, enum trace_phase what, const char *name)
{
    emit(subject, (struct trace_record){.kind = TRACE_EVENT_PHASE,
                                        .size = what,
                                        .value = trace_writer_string(subject->writer, name)});
}

static void step(struct subject *subject, uint64_t number)
{
    emit(subject, (struct trace_record){
                      .kind = TRACE_EVENT_PHASE, .size = TRACE_PHASE_STEP, .address = number});
}

static void allocate(struct subject *subject, uint64_t address, uint64_t bytes, uint64_t site)
{
    emit(subject, (struct trace_record){.kind = TRACE_EVENT_ALLOCATE,
                                        .memory = TRACE_MEMORY_DEVICE,
                                        .outcome = TRACE_OUTCOME_PASSED,
                                        .context = 1,
                                        .site = site,
                                        .address = address,
                                        .size = bytes,
                                        .value = bytes});
}

static void release(struct subject *subject, uint64_t address)
{
    emit(subject, (struct trace_record){.kind = TRACE_EVENT_FREE,
                                        .memory = TRACE_MEMORY_DEVICE,
                                        .outcome = TRACE_OUTCOME_PASSED,
                                        .context = 1,
                                        .address = address});
}

/** Load of 8 MiB, then 20 steps of two blocks each; 1 KiB of each step stays. */
static void decode(struct subject *subject)
{
    uint64_t first = trace_writer_site(subject->writer, (const void *)decode),
             second = trace_writer_site(subject->writer, (const void *)allocate);

    phase(subject, TRACE_PHASE_BEGIN, "load");
    allocate(subject, 0x10000000, 8 * MIB, first);
    phase(subject, TRACE_PHASE_END, "load");
    phase(subject, TRACE_PHASE_BEGIN, "decode");
    phase(subject, TRACE_PHASE_BEGIN, "decode");
    for (uint64_t i = 0; i < 20; i++) {
        step(subject, i);
        allocate(subject, 0x20000000, MIB, first);
        allocate(subject, 0x30000000 + 4096 * i, 1024, second);
        release(subject, 0x20000000);
    }
    phase(subject, TRACE_PHASE_END, "decode");
    phase(subject, TRACE_PHASE_END, "decode");
    release(subject, 0x10000000);
}

Test(phases, steps_and_growth)
{
    struct subject subject;
    struct analysis *analysis;
    const struct analysis_phase *row;

    subject_begin(&subject);
    decode(&subject);
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){0});
    row = analysis_phase_find(analysis, "decode");
    cr_assert(row && analysis->phases == 2);
    cr_expect(row->count == 2 && row->allocations == 40 && row->frees == 20);
    cr_expect(row->source == ANALYSIS_PHASE_API);
    cr_expect(row->opening_requested_bytes == 8 * MIB && row->growth_bytes == 20 * 1024);
    cr_expect(row->peak_requested_bytes == 9 * MIB + 20 * 1024);
    cr_expect(row->steps.count == 20 && row->steps.allocations_max == 2);
    cr_expect(row->steps.driver_calls == 60, "every call here is the driver's");
    cr_expect(analysis->steps.count == 20 && analysis->step[19].number == 19);
    cr_expect(analysis->step[19].growth_bytes == 1024);
    row = analysis_phase_find(analysis, "load");
    cr_expect(row->steps.count == 1 && row->steps.allocations_max == 1, "without steps, it is one");
    cr_assert(analysis->growths == 1, "one site grows");
    cr_expect_float_eq(analysis->growth[0].blocks_per_x, 1, 1e-9);
    cr_expect_float_eq(analysis->growth[0].bytes_per_x, 1024, 1e-6);
    analysis_destroy(analysis);
    subject_end(&subject);
}

Test(phases, window_by_phase)
{
    struct subject subject;
    struct analysis *analysis;

    subject_begin(&subject);
    decode(&subject);
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){.is_set = true, .phase = "decode"});
    cr_expect(analysis->opening.requested_bytes == 8 * MIB && analysis->opening.blocks == 1);
    cr_expect(analysis->total.allocations == 40 && analysis->total.frees == 20);
    cr_expect(analysis->requested.peak == 9 * MIB + 20 * 1024, "with what was there before");
    cr_expect(analysis->total.leaked_blocks == 20, "the weights are not of this window");
    cr_expect(analysis->calls_driver == 60);
    analysis_destroy(analysis);
    subject_end(&subject);
}

static uint64_t site_peak(const struct analysis *analysis, uint64_t site)
{
    for (size_t i = 0; i < analysis->sites.rows; i++)
        if (analysis->sites.row[i].key == site)
            return analysis->sites.row[i].live_bytes.peak;
    return 0;
}

/** A site's own peak is of what it held at some moment inside, though nothing of it changed there.
 */
Test(phases, peaks_of_sites_over_many_openings)
{
    struct subject subject;
    struct analysis *analysis;
    uint64_t site[5];

    subject_begin(&subject);
    for (size_t i = 0; i < 5; i++)
        site[i] = trace_writer_site(subject.writer, (const char *)subject_begin + i);
    allocate(&subject, 0x10000000, 7, site[0]);
    allocate(&subject, 0x20000000, 50, site[1]);
    phase(&subject, TRACE_PHASE_BEGIN, "decode");
    phase(&subject, TRACE_PHASE_END, "decode");
    release(&subject, 0x20000000); /* held at the first opening alone */
    allocate(&subject, 0x20000000, 900, site[1]);
    release(&subject, 0x20000000); /* never at one */
    allocate(&subject, 0x30000000, 800, site[2]);
    release(&subject, 0x30000000);
    phase(&subject, TRACE_PHASE_BEGIN, "decode");
    allocate(&subject, 0x40000000, 30, site[3]);
    release(&subject, 0x40000000);
    phase(&subject, TRACE_PHASE_END, "decode");
    allocate(&subject, 0x50000000, 4, site[4]); /* at the last opening alone */
    phase(&subject, TRACE_PHASE_BEGIN, "decode");
    phase(&subject, TRACE_PHASE_END, "decode");
    allocate(&subject, 0x60000000, 600, site[4]); /* at none */
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){.is_set = true, .phase = "decode"});
    cr_expect(site_peak(analysis, site[0]) == 7);
    cr_expect(site_peak(analysis, site[1]) == 50);
    cr_expect(site_peak(analysis, site[2]) == 0);
    cr_expect(site_peak(analysis, site[3]) == 30);
    cr_expect(site_peak(analysis, site[4]) == 4);
    cr_expect(analysis->openings == 3);
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** Sites without anything in the window are removed; data by number follows. */
Test(phases, window_without_the_first_sites)
{
    struct subject subject;
    struct analysis *analysis;
    uint64_t site;

    subject_begin(&subject);
    for (uint64_t i = 0; i < 3; i++) {
        allocate(&subject, 0x50000000, MIB,
                 trace_writer_site(subject.writer, (const char *)subject_begin + i));
        release(&subject, 0x50000000);
    }
    decode(&subject);
    site = trace_writer_site(subject.writer, (const void *)allocate);
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){.is_set = true, .phase = "decode"});
    cr_assert(analysis->sites.rows == 2 && analysis->sites.row[1].key == site);
    cr_expect(analysis->tracks.row[1].last.blocks == 20);
    cr_expect(analysis->step_sites.row[0].steps == 20 && analysis->step_sites.row[1].steps == 20);
    cr_expect(analysis->copies.row[1].bytes == 1024);
    analysis_destroy(analysis);
    subject_end(&subject);
}

Test(phases, window_by_time)
{
    struct subject subject;
    struct analysis *analysis;
    /* Allocation at 1, 2, 3 ms; free at 4 ms; allocation at 5 ms. */
    const struct analysis_window window = {.is_set = true, .begin_ns = 2 * MS, .end_ns = 5 * MS};

    subject_begin(&subject);
    allocate(&subject, 0x1000, 1000, 0);
    allocate(&subject, 0x2000, 200, 0);
    allocate(&subject, 0x3000, 30, 0);
    release(&subject, 0x1000);
    allocate(&subject, 0x4000, 5000, 0);
    subject_close(&subject);
    analysis = analyse(&subject, &window);
    cr_expect(analysis->opening.requested_bytes == 1000);
    cr_expect(analysis->total.allocations == 2 && analysis->total.frees == 1);
    cr_expect(analysis->requested.peak == 1230 && analysis->requested.current == 230);
    cr_expect(analysis->total.leaked_blocks == 2, "live when the window ends");
    cr_expect(analysis->window_ns == 3 * MS);
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** A library's range inside a step leaves it open; what was open when it began ends it. */
Test(phases, ranges_inside_a_step_do_not_end_it)
{
    struct subject subject;
    struct analysis *analysis;
    const struct analysis_phase *row;

    subject_begin(&subject);
    phase(&subject, TRACE_PHASE_BEGIN, "decode");
    for (uint64_t i = 0; i < 10; i++) {
        step(&subject, i);
        phase(&subject, TRACE_PHASE_BEGIN, "gemm");
        phase(&subject, TRACE_PHASE_END, "gemm");
        allocate(&subject, 0x1000, MIB, 0);
        release(&subject, 0x1000);
    }
    phase(&subject, TRACE_PHASE_BEGIN, "tail");
    phase(&subject, TRACE_PHASE_END, "decode");
    allocate(&subject, 0x2000, MIB, 0);
    allocate(&subject, 0x3000, MIB, 0);
    phase(&subject, TRACE_PHASE_END, "tail");
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){0});
    row = analysis_phase_find(analysis, "decode");
    cr_assert(row);
    cr_expect(row->steps.count == 10 && row->steps.allocations == 10);
    cr_expect(row->steps.allocations_max == 1, "%ju", (uintmax_t)row->steps.allocations_max);
    cr_expect(analysis->steps.allocations_max == 1 && analysis->step[0].end_ns == 7 * MS);
    row = analysis_phase_find(analysis, "gemm");
    cr_expect(row->steps.count == 10 && row->steps.allocations_max == 0, "each is a step");
    row = analysis_phase_find(analysis, "tail");
    cr_expect(row->steps.count == 1 && row->steps.allocations_max == 2);
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** "load" from 1 to 3 ms; "decode" from 4 to 35 ms with ten steps of 3 ms, each adds 3 KiB. */
static void ten_steps(struct subject *subject)
{
    phase(subject, TRACE_PHASE_BEGIN, "load");
    allocate(subject, 0x10000000, MIB, 0);
    phase(subject, TRACE_PHASE_END, "load");
    phase(subject, TRACE_PHASE_BEGIN, "decode");
    for (uint64_t i = 0; i < 10; i++) {
        step(subject, i);
        allocate(subject, 0x20000000 + 8192 * i, 1024, 0);
        allocate(subject, 0x30000000 + 8192 * i, 2048, 0);
    }
    phase(subject, TRACE_PHASE_END, "decode");
    phase(subject, TRACE_PHASE_MARK, "done");
    allocate(subject, 0x40000000, MIB, 0);
}

/** Phases and steps of a part of the run count what lies in it. */
Test(phases, cut_by_a_window)
{
    const struct {
        struct analysis_window window;
        uint64_t phases; /* of the run's three: that ran in the part */
        uint64_t begin_ns, duration_ns, opening_bytes, peak_bytes, growth_bytes, steps, most;
    } parts[] = {
        {{true, 0, 20 * MS, NULL}, 2, 4, 16, MIB, MIB + 15 * 1024, 15 * 1024, 5, 2},
        {{true, 21 * MS, 27 * MS, NULL}, 1, 21, 6, MIB + 15 * 1024, MIB + 21 * 1024, 6144, 3, 2},
        {{true, 34 * MS, 90 * MS, NULL}, 2, 34, 1, MIB + 28 * 1024, MIB + 30 * 1024, 2048, 1, 1},
        {{true, 3 * MS, 90 * MS, NULL}, 3, 4, 31, MIB, MIB + 30 * 1024, 30 * 1024, 10, 2},
        {{true, 36 * MS, 90 * MS, NULL}, 1, 0, 0, 0, 0, 0, 0, 0},
    };
    struct subject subject;

    subject_begin(&subject);
    ten_steps(&subject);
    subject_close(&subject);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct analysis *analysis = analyse(&subject, &parts[i].window);
        const struct analysis_phase *row = analysis_phase_find(analysis, "decode");

        cr_expect(analysis->phases == parts[i].phases, "part %zu: %zu", i, analysis->phases);
        cr_assert(!row == !parts[i].steps, "part %zu", i);
        cr_expect(analysis->steps.count == parts[i].steps, "part %zu", i);
        if (row) {
            cr_expect(row->count == 1 && row->first_ns == parts[i].begin_ns * MS, "part %zu", i);
            cr_expect(row->duration_ns == parts[i].duration_ns * MS, "part %zu", i);
            cr_expect(row->opening_requested_bytes == parts[i].opening_bytes, "part %zu", i);
            cr_expect(row->peak_requested_bytes == parts[i].peak_bytes, "part %zu", i);
            cr_expect(row->growth_bytes == (int64_t)parts[i].growth_bytes, "part %zu", i);
            cr_expect(row->steps.count == parts[i].steps, "part %zu", i);
            cr_expect(row->steps.allocations_max == parts[i].most, "part %zu", i);
            cr_expect(analysis->span[analysis->spans - 1].begin_ns == parts[i].begin_ns * MS);
            cr_expect(row == &analysis->phase[analysis->span[analysis->spans - 1].phase]);
        }
        analysis_destroy(analysis);
    }
    subject_end(&subject);
}

/** A phase around the one that figures are of counts what lies in that. */
Test(phases, cut_by_a_phase)
{
    struct subject subject;
    struct analysis *analysis;
    const struct analysis_phase *row;

    subject_begin(&subject);
    phase(&subject, TRACE_PHASE_BEGIN, "other");
    phase(&subject, TRACE_PHASE_END, "other");
    phase(&subject, TRACE_PHASE_BEGIN, "run");
    step(&subject, 7);
    for (uint64_t i = 0; i < 2; i++) {
        allocate(&subject, 0x10000000 + 8192 * i, 1024, 0);
        phase(&subject, TRACE_PHASE_BEGIN, "decode");
        allocate(&subject, 0x20000000 + 8192 * i, 2048, 0);
        phase(&subject, TRACE_PHASE_END, "decode");
    }
    phase(&subject, TRACE_PHASE_END, "run");
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){.is_set = true, .phase = "decode"});
    cr_assert(analysis->phases == 2);
    row = analysis_phase_find(analysis, "run");
    cr_assert(row);
    cr_expect(row->count == 1 && row->allocations == 2 && row->growth_bytes == 4096);
    cr_expect(row->duration_ns == 4 * MS && row->opening_requested_bytes == 1024);
    cr_expect(row->steps.count == 2 && row->steps.allocations_max == 1);
    row = analysis_phase_find(analysis, "decode");
    cr_expect(row->count == 2 && row->allocations == 2 && row->growth_bytes == 4096);
    cr_expect(row->steps.count == 2 && row->steps.allocations_max == 1);
    analysis_destroy(analysis);
    subject_end(&subject);
}

Test(phases, too_many_names)
{
    struct subject subject;
    struct analysis *analysis;
    char name[32];

    subject_begin(&subject);
    for (int i = 0; i < 1100; i++) {
        snprintf(name, sizeof name, "phase %d", i);
        phase(&subject, TRACE_PHASE_BEGIN, name);
    }
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){0});
    cr_expect(analysis->phases == 1024 && analysis->phases_left_out == 76);
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** However many spans there are, the first begin and the last end of a phase stay. */
Test(phases, close_spans_are_joined_when_they_are_many)
{
    static const char *const names[] = {"load", "prefill", "decode"};
    struct subject subject;
    struct analysis *analysis;
    uint64_t covered = 0;

    subject_begin(&subject);
    for (int i = 0; i < 9000; i++) {
        phase(&subject, TRACE_PHASE_BEGIN, names[i % 3]);
        phase(&subject, TRACE_PHASE_END, names[i % 3]);
    }
    subject_close(&subject);
    analysis = analyse(&subject, &(struct analysis_window){0});
    cr_assert(analysis->spans && analysis->spans <= ANALYSIS_SPANS && analysis->spans_close_ns);
    for (size_t row = 0; row < 3; row++) {
        uint64_t first = UINT64_MAX, last = 0;

        for (size_t i = 0; i < analysis->spans; i++)
            if (analysis->span[i].phase == row) {
                first = analysis->span[i].begin_ns < first ? analysis->span[i].begin_ns : first;
                last = analysis->span[i].end_ns > last ? analysis->span[i].end_ns : last;
                covered += analysis->span[i].end_ns - analysis->span[i].begin_ns;
            }
        cr_expect(first == (1 + 2 * row) * MS);
        cr_expect(last == (17996 + 2 * row) * MS);
    }
    cr_expect(covered >= 9000 * MS, "nothing that was open is missing");
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** Blocks live at the begin of a window are in its address map, and older ones are not temporary.
 */
Test(windows, know_what_was_there_before)
{
    const struct analysis_window window = {.is_set = true, .begin_ns = 9 * MS, .end_ns = 40 * MS};
    struct subject subject;
    struct analysis *analysis;
    struct address_map map;

    subject_begin(&subject);
    for (uint64_t i = 0; i < 8; i++)
        allocate(&subject, 0x100000 * (i + 1), 4096, 0);
    for (uint64_t i = 0; i < 2; i++)
        release(&subject, 0x100000 * (i + 7));
    allocate(&subject, 0x1000000, 4096, 0);
    release(&subject, 0x1000000);
    subject_close(&subject);
    analysis = analyse(&subject, &window);
    cr_assert(address_map_create(&analysis->block_table, &analysis->addresses, ADDRESS_AT_PEAK,
                                 &map) == 0);
    cr_expect(map.blocks == 8 && analysis->requested.peak == 8 * 4096);
    cr_expect(analysis->lifetimes.blocks == 3 && analysis->total.temporaries == 1);
    address_map_done(&map);
    analysis_destroy(analysis);
    subject_end(&subject);
}

/** A series of 1000 calls from a function of the call's number. */
static bool plateau_of(uint64_t (*level)(uint64_t call), struct plateau_series *ret_series,
                       struct plateau *ret_plateau)
{
    *ret_series = (struct plateau_series){0};
    for (uint64_t i = 0; i < 1000; i++) {
        const struct timeline_point point = {.time_ns = i * MS, .requested_bytes = level(i)};

        plateau_series_add(ret_series, &point);
    }
    return plateau_find(ret_series, ret_plateau);
}

/** When a cell begins, in calls. */
static uint64_t call_of(const struct plateau_series *series, size_t cell)
{
    return series->cell[cell].first_ns / MS;
}

static uint64_t load_warm_steady(uint64_t ms)
{
    if (ms < 200)
        return ms * MIB / 2; /* to 100 MiB */
    if (ms < 400)
        return ms / 10 % 2 ? 100 * MIB : 160 * MIB;
    return ms < 950 ? 100 * MIB + ms % 7 * MIB : 0;
}

static uint64_t climbing(uint64_t ms)
{
    return ms * MIB;
}

static uint64_t temporary(uint64_t ms)
{
    return ms % 20 == 10 ? 100 * MIB : MIB;
}

/** A burst at the start, then nothing but temporary blocks. */
static uint64_t burst_first(uint64_t call)
{
    return call < 20 ? call * 5 * MIB : 100 * MIB + call % 2 * MIB;
}

/** Rises all the time, by a twentieth in all. */
static uint64_t leaking(uint64_t call)
{
    return 100 * MIB + call * MIB / 200;
}

Test(plateau, found)
{
    static struct plateau_series series;
    struct plateau plateau;

    cr_assert(plateau_of(load_warm_steady, &series, &plateau));
    cr_expect(call_of(&series, plateau.load) > 190 && call_of(&series, plateau.load) < 210);
    cr_expect(call_of(&series, plateau.begin) >= 390 && call_of(&series, plateau.begin) < 410);
    cr_expect(call_of(&series, plateau.end) > 940 && call_of(&series, plateau.end) <= 950);
}

Test(plateau, never_holds_the_load)
{
    static struct plateau_series series;
    struct plateau plateau;

    cr_assert(plateau_of(burst_first, &series, &plateau));
    cr_expect(plateau_before(&series, plateau.begin).requested_bytes >= 98 * MIB, "%zu MiB",
              (size_t)(plateau_before(&series, plateau.begin).requested_bytes / MIB));
    cr_assert(plateau_of(leaking, &series, &plateau));
    cr_expect(plateau_before(&series, plateau.end).requested_bytes -
                  plateau_before(&series, plateau.begin).requested_bytes <
              4 * MIB);
}

Test(plateau, not_found)
{
    static struct plateau_series series;
    struct plateau plateau;

    cr_expect(!plateau_of(climbing, &series, &plateau), "it only grows");
    cr_expect(!plateau_of(temporary, &series, &plateau), "peaks and nothing between");
    series = (struct plateau_series){0};
    cr_expect(!plateau_find(&series, &plateau));
}

Test(growth, fit)
{
    const double x[] = {0, 1, 2, 3}, line[] = {1, 3, 5, 7}, level[] = {4, 4, 4, 4},
                 back[] = {0, 9, 0, 9};
    double slope, fit;

    growth_fit(x, line, 4, &slope, &fit);
    cr_expect_float_eq(slope, 2, 1e-9);
    cr_expect_float_eq(fit, 1, 1e-9);
    growth_fit(x, level, 4, &slope, &fit);
    cr_expect(slope == 0 && fit == 0);
    growth_fit(x, back, 4, &slope, &fit);
    cr_expect(fit < 0.5);
}

/** Notes of one site that has `blocks(i)` at i milliseconds; whether it grows until the end. */
static bool grows(uint64_t (*blocks)(uint64_t i), uint64_t calls, uint64_t end_ms,
                  struct growth_site *ret_site)
{
    const struct growth_end end = {
        .time_ns = end_ms * MS, .order = calls, .peak_bytes = calls * 1024};
    struct growth_tracks tracks = {0};
    struct growth_site *rows;
    size_t count;

    for (uint64_t i = 0; i < calls; i++) {
        const struct growth_note note = {
            .time_ns = i * MS, .order = i, .blocks = blocks(i), .bytes = blocks(i) * 1024};

        cr_assert(growth_tracks_add(&tracks, 0, &note) == 0);
    }
    cr_assert(growth_find(&tracks, &end, &rows, &count) == 0);
    if (count && ret_site)
        *ret_site = rows[0];
    free(rows);
    growth_tracks_done(&tracks);
    return count == 1;
}

static uint64_t each(uint64_t i)
{
    return i;
}

static uint64_t every_tenth(uint64_t i)
{
    return 1 + i / 10;
}

static uint64_t saw(uint64_t i)
{
    return i % 100;
}

static uint64_t level(uint64_t i)
{
    return i < 50 ? i : 50;
}

Test(growth, over_the_whole_run)
{
    struct growth_site site;

    cr_assert(grows(each, 100000, 100000, &site));
    cr_expect_float_eq(site.blocks_per_x, 1, 1e-9);
    cr_assert(grows(every_tenth, 1000, 1000, &site), "a block in ten operations");
    cr_expect_float_eq(site.blocks_per_x, 0.1, 0.01);
    cr_expect(!grows(saw, 100000, 100000, NULL), "all of it is given back");
    cr_expect(!grows(level, 1000, 1000, NULL), "a level that was reached");
    cr_expect(!grows(each, 8, 2000, NULL), "a burst, and then nothing");
    cr_expect(grows(each, 1000, 1200, NULL), "a short pause at the end");
    cr_expect(!grows(each, 1000, 2000, NULL), "a rest as long as the growth");
}

Test(job, outlier)
{
    const uint64_t even[] = {100, 101, 99, 100, 102}, one[] = {100, 101, 99, 100, 180},
                   equal[] = {5, 5, 5, 6}, three[] = {2, 3, 1}, low[] = {100, 100, 100, 20},
                   seventh[] = {100, 102, 104, 106, 117}, sixth[] = {100, 102, 104, 106, 116};
    struct job_spread spread;

    cr_assert(job_spread_of(even, 5, &spread) == 0);
    cr_expect(!spread.has_outlier && spread.sum == 502 && spread.median == 100);
    cr_assert(job_spread_of(one, 5, &spread) == 0);
    cr_expect(spread.has_outlier && spread.outlier_at == 4 && spread.most_at == 4);
    cr_assert(job_spread_of(equal, 4, &spread) == 0);
    cr_expect(spread.has_outlier, "a fifth more than ranks that are all alike");
    cr_assert(job_spread_of(three, 3, &spread) == 0);
    cr_expect(!spread.has_outlier, "three are too few");
    cr_expect(spread.mean == 2 && spread.rounded == 2);
    cr_assert(job_spread_of(seventh, 5, &spread) == 0);
    cr_expect(spread.has_outlier && spread.rounded == 106, "13 from 104, and 2 is usual");
    cr_assert(job_spread_of(sixth, 5, &spread) == 0);
    cr_expect(!spread.has_outlier, "12 are not more than six times 2");
    cr_assert(job_spread_of(low, 4, &spread) == 0);
    cr_expect(spread.has_outlier && spread.outlier_at == 3 && spread.least == 20);
}

Test(verdict, rules)
{
    const struct {
        struct verdict_facts facts;
        enum verdict verdict;
    } cases[] = {
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 50,
          .own_bytes = 950},
         VERDICT_GENUINE},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 50,
          .own_bytes = 700},
         VERDICT_OTHERS},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 50,
          .own_bytes = 850},
         VERDICT_GENUINE}, /* others have a tenth: contexts have that */
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 500,
          .own_bytes = 200,
          .limit_bytes = 250},
         VERDICT_LIMIT},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 50,
          .own_bytes = 950,
          .limit_bytes = 960},
         VERDICT_GENUINE},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 40,
          .own_bytes = 960,
          .cached_bytes = 60,
          .largest_free_bytes = 10},
         VERDICT_FRAGMENTATION},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .driver_free_bytes = 40,
          .own_bytes = 960,
          .cached_bytes = 30,
          .quarantined_bytes = 30},
         VERDICT_HOARDING},
        {{.request_bytes = 100,
          .driver_total_bytes = 1000,
          .own_bytes = 1000,
          .cached_bytes = 200,
          .largest_free_bytes = 100},
         VERDICT_HOARDING},
        {{.request_bytes = 100, .own_bytes = 50}, VERDICT_GENUINE}, /* the driver was not asked */
        {{.request_bytes = UINT64_MAX,
          .driver_total_bytes = UINT64_MAX,
          .driver_free_bytes = UINT64_MAX,
          .cached_bytes = UINT64_MAX},
         VERDICT_FRAGMENTATION},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(verdict_of(&cases[i].facts) == cases[i].verdict, "case %zu: %s", i,
                  verdict_name(verdict_of(&cases[i].facts)));
}

Test(window, times)
{
    const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"1.5", 1500 * MS}, {"2s", 2000 * MS}, {"350ms", 350 * MS}, {"20us", 20000},
                {"40%", 400},       {"0", 0},          {"7ns", 7}};
    const char *const bad[] = {"", "-1", "x", "1h", "101%", "1e400", "0x10", "nan", "5 0"};
    uint64_t ns;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(window_time_parse(good[i].text, 1000, &ns) == 0 && ns == good[i].ns, "%s",
                  good[i].text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(window_time_parse(bad[i], 1000, &ns) < 0, "%s", bad[i]);
}

/* SPDX-License-Identifier: MIT */
/*
 * Data of a report's pictures: addresses at the peak and at the end against a model that copies
 * everything at each peak, lifetimes, times of phases, and stacks as a tree.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cupti/trace_support.h"
#include "tools/analysis/address_map.h"
#include "tools/analysis/analysis.h"
#include "tools/analysis/flame.h"
#include "cupti/replay/lifetimes.h"
#include "tools/report/html/html_view.h"

#define SLOTS      256
#define SLOT_BYTES UINT64_C(4096)
#define SEGMENTS   4
#define FIRST      UINT64_C(0x7f0000000000)

/** Contents of each slot, tracked by the test itself. */
struct model {
    uint64_t requested[SLOTS];
    bool segment[SEGMENTS];
};

struct run {
    struct trace_writer *writer;
    struct model now, at_peak;
    uint64_t live, peak, time_ns;
};

static uint64_t slot_address(size_t slot)
{
    /* Two slots' worth of addresses between segments. */
    return FIRST + (slot + 2 * (slot / (SLOTS / SEGMENTS))) * SLOT_BYTES;
}

static void emit(struct run *run, struct trace_record record)
{
    record.memory = TRACE_MEMORY_DEVICE;
    record.context = 1;
    record.time_ns = run->time_ns += 1000;
    trace_writer_emit(run->writer, &record);
}

static void segment_toggle(struct run *run, size_t segment)
{
    size_t first = segment * (SLOTS / SEGMENTS);

    for (size_t i = first; i < first + SLOTS / SEGMENTS; i++)
        if (run->now.requested[i])
            return;
    emit(run,
         (struct trace_record){.kind = run->now.segment[segment] ? TRACE_EVENT_SEGMENT_FREE
                                                                 : TRACE_EVENT_SEGMENT_ALLOCATE,
                               .size = SLOTS / SEGMENTS * SLOT_BYTES,
                               .address = slot_address(first)});
    run->now.segment[segment] = !run->now.segment[segment];
}

static void slot_toggle(struct run *run, size_t slot, uint64_t bytes)
{
    struct trace_record record = {
        .kind = TRACE_EVENT_FREE, .outcome = TRACE_OUTCOME_HIT, .address = slot_address(slot)};

    if (run->now.requested[slot]) {
        emit(run, record);
        run->live -= run->now.requested[slot];
        run->now.requested[slot] = 0;
        return;
    }
    record.kind = TRACE_EVENT_ALLOCATE;
    record.size = bytes;
    record.value = SLOT_BYTES;
    emit(run, record);
    run->now.requested[slot] = bytes;
    run->live += bytes;
    if (run->live > run->peak) {
        run->peak = run->live;
        run->at_peak = run->now;
    }
}

static void map_compare(const struct address_map *map, const struct model *model)
{
    uint64_t used = 0, held = 0;
    size_t blocks = 0, next = 0, segments = 0;

    for (size_t i = 0; i < SEGMENTS; i++)
        segments += model->segment[i];
    for (size_t i = 0; i < SLOTS; i++) {
        held += model->segment[i / (SLOTS / SEGMENTS)] || model->requested[i] ? SLOT_BYTES : 0;
        used += model->requested[i];
        blocks += model->requested[i] != 0;
        if (model->requested[i])
            cr_assert(next < map->blocks && map->block[next++].address == slot_address(i));
    }
    cr_expect(map->blocks == blocks && map->segments == segments);
    cr_expect(map->used_bytes == used && map->waste_bytes == blocks * SLOT_BYTES - used);
    cr_expect(map->bytes == held && map->hole_bytes == held - blocks * SLOT_BYTES);
    for (size_t i = 0; i < map->extents; i++)
        cr_expect(map->extent[i].used_bytes + map->extent[i].waste_bytes +
                      map->extent[i].hole_bytes ==
                  map->extent[i].bytes);
}

/** Blocks and segments come and go at random; the map equals the model's copy at the peak. */
Test(address_map, is_what_was_live)
{
    char path[SUPPORT_PATH_BYTES], why[256];
    uint64_t seed = support_seed();
    struct trace_reader *reader;
    struct analysis *analysis;
    struct run run = {0};
    struct address_map map;

    support_path(path);
    run.writer = support_open(path);
    for (int i = 0; i < 5000; i++)
        if (support_random(&seed) % 10 == 0)
            segment_toggle(&run, support_random(&seed) % SEGMENTS);
        else
            slot_toggle(&run, support_random(&seed) % SLOTS, 1 + support_random(&seed) % 4096);
    trace_writer_close(run.writer);
    reader = support_read(path);
    cr_assert(analysis_create(reader, &analysis, why, sizeof why) == 0, "%s", why);
    cr_assert(analysis->requested.peak == run.peak);
    cr_assert(address_map_create(&analysis->block_table, &analysis->addresses, ADDRESS_AT_PEAK,
                                 &map) == 0);
    map_compare(&map, &run.at_peak);
    address_map_done(&map);
    cr_assert(address_map_create(&analysis->block_table, &analysis->addresses, ADDRESS_AT_END,
                                 &map) == 0);
    map_compare(&map, &run.now);
    address_map_done(&map);
    analysis_destroy(analysis);
    trace_reader_close(reader);
    support_remove(path);
}

/** Whatever a damaged trace claims, extents do not overlap and sums hold. */
Test(address_map, survives_overlaps)
{
    uint64_t seed = support_seed();
    struct address_history history = {0};
    struct block_table block_table = {0};
    struct address_map map;

    for (int i = 0; i < 2000; i++) {
        struct replay_block block = {.address = support_random(&seed) % 65536,
                                     .requested_bytes = support_random(&seed) % 5000,
                                     .allocated_bytes = support_random(&seed) % 4096,
                                     .memory = TRACE_MEMORY_DEVICE,
                                     .space = i % 7 ? BLOCK_SPACE_ADDRESS : BLOCK_SPACE_SEGMENT};

        if (i % 100 == 0)
            block.address = UINT64_MAX - support_random(&seed) % 4096;
        if (!block_table_find(&block_table, block.space, block.address))
            cr_assert(block_table_add(&block_table, &block) == 0);
    }
    cr_assert(address_map_create(&block_table, &history, ADDRESS_AT_END, &map) == 0);
    cr_assert(map.extents > 1 && map.blocks > 1);
    for (size_t i = 0; i < map.extents; i++) {
        const struct address_extent *extent = &map.extent[i];

        cr_assert(!i || extent->address >= extent[-1].address + extent[-1].bytes);
        cr_assert(extent->used_bytes + extent->waste_bytes + extent->hole_bytes == extent->bytes);
    }
    address_map_done(&map);
    block_table_done(&block_table);
}

Test(lifetimes, classes)
{
    struct lifetimes lifetimes = {0};

    cr_expect(lifetime_class_ns(0) == 1000 && lifetime_class_ns(1) == 3000);
    cr_expect(lifetime_class_ns(2) == 10000);
    for (size_t i = 1; i < LIFETIME_CLASSES; i++)
        cr_expect(lifetime_class_ns(i) > lifetime_class_ns(i - 1));
    lifetimes_add(&lifetimes, 0, 10);
    lifetimes_add(&lifetimes, 1000, 20);
    lifetimes_add(&lifetimes, 1001, 30);
    lifetimes_add(&lifetimes, UINT64_MAX, 40);
    cr_expect(lifetimes.row[0].blocks == 2 && lifetimes.row[0].bytes == 30);
    cr_expect(lifetimes.row[1].blocks == 1 && lifetimes.row[1].bytes == 30);
    cr_expect(lifetimes.row[LIFETIME_CLASSES - 1].blocks == 1);
    cr_expect(lifetimes.blocks == 4 && lifetimes.bytes == 100);
    cr_expect(lifetimes_median(&lifetimes) == 0);
    lifetimes_add(&lifetimes, 2000, 1);
    cr_expect(lifetimes_median(&lifetimes) == 1);
}

static uint64_t child_bytes(const struct flame *flame, const char *name)
{
    for (size_t i = 0; i < flame->nodes; i++)
        if (!strcmp(flame->node[i].name, name))
            return flame->node[i].bytes[FLAME_AT_PEAK];
    return 0;
}

Test(flame, joins_stacks)
{
    const char *const first[] = {"main", "load", "grow"}, *const second[] = {"main", "run"};
    const uint64_t ten[FLAME_MEASURES] = {[FLAME_AT_PEAK] = 10};
    const uint64_t one[FLAME_MEASURES] = {[FLAME_AT_PEAK] = 1};
    const char *deep[2 * FLAME_DEPTH];
    struct flame flame;

    cr_assert(flame_create("program", &flame) == 0);
    cr_assert(flame_add(&flame, second, 2, one) == 0);
    cr_assert(flame_add(&flame, first, 3, ten) == 0);
    cr_assert(flame_add(&flame, first, 2, one) == 0);
    cr_expect(flame.nodes == 5);
    cr_expect(child_bytes(&flame, "program") == 12 && child_bytes(&flame, "main") == 12);
    cr_expect(child_bytes(&flame, "load") == 11 && child_bytes(&flame, "grow") == 10);
    cr_assert(flame_sort(&flame, FLAME_AT_PEAK) == 0);
    cr_expect_str_eq(flame.node[flame.node[flame.node[0].child].child].name, "load");
    cr_expect(flame_count(&flame, FLAME_AT_PEAK, 1) == 5);
    cr_expect(flame_count(&flame, FLAME_AT_PEAK, 2) == 5, "run is joined, in a box of its own");
    cr_expect(flame_count(&flame, FLAME_AT_PEAK, 12) == 3, "all below main is one box");
    cr_expect(flame_count(&flame, FLAME_LEAKED, 1) == 1);
    for (size_t i = 0; i < 2 * FLAME_DEPTH; i++)
        deep[i] = "again";
    cr_assert(flame_add(&flame, deep, 2 * FLAME_DEPTH, one) == 0);
    cr_expect(flame.nodes == 5 + FLAME_DEPTH);
    flame_done(&flame);
}

/** Addresses of a range without memory: before the first extent and between two, of mapped ones. */
Test(address_map, has_gaps_between_mapped_extents)
{
    struct address_extent extent[] = {
        {.address = FIRST + 2 * SLOT_BYTES, .bytes = SLOT_BYTES, .segment = true, .mapped = true},
        {.address = FIRST + 8 * SLOT_BYTES, .bytes = SLOT_BYTES, .segment = true, .mapped = true},
        {.address = FIRST + 9 * SLOT_BYTES, .bytes = SLOT_BYTES, .segment = true, .mapped = true},
        {.address = FIRST + 999 * SLOT_BYTES, .bytes = SLOT_BYTES}};
    struct address_map map = {.extent = extent, .extents = 4, .bytes = 4 * SLOT_BYTES};
    struct defragmentation *ranges = calloc(1, sizeof *ranges);

    cr_assert(ranges);
    address_map_gaps(&map, ranges);
    cr_expect(map.gaps == 0 && map.gap_bytes == 0, "without a range");
    ranges->backings = 1;
    ranges->backing[0] = (struct defragmentation_backing){
        .mapped = true, .range_address = FIRST, .range_bytes = 1000 * SLOT_BYTES};
    address_map_gaps(&map, ranges);
    cr_expect(map.gaps == 2 && map.gap_bytes == 7 * SLOT_BYTES);
    cr_expect(extent[0].gap_bytes == 2 * SLOT_BYTES && extent[1].gap_bytes == 5 * SLOT_BYTES);
    cr_expect(!extent[2].gap_bytes && !extent[3].gap_bytes);
    cr_expect(map.gaps_drawn == 2);
    free(ranges);
}

/** A picture is as large as a screen, however many gaps there are. */
Test(address_map, draws_the_wide_gaps_of_many)
{
    enum { MANY = 5000 };
    struct address_extent *extent = calloc(MANY, sizeof *extent);
    struct address_map map = {.extent = extent, .extents = MANY, .bytes = MANY * SLOT_BYTES};
    struct defragmentation *ranges = calloc(1, sizeof *ranges);
    uint64_t drawn = 0;

    cr_assert(extent && ranges);
    for (uint64_t i = 0; i < MANY; i++)
        extent[i] = (struct address_extent){.address = FIRST + 2 * i * SLOT_BYTES,
                                            .bytes = SLOT_BYTES,
                                            .segment = true,
                                            .mapped = true};
    extent[MANY - 1].address += 1000 * SLOT_BYTES;
    ranges->backings = 1;
    ranges->backing[0] = (struct defragmentation_backing){
        .mapped = true, .range_address = FIRST, .range_bytes = UINT64_C(1) << 40};
    address_map_gaps(&map, ranges);
    for (size_t i = 0; i < MANY; i++)
        drawn += extent[i].gap_bytes != 0;
    cr_expect(map.gaps == MANY - 1 && map.gap_bytes == (MANY - 1 + 1000) * SLOT_BYTES);
    cr_expect(map.gaps_drawn == 1 && drawn == 1 && extent[MANY - 1].gap_bytes);
    free(extent);
    free(ranges);
}

/** The axes of a picture as text; the caller frees it. */
static char *axes_text(uint64_t most_bytes, uint64_t end_ns)
{
    const struct html_axes axes = {80, 10, 1120, 240, most_bytes, end_ns};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    html_axes_print(out, &axes);
    fclose(out);
    return text;
}

Test(axes, empty_scales_have_one_tick_and_only_numbers)
{
    char *text = axes_text(0, 0);

    cr_expect_not(strstr(text, "nan") || strstr(text, "inf"), "%s", text);
    cr_expect_str_eq(text, "<path class=\"grid\" d=\"M80.0 250.0h1120.0\"/>"
                           "<text x=\"74.0\" y=\"254.0\" text-anchor=\"end\">0</text>\n"
                           "<text x=\"80.0\" y=\"268.0\" text-anchor=\"middle\">0</text>\n");
    free(text);
}

Test(axes, the_largest_scales_end)
{
    char *text = axes_text(UINT64_MAX, UINT64_MAX);

    cr_expect(strstr(text, ">12 EiB<"), "%s", text);
    cr_expect_not(strstr(text, "nan") || strstr(text, "inf"), "%s", text);
    free(text);
}

/** A label with one decimal must be the value at its line: 1.2 MiB for 1.25 MiB would not. */
Test(axes, labels_are_exact)
{
    for (uint64_t kib = 1; kib < 4096; kib++) {
        char *text = axes_text(kib * 1024, 1000000000);

        for (const char *at = text; (at = strstr(at, "\"end\">")); at++) {
            double value;
            char unit[8];
            double scale;

            if (sscanf(at, "\"end\">%lf %7[A-Za-z]", &value, unit) != 2 || !strchr("BKM", *unit))
                continue;
            scale = *unit == 'M' ? 1 << 20 : *unit == 'K' ? 1 << 10 : 1;
            cr_assert_eq(value * scale, (double)(uint64_t)(value * scale), "%llu KiB: %s",
                         (unsigned long long)kib, text);
        }
        free(text);
    }
}

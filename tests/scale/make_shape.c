/* SPDX-License-Identifier: MIT */
/*
 * Writes a trace of a shape that an attacker would choose: each has very much of one thing, so that
 * superlinear costs show. usage: make_shape SHAPE RECORDS FILE; without arguments it lists the
 * shapes.
 *
 * The blocks are made here, not by the writer, which has limits of its own. A trace is sealed and
 * closed, and the same for the same arguments.
 *
 * Threading: single-threaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/crc32c.h"
#include "cupti/format/trace_format.h"

#define FIRST_CALL_NS 1000000
#define STACK_DEEPEST 1000000 /* sites; the reader takes at most 2^20 */

struct maker {
    FILE *file;
    uint32_t sequence, slots; /* of the block under way */
    uint64_t time_ns, texts, sites;
    struct trace_record block[TRACE_BLOCK_SLOTS];
    uint64_t allocate, release; /* texts */
};

static void write_all(struct maker *maker, const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, maker->file) != bytes) {
        perror("make_shape");
        exit(1);
    }
}

static void block_end(struct maker *maker)
{
    struct trace_block_header header = {
        .magic = TRACE_BLOCK_MAGIC,
        .sequence = ++maker->sequence,
        .thread = 1,
        .count = maker->slots,
        .checksum = crc32c(maker->block, (size_t)maker->slots * TRACE_SLOT_BYTES)};

    if (!maker->slots)
        return;
    write_all(maker, &header, sizeof header);
    write_all(maker, maker->block, sizeof maker->block);
    memset(maker->block, 0, sizeof maker->block);
    maker->slots = 0;
}

static struct trace_record *slots_take(struct maker *maker, uint32_t slots)
{
    if (maker->slots + slots > TRACE_BLOCK_SLOTS)
        block_end(maker);
    maker->slots += slots;
    return &maker->block[maker->slots - slots];
}

/** One record; its time, unless it has one, is behind the last. */
static void put(struct maker *maker, struct trace_record record)
{
    if (!record.time_ns)
        record.time_ns = maker->time_ns += 1000;
    if (!record.thread)
        record.thread = 1;
    *slots_take(maker, 1) = record;
}

static uint64_t text(struct maker *maker, const char *words)
{
    size_t bytes = strlen(words);
    struct trace_record *slot = slots_take(maker, 1 + (uint32_t)((bytes + 63) / 64));

    *slot = (struct trace_record){
        .kind = TRACE_EVENT_STRING, .size = bytes, .value = ++maker->texts};
    memcpy(slot + 1, words, bytes);
    return maker->texts;
}

static uint64_t numbered(struct maker *maker, const char *word, uint64_t number)
{
    char words[64];

    snprintf(words, sizeof words, "%s%llu", word, (unsigned long long)number);
    return text(maker, words);
}

static uint64_t site(struct maker *maker, uint64_t module, uint64_t caller)
{
    put(maker, (struct trace_record){.kind = TRACE_EVENT_SITE,
                                     .value = ++maker->sites,
                                     .address = 0x1000 + 16 * maker->sites,
                                     .size = module,
                                     .site = caller});
    return maker->sites;
}

static struct trace_record allocation(const struct maker *maker, uint64_t address, uint64_t of_site)
{
    return (struct trace_record){.kind = TRACE_EVENT_ALLOCATE,
                                 .api = (uint16_t)maker->allocate,
                                 .outcome = TRACE_OUTCOME_HIT,
                                 .memory = TRACE_MEMORY_DEVICE,
                                 .size = 4096,
                                 .value = 4096,
                                 .address = address,
                                 .context = 1,
                                 .site = of_site,
                                 .latency = 100};
}

static struct trace_record release(const struct maker *maker, uint64_t address)
{
    struct trace_record record = allocation(maker, address, 0);

    record.kind = TRACE_EVENT_FREE;
    record.api = (uint16_t)maker->release;
    return record;
}

static struct trace_record event(uint16_t kind)
{
    return (struct trace_record){.kind = kind, .memory = TRACE_MEMORY_DEVICE, .context = 1};
}

static void context_end(struct maker *maker, uint32_t context)
{
    struct trace_record record = event(TRACE_EVENT_CONTEXT);

    record.context = context;
    put(maker, record);
}

#define ADDRESS(i) (UINT64_C(0x7f0000000000) + UINT64_C(4096) * (i))

/** What a program does: the measure of the others. */
static void shape_pairs(struct maker *maker, uint64_t records)
{
    uint64_t of_site = site(maker, 0, 0);

    for (uint64_t i = 0; i < records / 2; i++) {
        put(maker, allocation(maker, ADDRESS(i % 1000), of_site));
        put(maker, release(maker, ADDRESS(i % 1000)));
    }
}

static void shape_live(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, allocation(maker, ADDRESS(i), 0));
}

/** Multiples of 2^44, all live: a hash that looks at low bits puts them in one place. */
static void shape_high_addresses(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, allocation(maker, (i % (UINT64_C(1) << 20) + 1) << 44, 0));
}

/** The multiplier of a hash in use widely, turned round: successive keys of one value. */
static void shape_inverse_addresses(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, allocation(maker, ((i + 1) << 44) * UINT64_C(0xf1de83e19937733d), 0));
}

/** Half of the blocks live on while context after context ends. */
static void shape_contexts(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++)
        put(maker, allocation(maker, ADDRESS(i), 0));
    for (uint64_t i = 0; i < records / 4; i++) {
        struct trace_record block = allocation(maker, ADDRESS(records + i), 0);

        block.context = (uint32_t)(2 + i);
        put(maker, block);
        context_end(maker, block.context);
    }
}

/** A context of many host blocks, which outlive it, ends again and again. */
static void shape_context_again(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record block = allocation(maker, ADDRESS(i), 0);

        block.memory = TRACE_MEMORY_PINNED;
        put(maker, block);
    }
    for (uint64_t i = 0; i < records / 2; i++)
        context_end(maker, 1);
}

/** A chain of callers, each frame the caller of the next. */
static void shape_deep(struct maker *maker, uint64_t records)
{
    uint64_t module = text(maker, "/opt/program"), caller = 0;

    for (uint64_t i = 0; i < records / 2; i++) {
        if (i < STACK_DEEPEST)
            caller = site(maker, module, caller);
        put(maker, allocation(maker, ADDRESS(i), caller));
    }
}

/** Such a chain within libraries, where no frame is the program's. */
static void shape_deep_in_a_library(struct maker *maker, uint64_t records)
{
    uint64_t module = text(maker, "/usr/lib/libcuda.so.1"), caller = 0;

    for (uint64_t i = 0; i < records / 2; i++) {
        if (i < STACK_DEEPEST)
            caller = site(maker, module, caller);
        put(maker, allocation(maker, ADDRESS(i), caller));
    }
}

/** Frames of a wrapper, each called by such a chain. */
static void shape_wide_on_a_library(struct maker *maker, uint64_t records)
{
    uint64_t library = text(maker, "/usr/lib/libcuda.so.1"), caller = 0;
    uint64_t file = text(maker, "/srv/model.py"), function = text(maker, "cached_alloc");

    for (uint64_t i = 0; i < records / 4 && i < STACK_DEEPEST / 2; i++)
        caller = site(maker, library, caller);
    for (uint64_t i = 0; i < records / 4; i++) {
        if (i < STACK_DEEPEST / 2)
            put(maker, (struct trace_record){.kind = TRACE_EVENT_PYTHON,
                                             .value = ++maker->sites,
                                             .address = 1 + i,
                                             .size = file,
                                             .stream = (uint32_t)function,
                                             .site = caller});
        put(maker, allocation(maker, ADDRESS(i), maker->sites));
    }
}

/** All called by one. */
static void shape_wide(struct maker *maker, uint64_t records)
{
    uint64_t module = text(maker, "/opt/program"), caller = site(maker, module, 0), of_site = 0;

    for (uint64_t i = 0; i < records / 2; i++) {
        if (i < STACK_DEEPEST)
            of_site = site(maker, module, caller);
        put(maker, allocation(maker, ADDRESS(i), of_site));
    }
}

/** Each site in a separate module; their paths share a long prefix. */
static void shape_modules(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 4; i++) {
        uint64_t path = numbered(maker, "/no/such/folder/of/long/paths/libmodule.so.", i);

        put(maker,
            (struct trace_record){
                .kind = TRACE_EVENT_MODULE, .size = 65536, .address = ADDRESS(i), .value = path});
        put(maker, allocation(maker, ADDRESS(i), site(maker, path, 0)));
    }
}

/** Sites of one module with the longest path there is. */
static void shape_long_path(struct maker *maker, uint64_t records)
{
    char path[4000];
    uint64_t module;

    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    module = text(maker, path);
    for (uint64_t i = 0; i < records / 2; i++)
        put(maker, allocation(maker, ADDRESS(i), site(maker, module, 0)));
}

static void shape_python(struct maker *maker, uint64_t records)
{
    uint64_t caller = 0;

    for (uint64_t i = 0; i < records / 4; i++) {
        uint64_t file = numbered(maker, "/srv/model/part", i);

        put(maker, (struct trace_record){.kind = TRACE_EVENT_PYTHON,
                                         .value = ++maker->sites,
                                         .address = 7,
                                         .size = file,
                                         .stream = (uint32_t)file,
                                         .site = i % 100 ? caller : 0});
        caller = maker->sites;
        put(maker, allocation(maker, ADDRESS(i), caller));
    }
}

static void phase(struct maker *maker, uint64_t name, uint64_t what)
{
    struct trace_record record = event(TRACE_EVENT_PHASE);

    record.value = name;
    record.size = what;
    put(maker, record);
}

static void shape_phases(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 4; i++) {
        uint64_t name = numbered(maker, "phase ", i);

        phase(maker, name, TRACE_PHASE_BEGIN);
        phase(maker, name, TRACE_PHASE_END);
    }
}

/** A thousand phases under way while blocks come and go. */
static void shape_phases_open(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < 1000 && i < records; i++)
        phase(maker, numbered(maker, "phase ", i), TRACE_PHASE_BEGIN);
    shape_pairs(maker, records);
}

/** The oldest of a thousand phases ends, and begins again. */
static void shape_phases_turn(struct maker *maker, uint64_t records)
{
    uint64_t first = maker->texts + 1;

    for (uint64_t i = 0; i < 1000; i++)
        numbered(maker, "phase ", i);
    for (uint64_t i = 0; i < 1000; i++)
        phase(maker, first + i, TRACE_PHASE_BEGIN);
    for (uint64_t i = 0; i < records / 2; i++) {
        phase(maker, first + i % 1000, TRACE_PHASE_END);
        phase(maker, first + i % 1000, TRACE_PHASE_BEGIN);
    }
}

/** A phase that begins and ends again and again, beside many sites. */
static void shape_openings(struct maker *maker, uint64_t records)
{
    uint64_t module = text(maker, "/opt/program"), name = text(maker, "decode");

    for (uint64_t i = 0; i < records / 16; i++)
        put(maker, allocation(maker, ADDRESS(i), site(maker, module, 0)));
    for (uint64_t i = 0; i < records / 16 * 7; i++) {
        phase(maker, name, TRACE_PHASE_BEGIN);
        phase(maker, name, TRACE_PHASE_END);
    }
}

static void shape_marks(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 3; i++)
        phase(maker, numbered(maker, "mark ", i), TRACE_PHASE_MARK);
}

static void shape_steps(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record record = event(TRACE_EVENT_PHASE);

        record.size = TRACE_PHASE_STEP;
        record.address = i;
        put(maker, record);
        put(maker, allocation(maker, ADDRESS(i), 0));
    }
}

/** A segment for each block. */
static void shape_segments(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record segment = event(TRACE_EVENT_SEGMENT_ALLOCATE);

        segment.size = UINT64_C(2) << 20;
        segment.address = UINT64_C(0x7f0000000000) + (i << 21);
        put(maker, segment);
        put(maker, allocation(maker, segment.address, 0));
    }
}

static void shape_threads(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record block = i & 1 ? release(maker, ADDRESS(i / 2))
                                          : allocation(maker, ADDRESS(i / 2), 0);

        block.thread = (uint32_t)(1 + i);
        put(maker, block);
    }
}

/** Blocks of the file that all reach over the whole time. */
static void shape_lanes(struct maker *maker, uint64_t records)
{
    uint64_t lanes = 1 + records / 64;

    for (uint64_t lane = 0; lane < lanes; lane++) {
        for (uint64_t i = 0; i < 64; i++) {
            struct trace_record block = allocation(maker, ADDRESS(lane * 64 + i), 0);

            block.time_ns = FIRST_CALL_NS + (i * lanes + lane) * 1000;
            put(maker, block);
        }
        block_end(maker);
    }
}

static void shape_unknown_frees(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, release(maker, ADDRESS(i)));
}

/** The same address again without a free. */
static void shape_replaced(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, allocation(maker, ADDRESS(i % 3), 0));
}

/** Every allocation is the new peak, and every block of the last peak leaves. */
static void shape_peaks(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record block = allocation(maker, ADDRESS(1 + i * 64), 0);

        block.size = block.value = 4096 + i;
        put(maker, block);
        put(maker, release(maker, block.address));
    }
}

static void shape_equal_times(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record block = allocation(maker, ADDRESS(i), 0);

        block.time_ns = FIRST_CALL_NS;
        put(maker, block);
    }
}

static void shape_reversed_times(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record block = allocation(maker, ADDRESS(i), 0);

        block.time_ns = FIRST_CALL_NS + (records - i) * 1000;
        put(maker, block);
    }
}

static void shape_failures(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record refused = allocation(maker, 0, 0), failure = event(TRACE_EVENT_FAILURE);

        refused.outcome = TRACE_OUTCOME_FAILED;
        failure.size = 4096;
        put(maker, failure);
        put(maker, refused);
    }
}

static void shape_postmortems(struct maker *maker, uint64_t records)
{
    uint64_t name = text(maker, "cached_bytes");

    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record figure = event(TRACE_EVENT_POSTMORTEM_FIGURE);
        struct trace_record refusal = event(TRACE_EVENT_POSTMORTEM);

        figure.api = (uint16_t)name;
        figure.value = refusal.value = i + 1;
        figure.context = (uint32_t)i;
        put(maker, figure);
        put(maker, refusal);
    }
}

static void shape_invalid_frees(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record record = event(TRACE_EVENT_INVALID_FREE);

        record.address = ADDRESS(i);
        record.value = 1;
        put(maker, record);
    }
}

/** Names and contexts that are never the same. */
static void shape_counters(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records / 3 && i < 60000; i++)
        numbered(maker, "counter ", i);
    for (uint64_t i = 0; i < records / 3; i++) {
        struct trace_record record = event(TRACE_EVENT_COUNTER);

        record.api = (uint16_t)(3 + i % 60000);
        record.context = (uint32_t)i;
        put(maker, record);
    }
}

static void shape_levels(struct maker *maker, uint64_t records)
{
    uint64_t name = text(maker, "cached_bytes");

    for (uint64_t i = 0; i < records; i++) {
        struct trace_record record = event(TRACE_EVENT_COUNTER);

        record.api = (uint16_t)name;
        record.size = i;
        record.context = (uint32_t)(i % 1000);
        put(maker, record);
    }
}

static void cupti_on(struct maker *maker)
{
    struct trace_record record = event(TRACE_EVENT_CUPTI_STATE);

    record.value = TRACE_CUPTI_ON;
    put(maker, record);
}

/** Calls and the driver's account of them, all at one address and time. */
static void shape_driver_address(struct maker *maker, uint64_t records)
{
    cupti_on(maker);
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record call = allocation(maker, ADDRESS(1), 0), seen = call;

        call.outcome = TRACE_OUTCOME_PASSED;
        call.time_ns = seen.time_ns = FIRST_CALL_NS + i;
        call.latency = FIRST_CALL_NS;
        seen.kind = TRACE_EVENT_DRIVER_ALLOCATE;
        put(maker, call);
        put(maker, seen);
    }
}

static void shape_driver_contexts(struct maker *maker, uint64_t records)
{
    cupti_on(maker);
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record seen = allocation(maker, ADDRESS(i), 0);

        seen.kind = TRACE_EVENT_DRIVER_ALLOCATE;
        put(maker, seen);
    }
    for (uint64_t i = 0; i < records / 2; i++) {
        struct trace_record end = event(TRACE_EVENT_DRIVER_CONTEXT);

        end.context = (uint32_t)(2 + i);
        put(maker, end);
    }
}

static void shape_driver_pools(struct maker *maker, uint64_t records)
{
    cupti_on(maker);
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record pool = event(TRACE_EVENT_DRIVER_POOL);

        pool.address = ADDRESS(i);
        put(maker, pool);
    }
}

static void shape_devices(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record device = event(TRACE_EVENT_DEVICE);

        device.device = (uint16_t)i;
        put(maker, device);
    }
}

/** Every kind of memory at the same addresses. */
static void shape_kinds(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++) {
        struct trace_record block = allocation(maker, ADDRESS(i / 12), 0);

        block.memory = (uint8_t)(1 + i % 12);
        put(maker, block);
    }
}

static void shape_trims(struct maker *maker, uint64_t records)
{
    for (uint64_t i = 0; i < records; i++)
        put(maker, event(i & 1 ? TRACE_EVENT_TRIM : TRACE_EVENT_MEMORY_INFO));
}

static const struct shape {
    const char *name;
    void (*make)(struct maker *maker, uint64_t records);
} shapes[] = {
    {"pairs", shape_pairs},
    {"live", shape_live},
    {"high addresses", shape_high_addresses},
    {"inverse addresses", shape_inverse_addresses},
    {"contexts", shape_contexts},
    {"context again", shape_context_again},
    {"deep", shape_deep},
    {"deep in a library", shape_deep_in_a_library},
    {"wide on a library", shape_wide_on_a_library},
    {"wide", shape_wide},
    {"modules", shape_modules},
    {"long path", shape_long_path},
    {"python", shape_python},
    {"phases", shape_phases},
    {"phases open", shape_phases_open},
    {"phases turn", shape_phases_turn},
    {"openings", shape_openings},
    {"marks", shape_marks},
    {"steps", shape_steps},
    {"segments", shape_segments},
    {"threads", shape_threads},
    {"lanes", shape_lanes},
    {"unknown frees", shape_unknown_frees},
    {"replaced", shape_replaced},
    {"peaks", shape_peaks},
    {"equal times", shape_equal_times},
    {"reversed times", shape_reversed_times},
    {"failures", shape_failures},
    {"postmortems", shape_postmortems},
    {"invalid frees", shape_invalid_frees},
    {"counters", shape_counters},
    {"levels", shape_levels},
    {"driver address", shape_driver_address},
    {"driver contexts", shape_driver_contexts},
    {"driver pools", shape_driver_pools},
    {"devices", shape_devices},
    {"kinds", shape_kinds},
    {"trims", shape_trims},
};

static void trace_make(struct maker *maker, const struct shape *shape, uint64_t records)
{
    static union {
        struct trace_file_header header;
        unsigned char bytes[TRACE_BLOCK_BYTES];
    } first = {.header = {.magic = TRACE_FILE_MAGIC,
                          .version = TRACE_VERSION,
                          .block_bytes = TRACE_BLOCK_BYTES,
                          .start_realtime_ns = UINT64_C(1700000000000000000),
                          .pid = 4242,
                          .flags = TRACE_FLAG_CLOSED}};

    first.header.checksum = crc32c(&first, offsetof(struct trace_file_header, flags));
    write_all(maker, &first, sizeof first);
    maker->time_ns = FIRST_CALL_NS;
    maker->allocate = text(maker, "cudaMalloc");
    maker->release = text(maker, "cudaFree");
    shape->make(maker, records);
    put(maker, (struct trace_record){.kind = TRACE_EVENT_END});
    block_end(maker);
}

int main(int argc, char **argv)
{
    static struct maker maker;
    const struct shape *shape = shapes, *end = shapes + sizeof shapes / sizeof *shapes;

    for (; argc == 1 && shape < end; shape++)
        puts(shape->name);
    while (argc == 4 && shape < end && strcmp(shape->name, argv[1]) != 0)
        shape++;
    if (argc == 1)
        return 0;
    if (argc != 4 || shape == end) {
        fprintf(stderr, "usage: make_shape [SHAPE RECORDS FILE]\n");
        return 2;
    }
    maker.file = fopen(argv[3], "wb");
    if (!maker.file) {
        perror(argv[3]);
        return 1;
    }
    trace_make(&maker, shape, strtoull(argv[2], NULL, 10));
    return fclose(maker.file) ? 1 : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the preload library where a test needs a long run: writes CUPOOL_TEST_BLOCKS
 * allocations by CUPOOL_TEST_SITES sites out of 64 segments of 32 MiB, cut into slots. Which slot,
 * size and site comes from a fixed sequence, so every run writes the same. The level rises and
 * falls; there are three phases, failures, an account by the driver, pool figures, and leaks.
 *
 * Names are hostile where a trace can hold one: a phase, a device, a function, an API, and the
 * command line as CUPOOL_TEST_COMMAND has it.
 *
 * Threading: runs before main.
 */
#include <limits.h>
#include <stdlib.h>

#include "cupti/write/trace_writer.h"
#include "tests/random.h"

#define MIB           UINT64_C(1048576)
#define SEGMENT_BYTES (32 * MIB)
#define SLOT_BYTES    (128 * 1024)
#define SLOTS         (64 * (SEGMENT_BYTES / SLOT_BYTES))
#define FIRST_ADDRESS UINT64_C(0x7f2000000000)
#define SEGMENT_APART (2 * SEGMENT_BYTES) /* addresses between two segments */
#define STEP_NS       2000
#define FAILURES      10
#define EPISODES      40

#define HOSTILE "<img src=x onerror=document.title='taken'>"

/* A function with markup as its name; its second byte is the site. */
__asm__(".pushsection .text\n"
        ".globl \"" HOSTILE "\"\n"
        ".type \"" HOSTILE "\", @function\n"
        "\"" HOSTILE "\":\n"
        ".globl hostile_place\n"
        ".hidden hostile_place\n"
        "hostile_place:\n"
        "nop\nnop\nnop\nret\n"
        ".size \"" HOSTILE "\", . - \"" HOSTILE "\"\n"
        ".popsection\n");

extern const char hostile_place[];

struct story {
    struct trace_writer *writer;
    uint64_t blocks, sites, done, time_ns, seed, live;
    uint16_t malloc_api, free_api;
    struct trace_record slot[SLOTS]; /* the allocation that is in each; kind 0: none */
};

static uint64_t number_next(struct story *story, uint64_t below)
{
    story->seed = random_lcg(story->seed);
    return (story->seed >> 33) % below;
}

/** Few sites make most of the blocks. */
static uint64_t site_next(struct story *story)
{
    uint64_t first = number_next(story, story->sites), second = number_next(story, story->sites);
    uint64_t third = number_next(story, story->sites), site = first < second ? first : second;

    site = third < site ? third : site;
    if (!site)
        return trace_writer_site(story->writer, hostile_place + 1);
    return trace_writer_site(story->writer, (const char *)(uintptr_t)&qsort + 16 * (site - 1));
}

static void slot_take(struct story *story, uint64_t slot)
{
    uint64_t size = UINT64_C(256) << number_next(story, 9);
    struct trace_record record = {.kind = TRACE_EVENT_ALLOCATE,
                                  .memory = TRACE_MEMORY_DEVICE,
                                  .outcome = TRACE_OUTCOME_HIT,
                                  .context = 1,
                                  .api = story->malloc_api,
                                  .site = site_next(story),
                                  .latency = 150,
                                  .time_ns = story->time_ns += STEP_NS,
                                  .size = size + number_next(story, size),
                                  .value = 2 * size};
    uint64_t place = slot * SLOT_BYTES;

    record.address = FIRST_ADDRESS + place / SEGMENT_BYTES * SEGMENT_APART + place % SEGMENT_BYTES;
    trace_writer_emit(story->writer, &record);
    story->slot[slot] = record;
    story->live++;
    story->done++;
}

static void slot_leave(struct story *story, uint64_t slot)
{
    struct trace_record record = story->slot[slot];

    record.kind = TRACE_EVENT_FREE;
    record.api = story->free_api;
    record.time_ns = story->time_ns += STEP_NS;
    trace_writer_emit(story->writer, &record);
    story->slot[slot].kind = 0;
    story->live--;
}

/** Blocks that should be live: rises over the run, with EPISODES waves. */
static uint64_t live_wanted(const struct story *story)
{
    uint64_t wave = story->done * EPISODES * 100 / story->blocks % 100;

    return SLOTS / 8 + SLOTS / 2 * story->done / story->blocks +
           SLOTS / 400 * (wave < 50 ? wave : 100 - wave);
}

static void phase_emit(struct story *story, const char *name, uint64_t begins)
{
    const struct trace_record phase = {.kind = TRACE_EVENT_PHASE,
                                       .time_ns = ++story->time_ns,
                                       .size = begins,
                                       .value = trace_writer_string(story->writer, name)};

    trace_writer_emit(story->writer, &phase);
}

static void failure_emit(struct story *story)
{
    struct trace_record record = {.kind = TRACE_EVENT_FAILURE,
                                  .context = 1,
                                  .time_ns = ++story->time_ns,
                                  .site = site_next(story),
                                  .size = 4096 * MIB,
                                  .value = 100 * MIB};

    trace_writer_emit(story->writer, &record);
    record.kind = TRACE_EVENT_ALLOCATE;
    record.memory = TRACE_MEMORY_DEVICE;
    record.outcome = TRACE_OUTCOME_FAILED;
    record.api = story->malloc_api;
    record.value = 2;
    trace_writer_emit(story->writer, &record);
}

static void account_emit(struct story *story)
{
    const struct trace_record account = {.kind = TRACE_EVENT_MEMORY_INFO,
                                         .time_ns = ++story->time_ns,
                                         .size = 4 * 1024 * MIB - story->live * 1024,
                                         .value = 8 * 1024 * MIB};

    trace_writer_emit(story->writer, &account);
}

static void describe(struct story *story)
{
    const char *command = getenv("CUPOOL_TEST_COMMAND");
    const struct trace_record events[] = {
        {.kind = TRACE_EVENT_PROCESS,
         .time_ns = 1000,
         .value = trace_writer_string(story->writer, command ? command : "./long --run"),
         .address = trace_writer_string(story->writer, "cupool 0.1.0 pool")},
        {.kind = TRACE_EVENT_DEVICE,
         .time_ns = 1000,
         .size = 8 * 1024 * MIB,
         .value = trace_writer_string(story->writer, "Simulated " HOSTILE),
         .address = 13000,
         .site = 12080},
        {.kind = TRACE_EVENT_CONTEXT, .time_ns = 1000, .context = 1, .value = 1},
    };

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        trace_writer_emit(story->writer, &events[i]);
    for (uint64_t i = 0; i < SLOTS * SLOT_BYTES / SEGMENT_BYTES; i++)
        trace_writer_emit(story->writer,
                          &(struct trace_record){.kind = TRACE_EVENT_SEGMENT_ALLOCATE,
                                                 .memory = TRACE_MEMORY_DEVICE,
                                                 .context = 1,
                                                 .time_ns = 2000 + i,
                                                 .size = SEGMENT_BYTES,
                                                 .address = FIRST_ADDRESS + i * SEGMENT_APART});
    story->time_ns = 4000;
}

static void step(struct story *story)
{
    uint64_t slot = number_next(story, SLOTS);

    while (!story->slot[slot].kind == (story->live > live_wanted(story)))
        slot = (slot + 1) % SLOTS;
    if (story->slot[slot].kind)
        slot_leave(story, slot);
    else
        slot_take(story, slot);
    if (number_next(story, 8) == 0 && !story->slot[slot].kind) {
        slot_take(story, slot);
        slot_leave(story, slot);
    }
}

static void tell(struct story *story)
{
    const char *open = "load";
    uint64_t episode = 0, now;

    phase_emit(story, open, 1);
    while (story->done < story->blocks) {
        step(story);
        now = story->done * EPISODES / story->blocks;
        if (now == episode)
            continue;
        episode = now;
        phase_emit(story, open, 0);
        open = episode % 2 ? "decode" : "prefill " HOSTILE;
        phase_emit(story, open, 1);
        if (episode % (EPISODES / FAILURES) == 0)
            failure_emit(story);
        account_emit(story);
    }
    trace_writer_emit(story->writer, &(struct trace_record){.kind = TRACE_EVENT_COUNTER,
                                                            .context = 1,
                                                            .api = (uint16_t)trace_writer_string(
                                                                story->writer, "quarantined_bytes"),
                                                            .time_ns = ++story->time_ns,
                                                            .size = 4096,
                                                            .address = 8 * MIB,
                                                            .value = 2 * MIB});
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
    static struct story story;
    const char *pattern = getenv("CUPOOL_TRACE");
    char path[PATH_MAX];

    if (!pattern || trace_path_expand(pattern, path, sizeof path) < 0 ||
        trace_writer_open(path, &story.writer) < 0)
        return;
    story.blocks = number_of("CUPOOL_TEST_BLOCKS", 10000);
    story.sites = number_of("CUPOOL_TEST_SITES", 50);
    story.seed = 1;
    story.malloc_api = (uint16_t)trace_writer_string(story.writer, "cudaMalloc");
    story.free_api = (uint16_t)trace_writer_string(story.writer, "cudaFree");
    describe(&story);
    tell(&story);
    trace_writer_close(story.writer);
}

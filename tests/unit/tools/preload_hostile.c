/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the preload library where a test needs hostile texts everywhere a trace holds one.
 * CUPOOL_TEST_TEXTS names a file of texts that end with a zero byte. The first is the command line,
 * the device, a phase, an API and a counter; each is the file and the function of a Python site
 * that keeps a segment mostly free, has refused requests, grows, and makes invalid frees.
 *
 * Threading: runs before main.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/write/trace_writer.h"

#define MIB           UINT64_C(1048576)
#define SEGMENT_BYTES (32 * MIB)
#define FIRST_ADDRESS UINT64_C(0x7f2000000000)
#define BLOCKS        12

struct story {
    struct trace_writer *writer;
    uint64_t time_ns, address;
    uint16_t api;
};

static void emit(struct story *story, struct trace_record record)
{
    record.time_ns = story->time_ns += 100000;
    trace_writer_emit(story->writer, &record);
}

static uint64_t site_of(struct story *story, const char *text)
{
    const struct trace_text name = {text, (uint32_t)strlen(text), 0};
    struct trace_python_frame frame = {.file = name, .function = name, .line = 7};
    const struct trace_python_frame *const frames[] = {&frame};
    const uintptr_t code = (uintptr_t)getenv + 1; /* of no library that counts as a caller */
    const struct trace_stack stack = {&code, 1, frames, 1};

    trace_python_frame_mix(&frame);
    return trace_writer_stack(story->writer, &stack);
}

static void describe(struct story *story, const char *text)
{
    const uint32_t id = trace_writer_string(story->writer, text);

    emit(story, (struct trace_record){.kind = TRACE_EVENT_PROCESS, .value = id, .address = id});
    emit(story, (struct trace_record){
                    .kind = TRACE_EVENT_DEVICE, .size = 8192 * MIB, .value = id, .address = 13000});
    emit(story, (struct trace_record){.kind = TRACE_EVENT_CONTEXT, .context = 1, .value = 1});
    emit(story, (struct trace_record){
                    .kind = TRACE_EVENT_COUNTER, .context = 1, .api = (uint16_t)id, .size = 5});
    story->api = (uint16_t)id;
}

static void phase(struct story *story, const char *text, uint64_t what)
{
    emit(story, (struct trace_record){.kind = TRACE_EVENT_PHASE,
                                      .size = what,
                                      .value = trace_writer_string(story->writer, text)});
}

static void site_emit(struct story *story, const char *text)
{
    struct trace_record record = {.kind = TRACE_EVENT_ALLOCATE,
                                  .memory = TRACE_MEMORY_DEVICE,
                                  .outcome = TRACE_OUTCOME_HIT,
                                  .context = 1,
                                  .api = story->api,
                                  .site = site_of(story, text),
                                  .size = 4096,
                                  .value = 4096};

    phase(story, text, TRACE_PHASE_BEGIN);
    emit(story, (struct trace_record){.kind = TRACE_EVENT_SEGMENT_ALLOCATE,
                                      .memory = TRACE_MEMORY_DEVICE,
                                      .context = 1,
                                      .size = SEGMENT_BYTES,
                                      .address = story->address});
    for (uint64_t i = 0; i < BLOCKS; i++) {
        record.address = story->address + i * 4096;
        emit(story, record);
    }
    story->address += 2 * SEGMENT_BYTES;
    record.size = 9000 * MIB;
    emit(story, (struct trace_record){.kind = TRACE_EVENT_FAILURE,
                                      .context = 1,
                                      .site = record.site,
                                      .size = record.size,
                                      .value = MIB});
    record.outcome = TRACE_OUTCOME_FAILED;
    record.value = 2;
    emit(story, record);
    record.kind = TRACE_EVENT_INVALID_FREE;
    emit(story, record);
    phase(story, text, TRACE_PHASE_END);
}

static void tell(struct story *story, const char *texts, size_t bytes)
{
    describe(story, texts);
    for (const char *text = texts; text < texts + bytes; text += strlen(text) + 1)
        site_emit(story, text);
}

__attribute__((constructor)) static void begin(void)
{
    const char *pattern = getenv("CUPOOL_TRACE"), *path = getenv("CUPOOL_TEST_TEXTS");
    struct story story = {.address = FIRST_ADDRESS};
    char expanded[PATH_MAX];
    char *texts = calloc(1, MIB);
    FILE *file = path ? fopen(path, "re") : NULL;
    size_t bytes = file && texts ? fread(texts, 1, MIB - 1, file) : 0;

    if (file)
        fclose(file);
    if (pattern && bytes && trace_path_expand(pattern, expanded, sizeof expanded) == 0 &&
        trace_writer_open(expanded, &story.writer) == 0) {
        tell(&story, texts, bytes);
        trace_writer_close(story.writer);
    }
    free(texts);
}

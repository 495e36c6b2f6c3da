/* SPDX-License-Identifier: MIT */
/*
 * In order: a pool segment of 2 MiB; A (1 MiB, miss) and B (600,000 B, hit) make the
 * peak of pooled memory; C (3 MiB) is passed to the driver and makes the overall peak at 4 ms; A is
 * freed and freed again; D fails; E is pinned host memory; B and E are never freed.
 *
 * CUPOOL_TEST_COMMAND: the command line to record. CUPOOL_TEST_TRIM: adds a trim of that many
 * bytes. CUPOOL_TEST_SITES: adds blocks of that many sites. CUPOOL_TEST_PYTHON: adds blocks of each
 * of these functions of Python, which blanks separate, from its lines 7 and 8.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/tools/sample.h"

#define MIB UINT64_C(1048576)
#define MS  UINT64_C(1000000)

#define A UINT64_C(0x7f0000000000)
#define B UINT64_C(0x7f0000100000)
#define C UINT64_C(0x7f0010000000)
#define E UINT64_C(0x7e0000000000)

static void describe(struct trace_writer *writer)
{
    const char *command = getenv("CUPOOL_TEST_COMMAND");
    const struct trace_record process = {
        .kind = TRACE_EVENT_PROCESS,
        .time_ns = 1000,
        .value = trace_writer_string(writer, command ? command : "./sample --model m.gguf"),
        .address = trace_writer_string(writer, "cupool 0.1.0 pool")};
    const struct trace_record device = {
        .kind = TRACE_EVENT_DEVICE,
        .time_ns = 2000,
        .size = 8192 * MIB,
        .value = trace_writer_string(writer, "Test GPU (simulated)"),
        .address = 13000,
        .site = 12080};
    const struct trace_record context = {
        .kind = TRACE_EVENT_CONTEXT, .time_ns = 3000, .context = 1, .value = 1};

    trace_writer_emit(writer, &process);
    trace_writer_emit(writer, &device);
    trace_writer_emit(writer, &context);
}

/** A block of 1 KiB, the number of which is not 0. */
static void block_emit(struct trace_writer *writer, uint64_t site, uint64_t number)
{
    const struct trace_record record = {.kind = TRACE_EVENT_ALLOCATE,
                                        .memory = TRACE_MEMORY_DEVICE,
                                        .context = 1,
                                        .outcome = TRACE_OUTCOME_HIT,
                                        .api = (uint16_t)trace_writer_string(writer, "cudaMalloc"),
                                        .site = site,
                                        .time_ns = 10 * MS + number,
                                        .address = E + MIB * number,
                                        .size = 1024,
                                        .value = 1024};

    trace_writer_emit(writer, &record);
}

static void sites_emit(struct trace_writer *writer, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        block_emit(writer, trace_writer_site(writer, (const char *)sites_emit + 16 * i), i + 1);
}

static uint64_t python_site(struct trace_writer *writer, const char *function, unsigned line)
{
    const struct trace_text file = {"/app/infer.py", 13, 0};
    struct trace_python_frame frame = {
        .file = file, .function = {function, (uint32_t)strlen(function), 0}, .line = line};
    const struct trace_python_frame *const frames[] = {&frame};
    const uintptr_t code = (uintptr_t)getenv + 1; /* of no library that counts as a caller */
    const struct trace_stack stack = {&code, 1, frames, 1};

    trace_python_frame_mix(&frame);
    return trace_writer_stack(writer, &stack);
}

static void python_emit(struct trace_writer *writer, const char *functions)
{
    char *copy = strdup(functions), *rest = NULL;
    uint64_t number = 0;

    for (const char *function = strtok_r(copy, " ", &rest); function;
         function = strtok_r(NULL, " ", &rest))
        for (unsigned line = 7; line <= 8; line++)
            block_emit(writer, python_site(writer, function, line), ++number);
    free(copy);
}

void sample_emit(struct trace_writer *writer)
{
    const uint16_t malloc_api = (uint16_t)trace_writer_string(writer, "cudaMalloc");
    const uint16_t free_api = (uint16_t)trace_writer_string(writer, "cudaFree");
    const uint16_t host_api = (uint16_t)trace_writer_string(writer, "cudaMallocHost");
    const uint16_t counter = (uint16_t)trace_writer_string(writer, "driver_calls");
    const uint64_t near = trace_writer_site(writer, (const void *)sample_emit);
    const uint64_t far = trace_writer_site(writer, (const void *)describe);
    /* clang-format off */
    const struct trace_record events[] = {
        {.kind = TRACE_EVENT_SEGMENT_ALLOCATE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .time_ns = 1 * MS, .size = 2 * MIB, .address = A},
        {.kind = TRACE_EVENT_ALLOCATE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_MISS, .api = malloc_api, .site = near, .time_ns = 2 * MS, .latency = 90000, .size = MIB, .value = MIB, .address = A},
        {.kind = TRACE_EVENT_ALLOCATE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_HIT, .api = malloc_api, .site = near, .time_ns = 3 * MS, .latency = 200, .size = 600000, .value = 602112, .address = B},
        {.kind = TRACE_EVENT_ALLOCATE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_PASSED, .api = malloc_api, .site = far, .time_ns = 4 * MS, .latency = 80000, .size = 3 * MIB, .value = 3 * MIB, .address = C},
        {.kind = TRACE_EVENT_FREE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_HIT, .api = free_api, .site = near, .time_ns = 5 * MS, .latency = 100, .size = MIB, .value = MIB, .address = A},
        {.kind = TRACE_EVENT_INVALID_FREE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .api = free_api, .site = far, .time_ns = 6 * MS, .address = A, .value = 1, .size = near, .stream = (uint32_t)near},
        {.kind = TRACE_EVENT_FENCE, .context = 1, .time_ns = 6 * MS + 1, .size = MIB},
        {.kind = TRACE_EVENT_FAILURE, .context = 1, .site = far, .time_ns = 7 * MS, .size = 9000 * MIB, .value = MIB},
        {.kind = TRACE_EVENT_ALLOCATE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_FAILED, .api = malloc_api, .site = far, .time_ns = 7 * MS + 1, .latency = 500, .size = 9000 * MIB, .value = 2},
        {.kind = TRACE_EVENT_ALLOCATE, .memory = TRACE_MEMORY_PINNED, .outcome = TRACE_OUTCOME_PASSED, .api = host_api, .site = far, .time_ns = 8 * MS, .size = 4096, .value = 4096, .address = E},
        {.kind = TRACE_EVENT_FREE, .memory = TRACE_MEMORY_DEVICE, .context = 1, .outcome = TRACE_OUTCOME_PASSED, .api = free_api, .site = far, .time_ns = 9 * MS, .latency = 70000, .size = 3 * MIB, .value = 3 * MIB, .address = C},
        {.kind = TRACE_EVENT_MEMORY_INFO, .time_ns = 9 * MS + 1, .size = 8192 * MIB - 12 * MIB, .value = 8192 * MIB},
        {.kind = TRACE_EVENT_COUNTER, .context = 1, .api = counter, .time_ns = 9 * MS + 2, .size = 5},
    };
    /* clang-format on */

    const char *sites = getenv("CUPOOL_TEST_SITES"), *python = getenv("CUPOOL_TEST_PYTHON");
    const char *trim_bytes = getenv("CUPOOL_TEST_TRIM");
    const struct trace_record trim = {.kind = TRACE_EVENT_TRIM,
                                      .context = 1,
                                      .time_ns = 9 * MS + 3,
                                      .size = trim_bytes ? strtoull(trim_bytes, NULL, 0) : 0};

    describe(writer);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        trace_writer_emit(writer, &events[i]);
    if (sites)
        sites_emit(writer, strtoull(sites, NULL, 0));
    if (python)
        python_emit(writer, python);
    if (trim_bytes)
        trace_writer_emit(writer, &trim);
}

/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the preload library where a test needs a trace of its own making: writes the events
 * that CUPOOL_TEST_EVENTS lists, such as "alpha+1048576 beta+4096 alpha-1048576 delta!9000 beta?1":
 * a site, then + to allocate, - to free the latest block of that site and size, ! for a failed
 * allocation, ? for an invalid free. "alpha2" is another stack of the same site. "decode<" begins a
 * phase, "decode>" ends it. "alpha@1:2+4096" is recorded on device 1 and in context 2, not 0 and 1;
 * "end@1:2" is the end of that context. CUPOOL_TEST_ROUND lists events that follow,
 * CUPOOL_TEST_ROUNDS times. CUPOOL_TEST_LIMIT is the most bytes of the trace. CUPOOL_TEST_DEVICE is
 * the name of the device, CUPOOL_TEST_DRIVER its driver's version. Built a second time with
 * SHIFTED, the same sites lie at other offsets.
 *
 * Threading: runs before main.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/write/trace_writer.h"

#define BLOCKS      64
#define EVENT_NS    1000000 /* more than an event takes, so that the writer is never behind */
#define OTHER_STACK 2       /* bytes behind the begin of a function */

/* Only the addresses of the sites are used. A longer body moves those behind it. */
#define STEP(figure) *(figure) += 7
#ifdef SHIFTED
#define BODY(figure) STEP(figure), STEP(figure), STEP(figure), STEP(figure), STEP(figure)
#else
#define BODY(figure) STEP(figure)
#endif

#define SITES(SITE) SITE(alpha) SITE(beta) SITE(delta)

#define SITE(name)                                                                                 \
    void name(volatile int *figure);                                                               \
    void name(volatile int *figure)                                                                \
    {                                                                                              \
        BODY(figure);                                                                              \
    }
SITES(SITE)
#undef SITE

static const struct {
    const char *name;
    void (*function)(volatile int *figure);
} sites[] = {
#define SITE(name) {#name, name},
    SITES(SITE)
#undef SITE
};

struct script {
    struct trace_writer *writer;
    struct trace_record live[BLOCKS];
    size_t lives;
    uint64_t time_ns, address;
};

static uint64_t site_of(struct trace_writer *writer, const char *event)
{
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        size_t length = strlen(sites[i].name);

        if (!strncmp(event, sites[i].name, length))
            return trace_writer_site(writer, (const char *)sites[i].function +
                                                 (event[length] == '2' ? OTHER_STACK : 0));
    }
    return 0;
}

static void phase_emit(struct script *script, const char *event, const char *sign)
{
    char name[64];
    struct trace_record record = {.kind = TRACE_EVENT_PHASE,
                                  .time_ns = script->time_ns += EVENT_NS,
                                  .size = *sign == '<' ? TRACE_PHASE_BEGIN : TRACE_PHASE_END};

    snprintf(name, sizeof name, "%.*s", (int)(sign - event), event);
    record.value = trace_writer_string(script->writer, name);
    trace_writer_emit(script->writer, &record);
}

static void event_emit(struct script *script, const char *event)
{
    const char *sign = strpbrk(event, "+-!?<>"), *device = strchr(event, '@');
    const char *context = strchr(event, ':');
    struct trace_record record = {
        .kind = TRACE_EVENT_ALLOCATE,
        .memory = TRACE_MEMORY_DEVICE,
        .outcome = TRACE_OUTCOME_PASSED,
        .device = device ? (uint16_t)strtoul(device + 1, NULL, 10) : 0,
        .context = context ? (uint32_t)strtoul(context + 1, NULL, 10) : 1,
        .api = (uint16_t)trace_writer_string(script->writer, "cudaMalloc"),
        .site = site_of(script->writer, event),
        .time_ns = script->time_ns += EVENT_NS,
        .size = sign ? strtoull(sign + 1, NULL, 10) : 0,
        .address = script->address += UINT64_C(1) << 32};

    if (sign && strchr("<>", *sign)) {
        phase_emit(script, event, sign);
        return;
    }
    record.value = record.size;
    if (sign && *sign == '+' && script->lives < BLOCKS)
        script->live[script->lives++] = record;
    if (sign && *sign == '!') {
        record.outcome = TRACE_OUTCOME_FAILED;
        record.value = 2;
    } else if (sign && *sign == '?') {
        record.kind = TRACE_EVENT_INVALID_FREE;
    } else if (sign && *sign == '-') {
        record.kind = TRACE_EVENT_FREE;
        for (size_t i = script->lives; i--;)
            if (script->live[i].site == record.site && script->live[i].size == record.size) {
                record.address = script->live[i].address;
                script->live[i] = script->live[--script->lives];
                break;
            }
    } else if (!sign) {
        record.kind = TRACE_EVENT_CONTEXT;
    }
    trace_writer_emit(script->writer, &record);
}

static void device_emit(struct trace_writer *writer)
{
    const char *name = getenv("CUPOOL_TEST_DEVICE"), *driver = getenv("CUPOOL_TEST_DRIVER");
    const struct trace_record device = {
        .kind = TRACE_EVENT_DEVICE,
        .time_ns = 100,
        .size = UINT64_C(8) << 30,
        .value = trace_writer_string(writer, name ? name : "Test GPU"),
        .address = driver ? strtoull(driver, NULL, 10) : 13000};

    trace_writer_emit(writer, &device);
}

static void events_emit(struct script *script, const char *events)
{
    char *copy = strdup(events), *rest, *event;

    for (event = copy ? strtok_r(copy, " ", &rest) : NULL; event;
         event = strtok_r(NULL, " ", &rest))
        event_emit(script, event);
    free(copy);
}

static uint64_t number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *pattern = getenv("CUPOOL_TRACE"), *events = getenv("CUPOOL_TEST_EVENTS");
    const char *round = getenv("CUPOOL_TEST_ROUND");
    struct script script = {.address = UINT64_C(0x7f0000000000)};
    uint64_t rounds = round ? number_of("CUPOOL_TEST_ROUNDS") : 0;
    char path[PATH_MAX];

    if (!pattern || !events || trace_path_expand(pattern, path, sizeof path) < 0 ||
        trace_writer_open_limited(path, number_of("CUPOOL_TEST_LIMIT"), &script.writer) < 0)
        return;
    device_emit(script.writer);
    events_emit(&script, events);
    for (uint64_t i = 0; i < rounds; i++)
        events_emit(&script, round);
    if (!getenv("CUPOOL_TEST_ABANDON"))
        trace_writer_close(script.writer);
}

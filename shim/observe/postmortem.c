/* SPDX-License-Identifier: MIT */
/*
 * Pool statistics are read under the gate. The driver is asked only where that is harmless: not
 * during a capture that forbids calls, not in a broken context.
 *
 * The trace gets one record for each figure, then one for the request, which gives their number and
 * closes the post-mortem. The thread whose request was refused writes them all.
 */
#include "shim/observe/postmortem.h"

#include <stdio.h>
#include <string.h>

#include "cupti/base/pages.h"
#include "cupti/replay/memory_kind.h"
#include "cupti/format/verdict.h"
#include "shim/observe/call_info.h"
#include "shim/observe/memory_error.h"
#include "shim/context/capture.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/place.h"
#include "shim/options/say.h"

#define POSTMORTEMS_MAX 100

static atomic_uint noted;
static atomic_bool printed;

/** One post-mortem under way. */
struct inquest {
    struct trace_writer *writer;   /* NULL: only printed */
    uint32_t number;               /* from 1 */
    const struct context *context; /* of the device that refused */
    struct verdict_facts facts;
};

static void figure(const struct inquest *inquest, const char *name, uint32_t context,
                   uint64_t value)
{
    trace_writer_emit(inquest->writer,
                      &(struct trace_record){
                          .kind = TRACE_EVENT_POSTMORTEM_FIGURE,
                          .api = trace_api_id(trace_writer_string(inquest->writer, name)),
                          .context = context,
                          .device = (uint16_t)inquest->context->device,
                          .size = value,
                          .address = inquest->facts.request_bytes,
                          .value = inquest->number,
                      });
}

/* Levels in struct pool_statistics are gauges, except the largest free block. */
static void pool_ask(struct inquest *inquest, const struct context *context)
{
    struct pool_statistics *now = pages_map(sizeof(*now));
    struct verdict_facts *facts = &inquest->facts;

    if (!now)
        return;
    pool_statistics_get(context->pool, now);
    const struct verdict_facts here = {
        .live_requested_bytes = now->live_requested_bytes.current,
        .live_allocated_bytes = now->live_allocated_bytes.current,
        .cached_bytes = now->cached_bytes.current,
        .quarantined_bytes = now->quarantined_bytes.current,
        .reserved_bytes = now->reserved_bytes.current,
        .largest_free_bytes = now->largest_free_bytes,
    };
    pages_unmap(now, sizeof(*now));
    uint64_t largest = facts->largest_free_bytes;
#define POSTMORTEM_POOL(name, help)                                                                \
    figure(inquest, #name, context->number, here.name);                                            \
    facts->name += here.name;
#include "cupti/format/postmortem.def"
    facts->largest_free_bytes = largest > here.largest_free_bytes ? largest
                                                                  : here.largest_free_bytes;
}

/* The driver answers for the current context. */
static void driver_ask(struct inquest *inquest, const struct driver_functions *driver)
{
    size_t free_bytes, total_bytes;
    CUcontext popped;

    if (atomic_load_explicit(&inquest->context->broken, memory_order_relaxed) ||
        !driver->cuMemGetInfo_v2 || capture_forbids_here(driver) ||
        REAL_ASK(driver->cuCtxPushCurrent_v2(inquest->context->handle)) != CUDA_SUCCESS)
        return;
    if (REAL_ASK(driver->cuMemGetInfo_v2(&free_bytes, &total_bytes)) == CUDA_SUCCESS) {
        inquest->facts.driver_free_bytes = free_bytes;
        inquest->facts.driver_total_bytes = total_bytes;
    }
    (void)REAL_ASK(driver->cuCtxPopCurrent_v2(&popped));
}

/* Chooses the current context, or a context of the device that the request was for. */
static struct context *context_on(const struct driver_functions *driver, int place)
{
    struct context *context = context_current(driver);
    int device = place_device(place);

    if (!context || device == LEDGER_HOST || context->device == device)
        return context;
    for (context = context_first(); context && context->device != device;)
        context = context_next(context);
    return context;
}

static void ask(struct inquest *inquest, const struct driver_functions *driver)
{
    int device = inquest->context->device;

    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context))
        if (context->device == device && context->pool)
            pool_ask(inquest, context);
    inquest->facts.own_bytes = limit_used_bytes(device);
    gate_leave();
    if (limit_is_set())
        inquest->facts.limit_bytes = limit_bytes(driver, device);
    driver_ask(inquest, driver);
#define POSTMORTEM_DEVICE(name, help) figure(inquest, #name, 0, inquest->facts.name);
#include "cupti/format/postmortem.def"
}

static void print(const struct verdict_facts *facts)
{
    static char text[1024]; /* printed once */
    size_t used = 0;
    enum verdict verdict = verdict_of(facts);

    if (atomic_exchange(&printed, true))
        return;
    used += (size_t)snprintf(
        text, sizeof(text), "cupool: out of memory: allocation of %llu bytes failed: %s: %s\n",
        (unsigned long long)facts->request_bytes, verdict_name(verdict), verdict_sentence(verdict));
#define PRINT(name)                                                                                \
    if (used < sizeof(text))                                                                       \
        used += (size_t)snprintf(text + used, sizeof(text) - used, "cupool:   %-20s %llu\n",       \
                                 #name, (unsigned long long)facts->name);
#define POSTMORTEM_POOL(name, help)   PRINT(name)
#define POSTMORTEM_DEVICE(name, help) PRINT(name)
#include "cupti/format/postmortem.def"
#undef PRINT
    if (memory_error_count() > 0 && used < sizeof(text))
        snprintf(text + used, sizeof(text) - used, "cupool:   %-20s %llu\n", "memory_errors",
                 (unsigned long long)memory_error_count());
    say(text);
}

void postmortem_note(const struct call *call, const struct record_block *block, int error)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    bool wants_print = shim_options()->postmortem == OPTION_POSTMORTEM_PRINT;

    if (error != CUDA_ERROR_OUT_OF_MEMORY || !memory_kind(block->memory)->takes_device || !driver ||
        (!call->writer && !wants_print))
        return;
    struct inquest inquest = {
        .writer = call->writer,
        .context = context_on(driver, block->place),
        .facts = {.request_bytes = block->requested_bytes},
    };
    if (!inquest.context || atomic_load(&noted) >= POSTMORTEMS_MAX)
        return;
    inquest.number = atomic_fetch_add(&noted, 1) + 1;
    ask(&inquest, driver);
    trace_writer_emit(call->writer, &(struct trace_record){
                                        .kind = TRACE_EVENT_POSTMORTEM,
                                        .memory = (uint8_t)block->memory,
                                        .context = inquest.context->number,
                                        .device = (uint16_t)inquest.context->device,
                                        .size = block->requested_bytes,
                                        .site = call_stack(call),
                                        .value = inquest.number,
                                    });
    if (wants_print)
        print(&inquest.facts);
}

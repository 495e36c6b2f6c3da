/* SPDX-License-Identifier: MIT */
/*
 * One record for each error. See memory_error.h.
 */
#include "shim/observe/memory_error.h"

#include <stdio.h>

#include "shim/observe/record.h"
#include "shim/options/mode.h"
#include "shim/options/say.h"

static _Atomic uint64_t count;

uint64_t memory_error_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

void memory_error_count_add(void)
{
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
}

/* The first one, where post-mortems are wanted. */
static void say_first(const struct memory_error *error)
{
    static atomic_bool said;
    static char line[256]; /* said once */

    if (error->kind == MEMORY_ERROR_SUSPECT)
        return;
    if (shim_options()->postmortem != OPTION_POSTMORTEM_PRINT || atomic_exchange(&said, true))
        return;
    if (error->kind == MEMORY_ERROR_FAULT)
        snprintf(line, sizeof(line), "memory error: %s: the device accessed an unmapped address",
                 memory_error_name(error->kind));
    else
        snprintf(
            line, sizeof(line),
            "memory error: %s: block 0x%llx of %zu bytes, offset %lld: 0x%02x instead of 0x%02x",
            memory_error_name(error->kind), (unsigned long long)error->address,
            error->requested_bytes, (long long)error->offset, error->found, error->expected);
    say_line(line);
}

void memory_error_record(const struct memory_error *error)
{
    struct trace_writer *writer = atomic_load_explicit(&record_trace, memory_order_acquire);

    say_first(error);
    if (!writer)
        return;
    trace_writer_emit(writer,
                      &(struct trace_record){
                          .kind = TRACE_EVENT_MEMORY_ERROR,
                          .memory = TRACE_MEMORY_DEVICE,
                          .outcome = TRACE_OUTCOME_FAILED,
                          .device = error->device,
                          .context = error->context,
                          .latency = memory_error_pack(error->kind, error->found, error->expected),
                          .address = error->address,
                          .size = error->requested_bytes,
                          .value = (uint64_t)error->offset,
                          .site = error->allocation_site,
                          .stream = error->free_site,
                      });
}

void memory_error_unverified_record(uint64_t blocks)
{
    struct trace_writer *writer = atomic_load_explicit(&record_trace, memory_order_acquire);

    if (!writer)
        return;
    trace_writer_emit(writer,
                      &(struct trace_record){
                          .kind = TRACE_EVENT_COUNTER,
                          .api = trace_api_id(trace_writer_string(writer, MEMORY_ERROR_UNVERIFIED)),
                          .size = blocks,
                          .address = blocks,
                      });
}

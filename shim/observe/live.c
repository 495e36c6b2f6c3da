/* SPDX-License-Identifier: MIT */
/*
 * Publishes the live page. Failures are silent: without a page the program runs as well.
 */
#include "shim/observe/live.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "cupti/format/trace_format.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/ledger.h"
#include "shim/observe/pool_figures.h"
#include "shim/options/mode.h"
#include "shim/context/thread_state.h"

#define STEP_BYTES  (INT64_C(1) << 20)
#define STEP_SHARE  64 /* of what is requested; the step once half of the credit is spent */
#define CREDIT_MOST 1024
#define CREDIT_NS   1000000

_Atomic(struct live_page *) live_page;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* whoever writes the page */
static _Atomic uint64_t device_bytes[LIVE_DEVICES_MAX];  /* 0: not known */
static uint64_t requested_peak;                          /* of the page; guarded by lock */
static _Atomic uint64_t requested_shown;                 /* on the page */

/** While the page is written: the device memory requested from all pools, and the highest that any
 * of them had. */
struct writing {
    struct live_page *page;
    uint64_t requested_bytes, pool_peak;
};

void live_open(const char *command)
{
    const char *where = shim_options()->live;
    struct live_page *page = NULL;

    if (strcmp(where, "off") != 0 &&
        live_page_create(where, command, mode_now() == SHIM_POOL, &page) == 0)
        atomic_store_explicit(&live_page, page, memory_order_release);
}

static void write_figure(void *state, const struct pool_figure *figure, struct pool_gauge value)
{
    struct writing *writing = state;

    live_page_figure(writing->page, figure->name,
                     figure->total    ? LIVE_FIGURE_TOTAL
                     : figure->peaked ? LIVE_FIGURE_PEAKED
                                      : LIVE_FIGURE_CURRENT,
                     (struct live_value){value.current, value.peak});
    if (figure->offset != offsetof(struct pool_statistics, live_requested_bytes))
        return;
    writing->requested_bytes += value.current;
    if (value.peak > writing->pool_peak)
        writing->pool_peak = value.peak;
}

static void write_contexts(struct writing *writing)
{
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context)) {
        if (!context->pool)
            continue;
        live_page_context(writing->page, context->number, (uint32_t)context->device);
        pool_figures_visit(context->pool, write_figure, writing);
    }
    gate_leave();
}

/* The peaks of the pools and of the memory outside them are exact, that of their sum is the highest
 * one at any time when the page was written. */
static void write_requested(const struct writing *writing)
{
    struct ledger_level outside = ledger_requested();
    uint64_t level = writing->requested_bytes + outside.bytes;
    const uint64_t peaks[] = {level, writing->pool_peak, outside.peak_bytes};

    for (size_t i = 0; i < sizeof(peaks) / sizeof(peaks[0]); i++)
        if (peaks[i] > requested_peak)
            requested_peak = peaks[i];
    live_page_requested(writing->page, (struct live_value){level, requested_peak});
    atomic_store_explicit(&requested_shown, level, memory_order_relaxed);
}

static void write_kinds(struct live_page *page)
{
    struct ledger_total totals[LEDGER_KINDS];

    ledger_totals(totals);
    for (unsigned memory = 0; memory < LEDGER_KINDS; memory++)
        live_page_kind(page, memory, totals[memory].blocks, totals[memory].bytes);
}

static void write_devices(struct live_page *page)
{
    for (unsigned i = 0; i < LIVE_DEVICES_MAX; i++) {
        uint64_t bytes = atomic_load_explicit(&device_bytes[i], memory_order_relaxed);

        if (bytes)
            live_page_device(page,
                             &(struct live_device){.number = i,
                                                   .total_bytes = bytes,
                                                   .used_bytes = ledger_device_bytes((int)i)});
    }
}

void live_device(int ordinal, uint64_t total_bytes)
{
    if (ordinal >= 0 && ordinal < LIVE_DEVICES_MAX)
        atomic_store_explicit(&device_bytes[ordinal], total_bytes, memory_order_relaxed);
}

bool live_moved(int64_t bytes, uint64_t now_ns)
{
    static atomic_uint credit = CREDIT_MOST;
    static _Atomic uint64_t credited_ns;
    int64_t moved = thread_state.unpublished_bytes + bytes;

    thread_state.unpublished_bytes = moved;
    if (moved < STEP_BYTES && moved > -STEP_BYTES)
        return false;
    /* Approximate when threads race here: only the time of the next write depends on it. */
    uint64_t since = atomic_load_explicit(&credited_ns, memory_order_relaxed);
    uint64_t earned = now_ns > since ? (now_ns - since) / CREDIT_NS : 0;
    uint64_t left = atomic_load_explicit(&credit, memory_order_relaxed) + earned;
    left = left < CREDIT_MOST ? left : CREDIT_MOST;
    /* Else a burst of small blocks spends all, and the page shows the beginning of it until the
     * next call, which may be long after. */
    uint64_t step = left > CREDIT_MOST / 2
                        ? 0
                        : atomic_load_explicit(&requested_shown, memory_order_relaxed) / STEP_SHARE;
    if (left == 0 || (uint64_t)(moved < 0 ? -moved : moved) < step)
        return false; /* the next call asks again */
    atomic_store_explicit(&credited_ns, since + earned * CREDIT_NS, memory_order_relaxed);
    atomic_store_explicit(&credit, (unsigned)left - 1, memory_order_relaxed);
    thread_state.unpublished_bytes = 0;
    return true;
}

bool live_publish(void)
{
    struct live_page *page = atomic_load_explicit(&live_page, memory_order_acquire);

    if (!page)
        return true;
    if (pthread_mutex_trylock(&lock) != 0)
        return false;
    struct writing writing = {.page = page};
    live_page_begin(page);
    write_contexts(&writing);
    write_requested(&writing);
    write_kinds(page);
    write_devices(page);
    live_page_end(page);
    pthread_mutex_unlock(&lock);
    return true;
}

void live_close(void)
{
    struct live_page *page = atomic_exchange(&live_page, NULL);

    live_page_remove(shim_options()->live, page);
}

void live_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    atomic_store(&live_page, NULL);
    requested_peak = 0;
}

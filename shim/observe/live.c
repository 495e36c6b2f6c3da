/* SPDX-License-Identifier: MIT */
/*
 * Publishes the live page. Failures are silent: without a page the program runs as well.
 */
#include "shim/observe/live.h"

#include <pthread.h>
#include <string.h>

#include "cupti/format/trace_format.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/ledger.h"
#include "shim/observe/pool_figures.h"
#include "shim/options/mode.h"
#include "shim/context/thread_state.h"

#define STEP_BYTES  (INT64_C(1) << 20)
#define CREDIT_MOST 1024
#define CREDIT_NS   1000000

_Atomic(struct live_page *) live_page;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* whoever writes the page */
static _Atomic uint64_t device_bytes[LIVE_DEVICES_MAX];  /* 0: not known */

void live_open(const char *command)
{
    const char *where = shim_options()->live;
    struct live_page *page = NULL;

    if (strcmp(where, "off") != 0 &&
        live_page_create(where, command, mode_now() == SHIM_POOL, &page) == 0)
        atomic_store_explicit(&live_page, page, memory_order_release);
}

static void write_figure(void *page, const char *name, bool total, struct pool_gauge value)
{
    live_page_figure(page, name, total, value.current, value.peak);
}

static void write_contexts(struct live_page *page)
{
    gate_enter();
    for (struct context *context = context_first(); context; context = context_next(context)) {
        if (!context->pool)
            continue;
        live_page_context(page, context->number, (uint32_t)context->device);
        pool_figures_visit(context->pool, write_figure, page);
    }
    gate_leave();
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
            live_page_device(page, i, bytes);
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
    if (left == 0)
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
    live_page_begin(page);
    write_contexts(page);
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
}

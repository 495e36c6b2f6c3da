/* SPDX-License-Identifier: MIT */
/*
 * See live.h. What cannot be published is not: no page is made and nothing is said, for the program
 * runs as well without it.
 */
#include "shim/observe/live.h"

#include <pthread.h>
#include <string.h>

#include "cupti/format/trace_format.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/ledger.h"
#include "shim/observe/pool_figures.h"
#include "shim/shim.h"

_Atomic(struct live_page *) live_page;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* whoever writes the page */

void live_open(const char *command)
{
    const char *where = shim_options()->live;
    struct live_page *page = NULL;
    if (strcmp(where, "off") != 0 &&
        live_page_create(where, command, shim_mode() == SHIM_POOL, &page) == 0)
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

void live_publish(void)
{
    struct live_page *page = atomic_load_explicit(&live_page, memory_order_acquire);
    if (!page || pthread_mutex_trylock(&lock) != 0)
        return;
    live_page_begin(page);
    write_contexts(page);
    write_kinds(page);
    live_page_end(page);
    pthread_mutex_unlock(&lock);
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

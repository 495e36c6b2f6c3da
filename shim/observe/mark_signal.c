/* SPDX-License-Identifier: MIT */
/*
 * The handler may interrupt the trace writer, so it only notes the time in a small ring and makes
 * the next call of the program read the ring (record_tick). A mark carries its own time in the
 * trace, and appears at most one call late. An earlier handler is called afterwards. A handler that
 * the program installs later replaces ours: the program wins.
 *
 * Threading: the handler runs on any thread; a counter assigns places of the ring.
 */
#include "shim/observe/mark_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "shim/observe/phases.h"
#include "shim/observe/record.h"
#include "shim/options/mode.h"

#define PENDING 64

static const struct trace_writer *clock_of;  /* immutable once the handler is installed */
static struct sigaction before;              /* immutable once the handler is installed */
static _Atomic uint64_t pending_ns[PENDING]; /* 0: free */
static atomic_uint taken;

static void chain(int number, siginfo_t *info, void *context)
{
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(number);
}

static void handle(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    uint64_t now = trace_writer_now(clock_of), free_place = 0;
    unsigned place = atomic_fetch_add(&taken, 1) % PENDING;

    /* If more marks than the ring holds arrive between two calls, the latest are dropped. */
    atomic_compare_exchange_strong(&pending_ns[place], &free_place, now ? now : 1);
    atomic_store_explicit(&record_next_tick_ns, 0, memory_order_relaxed);
    chain(number, info, context);
    errno = saved_errno;
}

void mark_signal_install(const struct trace_writer *writer)
{
    struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART}, found;

    if (!writer || shim_options()->mark_signal != OPTION_MARK_SIGNAL_USR2)
        return;
    clock_of = writer;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGUSR2, NULL, &found) < 0)
        return;
    bool inherited = found.sa_flags & SA_SIGINFO && found.sa_sigaction == handle; /* by fork */
    if (!inherited)
        before = found;
    sigaction(SIGUSR2, &ours, NULL);
}

void mark_signal_flush(struct trace_writer *writer)
{
    if (!atomic_load_explicit(&taken, memory_order_relaxed))
        return;
    for (unsigned i = 0; i < PENDING; i++) {
        uint64_t time_ns = atomic_exchange(&pending_ns[i], 0);

        if (time_ns)
            phases_emit(writer, TRACE_PHASE_MARK, TRACE_PHASE_SOURCE_SIGNAL,
                        phases_name(writer, "SIGUSR2"), time_ns);
    }
}

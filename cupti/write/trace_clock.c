/* SPDX-License-Identifier: MIT */
/*
 * A piece of the clock is ns + (ticks - piece.ticks) * rate. When a piece is older than its
 * horizon, one thread begins a new one at the current time. Its rate is the rate measured since
 * the start, plus a correction that removes the error until the next horizon.
 */
#include "cupti/write/trace_clock.h"

#include <string.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

#include "cupti/base/clock.h"
#endif

#define RATE_SHIFT         32
#define FIRST_BASELINE_NS  UINT64_C(200000)
#define LONGEST_HORIZON_NS UINT64_C(1000000000)
#define READ_ATTEMPTS      64

#if defined(__x86_64__)
static uint64_t counter_read(void)
{
    return __rdtsc();
}

/** The kernel distrusts a counter that differs between processors; then so do we. */
static bool kernel_keeps_time_by_counter(void)
{
    static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    char name[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return false;
    got = read(fd, name, sizeof name - 1);
    close(fd);
    return got > 0 && (!strncmp(name, "tsc", 3) || !strncmp(name, "kvm-clock", 9) ||
                       !strncmp(name, "hyperv", 6));
}

static bool counter_is_invariant(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1 && kernel_keeps_time_by_counter();
}
#else
static uint64_t counter_read(void)
{
    return 0;
}

static bool counter_is_invariant(void)
{
    return false;
}
#endif

/** Reads counter and time at one moment: the tightest of a few pairs of readings. */
static void moment_read(uint64_t *ret_ticks, uint64_t *ret_ns)
{
    uint64_t narrowest = UINT64_MAX;

    for (int i = 0; i < 4; i++) {
        uint64_t before = counter_read(), ns = monotonic_ns(), after = counter_read();

        if (after - before < narrowest) {
            narrowest = after - before;
            *ret_ticks = before + narrowest / 2;
            *ret_ns = ns;
        }
    }
}

static uint64_t scale(uint64_t ticks, uint64_t rate)
{
    return (uint64_t)((unsigned __int128)ticks * rate >> RATE_SHIFT);
}

static uint64_t rate_of(uint64_t ns, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ns << RATE_SHIFT) / (ticks ? ticks : 1));
}

/** Writes a piece. The caller made `version` odd. */
static void piece_publish(struct trace_clock *clock, uint64_t ticks, uint64_t ns, uint64_t rate,
                          uint64_t horizon)
{
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&clock->ticks, ticks, memory_order_relaxed);
    atomic_store_explicit(&clock->ns, ns, memory_order_relaxed);
    atomic_store_explicit(&clock->rate, rate, memory_order_relaxed);
    atomic_store_explicit(&clock->horizon, horizon, memory_order_relaxed);
    atomic_fetch_add_explicit(&clock->version, 1, memory_order_release);
}

/** Returns the long-term rate, adjusted to remove `error_ns` within the next `horizon_ns`. */
static uint64_t rate_corrected(uint64_t rate, int64_t error_ns, uint64_t horizon_ns)
{
    int64_t most = (int64_t)horizon_ns / 2;
    int64_t part = error_ns > most ? most : error_ns < -most ? -most : error_ns;

    return (uint64_t)((__int128)rate + (__int128)rate * part / (int64_t)horizon_ns);
}

static void piece_renew(struct trace_clock *clock)
{
    unsigned version = atomic_load_explicit(&clock->version, memory_order_relaxed);
    uint64_t ticks, ns, estimate_ns, rate, age_ns, horizon_ns;

    if (version & 1 ||
        !atomic_compare_exchange_strong_explicit(&clock->version, &version, version + 1,
                                                 memory_order_acquire, memory_order_relaxed))
        return;
    moment_read(&ticks, &ns);
    age_ns = ns - clock->start_ns;
    estimate_ns = clock->ns + scale(ticks - clock->ticks, clock->rate);
    rate = rate_of(age_ns, ticks - clock->start_ticks);
    horizon_ns = age_ns < LONGEST_HORIZON_NS ? age_ns + 1 : LONGEST_HORIZON_NS;
    piece_publish(clock, ticks, estimate_ns,
                  rate_corrected(rate, (int64_t)(age_ns - estimate_ns), horizon_ns),
                  (uint64_t)(((unsigned __int128)horizon_ns << RATE_SHIFT) / (rate ? rate : 1)));
}

void trace_clock_init(struct trace_clock *clock)
{
    uint64_t ticks, ns;

    memset(clock, 0, sizeof *clock);
    clock->use_counter = counter_is_invariant();
    if (!clock->use_counter) {
        clock->start_ns = monotonic_ns();
        return;
    }
    moment_read(&clock->start_ticks, &clock->start_ns);
    do
        moment_read(&ticks, &ns);
    while (ns - clock->start_ns < FIRST_BASELINE_NS);
    atomic_store_explicit(&clock->version, 1, memory_order_relaxed);
    piece_publish(clock, clock->start_ticks, 0,
                  rate_of(ns - clock->start_ns, ticks - clock->start_ticks),
                  (ticks - clock->start_ticks) * 10);
}

/** Reads a piece and its time; false while it changes. */
static bool piece_read(struct trace_clock *clock, uint64_t *ret_ns, bool *ret_old)
{
    unsigned version = atomic_load_explicit(&clock->version, memory_order_acquire);
    uint64_t ticks = atomic_load_explicit(&clock->ticks, memory_order_relaxed);
    uint64_t ns = atomic_load_explicit(&clock->ns, memory_order_relaxed);
    uint64_t rate = atomic_load_explicit(&clock->rate, memory_order_relaxed);
    uint64_t horizon = atomic_load_explicit(&clock->horizon, memory_order_relaxed);
    uint64_t elapsed;

    atomic_thread_fence(memory_order_acquire);
    if (version & 1 || atomic_load_explicit(&clock->version, memory_order_relaxed) != version)
        return false;
    elapsed = counter_read() - ticks;
    /* Another processor's counter may be a few ticks behind the one that began the piece. */
    *ret_ns = (int64_t)elapsed < 0 ? ns : ns + scale(elapsed, rate);
    *ret_old = (int64_t)elapsed > (int64_t)horizon;
    return true;
}

uint64_t trace_clock_now(struct trace_clock *clock)
{
    uint64_t ns;
    bool old;

    if (!clock->use_counter)
        return monotonic_ns() - clock->start_ns;
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        if (!piece_read(clock, &ns, &old))
            continue;
        if (old)
            piece_renew(clock);
        return ns;
    }
    /* Only a signal handler that interrupted piece_renew() on its own thread gets here. */
    return monotonic_ns() - clock->start_ns;
}

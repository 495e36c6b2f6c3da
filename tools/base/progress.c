/* SPDX-License-Identifier: MIT */
#include "tools/base/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cupti/base/clock.h"
#include "tools/base/escape.h"

#define MUCH_BYTES  (UINT64_C(64) << 20)
#define LONG_NS     UINT64_C(1000000000)
#define BETWEEN_NS  UINT64_C(100000000)
#define CLOCK_BYTES (UINT64_C(1) << 20)

static bool silent;

void progress_silence(void)
{
    silent = true;
}

void progress_begin(struct progress *ret_progress, const char *what, uint64_t total_bytes)
{
    *ret_progress = (struct progress){.what = what,
                                      .total_bytes = total_bytes,
                                      .begin_ns = monotonic_ns(),
                                      .next_bytes = CLOCK_BYTES, /* less is read in no time */
                                      .wanted = !silent && total_bytes && isatty(STDERR_FILENO)};
}

void progress_begin_work(struct progress *ret_progress, const char *what, uint64_t total_bytes)
{
    progress_begin(ret_progress, what, total_bytes);
    ret_progress->is_work = true;
}

static void line_show(struct progress *progress, uint64_t now)
{
    uint64_t done = progress->done_bytes < progress->total_bytes ? progress->done_bytes
                                                                 : progress->total_bytes;
    double part = (double)done / (double)progress->total_bytes;
    double left_s = (double)(now - progress->begin_ns) / 1e9 * (1.0 - part) / (part + 1e-9);

    fputs("\r\033[Kcupool: ", stderr);
    escape_print(stderr, ESCAPE_LINE, progress->what);
    fprintf(stderr, ": %3.0f %%", 100 * part);
    if (!progress->is_work)
        fprintf(stderr, " of %.1f MiB", (double)progress->total_bytes / 1048576.0);
    fprintf(stderr, ", %.0f s left", left_s);
    fflush(stderr);
    progress->shown_ns = now;
    progress->shown = true;
}

void progress_add(struct progress *progress, uint64_t bytes)
{
    uint64_t now;

    progress->done_bytes += bytes;
    if (!progress->wanted || progress->done_bytes < progress->next_bytes)
        return;
    progress->next_bytes = progress->done_bytes + CLOCK_BYTES;
    now = monotonic_ns();
    if (progress->total_bytes < MUCH_BYTES && now - progress->begin_ns < LONG_NS)
        return;
    if (!progress->shown || now - progress->shown_ns >= BETWEEN_NS)
        line_show(progress, now);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
    progress->wanted = false;
}

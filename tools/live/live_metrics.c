/* SPDX-License-Identifier: MIT */
/*
 * Live pages as OpenMetrics text. A page names its own figures, so the families are collected over
 * all pages first: the standard wants all samples of a family together.
 *
 * The peak of a level is a family of its own; the unit stays at the end of the name, and _total
 * behind what only grows.
 */
#include <stdbool.h>
#include <string.h>

#include "tools/analysis/analysis.h"
#include "tools/base/escape.h"
#include "tools/live/live_processes.h"

#define FAMILIES_MAX 256
#define BYTES_SUFFIX "_bytes"

static const struct figure_help {
    const char *name, *help;
} helps[] = {
#define POOL_GAUGE(name, unit, help)   {#name, help},
#define POOL_COUNTER(name, unit, help) {#name, help},
#include "pool/statistics.def"
#undef POOL_GAUGE
#undef POOL_COUNTER
    {"largest_free_bytes", "largest block available without a driver call"},
    {"metadata_bytes", "host memory used for bookkeeping"},
};

struct family {
    const char *name; /* in the page it was first found in */
    bool total;
    bool peaked; /* in some page */
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && !strcmp(text + length - tail, end);
}

static const char *help_find(const char *name)
{
    for (size_t i = 0; i < sizeof helps / sizeof *helps; i++)
        if (!strcmp(helps[i].name, name))
            return helps[i].help;
    return name;
}

/** Times are omitted: a page counts them from a start that it does not contain. */
static bool is_served(const struct live_name *name)
{
    return !ends_with(name->text, "_ns");
}

static size_t families_collect(const struct live_processes *processes, struct family *families)
{
    size_t count = 0;

    for (size_t i = 0; i < processes->count; i++)
        for (unsigned j = 0; j < processes->page[i].figures; j++) {
            const struct live_name *name = &processes->page[i].name[j];
            size_t k = 0;

            while (k < count && strcmp(families[k].name, name->text) != 0)
                k++;
            if (k == count && count < FAMILIES_MAX && is_served(name))
                families[count++] = (struct family){.name = name->text, .total = name->total};
            if (k < count)
                families[k].peaked |= name->peaked;
        }
    return count;
}

/** "cupool_pool_reserved_peak_bytes". */
static void family_begin(const struct family *family, bool peak, char *ret_name, size_t name_bytes,
                         FILE *out)
{
    bool bytes = ends_with(family->name, BYTES_SUFFIX);
    size_t stem = strlen(family->name) - (bytes ? strlen(BYTES_SUFFIX) : 0);

    snprintf(ret_name, name_bytes, "cupool_pool_%.*s%s%s", (int)stem, family->name,
             peak ? "_peak" : "", bytes ? BYTES_SUFFIX : "");
    fprintf(out, "# TYPE %s %s\n", ret_name, family->total ? "counter" : "gauge");
    if (bytes)
        fprintf(out, "# UNIT %s bytes\n", ret_name);
    fprintf(out, "# HELP %s %s%s.\n", ret_name, peak ? "highest: " : "", help_find(family->name));
}

static void samples_print(const struct live_processes *processes, const struct family *family,
                          bool peak, FILE *out)
{
    char name[128];

    family_begin(family, peak, name, sizeof name, out);
    for (size_t i = 0; i < processes->count; i++) {
        const struct live_page *page = &processes->page[i];
        char pid[LIVE_PID_BYTES];

        live_pid_text(processes, page, pid);
        for (unsigned j = 0; j < page->figures; j++) {
            if (strcmp(page->name[j].text, family->name) != 0 || (peak && !page->name[j].peaked))
                continue;
            for (unsigned k = 0; k < page->contexts; k++) {
                const struct live_context *context = &page->context[k];

                fprintf(out, "%s%s{pid=\"%s\",device=\"%u\",context=\"%u\"} %llu\n", name,
                        family->total ? "_total" : "", pid, context->device, context->number,
                        (unsigned long long)(peak ? context->value[j].peak
                                                  : context->value[j].current));
            }
        }
    }
}

static void processes_print(const struct live_processes *processes, FILE *out)
{
    char pid[LIVE_PID_BYTES];

    fputs("# TYPE cupool_process info\n# HELP cupool_process A running program.\n", out);
    for (size_t i = 0; i < processes->count; i++) {
        const struct live_page *page = &processes->page[i];

        live_pid_text(processes, page, pid);
        fprintf(out, "cupool_process_info{pid=\"%s\",mode=\"%s\",command=\"", pid,
                page->pooled ? "pool" : "observe");
        escape_print(out, ESCAPE_LABEL, page->command);
        fputs("\"} 1\n", out);
    }
    fputs("# TYPE cupool_process_start_seconds gauge\n# UNIT cupool_process_start_seconds seconds\n"
          "# HELP cupool_process_start_seconds Time of the first CUDA call since 1970.\n",
          out);
    for (size_t i = 0; i < processes->count; i++) {
        live_pid_text(processes, &processes->page[i], pid);
        fprintf(out, "cupool_process_start_seconds{pid=\"%s\"} %.3f\n", pid,
                (double)processes->page[i].start_realtime_ns / 1e9);
    }
    fputs("# TYPE cupool_process_update_seconds gauge\n"
          "# UNIT cupool_process_update_seconds seconds\n"
          "# HELP cupool_process_update_seconds Time of the last update since 1970.\n",
          out);
    for (size_t i = 0; i < processes->count; i++) {
        live_pid_text(processes, &processes->page[i], pid);
        fprintf(out, "cupool_process_update_seconds{pid=\"%s\"} %.3f\n", pid,
                (double)processes->page[i].update_realtime_ns / 1e9);
    }
}

static void passed_print(const struct live_processes *processes, bool bytes, FILE *out)
{
    const char *name = bytes ? "cupool_passed_bytes" : "cupool_passed_blocks";

    fprintf(out, "# TYPE %s gauge\n", name);
    if (bytes)
        fprintf(out, "# UNIT %s bytes\n", name);
    fprintf(out, "# HELP %s Memory outside the pool, by kind.\n", name);
    for (size_t i = 0; i < processes->count; i++)
        for (unsigned j = 0; j < LIVE_KINDS_MAX; j++) {
            char pid[LIVE_PID_BYTES];
            const struct live_kind *kind = &processes->page[i].kind[j];

            live_pid_text(processes, &processes->page[i], pid);
            if (memory_kind(j) && j != TRACE_MEMORY_NONE)
                fprintf(out, "%s{pid=\"%s\",memory=\"%s\"} %llu\n", name, pid, memory_kind(j)->name,
                        (unsigned long long)(bytes ? kind->bytes : kind->blocks));
        }
}

static void bytes_family_begin(const char *name, const char *help, FILE *out)
{
    fprintf(out, "# TYPE %s gauge\n# UNIT %s bytes\n# HELP %s %s\n", name, name, name, help);
}

static void devices_print(const struct live_processes *processes, bool used, FILE *out)
{
    const char *name = used ? "cupool_device_used_bytes" : "cupool_device_bytes";

    bytes_family_begin(name,
                       used ? "Memory of each device that the process has taken, for its pools and "
                              "outside them."
                            : "Total memory of each device with a context of the process.",
                       out);
    for (size_t i = 0; i < processes->count; i++)
        for (unsigned j = 0; j < processes->page[i].devices; j++) {
            const struct live_device *device = &processes->page[i].device[j];
            char pid[LIVE_PID_BYTES];

            live_pid_text(processes, &processes->page[i], pid);
            fprintf(out, "%s{pid=\"%s\",device=\"%u\"} %llu\n", name, pid, device->number,
                    (unsigned long long)(used ? device->used_bytes : device->total_bytes));
        }
}

static void requested_print(const struct live_processes *processes, bool peak, FILE *out)
{
    const char *name = peak ? "cupool_process_requested_peak_bytes"
                            : "cupool_process_requested_bytes";

    bytes_family_begin(name,
                       peak ? "Highest device memory requested, from the pools and outside them."
                            : "Device memory requested and live, from the pools and outside them.",
                       out);
    for (size_t i = 0; i < processes->count; i++) {
        const struct live_value *requested = &processes->page[i].requested;
        char pid[LIVE_PID_BYTES];

        live_pid_text(processes, &processes->page[i], pid);
        fprintf(out, "%s{pid=\"%s\"} %llu\n", name, pid,
                (unsigned long long)(peak ? requested->peak : requested->current));
    }
}

void live_metrics_print(const struct live_processes *processes, FILE *out)
{
    struct family families[FAMILIES_MAX];
    size_t count = families_collect(processes, families);

    processes_print(processes, out);
    requested_print(processes, false, out);
    requested_print(processes, true, out);
    devices_print(processes, false, out);
    devices_print(processes, true, out);
    passed_print(processes, true, out);
    passed_print(processes, false, out);
    for (size_t i = 0; i < count; i++) {
        samples_print(processes, &families[i], false, out);
        if (families[i].peaked && !families[i].total)
            samples_print(processes, &families[i], true, out);
    }
    fputs("# EOF\n", out);
}

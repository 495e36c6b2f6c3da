/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the trace reader, the analysis and every format of a report: for any input, the
 * result is one line of error or a report, no crash, no hang, and no more events than the first
 * pass announced.
 *
 * Where a checksum is wrong, the input is read once as it is and once with all of them right
 * (squeezed.h), for otherwise hardly any mutation would come past them.
 *
 * Threading: single-threaded.
 */
#include "tests/fuzz/squeezed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cupti/read/trace_reader.h"
#include "tools/analysis/analysis.h"
#include "tools/trace/packed.h"
#include "tools/report/report_formats.h"
#include "tools/symbols/symbols.h"

static int file_make(const unsigned char *data, size_t bytes)
{
    int fd = memfd_create("trace", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
        abort();
    return fd;
}

static void events_check(struct trace_reader *reader)
{
    struct trace_record record;
    char why[256];
    uint64_t count = 0;

    if (trace_reader_rewind(reader, TRACE_ORDER_TIME) < 0)
        abort();
    while (trace_reader_next(reader, &record, why, sizeof why) > 0) {
        struct trace_site site;

        if (trace_reader_site(reader, record.site, &site) == 0 && site.module &&
            strlen(site.module) > 4096)
            abort();
        if (++count > trace_reader_summary(reader)->events)
            abort();
    }
}

static void reports_make(struct trace_reader *reader)
{
    const struct report_style style = {.columns = 80};
    struct analysis *analysis;
    const char *trace = "fuzz";
    const struct report_input input = {&analysis, &trace, 1};
    char why[256], *text = NULL;
    size_t bytes;
    FILE *out;

    if (analysis_create(reader, &analysis, why, sizeof why) < 0)
        return;
    out = open_memstream(&text, &bytes);
    if (!out)
        abort();
    for (const struct report_format *format = report_formats; format->name; format++)
        if (!report_format_missing(format) && format->write(&input, &style, out) < 0)
            abort();
    fclose(out);
    free(text);
    analysis_destroy(analysis);
}

static void why_check(const char *why)
{
    if (!*why || strchr(why, '\n'))
        abort();
}

/** The bytes of a file, unpacked where it is packed. */
static bool source_make(int fd, struct trace_source *ret_source, char *ret_why, size_t why_bytes)
{
    struct trace_source file;

    if (trace_source_file(fd, &file) < 0)
        abort();
    if (!packed_is(&file)) {
        *ret_source = file;
        return true;
    }
    if (packed_open(&file, ret_source, ret_why, why_bytes) == 0)
        return true;
    file.close(file.context);
    return false;
}

static void trace_read(const unsigned char *data, size_t bytes)
{
    struct trace_reader *reader;
    struct trace_source source;
    char why[256] = "";

    if (!source_make(file_make(data, bytes), &source, why, sizeof why)) {
        why_check(why);
        return;
    }
    if (trace_reader_open_source(&source, &reader, why, sizeof why) < 0) {
        why_check(why);
        source.close(source.context);
        return;
    }
    events_check(reader);
    reports_make(reader);
    trace_reader_close(reader);
    symbols_done();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t trace_bytes;
    unsigned char *trace = trace_spread(data, bytes, &trace_bytes);

    trace_read(trace, trace_bytes);
    if (trace_checksums_mend(trace, trace_bytes))
        trace_read(trace, trace_bytes);
    free(trace);
    return 0;
}

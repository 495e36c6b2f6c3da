/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the trace reader, the analysis and every format of a report: for any input, the
 * result is one line of error or a report, no crash, no hang, and no more events than the first
 * pass announced.
 *
 * A trace is mostly padding, in which a fuzzer finds nothing. So an input may be squeezed
 * (squeeze.py): SQUEEZED_MAGIC in place of the file's, then slots without the empty ones at the end
 * of each block. What begins like a block header begins a block; where the last slot is cut, so is
 * the trace. Where a checksum is wrong, the input is read once as it is and once with all of them
 * right, for otherwise hardly any mutation would come past them.
 *
 * Threading: single-threaded.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"
#include "cupti/read/trace_reader.h"
#include "tools/analysis/analysis.h"
#include "tools/trace/packed.h"
#include "tools/report/report_formats.h"
#include "tools/symbols/symbols.h"

#define SQUEEZED_MAGIC UINT64_C(0x73746f6c73707563) /* "cupslots" */

/** Sets a checksum. True when it was another. */
static bool checksum_mend(uint32_t *checksum, uint32_t right)
{
    bool wrong = *checksum != right;

    *checksum = right;
    return wrong;
}

bool trace_checksums_mend(unsigned char *data, size_t bytes)
{
    struct trace_file_header *file = (void *)data;
    bool wrong;

    if (bytes < sizeof *file)
        return false;
    wrong = checksum_mend(&file->checksum, crc32c(file, offsetof(struct trace_file_header, flags)));
    for (size_t at = TRACE_BLOCK_BYTES; at + TRACE_BLOCK_BYTES <= bytes; at += TRACE_BLOCK_BYTES) {
        struct trace_block_header *header = (void *)(data + at);

        if (header->count && header->count <= TRACE_BLOCK_SLOTS)
            wrong |= checksum_mend(&header->checksum,
                                   crc32c(header + 1, (size_t)header->count * TRACE_SLOT_BYTES));
    }
    return wrong;
}

static bool slot_begins_block(const unsigned char *slot)
{
    uint32_t magic;

    memcpy(&magic, slot, sizeof magic);
    return magic == TRACE_BLOCK_MAGIC;
}

/** Where the next slot of a squeezed input belongs. */
static size_t slot_place(const unsigned char *slot, size_t end)
{
    return slot_begins_block(slot) ? (end + TRACE_BLOCK_BYTES - 1) & -(size_t)TRACE_BLOCK_BYTES
                                   : end;
}

/** A copy with the padding that was squeezed out. */
static unsigned char *slots_spread(const unsigned char *data, size_t bytes, size_t *ret_bytes)
{
    static const uint64_t magic = TRACE_FILE_MAGIC;
    size_t slots = bytes / TRACE_SLOT_BYTES, rest = bytes % TRACE_SLOT_BYTES, end = 0;
    unsigned char *copy;

    for (size_t i = 0; i < slots; i++)
        end = slot_place(data + i * TRACE_SLOT_BYTES, end) + TRACE_SLOT_BYTES;
    *ret_bytes = rest ? end + rest : (end + TRACE_BLOCK_BYTES - 1) & -(size_t)TRACE_BLOCK_BYTES;
    copy = calloc(1, *ret_bytes);
    if (!copy)
        abort();
    end = 0;
    for (size_t i = 0; i < slots; i++) {
        end = slot_place(data + i * TRACE_SLOT_BYTES, end) + TRACE_SLOT_BYTES;
        memcpy(copy + end - TRACE_SLOT_BYTES, data + i * TRACE_SLOT_BYTES, TRACE_SLOT_BYTES);
    }
    memcpy(copy + end, data + slots * TRACE_SLOT_BYTES, rest);
    memcpy(copy, &magic, sizeof magic);
    return copy;
}

/** The bytes of the trace that an input stands for. free() it. */
static unsigned char *trace_make(const unsigned char *data, size_t bytes, size_t *ret_bytes)
{
    static const uint64_t squeezed = SQUEEZED_MAGIC;
    unsigned char *copy;

    if (bytes >= TRACE_SLOT_BYTES && memcmp(data, &squeezed, sizeof squeezed) == 0)
        return slots_spread(data, bytes, ret_bytes);
    copy = malloc(bytes + 1);
    if (!copy)
        abort();
    memcpy(copy, data, bytes);
    *ret_bytes = bytes;
    return copy;
}

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
    unsigned char *trace = trace_make(data, bytes, &trace_bytes);

    trace_read(trace, trace_bytes);
    if (trace_checksums_mend(trace, trace_bytes))
        trace_read(trace, trace_bytes);
    free(trace);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The reader on files that are cut, torn, altered, of another version, or no traces at all.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"
#include "tests/unit/cupti/trace_support.h"

#define RECORDS 1500 /* one block full, one not */

static void sample_write(char *ret_path)
{
    struct trace_writer *writer;

    support_path(ret_path);
    writer = support_open(ret_path);
    trace_writer_string(writer, "cudaMalloc");
    trace_writer_site(writer, (const void *)sample_write);
    for (uint64_t i = 1; i <= RECORDS; i++) {
        struct trace_record record = support_record(i);

        trace_writer_emit(writer, &record);
    }
    trace_writer_close(writer);
}

/** Opens a file that must be refused; gives the error and the line. */
static int refused(const char *path, char *ret_why)
{
    struct trace_reader *reader = NULL;
    int error = trace_reader_open(path, &reader, ret_why, 256);

    cr_expect(error < 0);
    cr_expect(!reader, "untouched on failure");
    cr_expect(*ret_why && !strchr(ret_why, '\n'), "one line: %s", ret_why);
    trace_reader_close(reader);
    return error;
}

Test(reader, every_truncation_gives_a_prefix, .timeout = 120)
{
    char path[SUPPORT_PATH_BYTES], why[256];
    unsigned char *data;
    size_t bytes;
    uint64_t before = 0;

    sample_write(path);
    data = support_load(path, &bytes);
    for (size_t cut = 0; cut < sizeof(struct trace_file_header); cut++) {
        support_store(path, data, cut);
        cr_expect(refused(path, why) == -EBADMSG, "%zu bytes", cut);
    }
    /* Every byte of each block's first and last records, every 127th byte between. */
    for (size_t cut = sizeof(struct trace_file_header); cut < bytes; cut++) {
        size_t within = cut % TRACE_BLOCK_BYTES;
        struct trace_reader *reader;
        uint64_t count;

        if (within > 300 && within < TRACE_BLOCK_BYTES - 300 && cut % 127)
            continue;
        support_store(path, data, cut);
        reader = support_read(path);
        count = support_count(reader);
        cr_assert(count <= RECORDS);
        cr_assert(count >= before, "more bytes never give fewer records");
        cr_assert(!trace_reader_summary(reader)->complete, "%zu of %zu bytes", cut, bytes);
        before = count;
        trace_reader_close(reader);
    }
    cr_expect(before > 1000);
    free(data);
    support_remove(path);
}

/** A flipped bit in a sealed block is always found. */
/* A process may die after it wrote the sequence of a block's header and before its magic. */
Test(reader, a_block_that_was_just_begun_is_no_damage)
{
    char path[SUPPORT_PATH_BYTES];
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    data = realloc(data, bytes + 2 * TRACE_BLOCK_BYTES);
    memset(data + bytes, 0, TRACE_BLOCK_BYTES);
    memcpy(data + bytes + TRACE_BLOCK_BYTES, data + bytes - TRACE_BLOCK_BYTES, TRACE_BLOCK_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        struct trace_block_header *header = (void *)(data + bytes + i * TRACE_BLOCK_BYTES);

        header->sequence = (uint32_t)(bytes / TRACE_BLOCK_BYTES) + i;
    }
    support_store(path, data, bytes + 2 * TRACE_BLOCK_BYTES);
    struct trace_reader *reader = support_read(path);
    cr_expect(support_count(reader) >= RECORDS);
    trace_reader_close(reader);
    free(data);
    support_remove(path);
}

Test(reader, flipped_bits_in_sealed_blocks_are_found, .timeout = 120)
{
    char path[SUPPORT_PATH_BYTES], why[256];
    uint64_t seed = support_seed();
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    for (int i = 0; i < 1000; i++) {
        size_t block = support_random(&seed) % (bytes / TRACE_BLOCK_BYTES - 1) + 1;
        const struct trace_block_header *header = (const void *)(data + block * TRACE_BLOCK_BYTES);
        size_t used = TRACE_SLOT_BYTES * (size_t)header->count;
        size_t at = block * TRACE_BLOCK_BYTES + TRACE_SLOT_BYTES + support_random(&seed) % used;
        unsigned char bit = (unsigned char)(1u << support_random(&seed) % 8);

        data[at] ^= bit;
        support_store(path, data, bytes);
        cr_assert(refused(path, why) == -EBADMSG);
        cr_assert(strstr(why, "checksum") && strstr(why, "at byte"), "%s", why);
        data[at] ^= bit;
    }
    free(data);
    support_remove(path);
}

/** Damage of a field, and the word the error must hold. */
struct damage {
    size_t offset;
    uint32_t value;
    int error;
    const char *word;
};

Test(reader, damage_is_named)
{
    static const struct damage damages[] = {
        {0, 0x12345678, -EBADMSG, "magic"},
        {offsetof(struct trace_file_header, version), 3, -EPROTONOSUPPORT, "version 3"},
        {offsetof(struct trace_file_header, block_bytes), 4096, -EBADMSG, "checksum"},
        {offsetof(struct trace_file_header, pid), 1, -EBADMSG, "checksum"},
        {TRACE_BLOCK_BYTES + offsetof(struct trace_block_header, magic), 7, -EBADMSG, "no block"},
        {TRACE_BLOCK_BYTES + offsetof(struct trace_block_header, magic), 0, -EBADMSG, "no block"},
        {TRACE_BLOCK_BYTES + offsetof(struct trace_block_header, sequence), 2, -EBADMSG,
         "block 2 where block 1"},
        {TRACE_BLOCK_BYTES + offsetof(struct trace_block_header, count), 1024, -EBADMSG, "slots"},
        {TRACE_BLOCK_BYTES + offsetof(struct trace_block_header, checksum), 0, -EBADMSG,
         "checksum"},
    };
    char path[SUPPORT_PATH_BYTES], why[256];
    unsigned char *data, *damaged;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    damaged = malloc(bytes);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        memcpy(damaged, data, bytes);
        memcpy(damaged + damages[i].offset, &damages[i].value, sizeof damages[i].value);
        support_store(path, damaged, bytes);
        cr_expect(refused(path, why) == damages[i].error, "%zu", i);
        cr_expect(strstr(why, damages[i].word), "%s", why);
        cr_expect(strstr(why, "at byte ") != NULL, "%s", why);
    }
    free(damaged);
    free(data);
    support_remove(path);
}

/** Alters the first record of a kind, checksum and all, so that only its meaning is wrong. */
static void record_alter(unsigned char *data, size_t bytes, uint16_t kind,
                         void alter(struct trace_record *))
{
    for (size_t at = TRACE_BLOCK_BYTES; at < bytes; at += TRACE_BLOCK_BYTES) {
        struct trace_block_header *header = (void *)(data + at);
        struct trace_record *record = (void *)(header + 1);
        uint32_t slot = 0;

        while (slot < header->count && record[slot].kind != kind)
            slot += record[slot].kind == TRACE_EVENT_STRING
                        ? 1 + (uint32_t)((record[slot].size + TRACE_SLOT_BYTES - 1) /
                                         TRACE_SLOT_BYTES)
                        : 1;
        if (slot >= header->count)
            continue;
        alter(&record[slot]);
        header->checksum = crc32c(record, (size_t)header->count * TRACE_SLOT_BYTES);
        return;
    }
    cr_assert(false, "there is a record of kind %u", kind);
}

static void event_alter(unsigned char *data, size_t bytes, void alter(struct trace_record *))
{
    record_alter(data, bytes, TRACE_EVENT_ALLOCATE, alter);
}

static void unknown_text(struct trace_record *record)
{
    record->api = 47110;
}

static void own_caller(struct trace_record *record)
{
    record->site = record->value;
}

Test(reader, a_text_that_does_not_exist)
{
    char path[SUPPORT_PATH_BYTES], why[256] = "";
    struct trace_reader *reader;
    struct trace_record record;
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    event_alter(data, bytes, unknown_text);
    support_store(path, data, bytes);
    reader = support_read(path);
    cr_expect(trace_reader_next(reader, &record, why, sizeof why) == -EBADMSG);
    cr_expect(strstr(why, "unknown text 47110 at byte") != NULL, "%s", why);
    trace_reader_close(reader);
    free(data);
    support_remove(path);
}

/** A walk from frame to frame would never end. */
Test(reader, a_site_that_calls_itself)
{
    char path[SUPPORT_PATH_BYTES], why[256] = "";
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    record_alter(data, bytes, TRACE_EVENT_SITE, own_caller);
    support_store(path, data, bytes);
    cr_expect(refused(path, why) == -EBADMSG);
    cr_expect(strstr(why, "is called by site") != NULL, "%s", why);
    free(data);
    support_remove(path);
}

/** Space reserved ahead is released when the trace is closed. */
Test(reader, a_closed_file_has_no_unused_blocks)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_reader *reader;
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    reader = support_read(path);
    cr_expect(bytes == (trace_reader_summary(reader)->blocks + 1) * TRACE_BLOCK_BYTES);
    trace_reader_close(reader);
    free(data);
    support_remove(path);
}

static void unknown_site(struct trace_record *record)
{
    record->site = 4711;
}

static void unknown_kind(struct trace_record *record)
{
    record->kind = 999;
}

Test(reader, ids_that_do_not_exist)
{
    char path[SUPPORT_PATH_BYTES], why[256] = "";
    struct trace_reader *reader;
    struct trace_record record;
    unsigned char *data;
    size_t bytes;
    int error;

    sample_write(path);
    data = support_load(path, &bytes);
    event_alter(data, bytes, unknown_site);
    support_store(path, data, bytes);
    reader = support_read(path);
    error = trace_reader_next(reader, &record, why, sizeof why);
    cr_expect(error == -EBADMSG);
    cr_expect(strstr(why, "site 4711 at byte") != NULL, "%s", why);
    trace_reader_close(reader);

    support_store(path, data, bytes - 64); /* incomplete: its definition may have been lost */
    reader = support_read(path);
    cr_expect(trace_reader_next(reader, &record, why, sizeof why) == 1);
    cr_expect(record.site == 0);
    trace_reader_close(reader);
    free(data);
    support_remove(path);
}

Test(reader, newer_kinds_are_skipped_and_counted)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_reader *reader;
    unsigned char *data;
    size_t bytes;

    sample_write(path);
    data = support_load(path, &bytes);
    event_alter(data, bytes, unknown_kind);
    support_store(path, data, bytes);
    reader = support_read(path);
    cr_expect(trace_reader_summary(reader)->unknown_records == 1);
    cr_expect(support_count(reader) == RECORDS - 1);
    trace_reader_close(reader);
    free(data);
    support_remove(path);
}

Test(reader, what_is_no_trace)
{
    char path[SUPPORT_PATH_BYTES], why[256];

    support_path(path);
    cr_expect(refused("/nonexistent", why) == -ENOENT);
    cr_expect(refused("/tmp", why) < 0);
    cr_expect(refused("/dev/null", why) == -EBADMSG);
    support_store(path, (const unsigned char *)"", 0);
    cr_expect(refused(path, why) == -EBADMSG);
    cr_expect(strstr(why, "empty") != NULL);
    support_store(path,
                  (const unsigned char *)"#!/bin/sh\necho hello, this is a script, not a "
                                         "trace, and longer than a header\n",
                  79);
    cr_expect(refused(path, why) == -EBADMSG);
    support_remove(path);
}

/** Frees count from their beginning, so a block is free before it is handed out again. */
Test(reader, frees_come_before_reuse)
{
    const struct trace_record reuse = {.kind = TRACE_EVENT_ALLOCATE, .time_ns = 1000, .size = 1};
    const struct trace_record slow_free = {
        .kind = TRACE_EVENT_FREE, .time_ns = 1100, .latency = 300, .size = 2};
    char path[SUPPORT_PATH_BYTES], why[256];
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct trace_record record;

    cr_expect(trace_record_order_ns(&slow_free) == 800);
    cr_expect(trace_record_order_ns(&reuse) == 1000);
    support_path(path);
    writer = support_open(path);
    trace_writer_emit(writer, &slow_free);
    trace_writer_emit(writer, &reuse);
    trace_writer_close(writer);
    reader = support_read(path);
    cr_assert(trace_reader_next(reader, &record, why, sizeof why) == 1);
    cr_expect(record.size == 2);
    trace_reader_close(reader);
    support_remove(path);
}

/** Short latencies are exact; no latency is cut, and the order of the codes is that of the times.
 */
Test(reader, latencies_have_no_end)
{
    uint64_t seed = support_seed(), last = 0;

    for (uint64_t ns = 0; ns < UINT64_C(1) << 31; ns = ns * 3 + 1)
        cr_assert(trace_latency(ns) == ns && trace_latency_ns((uint32_t)ns) == ns);
    for (unsigned bit = 31; bit < 63; bit++) {
        cr_expect(trace_latency_ns(trace_latency(UINT64_C(1) << bit)) == UINT64_C(1) << bit);
        for (unsigned i = 0; i < 100; i++) {
            uint64_t ns = (UINT64_C(1) << bit) + support_random(&seed) % (UINT64_C(1) << bit);
            uint64_t kept = trace_latency_ns(trace_latency(ns));

            cr_assert(kept <= ns && ns - kept < ns >> 26, "%llu", (unsigned long long)ns);
            cr_assert(trace_latency(kept) == trace_latency(ns));
        }
    }
    for (uint64_t code = 0; code <= UINT32_MAX; code += 65521) {
        uint64_t ns = trace_latency_ns((uint32_t)code);

        cr_assert(code == 0 || ns > last);
        last = ns;
    }
    cr_expect(trace_latency_ns(trace_latency(UINT64_MAX)) < INT64_MAX);
    cr_expect(trace_latency(UINT32_MAX) == TRACE_LATENCY_CUT);
}

/** Rounding moves only irrelevant times: the end of a free, the begin of an allocation. */
Test(reader, long_calls_take_effect_when_they_did)
{
    const uint64_t begin_ns = 1001, end_ns = UINT64_C(3600) * 1000000007;
    struct trace_record record = {.kind = TRACE_EVENT_FREE};

    trace_record_date(&record, begin_ns, end_ns);
    cr_expect(trace_record_order_ns(&record) == begin_ns);
    cr_expect(record.time_ns <= end_ns && end_ns - record.time_ns < end_ns >> 26);
    record.kind = TRACE_EVENT_ALLOCATE;
    trace_record_date(&record, begin_ns, end_ns);
    cr_expect(trace_record_order_ns(&record) == end_ns);
    trace_record_date(&record, end_ns, begin_ns);
    cr_expect(record.latency == 0, "a clock that goes back");
}

/** Before the flag, latencies were plain numbers, whatever their highest bit. */
Test(reader, latencies_of_older_traces)
{
    const uint32_t older[] = {17, 0x7fffffff, 0x80000000, 0xbebc2000, UINT32_MAX};
    const size_t count = sizeof older / sizeof *older;
    char path[SUPPORT_PATH_BYTES], why[256];
    struct trace_writer *writer;
    struct trace_file_header *header;
    unsigned char *data;
    size_t bytes;

    support_path(path);
    writer = support_open(path);
    for (size_t i = 0; i < count; i++)
        trace_writer_emit(writer, &(struct trace_record){.kind = TRACE_EVENT_FREE,
                                                         .size = i,
                                                         .time_ns = (i + 1) * UINT32_MAX + i,
                                                         .latency = older[i]});
    trace_writer_close(writer);
    data = support_load(path, &bytes);
    header = (void *)data;
    for (int scaled = 1; scaled >= 0; scaled--) {
        struct trace_reader *reader;
        struct trace_record record;
        size_t seen = 0;

        cr_expect(!(header->flags & TRACE_FLAG_SCALED) == !scaled);
        reader = support_read(path);
        for (; trace_reader_next(reader, &record, why, sizeof why) == 1 && seen < count; seen++) {
            uint64_t kept = trace_latency_ns(record.latency), plain = older[record.size];

            cr_expect(record.kind == TRACE_EVENT_FREE);
            if (scaled)
                cr_expect(record.latency == older[record.size]);
            else
                cr_expect(kept <= plain && plain - kept <= plain >> 26, "%zu", (size_t)record.size);
        }
        cr_expect(seen == count);
        trace_reader_close(reader);
        header->flags &= ~TRACE_FLAG_SCALED;
        support_store(path, data, bytes);
    }
    free(data);
    support_remove(path);
}

/** A file that becomes longer with each read. */
struct growing {
    struct trace_source file;
    int fd;
    off_t bytes;
    unsigned reads;
};

static int64_t growing_read(void *context, void *buffer, size_t bytes, uint64_t offset)
{
    struct growing *growing = context;
    int64_t got = growing->file.read(growing->file.context, buffer, bytes, offset);

    growing->reads++;
    growing->bytes += (off_t)1 << 20;
    cr_assert(ftruncate(growing->fd, growing->bytes) == 0);
    cr_assert(growing->reads < 100, "reads without an end");
    return got;
}

static uint64_t growing_data(void *context, uint64_t offset)
{
    struct growing *growing = context;

    return growing->file.data(growing->file.context, offset);
}

/** Its owner may lengthen a trace to terabytes while it is read: it ends where it ended. */
Test(reader, a_trace_that_is_lengthened_ends_where_it_ended)
{
    char path[SUPPORT_PATH_BYTES], why[256];
    struct growing growing = {0};
    struct trace_source source;
    struct trace_reader *reader = NULL;

    sample_write(path);
    growing.fd = open(path, O_RDWR);
    cr_assert(trace_source_file(growing.fd, &growing.file) == 0);
    growing.bytes = (off_t)growing.file.bytes;
    source = growing.file;
    source.read = growing_read;
    source.data = growing_data;
    source.context = &growing;
    source.close = NULL;
    cr_assert(trace_reader_open_source(&source, &reader, why, sizeof why) == 0, "%s", why);
    cr_expect(support_count(reader) == RECORDS);
    cr_expect(trace_reader_summary(reader)->complete);
    cr_expect(trace_reader_summary(reader)->file_bytes == source.bytes);
    trace_reader_close(reader);
    cr_expect(trace_source_read(&source, why, sizeof why, source.bytes) == 0);
    cr_expect(trace_source_read(&source, why, sizeof why, source.bytes - 8) == 8);
    close(growing.fd);
    support_remove(path);
}

/** `api` has 16 bits: an id beyond them names nothing, not the text with the same lower bits. */
Test(reader, no_api_by_another_name)
{
    cr_expect(trace_api_id(UINT16_MAX) == UINT16_MAX);
    cr_expect(trace_api_id(UINT16_MAX + 1) == 0 && trace_api_id(UINT16_MAX + 2) == 0);
}

/** Events of a trace under way up to a time, in both orders. */
static void until_expect(const char *path, uint64_t until_ns, uint64_t wanted)
{
    const enum trace_order orders[] = {TRACE_ORDER_TIME, TRACE_ORDER_FILE};

    for (size_t i = 0; i < 2; i++) {
        int fd = open(path, O_RDONLY);
        struct trace_source source;
        struct trace_reader *reader = NULL;
        struct trace_record record;
        char why[256];
        uint64_t seen = 0;

        cr_assert(trace_source_file(fd, &source) == 0);
        source.until_ns = until_ns;
        cr_assert(trace_reader_open_source(&source, &reader, why, sizeof why) == 0, "%s", why);
        cr_assert(trace_reader_rewind(reader, orders[i]) == 0);
        while (trace_reader_next(reader, &record, why, sizeof why) == 1) {
            cr_expect(record.time_ns <= until_ns);
            seen++;
        }
        cr_expect(seen == wanted && trace_reader_summary(reader)->events == wanted, "%d of %d",
                  (int)seen, (int)wanted);
        trace_reader_close(reader);
    }
}

/**
 * A block that was read while it was filled lacks what its thread wrote later, and the blocks that
 * this thread took then do not: without a cut in time the events between are missing.
 */
Test(reader, a_trace_under_way_is_cut_in_time)
{
    char path[SUPPORT_PATH_BYTES];
    struct trace_writer *writer;
    struct trace_source source;

    support_path(path);
    writer = support_open(path);
    for (uint64_t i = 1; i <= 3 * RECORDS; i++) {
        struct trace_record record = support_record(i);

        record.time_ns = 1000 * i;
        trace_writer_emit(writer, &record);
        if (i != 1 && i % RECORDS)
            continue;
        cr_assert(trace_source_file(open(path, O_RDONLY), &source) == 0);
        cr_expect(trace_source_latest_ns(&source) == record.time_ns);
        source.close(source.context);
    }
    until_expect(path, 1000, 1);
    until_expect(path, 1000 * RECORDS + 999, RECORDS);
    until_expect(path, UINT64_MAX, 3 * RECORDS);
    trace_writer_close(writer);
    support_remove(path);
}

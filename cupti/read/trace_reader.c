/* SPDX-License-Identifier: MIT */
/*
 * Opens a trace, and resolves its ids.
 *
 * The file header is verified here, the blocks in trace_scan.c. Everything goes through pread: a
 * mapping would turn a file that shrinks while it is read into a signal.
 */
#include "cupti/read/trace_reader_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/crc32c.h"

#define TEXT_MOST_BYTES 4096

int trace_fail(int error, uint64_t offset, char *ret_why, size_t why_bytes, const char *format, ...)
{
    va_list arguments;
    int length;

    if (!why_bytes)
        return error;
    va_start(arguments, format);
    length = vsnprintf(ret_why, why_bytes, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < why_bytes)
        snprintf(ret_why + length, why_bytes - (size_t)length, " at byte %llu",
                 (unsigned long long)offset);
    return error;
}

int64_t trace_source_read(const struct trace_source *source, void *buffer, size_t bytes,
                          uint64_t offset)
{
    uint64_t left = offset < source->bytes ? source->bytes - offset : 0;

    return source->read(source->context, buffer, bytes < left ? bytes : (size_t)left, offset);
}

int64_t trace_read_at(const struct trace_reader *reader, void *buffer, size_t bytes,
                      uint64_t offset)
{
    return trace_source_read(&reader->source, buffer, bytes, offset);
}

static int64_t file_read(void *context, void *buffer, size_t bytes, uint64_t offset)
{
    int fd = (int)(intptr_t)context;
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = pread(fd, (char *)buffer + done, bytes - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static uint64_t file_data(void *context, uint64_t offset)
{
    off_t found = lseek((int)(intptr_t)context, (off_t)offset, SEEK_DATA);

    /* ENXIO: only a hole is left. On any other error: read on. */
    return found >= 0 ? (uint64_t)found : errno == ENXIO ? UINT64_MAX : offset;
}

uint64_t trace_block_next(const struct trace_reader *reader, uint64_t position)
{
    uint64_t last = reader->source.bytes ? (reader->source.bytes - 1) / TRACE_BLOCK_BYTES : 0;
    uint64_t found;

    if (!reader->source.data || position >= last)
        return position;
    found = reader->source.data(reader->source.context, position * TRACE_BLOCK_BYTES) /
            TRACE_BLOCK_BYTES;
    return found < position ? position : found < last ? found : last;
}

static void file_close(void *context)
{
    close((int)(intptr_t)context);
}

int trace_source_file(int fd, struct trace_source *ret_source)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADMSG;
    *ret_source = (struct trace_source){.read = file_read,
                                        .data = file_data,
                                        .close = file_close,
                                        .context = (void *)(intptr_t)fd,
                                        .bytes = (uint64_t)status.st_size};
    return 0;
}

bool trace_record_is_known(const struct trace_record *record)
{
    bool known = false;

    switch (record->kind) {
#define TRACE_EVENT(NAME, value, help) case TRACE_EVENT_##NAME:
#include "cupti/format/events.def"
        known = true;
    }
    if (!known)
        return false;
    known = false;
    switch (record->memory) {
#define TRACE_MEMORY(NAME, value, help) case TRACE_MEMORY_##NAME:
#include "cupti/format/events.def"
        known = true;
    }
    if (!known)
        return false;
    switch (record->outcome) {
#define TRACE_OUTCOME(NAME, value, help) case TRACE_OUTCOME_##NAME:
#include "cupti/format/events.def"
        return true;
    }
    return false;
}

uint32_t trace_record_slots(const struct trace_record *record)
{
    if (record->kind != TRACE_EVENT_STRING)
        return record->kind != TRACE_EVENT_CARRY && record->kind != TRACE_EVENT_CHECKPOINT;
    if (record->size > TEXT_MOST_BYTES)
        return 0;
    return 1 + (uint32_t)((record->size + TRACE_SLOT_BYTES - 1) / TRACE_SLOT_BYTES);
}

static int header_check(const struct trace_file_header *header, uint64_t file_bytes, char *ret_why,
                        size_t why_bytes)
{
    if (file_bytes < sizeof *header)
        return trace_fail(-EBADMSG, file_bytes, ret_why, why_bytes,
                          file_bytes ? "not a cupool trace: the file ends" : "empty file: it ends");
    if (header->magic != TRACE_FILE_MAGIC)
        return trace_fail(-EBADMSG, 0, ret_why, why_bytes,
                          "not a cupool trace: wrong magic number");
    if (header->version < TRACE_VERSION || header->version > TRACE_VERSION_LIMITED)
        return trace_fail(-EPROTONOSUPPORT, offsetof(struct trace_file_header, version), ret_why,
                          why_bytes,
                          "trace version %u, this cupool reads up to version %d: version field",
                          header->version, TRACE_VERSION_LIMITED);
    if (header->checksum != crc32c(header, offsetof(struct trace_file_header, flags)))
        return trace_fail(-EBADMSG, 0, ret_why, why_bytes, "damaged: file header checksum");
    if (header->block_bytes != TRACE_BLOCK_BYTES)
        return trace_fail(-EBADMSG, offsetof(struct trace_file_header, block_bytes), ret_why,
                          why_bytes, "damaged: block size %u", header->block_bytes);
    return 0;
}

static int header_read(struct trace_reader *reader, char *ret_why, size_t why_bytes)
{
    struct trace_file_header header = {0};
    struct trace_summary *summary = &reader->summary;
    int64_t got;
    int error;

    got = trace_read_at(reader, &header, sizeof header, 0);
    if (got < 0)
        return trace_fail((int)got, 0, ret_why, why_bytes, "%s", strerror((int)-got));
    error = header_check(&header,
                         (uint64_t)got < sizeof header ? (uint64_t)got : reader->source.bytes,
                         ret_why, why_bytes);
    if (error < 0)
        return error;
    reader->version = header.version;
    summary->file_bytes = reader->source.bytes;
    summary->dropped_records = header.dropped;
    summary->start_realtime_ns = header.start_realtime_ns;
    summary->pid = header.pid;
    summary->cut_stacks = header.cut_stacks;
    summary->stop_errno = header.stop_errno;
    reader->scaled = header.flags & TRACE_FLAG_SCALED;
    summary->closed = header.flags & TRACE_FLAG_CLOSED;
    return 0;
}

int trace_reader_open_source(const struct trace_source *source, struct trace_reader **ret_reader,
                             char *ret_why, size_t why_bytes)
{
    struct trace_reader *reader = calloc(1, sizeof *reader);
    int error;

    if (!reader)
        return trace_fail(-ENOMEM, 0, ret_why, why_bytes, "out of memory");
    reader->source = *source;
    error = header_read(reader, ret_why, why_bytes);
    if (error == 0)
        error = trace_scan(reader, ret_why, why_bytes);
    if (error == 0 && reader->places) {
        reader->note = calloc(reader->places, TRACE_READER_NOTES * sizeof *reader->note);
        if (!reader->note)
            error = trace_fail(-ENOMEM, 0, ret_why, why_bytes, "out of memory");
    }
    if (error < 0) {
        reader->source.close = NULL;
        trace_reader_close(reader);
        return error;
    }
    *ret_reader = reader;
    return 0;
}

int trace_reader_open_fd(int fd, struct trace_reader **ret_reader, char *ret_why, size_t why_bytes)
{
    struct trace_source source;
    int error = trace_source_file(fd, &source);

    if (error == -EBADMSG)
        return trace_fail(error, 0, ret_why, why_bytes, "not a cupool trace: not a regular file");
    if (error < 0)
        return trace_fail(error, 0, ret_why, why_bytes, "%s", strerror(-error));
    return trace_reader_open_source(&source, ret_reader, ret_why, why_bytes);
}

int trace_reader_open(const char *path, struct trace_reader **ret_reader, char *ret_why,
                      size_t why_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;

    if (fd < 0) {
        snprintf(ret_why, why_bytes, "%s", strerror(errno));
        return -errno;
    }
    error = trace_reader_open_fd(fd, ret_reader, ret_why, why_bytes);
    if (error < 0)
        close(fd);
    return error;
}

void trace_reader_close(struct trace_reader *reader)
{
    if (!reader)
        return;
    trace_merge_free(reader->merge);
    trace_carry_free(reader->carry);
    for (size_t i = 0; i < reader->texts; i++)
        free(reader->text[i].text);
    free(reader->text);
    free(reader->place);
    free(reader->entry);
    free(reader->note);
    if (reader->source.close)
        reader->source.close(reader->source.context);
    free(reader);
}

void trace_reader_set_running(struct trace_reader *reader)
{
    reader->summary.running = true;
}

const struct trace_summary *trace_reader_summary(const struct trace_reader *reader)
{
    return &reader->summary;
}

const struct trace_carry *trace_reader_carry(const struct trace_reader *reader)
{
    return reader->carry;
}

const char *trace_reader_string(const struct trace_reader *reader, uint64_t id)
{
    return id && id <= reader->texts ? reader->text[id - 1].text : NULL;
}

int trace_reader_site(const struct trace_reader *reader, uint64_t id, struct trace_site *ret_site)
{
    const struct trace_place *place;

    if (!id || id > reader->places)
        return -ENOENT;
    place = &reader->place[id - 1];
    *ret_site = (struct trace_site){.offset = place->offset, .caller = place->caller};
    if (place->is_python) {
        ret_site->offset = 0;
        ret_site->line = place->offset;
        ret_site->module = trace_reader_string(reader, place->module);
        ret_site->function = place->function ? trace_reader_string(reader, place->function) : "";
    } else if (place->module) {
        ret_site->module = trace_reader_string(reader, place->module);
        ret_site->build_id = trace_reader_string(reader, reader->text[place->module - 1].build_id);
    }
    return 0;
}

uint32_t *trace_reader_site_notes(const struct trace_reader *reader, unsigned number)
{
    return reader->note ? reader->note + number * reader->places : NULL;
}

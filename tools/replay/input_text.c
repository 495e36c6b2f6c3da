/* SPDX-License-Identifier: MIT */
/*
 * The two forms that are lines of text: lifetimes, and the log of RMM's logging adaptor.
 *
 * An invalid line is an error that names it, because a trace with holes would give meaningless
 * figures.
 */
#include "tools/replay/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/base/file/infile.h"
#include "tools/base/progress.h"
#include "tools/replay/input_tables.h"

#define SIZE_MOST  (UINT64_C(1) << 47)
#define SCALE_MOST (UINT64_C(1) << 40)

/* ---- lines ---- */

struct lines {
    const char *path;
    FILE *file;
    char text[512];
    unsigned number;
    size_t left; /* bytes of the file when it was opened: what comes later is not read */
    struct progress progress;
};

static int lines_open(const char *path, struct lines *ret_lines, char *ret_why, size_t why_bytes)
{
    int error;

    memset(ret_lines, 0, sizeof *ret_lines);
    ret_lines->path = path;
    error = infile_open(path, &ret_lines->file, &ret_lines->left);
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        return error;
    }
    progress_begin(&ret_lines->progress, path, ret_lines->left);
    return 0;
}

/* Reads the next line without its end. 1: there is one; 0: the end; -EBADMSG: it is too long, or
 * holds a zero byte. */
static int lines_next(struct lines *lines)
{
    size_t length;
    int got = lines->left ? infile_line(lines->file, lines->text, sizeof lines->text, &length) : 0;

    lines->number += got != 0;
    if (got <= 0)
        return got < 0 ? -EBADMSG : 0;
    lines->left -= length < lines->left ? length : lines->left;
    progress_add(&lines->progress, length);
    while (length && (lines->text[length - 1] == '\n' || lines->text[length - 1] == '\r'))
        lines->text[--length] = '\0';
    return 1;
}

static int lines_close(struct lines *lines, int error, const char *wanted, char *ret_why,
                       size_t why_bytes)
{
    progress_end(&lines->progress);
    fclose(lines->file);
    if (error == -EBADMSG || error == -EINVAL)
        snprintf(ret_why, why_bytes, "%s:%u: not a line of the form %s", lines->path, lines->number,
                 wanted);
    return error;
}

static bool number_read(char **text, uint64_t *ret_number)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(*text, &end, 0);
    *text = end;
    return errno == 0;
}

static bool comma(char **text)
{
    return *(*text)++ == ',';
}

/* ---- lifetimes ---- */

static int lifetime_add(struct replay_trace *trace, uint64_t lower, uint64_t upper, uint64_t bytes)
{
    int64_t buffer = replay_trace_buffer(trace, bytes);
    int error;

    if (buffer < 0)
        return (int)buffer;
    error = replay_trace_event(trace, &(struct replay_event){.time_ns = lower,
                                                             .kind = REPLAY_ALLOCATE,
                                                             .buffer = (uint32_t)buffer});
    return error < 0
               ? error
               : replay_trace_event(trace, &(struct replay_event){.time_ns = upper,
                                                                  .kind = REPLAY_FREE,
                                                                  .buffer = (uint32_t)buffer});
}

/* A buffer of no bytes is none. */
static int lifetime_line(struct replay_trace *trace, char *text, uint64_t scale)
{
    uint64_t lower, upper, bytes;

    text += strcspn(text, ",");
    if (!comma(&text) || !number_read(&text, &lower) || !comma(&text) ||
        !number_read(&text, &upper) || !comma(&text))
        return -EINVAL;
    if (*text == '-')
        return 0;
    if (!number_read(&text, &bytes) || *text || upper <= lower || upper >> 60)
        return -EINVAL;
    if (bytes > SIZE_MOST / scale)
        return -EINVAL;
    return bytes ? lifetime_add(trace, lower, upper, bytes * scale) : 0;
}

int input_lifetimes_read(const char *path, const struct input_request *request,
                         struct replay_trace *trace, char *ret_why, size_t why_bytes)
{
    uint64_t scale = request->scale ? request->scale : 1;
    struct lines lines;
    int error = lines_open(path, &lines, ret_why, why_bytes), more = 0;

    if (error < 0)
        return error;
    trace->format = "lifetimes";
    trace->threads = trace->streams = trace->contexts = 1;
    if (scale > SCALE_MOST)
        error = -EINVAL;
    while (error == 0 && (more = lines_next(&lines)) > 0)
        if (*lines.text && lines.number > 1)
            error = lifetime_line(trace, lines.text, scale);
    error = lines_close(&lines, error < 0 ? error : more, "id,lower,upper,size", ret_why,
                        why_bytes);
    return error < 0 ? error : replay_trace_sort(trace);
}

/* ---- RMM ---- */

struct rmm {
    struct replay_trace *trace;
    struct live_table live;
    struct number_table threads, streams;
    uint64_t last_ns;
};

/* Parses `12:34:56.789012` or `12:34:56:789012`, a time without a date: it never goes back here. */
static bool clock_read(char **text, uint64_t *ret_ns)
{
    uint64_t part[3], fraction = 0, digits = 0;

    for (unsigned i = 0; i < 3; i++) {
        char *end;

        if (**text < '0' || **text > '9')
            return false;
        part[i] = strtoul(*text, &end, 10);
        if (part[i] > 99 || (i < 2 && *end++ != ':'))
            return false;
        *text = end;
    }
    if (**text == '.' || **text == ':')
        for (++*text; **text >= '0' && **text <= '9'; ++*text)
            if (digits < 9) {
                fraction = fraction * 10 + (uint64_t)(**text - '0');
                digits++;
            }
    for (; digits < 9; digits++)
        fraction *= 10;
    *ret_ns = ((part[0] * 60 + part[1]) * 60 + part[2]) * UINT64_C(1000000000) + fraction;
    return true;
}

static int rmm_allocate(struct rmm *rmm, struct replay_event *event, struct live_buffer *live,
                        uint64_t bytes)
{
    int64_t buffer;

    if (bytes == 0)
        return 0;
    buffer = live->number ? -EINVAL : replay_trace_buffer(rmm->trace, bytes);
    if (buffer < 0)
        return (int)buffer;
    live->number = (uint32_t)buffer + 1;
    event->kind = REPLAY_ALLOCATE;
    event->buffer = (uint32_t)buffer;
    return replay_trace_event(rmm->trace, event);
}

/* Ignores a free of memory allocated before the log began. */
static int rmm_free(struct rmm *rmm, struct replay_event *event, struct live_buffer *live)
{
    if (!live->number) {
        rmm->trace->left_out++;
        rmm->trace->left_out_why = "frees of blocks allocated before the log began";
        return 0;
    }
    event->kind = REPLAY_FREE;
    event->buffer = live->number - 1;
    live->number = 0;
    return replay_trace_event(rmm->trace, event);
}

static int rmm_line(struct rmm *rmm, char *text)
{
    struct replay_trace *trace = rmm->trace;
    struct replay_event event = {0};
    uint64_t thread, time_ns, address, bytes, stream;
    uint32_t number;
    struct live_buffer *live;
    const char *action;
    int error;

    if (!number_read(&text, &thread) || !comma(&text) || !clock_read(&text, &time_ns) ||
        !comma(&text))
        return -EINVAL;
    action = text;
    text += strcspn(text, ",");
    if (!comma(&text) || !number_read(&text, &address) || !comma(&text) ||
        !number_read(&text, &bytes) || !comma(&text) || !number_read(&text, &stream) || *text ||
        bytes > SIZE_MOST)
        return -EINVAL;
    rmm->last_ns = time_ns > rmm->last_ns ? time_ns : rmm->last_ns;
    event.time_ns = rmm->last_ns;
    error = number_table_get(&rmm->threads, thread, REPLAY_THREADS_MAX, &number);
    event.thread = number & (REPLAY_THREADS_MAX - 1);
    if (error == 0)
        error = number_table_get(&rmm->streams, stream, REPLAY_STREAMS_MAX, &number);
    event.stream = number & (REPLAY_STREAMS_MAX - 1);
    if (error == 0 && !strncmp(action, "allocate failure,", 17)) {
        trace->left_out++;
        trace->left_out_why = "allocations that failed";
        return 0;
    }
    if (error == 0)
        error = live_table_get(&rmm->live, address, &live);
    if (error < 0)
        return error;
    if (!strncmp(action, "allocate,", 9))
        return rmm_allocate(rmm, &event, live, bytes);
    return strncmp(action, "free,", 5) ? -EINVAL : rmm_free(rmm, &event, live);
}

int input_rmm_read(const char *path, struct replay_trace *trace, char *ret_why, size_t why_bytes)
{
    struct rmm rmm = {.trace = trace};
    struct lines lines;
    int error = lines_open(path, &lines, ret_why, why_bytes), more = 0;

    if (error < 0)
        return error;
    trace->format = "RMM log";
    trace->contexts = 1;
    while (error == 0 && (more = lines_next(&lines)) > 0)
        if (*lines.text && lines.number > 1)
            error = rmm_line(&rmm, lines.text);
    trace->threads = rmm.threads.count;
    trace->streams = rmm.streams.count;
    number_table_done(&rmm.threads);
    number_table_done(&rmm.streams);
    live_table_done(&rmm.live);
    return lines_close(&lines, error < 0 ? error : more, "Thread,Time,Action,Pointer,Size,Stream",
                       ret_why, why_bytes);
}

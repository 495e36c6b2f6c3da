/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace in bounded memory: first a pass over the whole file that verifies every block and
 * keeps the definitions, then the events, in file order or time order.
 *
 * The end of a trace may be missing: a process was killed, a disk was full, a copy was truncated.
 * Missing data is counted, and the rest is read. Any other damage is an error that names the byte.
 * The file is not trusted: every value is checked before use, and memory depends on the file's
 * size, not on its claims (at most 256 MiB for 1 GiB).
 *
 * Threading: a reader belongs to one thread at a time.
 */
#ifndef CUPTI_READ_TRACE_READER_H
#define CUPTI_READ_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/format/trace_format.h"
#include "cupti/format/trace_record.h"

#ifdef __cplusplus
extern "C" {
#endif

struct trace_reader;
struct trace_carry;

enum trace_order {
    TRACE_ORDER_TIME, /* as trace_record_order_ns; ties by place in the file */
    TRACE_ORDER_FILE
};

/** Result of the first pass. */
struct trace_summary {
    uint64_t file_bytes;
    uint64_t blocks;      /* in use, without the file header */
    uint64_t open_blocks; /* of these, not sealed: their thread did not finish them */
    uint64_t events;      /* records that trace_reader_next will give */
    uint64_t strings;
    uint64_t sites;
    uint64_t dropped_records;   /* never written, by the writer's own account */
    uint64_t lost_records;      /* written or begun, but not whole in this file */
    uint64_t lost_bytes;        /* of the cut or torn end */
    uint64_t lost_blocks;       /* cut or torn */
    uint64_t unknown_records;   /* of kinds newer than this reader; skipped */
    uint64_t folded_records;    /* before the events: only their figures are kept */
    uint64_t forgotten_records; /* of these, not even that */
    uint64_t kept_from_ns;      /* when the last folded one took effect; 0: none was folded */
    uint64_t torn_carries;      /* incomplete ones; the carry before counts */
    uint64_t start_realtime_ns;
    uint64_t last_ns; /* of all events: when the last one was */
    uint32_t pid;
    uint64_t cut_stacks; /* stacks that lost their outer frames to a limit of the writer */
    uint32_t stop_errno; /* why the writer stopped early; 0: it did not */
    bool closed;         /* the process closed the trace itself */
    bool complete;       /* closed, and nothing dropped or lost */
    bool running;        /* its process still writes it: trace_reader_set_running */
};

/** One frame of a stack in the trace: a code address, or a line of Python. */
struct trace_site {
    const char *module;   /* path, for Python of the source; NULL: in no module */
    const char *build_id; /* hexadecimal; NULL: none */
    const char *function; /* of Python; NULL: the frame is a code address */
    uint64_t offset;      /* address in the ELF file; the plain address where module is NULL */
    uint64_t line;        /* of Python */
    uint64_t caller;      /* site id of the calling frame, always below its own; 0: not known */
};

/**
 * Opens and verifies a trace. On failure `ret_why` is one line with reason and position. Errors:
 * -errno of the system, -EBADMSG for damage, -EPROTONOSUPPORT for another version.
 */
int trace_reader_open(const char *path, struct trace_reader **ret_reader, char *ret_why,
                      size_t why_bytes);

/** Source of the bytes of a trace. */
struct trace_source {
    /** Reads `bytes` at `offset`, or as many as there are; returns their number or a negative
     * errno. */
    int64_t (*read)(void *context, void *buffer, size_t bytes, uint64_t offset);
    /** Returns the first offset from a position on that may hold nonzero bytes; NULL: any may. A
     * file of a few kilobytes may claim to be terabytes long. */
    uint64_t (*data)(void *context, uint64_t offset);
    void (*close)(void *context);
    void *context;
    uint64_t bytes;    /* of the whole, when it was opened; what comes later is not read */
    uint64_t until_ns; /* events that took effect later are passed over; 0: none is */
};

/** Reads from a source, up to its `bytes`: whoever lengthens a file meanwhile prolongs no reading.
 * Returns as its `read`. */
int64_t trace_source_read(const struct trace_source *source, void *buffer, size_t bytes,
                          uint64_t offset);

/**
 * Returns when the latest event of a trace in progress took effect; 0: there is none. On return,
 * every event until then is in the file, whichever thread wrote it, but perhaps in blocks that were
 * added meanwhile. So setting `until_ns` to this time, in a source that is made of the file
 * afterwards, cuts the trace where all threads agree.
 */
uint64_t trace_source_latest_ns(const struct trace_source *source);

/** Opens a source likewise; the reader takes ownership on success. */
int trace_reader_open_source(const struct trace_source *source, struct trace_reader **ret_reader,
                             char *ret_why, size_t why_bytes);

/** Makes a source of a regular file; it owns the descriptor. Errors: negative errno, -EBADMSG:
 * not a regular file. */
int trace_source_file(int fd, struct trace_source *ret_source);

/** Opens a descriptor likewise; the reader takes ownership on success. */
int trace_reader_open_fd(int fd, struct trace_reader **ret_reader, char *ret_why, size_t why_bytes);

/** NULL is accepted. */
void trace_reader_close(struct trace_reader *reader);

const struct trace_summary *trace_reader_summary(const struct trace_reader *reader);

/** Notes that the process is still writing the trace: data missing at the end is yet to come. */
void trace_reader_set_running(struct trace_reader *reader);

/** Returns the carry of folded events (trace_carry.h); NULL: all events are in the file. */
const struct trace_carry *trace_reader_carry(const struct trace_reader *reader);

/** Starts (again) at the first event. Errors: -ENOMEM. */
int trace_reader_rewind(struct trace_reader *reader, enum trace_order order);

/**
 * Returns the next event; definitions are skipped. 1: there is one, 0: the end, or a negative
 * errno with the reason in `ret_why`. Undefined ids become 0 in an incomplete trace and are damage
 * in a complete one.
 */
int trace_reader_next(struct trace_reader *reader, struct trace_record *ret_record, char *ret_why,
                      size_t why_bytes);

/** Returns the string of an id, valid while the reader lives; NULL when there is none. */
const char *trace_reader_string(const struct trace_reader *reader, uint64_t id);

/** Errors: -ENOENT. */
int trace_reader_site(const struct trace_reader *reader, uint64_t id, struct trace_site *ret_site);

/** Numbers for the reader's user, of each site. */
#define TRACE_READER_NOTES 2

/**
 * Returns one of these arrays of numbers, with one for each site at index id - 1, all 0 at first.
 * NULL: there are no sites.
 */
uint32_t *trace_reader_site_notes(const struct trace_reader *reader, unsigned number);

#ifdef __cplusplus
}
#endif

#endif

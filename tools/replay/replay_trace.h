/* SPDX-License-Identifier: MIT */
/*
 * A trace of allocations in the form that replay needs: events in time order, 16 bytes each, and
 * the size of each buffer. It no longer depends on its source (input.h).
 *
 * A trace of cupool also has the driver calls of the program's own pool and their answers: the
 * script. A replay with the same options makes the same calls in the same order, so it gets the
 * same answers. The times at which fences were signalled show how busy the device was.
 *
 * Threading: built by one thread, then constant.
 */
#ifndef TOOLS_REPLAY_REPLAY_TRACE_H
#define TOOLS_REPLAY_REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/options/options.h"

#define REPLAY_CONTEXTS_MAX 16u
#define REPLAY_THREADS_MAX  4096u
#define REPLAY_STREAMS_MAX  65536u

enum replay_kind {
    REPLAY_ALLOCATE, /* buffer */
    REPLAY_FREE,     /* buffer */
    REPLAY_END,      /* of a context, and of the memory in it */
    REPLAY_REFUSED,  /* buffer: a request that the recorded program did not get */
    REPLAY_BEGIN,    /* of a context's pool */
    REPLAY_REQUEST,  /* stream: enum pool_request; buffer: the block, or of the bytes to keep */
};

struct replay_event {
    uint64_t time_ns : 61; /* of the trace; an abstract unit where it knows no other */
    uint64_t kind : 3;     /* enum replay_kind */
    uint32_t buffer;
    uint32_t stream : 16; /* numbered from 0 in the order of their coming */
    uint32_t thread : 12; /* likewise */
    uint32_t context : 4; /* likewise; of a free: that of the allocation */
};

/** What the recorded pool asked of the driver. */
enum script_kind {
    SCRIPT_ALLOCATE,
    SCRIPT_FREE,
    SCRIPT_FENCE,
    SCRIPT_QUERY,
    SCRIPT_WAIT,
    SCRIPT_ROOM,
    SCRIPT_MAP,
    SCRIPT_UNMAP,
    SCRIPT_REFUSAL
};

struct script_call {
    uint64_t time_ns;
    uint64_t address; /* of fences: the number of the epoch */
    uint64_t bytes;   /* of a query: 1 passed, 0 not; of a room: free */
    int32_t error;    /* negative errno */
    uint8_t kind;     /* enum script_kind */
    uint8_t context;  /* as in struct replay_event */
    uint8_t detail;   /* of a wait: 1 timed out; of a refusal: enum pool_refusal */
};

/** Where a context's pool had its memory from. */
struct replay_backing {
    bool known;
    bool frees_wait;                     /* because the device has no fences */
    uint64_t range_address, range_bytes; /* 0: the driver's allocations */
};

/** What the recorded run says of itself. */
struct replay_recorded {
    bool known;    /* it used the pool and closed its trace: the rest means something */
    bool contexts; /* there were pools of several */
    uint64_t driver_calls, segment_allocations, segment_frees, fences, fence_queries;
    uint64_t peak_requested_bytes, peak_reserved_bytes;
};

struct replay_trace {
    const char *name;      /* as given */
    const char *format;    /* in words */
    uint64_t hash;         /* FNV-1a of the events: which trace this is, wherever it lies */
    uint64_t device_bytes; /* of the recorded device; 0: unknown */
    char device_name[96];

    struct replay_event *events;
    size_t event_count, event_room;
    uint64_t *sizes; /* by buffer */
    size_t buffers, buffer_room;
    uint64_t operations; /* allocations and frees */
    uint64_t left_out;   /* requests that were not replayed, and why */
    const char *left_out_why;
    uint64_t peak_requested_bytes;
    unsigned threads, streams, contexts;

    struct options options; /* of the recorded pool */
    struct replay_recorded recorded;
    struct replay_backing backing[REPLAY_CONTEXTS_MAX];
    struct script_call *script;
    size_t script_count, script_room;
};

/** Adds a buffer. Returns its number, or -ENOMEM; -E2BIG beyond 2^32 - 2 of them. */
int64_t replay_trace_buffer(struct replay_trace *trace, uint64_t bytes);

/** Errors: -ENOMEM. */
int replay_trace_event(struct replay_trace *trace, const struct replay_event *event);
int replay_trace_script(struct replay_trace *trace, const struct script_call *call);

/** Orders events by time, frees first at the same time, then by buffer. Errors: -ENOMEM. */
int replay_trace_sort(struct replay_trace *trace);

/** Counts and hashes the contents; every reader ends with it. Errors: -ENOMEM. */
int replay_trace_finish(struct replay_trace *trace);

void replay_trace_done(struct replay_trace *trace);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The device of a replay: its size, calls that are counted and cost time, and fences that are
 * signalled when the work before them is done.
 *
 * The time of a fence's signal comes from the trace if known (struct replay_trace, script);
 * otherwise it is a fixed delay after the recording, by default none. As long as a policy makes the
 * calls of the recorded pool, in order, it gets the recorded answers; device_model_follows() says
 * whether that held to the end.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_DEVICE_MODEL_H
#define TOOLS_REPLAY_DEVICE_MODEL_H

#include "pool/pool.h"
#include "tools/replay/address_space.h"
#include "tools/replay/replay_trace.h"

enum device_call {
#define DEVICE_CALL(NAME, ...) DEVICE_##NAME,
#include "tools/replay/device_calls.def"
#undef DEVICE_CALL
    DEVICE_CALLS
};

/** Cost of each call. */
struct device_profile {
    uint64_t base_ns[DEVICE_CALLS], mib_ns[DEVICE_CALLS];
    const char *source; /* for people */
};

/** The published figures of device_calls.def. */
void device_profile_init(struct device_profile *ret_profile);

/**
 * Reads costs from a file in the format of the simulated device's profiles: after a line `[cost]`,
 * `function = ns [ns per MiB]`. Calls not in the file keep their cost. Errors: -EINVAL with the
 * line in `ret_why`; others as infile_read().
 */
int device_profile_read(const char *path, struct device_profile *profile, char *ret_why,
                        size_t why_bytes);

/** Describes the cost of a call and its source in one line. */
const char *device_call_source(enum device_call call);
const char *device_call_function(enum device_call call);

/** Returns when the work before a fence was done, from the trace. */
struct device_work;

struct device_model {
    uint64_t capacity_bytes; /* what can be had; 0: endless */
    uint64_t total_bytes;    /* what the device says it has */
    uint64_t used_bytes, peak_bytes;
    uint64_t calls[DEVICE_CALLS];
    uint64_t steps;        /* calls that were made one by one, and looks at blocks */
    uint64_t simulated_ns; /* spent in calls and in waiting */
    uint64_t now_ns;       /* of the trace */
    struct address_space addresses;
    uint64_t fence_delay_ns; /* where the record does not say it */
    const struct device_profile *profile;
    const struct device_work *work; /* NULL: the record says nothing */

    /* The script, and how far it has been followed. */
    const struct replay_trace *script;
    size_t script_at[REPLAY_CONTEXTS_MAX];
    uint64_t page_calls[REPLAY_CONTEXTS_MAX][POOL_REFUSALS]; /* about physical memory */
    bool strayed;
};

void device_model_init(struct device_model *ret_device, const struct device_profile *profile);

/** What an endless device says it has: more than a program needs that has so much at the peak. */
uint64_t device_model_endless_bytes(uint64_t peak_bytes);

void device_model_done(struct device_model *device);

/** Assumption about fences that are not in the trace: only the program knows how much work there
 * was, and another run's device may be slower or faster. */
enum device_haste {
    DEVICE_LIKELY, /* as long as the record shows it busy, else as most recorded fences were */
    DEVICE_EARLY,  /* at once */
    DEVICE_LATE,   /* when the record shows that it was, and not in the request itself */
};

/** Returns how busy the recorded device was; NULL without memory. */
struct device_work *device_work_create(const struct replay_trace *trace, enum device_haste haste);
void device_work_destroy(struct device_work *work);

/** Follows the recorded calls of a trace from here on. */
void device_model_follow(struct device_model *device, const struct replay_trace *trace);

/** Whether every call so far matched the recorded one, and none is missing. */
bool device_model_follows(struct device_model *device);

/** All calls, and memory calls alone: without fences and queries. */
uint64_t device_model_calls(const struct device_model *device);
uint64_t device_model_memory_calls(const struct device_model *device);

/** Counts a call about so many bytes and adds its cost. */
void device_model_call(struct device_model *device, enum device_call call, uint64_t bytes);

/** Counts calls about so many bytes each. */
void device_model_call_often(struct device_model *device, enum device_call call, uint64_t bytes,
                             uint64_t count);

/** Counts blocks that a model looks at, in steps: no call shows how long it searches. */
void device_model_look(struct device_model *device, uint64_t count);

/** Allocates up to `count` pieces of memory; returns how many the device had. Counts no call. */
uint64_t device_model_take_often(struct device_model *device, uint64_t bytes, uint64_t count);

/** Allocates memory: -ENOMEM if the device has not enough. Counts no call. */
int device_model_take(struct device_model *device, uint64_t bytes);
void device_model_give(struct device_model *device, uint64_t bytes);

/** The context has ended: its addresses can be used again. */
void device_model_end(struct device_model *device, unsigned context);

/** One context's pool on the device. */
struct device_context {
    struct device_model *device;
    unsigned context;
};

/** The device as the pool sees it. */
struct pool_backend device_model_backend(struct device_context *context);

#endif

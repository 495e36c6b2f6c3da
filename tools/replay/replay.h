/* SPDX-License-Identifier: MIT */
/*
 * Runs a trace through a policy, on a device of a given size or an unlimited one, and finds the
 * smallest sufficient device.
 *
 * Threading: one replay at a time in a process, because pools share the page map.
 */
#ifndef TOOLS_REPLAY_REPLAY_H
#define TOOLS_REPLAY_REPLAY_H

#include "tools/replay/policy.h"

#define REPLAY_CALLS_ANY  (UINT64_C(1) << 22)
#define REPLAY_CALLS_EACH 4096u

struct replay_settings {
    const struct device_profile *profile;
    uint64_t capacity_bytes; /* 0: endless */
    uint64_t fence_delay_ns;
    bool fence_delay_given; /* it counts, whatever the trace says of its device */
    enum device_haste haste;
    uint64_t most_calls; /* stops a pass sooner than its events would; 0: not */
    bool once;           /* no second replay */
    bool quiet;          /* no progress */
};

struct replay_outcome {
    bool completed;
    bool stopped;         /* it did not: it took too many steps */
    bool repeated;        /* so did the second replay on top */
    size_t refused_event; /* the first request that could not be served */
    uint64_t refused_bytes, refused_time_ns;
    uint64_t peak_reserved_bytes;
    uint64_t peak_allocated_bytes;                     /* 0: not known */
    uint64_t driver_calls;                             /* all that reach the driver */
    uint64_t memory_calls;                             /* of these, not fences and questions */
    uint64_t driver_calls_second, memory_calls_second; /* if repeated */
    uint64_t simulated_ns;
    bool follows; /* each call of the recorded pool came again, with the same answer */
};

/**
 * One replay. A request that cannot be served ends it: that is an outcome, not an error. So do
 * more driver calls than REPLAY_CALLS_ANY and REPLAY_CALLS_EACH for each event: with mapped memory
 * a single large block takes as many as the device has pages, and time should follow the trace. A
 * block that a model looks at in vain counts as several (device_model_look()).
 * Errors: -ENOMEM without host memory; -EINVAL for options that the pool refuses; others that the
 * recorded driver answered.
 */
int replay_run(const struct replay_trace *trace, const struct policy *policy,
               const struct replay_settings *settings, struct replay_outcome *ret_outcome);

/**
 * Finds the smallest capacity at which the trace completes, to one part in 4,096 of its requested
 * memory; `free_run` is the outcome on an unlimited device. Errors: as replay_run().
 */
int replay_capacity_find(const struct replay_trace *trace, const struct policy *policy,
                         const struct replay_settings *settings,
                         const struct replay_outcome *free_run, uint64_t *ret_bytes);

#endif

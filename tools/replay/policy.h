/* SPDX-License-Identifier: MIT */
/*
 * The allocator in a replay: the real pool, or a model of another allocator.
 *
 * Each model states its source and constants at the head of its file, and what it does not model
 * (host time, racing threads). A model sees requests one by one, takes memory from the device model
 * and counts every call there.
 *
 * Threading: a policy and its device are used by one thread.
 */
#ifndef TOOLS_REPLAY_POLICY_H
#define TOOLS_REPLAY_POLICY_H

#include "pool/pool.h"
#include "tools/replay/device_model.h"

#define POLICY_OPTIONS_BYTES 1024

struct policy_request {
    uint64_t bytes;
    uint32_t stream, context;
};

struct policy_ops {
    /** `options` are the pool's; models have none. Errors: -EINVAL, -ENOMEM. */
    int (*create)(struct device_model *device, const struct options *options, void **ret_state);
    /** The token identifies the block and is not 0. Errors: -ENOMEM: the device has not enough. */
    int (*allocate)(void *state, const struct policy_request *request, uint64_t *ret_token);
    void (*release)(void *state, uint64_t token);
    /** The recorded program created its pool in a context here. May be NULL. */
    int (*begin)(void *state, unsigned context);
    /** The pool got a request other than a block, about bytes or a token. May be NULL. */
    void (*request)(void *state, unsigned context, enum pool_request request, uint64_t about);
    /** A context is gone with its memory. NULL: each live block of it is released. */
    void (*end)(void *state, unsigned context);
    /** All calls that reach the driver, if the device does not see them all. May be NULL. */
    uint64_t (*driver_calls)(void *state);
    /** Peak of the bytes occupied by blocks, rounding included; 0: not known. May be NULL. */
    uint64_t (*peak_allocated)(void *state);
    void (*destroy)(void *state);
};

/*
 * POLICY(name, ops, help)
 */
#define POLICIES(POLICY)                                                                           \
    POLICY("cupool", policy_cupool, "the pool itself, with the options given")                     \
    POLICY("mapped", policy_mapped, "the same with physical memory mapped as needed")              \
    POLICY("native", policy_native, "cudaMalloc and cudaFree for each request")                    \
    POLICY("pytorch", policy_pytorch, "PyTorch's caching allocator")                               \
    POLICY("expandable", policy_expandable, "the same with expandable_segments:True")              \
    POLICY("bfc", policy_bfc, "best fit with coalescing, as in TensorFlow, XLA and JAX")           \
    POLICY("rmm-pool", policy_rmm, "RMM's pool_memory_resource")                                   \
    POLICY("async", policy_async, "cudaMallocAsync with the default pool")

#define POLICY(name, ops, help) extern const struct policy_ops ops;
POLICIES(POLICY)
#undef POLICY

/** A policy as the user chose it. */
struct policy {
    const char *name;
    const struct policy_ops *ops;
    struct options options;                  /* of the pool */
    char options_text[POLICY_OPTIONS_BYTES]; /* those that are not built-in, key:value,… */
    bool as_recorded;                        /* the pool with the options of the trace */
};

/**
 * Parses a policy: `NAME`, or `cupool+KEY:VALUE,KEY:VALUE`. `base` are the pool's options without
 * these; NULL: built-in. Errors: -ENOENT, -EINVAL with `ret_why`.
 */
int policy_parse(const char *text, const struct options *base, struct policy *ret_policy,
                 char *ret_why, size_t why_bytes);

/** Writes the options of a policy that are not built-in. */
void policy_options_note(struct policy *policy);

/** Names of all policies, in the order of the table. */
const char *policy_name(size_t index);
size_t policy_count(void);

#endif

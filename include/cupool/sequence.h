/* SPDX-License-Identifier: MIT */
/*
 * Sequences on KV pools: which block holds which tokens, and the tables that attention kernels
 * read.
 *
 * A set owns everything for a number of sequences of bounded length, so that a request that comes
 * and goes allocates nothing. It runs over one pool, or over several of different geometry, whose
 * blocks a sequence takes together, all or none.
 *
 * Tokens are appended, then computed, then committed: what is committed in a full block is
 * registered under its hash and can be matched. An append commits what was appended before it.
 * Removing a sequence at any moment gives everything back.
 *
 * Threading: every function from any thread; calls for one sequence must not overlap.
 */
#ifndef CUPOOL_SEQUENCE_H
#define CUPOOL_SEQUENCE_H

#include "kv.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_sequences;

/** generation:32 | slot:32; 0 is none. */
typedef uint64_t cupool_sequence;

struct cupool_sequences_config {
    uint32_t sequences;  /* at a time */
    uint32_t max_tokens; /* of one */
    enum cupool_kv_method method;
    uint64_t secret; /* of XXH3 */
    enum cupool_kv_duplicates duplicates;
    int partial; /* 1: the last block, not full, is registered too when a sequence goes */
};

struct cupool_sequences_statistics {
    uint64_t live, created, tokens, blocks, forks, copies, matched_tokens, table_copies;
};

CUPOOL_API void cupool_sequences_config_init(struct cupool_sequences_config *config);

/** A set over `count` pools of one device. -EINVAL: block sizes are no multiples of the smallest.
 */
CUPOOL_API int cupool_sequences_create(const struct cupool_kv_member *members, uint32_t count,
                                       const struct cupool_sequences_config *config,
                                       struct cupool_sequences **ret_set);

/** Removes what is left and ends the set. */
CUPOOL_API void cupool_sequences_destroy(struct cupool_sequences *set);

CUPOOL_API const char *cupool_sequences_error(const struct cupool_sequences *set);
CUPOOL_API int cupool_sequences_stats(struct cupool_sequences *set,
                                      struct cupool_sequences_statistics *ret_stats);
CUPOOL_API int cupool_sequences_check(struct cupool_sequences *set, char *why, size_t why_bytes);

#define CUPOOL_SEQUENCE_NO_MATCH 1 /* takes no hits: prompt log-probabilities are wanted */
#define CUPOOL_SEQUENCE_NO_CACHE 2 /* its blocks are not registered */

/**
 * An empty sequence. The scope's texts are read now; its media array must live as long.
 * -ENOBUFS: all slots are taken.
 */
CUPOOL_API int cupool_sequence_create(struct cupool_sequences *set,
                                      const struct cupool_kv_scope *scope, unsigned flags,
                                      cupool_sequence *ret_sequence);

/**
 * Gives an empty sequence the longest prefix of `tokens` that is cached, at most count - 1 tokens,
 * for the last one has to be computed. The rest is then appended.
 */
CUPOOL_API int cupool_sequence_match(struct cupool_sequences *set, cupool_sequence sequence,
                                     const int32_t *tokens, uint32_t count, cupool_stream stream,
                                     uint32_t *ret_matched);

/**
 * Makes room for tokens: a block at each multiple of the block size, and a copy of the last block
 * if others share it. Errors leave the sequence as it was: -ENOMEM, -EAGAIN as
 * cupool_kv_allocate(); -EOVERFLOW beyond max_tokens.
 */
CUPOOL_API int cupool_sequence_append(struct cupool_sequences *set, cupool_sequence sequence,
                                      const int32_t *tokens, uint32_t count, cupool_stream stream);

/** Takes blocks for `count` tokens to come (drafts), so that appending them cannot fail. */
CUPOOL_API int cupool_sequence_reserve(struct cupool_sequences *set, cupool_sequence sequence,
                                       uint32_t count, cupool_stream stream);

/** Says that the work submitted to `stream` so far computes everything appended. */
CUPOOL_API int cupool_sequence_commit(struct cupool_sequences *set, cupool_sequence sequence,
                                      cupool_stream stream);

/** A second sequence with the same tokens; blocks are shared until one writes. */
CUPOOL_API int cupool_sequence_fork(struct cupool_sequences *set, cupool_sequence sequence,
                                    cupool_stream stream, cupool_sequence *ret_child);

/** Takes tokens back until `tokens` are left: drafts that were refused. */
CUPOOL_API int cupool_sequence_truncate(struct cupool_sequences *set, cupool_sequence sequence,
                                        uint32_t tokens, cupool_stream stream);

/** Releases blocks that lie wholly before the last `window` tokens; the table has the null block
 * there. In a set with windows, 0 does so for each pool by its own. */
CUPOOL_API int cupool_sequence_slide(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t window, cupool_stream stream);

/** Ends a sequence; its blocks are released after the work of `stream`. */
CUPOOL_API int cupool_sequence_remove(struct cupool_sequences *set, cupool_sequence sequence,
                                      cupool_stream stream);

CUPOOL_API int cupool_sequence_length(struct cupool_sequences *set, cupool_sequence sequence,
                                      uint32_t *ret_tokens);

/** The slot of a sequence: its row in the tables. */
static inline uint32_t cupool_sequence_row(cupool_sequence sequence)
{
    return (uint32_t)sequence;
}

/** Block numbers of a sequence in pool `member`; valid until the sequence changes. */
CUPOOL_API int cupool_sequence_table(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t member, const int32_t **ret_table,
                                     uint32_t *ret_blocks);

/** Handle, block number and offset of the place of token `position`. */
CUPOOL_API int cupool_sequence_place(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t member, uint32_t position,
                                     cupool_kv_handle *ret_handle, uint32_t *ret_offset);

/**
 * The tables of all sequences on the device, [sequences][row_blocks] of int32, brought up to date
 * by one copy on `stream` of the rows that changed.
 */
CUPOOL_API int cupool_sequences_tables(struct cupool_sequences *set, uint32_t member,
                                       cupool_stream stream, const int32_t **ret_tables,
                                       uint32_t *ret_row_blocks);

#ifdef __cplusplus
}
#endif

#endif

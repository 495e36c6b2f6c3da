/* SPDX-License-Identifier: MIT */
/*
 * Sequences on KV pools: the mapping of tokens to blocks, and the block tables that attention
 * kernels read.
 *
 * A set allocates everything up front for a number of sequences of bounded length, so that starting
 * or ending a request allocates nothing. It runs over one pool, or over several pools of different
 * geometry; then a sequence takes blocks of all of them, all or none.
 *
 * Tokens are appended, then computed, then committed. Committed full blocks are registered under
 * their hashes and can be matched. An append commits the tokens appended before it. Removing a
 * sequence at any moment gives everything back.
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

/** Creates a set over `count` pools of one device. -EINVAL: block sizes are no multiples of the
 * smallest.
 */
CUPOOL_API int cupool_sequences_create(const struct cupool_kv_member *members, uint32_t count,
                                       const struct cupool_sequences_config *config,
                                       struct cupool_sequences **ret_set);

/** Removes the remaining sequences and destroys the set. */
CUPOOL_API void cupool_sequences_destroy(struct cupool_sequences *set);

CUPOOL_API const char *cupool_sequences_error(const struct cupool_sequences *set);
CUPOOL_API int cupool_sequences_stats(struct cupool_sequences *set,
                                      struct cupool_sequences_statistics *ret_stats);
CUPOOL_API int cupool_sequences_check(struct cupool_sequences *set, char *why, size_t why_bytes);

#define CUPOOL_SEQUENCE_NO_MATCH 1 /* takes no hits: prompt log-probabilities are wanted */
#define CUPOOL_SEQUENCE_NO_CACHE 2 /* its blocks are not registered */

/**
 * Begins an empty sequence. The strings of the scope are copied now; its media array must outlive
 * the sequence. -ENOBUFS: all slots are taken.
 */
CUPOOL_API int cupool_sequence_create(struct cupool_sequences *set,
                                      const struct cupool_kv_scope *scope, unsigned flags,
                                      cupool_sequence *ret_sequence);

/**
 * Gives an empty sequence the longest cached prefix of `tokens`, at most count - 1 tokens, because
 * the last one has to be computed. Append the rest afterwards. Errors leave the sequence empty. A
 * block that is not full is copied; if work of another stream on it is pending, only with a stream.
 */
CUPOOL_API int cupool_sequence_match(struct cupool_sequences *set, cupool_sequence sequence,
                                     const int32_t *tokens, uint32_t count, cupool_stream stream,
                                     uint32_t *ret_matched);

/**
 * Makes room for tokens: takes a block at each multiple of the block size, and copies the last
 * block if it is shared. Errors leave the sequence unchanged: -ENOMEM, -EAGAIN as
 * cupool_kv_allocate(); -EOVERFLOW beyond max_tokens.
 */
CUPOOL_API int cupool_sequence_append(struct cupool_sequences *set, cupool_sequence sequence,
                                      const int32_t *tokens, uint32_t count, cupool_stream stream);

/** Reserves blocks for `count` future tokens (drafts), so that appending them cannot fail. */
CUPOOL_API int cupool_sequence_reserve(struct cupool_sequences *set, cupool_sequence sequence,
                                       uint32_t count, cupool_stream stream);

/** Declares that the work submitted to `stream` so far computes everything appended. */
CUPOOL_API int cupool_sequence_commit(struct cupool_sequences *set, cupool_sequence sequence,
                                      cupool_stream stream);

/** Forks a sequence: both have the same tokens and share blocks until one writes. */
CUPOOL_API int cupool_sequence_fork(struct cupool_sequences *set, cupool_sequence sequence,
                                    cupool_stream stream, cupool_sequence *ret_child);

/** Removes tokens from the end until `tokens` are left, such as rejected drafts. */
CUPOOL_API int cupool_sequence_truncate(struct cupool_sequences *set, cupool_sequence sequence,
                                        uint32_t tokens, cupool_stream stream);

/** Releases blocks that lie wholly before the last `window` tokens; the table gets the null
 * block there. With 0, each pool of a set with windows uses its own window. */
CUPOOL_API int cupool_sequence_slide(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t window, cupool_stream stream);

/** Ends a sequence; its blocks are released after the work of `stream`. */
CUPOOL_API int cupool_sequence_remove(struct cupool_sequences *set, cupool_sequence sequence,
                                      cupool_stream stream);

CUPOOL_API int cupool_sequence_length(struct cupool_sequences *set, cupool_sequence sequence,
                                      uint32_t *ret_tokens);

/** Returns the slot of a sequence: its row in the tables. */
static inline uint32_t cupool_sequence_row(cupool_sequence sequence)
{
    return (uint32_t)sequence;
}

/** Returns the block numbers of a sequence in pool `member`; valid until the sequence changes. */
CUPOOL_API int cupool_sequence_table(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t member, const int32_t **ret_table,
                                     uint32_t *ret_blocks);

/** Finds the handle, block number and offset of token `position`. */
CUPOOL_API int cupool_sequence_place(struct cupool_sequences *set, cupool_sequence sequence,
                                     uint32_t member, uint32_t position,
                                     cupool_kv_handle *ret_handle, uint32_t *ret_offset);

/**
 * Updates the block tables of all sequences on the device, [sequences][row_blocks] of int32. One
 * copy on `stream` transfers the rows that changed, and `stream` waits for copies on other ones,
 * and for the work behind which blocks of these rows were released. What reads the tables on yet
 * another stream must have ended, or come before `stream`. Errors: -EBUSY the stream is captured;
 * -EAGAIN too many copies have not run yet, or without a stream, what it would wait for.
 */
CUPOOL_API int cupool_sequences_tables(struct cupool_sequences *set, uint32_t member,
                                       cupool_stream stream, const int32_t **ret_tables,
                                       uint32_t *ret_row_blocks);

#ifdef __cplusplus
}
#endif

#endif

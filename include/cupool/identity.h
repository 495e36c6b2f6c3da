/* SPDX-License-Identifier: MIT */
/*
 * Identity of a KV block: a hash of everything that its content depends on.
 *
 * The key of a block covers its tokens and the key of the block before it. Through the root it also
 * covers the tenant's salt, the adapter with its generation (an adapter reloaded under its old name
 * is a different one), and the digest and position of every media item that overlaps the block.
 * Keys are equal in every process and on every machine: roots have no random seed.
 *
 * SHA-256 keeps tenants apart even when they choose their tokens. XXH3-128 is faster. With it, 16
 * bytes of the key find the entry; the other 16, an independent fingerprint of the tokens keyed
 * with the caller's secret, must match too. A collision is therefore a miss, never another prompt's
 * block.
 *
 * Threading: pure functions.
 */
#ifndef CUPOOL_IDENTITY_H
#define CUPOOL_IDENTITY_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 256 bits. The first 16 bytes find an entry; all 32 must match. */
struct cupool_kv_hash {
    uint8_t bytes[32];
};

enum cupool_kv_method { CUPOOL_KV_SHA256, CUPOOL_KV_XXH3 };

/** Media item in the prompt: placeholder tokens [offset, offset + tokens). */
struct cupool_kv_media {
    uint8_t digest[32]; /* of the content, in full */
    int64_t offset;     /* first placeholder, counted from the first token of the sequence */
    uint32_t tokens;    /* placeholders */
};

/** Inputs of a sequence's identity other than its tokens. All zero: none. */
struct cupool_kv_scope {
    const void *salt; /* of the tenant */
    size_t salt_bytes;
    const char *adapter;         /* name; NULL: none */
    uint64_t adapter_generation; /* grows whenever the adapter is loaded anew */
    const struct cupool_kv_media *media;
    size_t media_count;
};

struct cupool_kv_identity {
    enum cupool_kv_method method;
    uint32_t block_tokens; /* tokens under one hash */
    uint64_t secret;       /* of XXH3; SHA-256 does not use it */
};

/** The key before the first block. */
CUPOOL_API int cupool_kv_identity_root(const struct cupool_kv_identity *identity,
                                       const struct cupool_kv_scope *scope,
                                       struct cupool_kv_hash *ret_root);

/**
 * Computes the keys of `count` whole blocks of block_tokens tokens each. `tokens` begins at token
 * number `first_token` of the sequence, right after the block with key `parent`. -EINVAL:
 * first_token is not a multiple of block_tokens, or the identity is out of range.
 */
CUPOOL_API int cupool_kv_identity_blocks(const struct cupool_kv_identity *identity,
                                         const struct cupool_kv_scope *scope,
                                         const struct cupool_kv_hash *parent, const int32_t *tokens,
                                         uint64_t first_token, size_t count,
                                         struct cupool_kv_hash *ret_hashes);

/** Computes the key of a partial entry: the first `tokens_count` (< block_tokens) tokens of a
 * block. */
CUPOOL_API int cupool_kv_identity_partial(const struct cupool_kv_identity *identity,
                                          const struct cupool_kv_scope *scope,
                                          const struct cupool_kv_hash *parent,
                                          const int32_t *tokens, uint64_t first_token,
                                          size_t tokens_count, struct cupool_kv_hash *ret_hash);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Keys of blocks.
 *
 *     root  = H(tag, method, block_tokens, salt, adapter, generation), each text with its length
 *     block = H(parent, tokens)                  without media
 *     block = H(parent, tokens, n, media…)       with n media items that overlap the block
 *     part  = H(complement of parent, n, tokens) the first n tokens of a block
 *
 * All numbers are little-endian. The length of the tokens is fixed, so no two inputs are alike.
 * SHA-256 is OpenSSL's, without its digest objects, which allocate at every call. XXH3 gives two
 * halves with independent seeds: the second is derived from the secret, which a tenant does not
 * know.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#define XXH_STATIC_LINKING_ONLY /* states on the stack */
#include <xxhash.h>

#include <errno.h>
#include <string.h>

#include <assert.h>
#include <stdbool.h>

#include "include/cupool/identity.h"

#define TAG             "cupool kv block 1"
#define XXH_CHECK_SALT  UINT64_C(0x6a09e667f3bcc908) /* first 64 bits of the root of 2 */
#define ENTRY_BYTES     (32 + 8 + 4)
#define TOKENS_ON_STACK 64

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tokens are hashed as they lie in memory");

/** Input of one hash, in pieces. */
struct hasher {
    enum cupool_kv_method method;
    SHA256_CTX sha;
    XXH3_state_t low, high;
};

static void hasher_begin(struct hasher *hasher, const struct cupool_kv_identity *identity)
{
    hasher->method = identity->method;
    if (identity->method == CUPOOL_KV_SHA256) {
        SHA256_Init(&hasher->sha);
        return;
    }
    XXH3_128bits_reset_withSeed(&hasher->low, identity->secret);
    XXH3_128bits_reset_withSeed(&hasher->high, identity->secret ^ XXH_CHECK_SALT);
}

static void hasher_add(struct hasher *hasher, const void *data, size_t bytes)
{
    if (hasher->method == CUPOOL_KV_SHA256) {
        SHA256_Update(&hasher->sha, data, bytes);
        return;
    }
    XXH3_128bits_update(&hasher->low, data, bytes);
    XXH3_128bits_update(&hasher->high, data, bytes);
}

static void hasher_end(struct hasher *hasher, struct cupool_kv_hash *ret_hash)
{
    if (hasher->method == CUPOOL_KV_SHA256) {
        SHA256_Final(ret_hash->bytes, &hasher->sha);
        return;
    }
    XXH128_hash_t low = XXH3_128bits_digest(&hasher->low);
    XXH128_hash_t high = XXH3_128bits_digest(&hasher->high);
    memcpy(ret_hash->bytes, &low, 16);
    memcpy(ret_hash->bytes + 16, &high, 16);
}

static bool identity_valid(const struct cupool_kv_identity *identity)
{
    return identity && identity->method <= CUPOOL_KV_XXH3 && identity->block_tokens > 0 &&
           identity->block_tokens <= 65536;
}

static void text_add(struct hasher *hasher, const void *text, size_t bytes)
{
    uint64_t length = bytes;

    hasher_add(hasher, &length, sizeof(length));
    hasher_add(hasher, text, bytes);
}

int cupool_kv_identity_root(const struct cupool_kv_identity *identity,
                            const struct cupool_kv_scope *scope, struct cupool_kv_hash *ret_root)
{
    static const struct cupool_kv_scope nothing;
    struct hasher hasher;

    if (!identity_valid(identity) || !ret_root)
        return -EINVAL;
    if (!scope)
        scope = &nothing;
    if (!scope->salt && scope->salt_bytes > 0)
        return -EINVAL;
    uint32_t head[2] = {identity->method, identity->block_tokens};
    uint8_t has_adapter = scope->adapter != NULL;
    hasher_begin(&hasher, identity);
    text_add(&hasher, TAG, sizeof(TAG) - 1);
    hasher_add(&hasher, head, sizeof(head));
    text_add(&hasher, scope->salt ? scope->salt : "", scope->salt_bytes);
    hasher_add(&hasher, &has_adapter, 1);
    if (has_adapter) {
        text_add(&hasher, scope->adapter, strlen(scope->adapter));
        hasher_add(&hasher, &scope->adapter_generation, sizeof(scope->adapter_generation));
    }
    hasher_end(&hasher, ret_root);
    return 0;
}

static bool media_overlaps(const struct cupool_kv_media *media, int64_t first, int64_t end)
{
    return media->offset < end && media->offset + (int64_t)media->tokens > first;
}

/* Visits every item that the block sees, with its position relative to the block: negative if
 * it began before. */
static void media_add(struct hasher *hasher, const struct cupool_kv_scope *scope, int64_t first,
                      size_t tokens)
{
    uint64_t count = 0;

    for (size_t at = 0; at < scope->media_count; at++)
        count += media_overlaps(&scope->media[at], first, first + (int64_t)tokens);
    hasher_add(hasher, &count, sizeof(count));
    for (size_t at = 0; at < scope->media_count; at++) {
        const struct cupool_kv_media *media = &scope->media[at];
        int64_t offset = media->offset - first;

        if (!media_overlaps(media, first, first + (int64_t)tokens))
            continue;
        hasher_add(hasher, media->digest, sizeof(media->digest));
        hasher_add(hasher, &offset, sizeof(offset));
        hasher_add(hasher, &media->tokens, sizeof(media->tokens));
    }
}

static bool media_seen(const struct cupool_kv_scope *scope, int64_t first, size_t tokens)
{
    for (size_t at = 0; scope && at < scope->media_count; at++)
        if (media_overlaps(&scope->media[at], first, first + (int64_t)tokens))
            return true;
    return false;
}

/* The common case in one piece. */
static void block_plain(const struct cupool_kv_identity *identity,
                        const struct cupool_kv_hash *parent, const int32_t *tokens, size_t count,
                        struct cupool_kv_hash *ret_hash)
{
    struct {
        struct cupool_kv_hash parent;
        int32_t tokens[TOKENS_ON_STACK];
    } input;
    size_t bytes = sizeof(input.parent) + count * sizeof(*tokens);

    input.parent = *parent;
    memcpy(input.tokens, tokens, count * sizeof(*tokens));
    if (identity->method == CUPOOL_KV_SHA256) {
        SHA256_CTX sha;

        SHA256_Init(&sha);
        SHA256_Update(&sha, &input, bytes);
        SHA256_Final(ret_hash->bytes, &sha);
        return;
    }
    XXH128_hash_t low = XXH3_128bits_withSeed(&input, bytes, identity->secret);
    XXH128_hash_t high = XXH3_128bits_withSeed(&input, bytes, identity->secret ^ XXH_CHECK_SALT);
    memcpy(ret_hash->bytes, &low, 16);
    memcpy(ret_hash->bytes + 16, &high, 16);
}

static void block_hash(const struct cupool_kv_identity *identity,
                       const struct cupool_kv_scope *scope, const struct cupool_kv_hash *parent,
                       const int32_t *tokens, int64_t first, size_t count,
                       struct cupool_kv_hash *ret_hash)
{
    struct cupool_kv_hash before = *parent;
    struct hasher hasher;
    bool media = media_seen(scope, first, count);

    if (!media && count <= TOKENS_ON_STACK) {
        block_plain(identity, &before, tokens, count, ret_hash);
        return;
    }
    hasher_begin(&hasher, identity);
    hasher_add(&hasher, &before, sizeof(before));
    hasher_add(&hasher, tokens, count * sizeof(*tokens));
    if (media)
        media_add(&hasher, scope, first, count);
    hasher_end(&hasher, ret_hash);
}

static bool scope_valid(const struct cupool_kv_scope *scope)
{
    if (!scope || scope->media_count == 0)
        return true;
    if (!scope->media)
        return false;
    for (size_t at = 0; at < scope->media_count; at++)
        if (scope->media[at].offset > INT64_MAX - UINT32_MAX)
            return false;
    return true;
}

int cupool_kv_identity_blocks(const struct cupool_kv_identity *identity,
                              const struct cupool_kv_scope *scope,
                              const struct cupool_kv_hash *parent, const int32_t *tokens,
                              uint64_t first_token, size_t count, struct cupool_kv_hash *ret_hashes)
{
    uint32_t size;

    if (!identity_valid(identity) || !scope_valid(scope) || !parent ||
        (count > 0 && (!tokens || !ret_hashes)) || first_token > INT64_MAX / 2 ||
        first_token % identity->block_tokens != 0)
        return -EINVAL;
    size = identity->block_tokens;
    for (size_t block = 0; block < count; block++) {
        block_hash(identity, scope, parent, tokens + block * size,
                   (int64_t)(first_token + block * size), size, &ret_hashes[block]);
        parent = &ret_hashes[block];
    }
    return 0;
}

int cupool_kv_identity_partial(const struct cupool_kv_identity *identity,
                               const struct cupool_kv_scope *scope,
                               const struct cupool_kv_hash *parent, const int32_t *tokens,
                               uint64_t first_token, size_t tokens_count,
                               struct cupool_kv_hash *ret_hash)
{
    struct hasher hasher;
    struct cupool_kv_hash apart; /* no whole block has this parent */
    uint64_t length = tokens_count;

    if (!identity_valid(identity) || !scope_valid(scope) || !parent || !tokens || !ret_hash ||
        first_token > INT64_MAX / 2 || first_token % identity->block_tokens != 0 ||
        tokens_count == 0 || tokens_count >= identity->block_tokens)
        return -EINVAL;
    for (size_t at = 0; at < sizeof(apart.bytes); at++)
        apart.bytes[at] = (uint8_t)~parent->bytes[at];
    hasher_begin(&hasher, identity);
    hasher_add(&hasher, &apart, sizeof(apart));
    hasher_add(&hasher, &length, sizeof(length));
    hasher_add(&hasher, tokens, tokens_count * sizeof(*tokens));
    if (media_seen(scope, (int64_t)first_token, tokens_count))
        media_add(&hasher, scope, (int64_t)first_token, tokens_count);
    hasher_end(&hasher, ret_hash);
    return 0;
}

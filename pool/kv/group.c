/* SPDX-License-Identifier: MIT */
/*
 * One sequence in several pools: a hit needs all of them.
 *
 * Hashes cover blocks of the smallest size; the key of a larger block is the hash at its end, which
 * covers everything before it. A windowed pool needs only the blocks that the next token can see,
 * so its hits are searched backward from the end of a prefix. A first look chooses the prefix; then
 * the references are taken. If a block was lost meanwhile, a shorter prefix is tried.
 */
#include <errno.h>

#include "pool/kv/kv.h"

static int members_validate(const struct cupool_kv_member *members, uint32_t count,
                            uint32_t *ret_least, uint32_t *ret_most)
{
    uint32_t least = UINT32_MAX, most = 0;

    if (!members || count == 0 || count > 64)
        return -EINVAL;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t tokens = members[at].pool->config.block_tokens;

        least = tokens < least ? tokens : least;
        most = tokens > most ? tokens : most;
    }
    if (least == 0) /* no pool has blocks of no tokens */
        return -EINVAL;
    for (uint32_t at = 0; at < count; at++)
        if (members[at].pool->config.block_tokens % least != 0 ||
            most % members[at].pool->config.block_tokens != 0)
            return -EINVAL;
    *ret_least = least;
    *ret_most = most;
    return 0;
}

/* Returns the first block of the pool that the token after `tokens` sees. */
static uint64_t window_first(const struct cupool_kv_member *member, uint64_t tokens)
{
    if (member->window == 0 || tokens + 1 <= member->window)
        return 0;
    return (tokens + 1 - member->window) / member->pool->config.block_tokens;
}

static bool block_here(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint64_t block,
                       uint32_t fine)
{
    uint32_t matched = 0;

    return cupool_kv_peek(pool, &hashes[(block + 1) * fine - 1], 1, &matched) == 0 && matched == 1;
}

/* Tokens of the prefix that a full pool has. */
static uint64_t prefix_full(const struct cupool_kv_member *member,
                            const struct cupool_kv_hash *hashes, uint64_t tokens, uint32_t fine)
{
    uint32_t size = member->pool->config.block_tokens;
    uint64_t block = 0;

    while ((block + 1) * size <= tokens && block_here(member->pool, hashes, block, fine))
        block++;
    return block * size;
}

static bool window_here(const struct cupool_kv_member *member, const struct cupool_kv_hash *hashes,
                        uint64_t tokens, uint32_t fine)
{
    uint32_t size = member->pool->config.block_tokens;

    for (uint64_t block = tokens / size, first = window_first(member, tokens); block > first;
         block--)
        if (!block_here(member->pool, hashes, block - 1, fine))
            return false;
    return true;
}

static uint64_t prefix_choose(const struct cupool_kv_member *members, uint32_t count,
                              const struct cupool_kv_hash *hashes, uint64_t tokens, uint32_t least,
                              uint32_t most)
{
    for (uint32_t at = 0; at < count; at++)
        if (members[at].window == 0)
            tokens = prefix_full(&members[at], hashes, tokens,
                                 members[at].pool->config.block_tokens / least);
    for (tokens -= tokens % most; tokens > 0; tokens -= most) {
        bool all = true;

        for (uint32_t at = 0; at < count && all; at++)
            all = members[at].window == 0 ||
                  window_here(&members[at], hashes, tokens,
                              members[at].pool->config.block_tokens / least);
        if (all)
            break;
    }
    return tokens;
}

static void member_release(const struct cupool_kv_member *member, cupool_kv_handle *handles,
                           uint64_t count)
{
    for (; count > 0; count--)
        if (handles[count - 1] != 0)
            kv_release_one(member->pool, handles[count - 1], CUPOOL_STREAM_NONE);
}

/* Takes references to one member's blocks of the prefix; all or none. */
static bool member_take(const struct cupool_kv_member *member, const struct cupool_kv_hash *hashes,
                        uint64_t tokens, uint32_t fine, cupool_kv_handle *ret_handles)
{
    uint64_t blocks = tokens / member->pool->config.block_tokens;
    uint64_t first = window_first(member, tokens);

    for (uint64_t block = 0; block < blocks; block++) {
        uint32_t matched = 0;

        ret_handles[block] = 0;
        if (block < first)
            continue;
        if (cupool_kv_match(member->pool, &hashes[(block + 1) * fine - 1], 1, &ret_handles[block],
                            &matched) < 0 ||
            matched == 0) {
            ret_handles[block] = 0;
            member_release(member, ret_handles, block);
            return false;
        }
    }
    return true;
}

int cupool_kv_match_group(const struct cupool_kv_member *members, uint32_t member_count,
                          const struct cupool_kv_hash *hashes, uint32_t count,
                          cupool_kv_handle *const *ret_handles, uint32_t *ret_tokens)
{
    uint32_t least, most;
    int error = members_validate(members, member_count, &least, &most);

    if (error < 0 || !ret_tokens || (count > 0 && !hashes))
        return -EINVAL;
    uint64_t tokens = (uint64_t)count * least;
    for (;;) {
        tokens = prefix_choose(members, member_count, hashes, tokens, least, most);
        uint32_t taken = 0;
        for (; ret_handles && taken < member_count; taken++)
            if (!member_take(&members[taken], hashes, tokens,
                             members[taken].pool->config.block_tokens / least, ret_handles[taken]))
                break;
        if (!ret_handles || taken == member_count)
            break;
        while (taken-- > 0)
            member_release(&members[taken], ret_handles[taken],
                           tokens / members[taken].pool->config.block_tokens);
    }
    *ret_tokens = (uint32_t)tokens;
    return 0;
}

/* Whether a hit that ends at `boundary` needs the block that ends at `end`: its next token sees it.
 */
static bool tail_needs(uint64_t boundary, uint64_t end, uint32_t window)
{
    return boundary >= end && (window == 0 || end + window > boundary + 1);
}

int cupool_kv_window_tail(uint32_t block_tokens, uint32_t window, int64_t alignment,
                          int64_t retention, uint64_t tokens, uint32_t *positions, uint32_t room,
                          uint32_t *ret_count)
{
    uint32_t count = 0;

    if (block_tokens == 0 || alignment <= 0 || retention <= 0 || retention % alignment != 0 ||
        alignment % block_tokens != 0 || (room > 0 && !positions) || !ret_count)
        return -EINVAL;
    /* Where hits end: for a request that continues, and for the same request again, which must
     * compute the last token. */
    uint64_t last = tokens - tokens % (uint64_t)alignment;
    uint64_t again = tokens > 0 ? tokens - 1 - (tokens - 1) % (uint64_t)alignment : 0;
    for (uint64_t block = 0; (block + 1) * block_tokens <= tokens; block++) {
        uint64_t end = (block + 1) * block_tokens, every = (uint64_t)retention;
        uint64_t kept = (end + every - 1) / every * every;

        if (!(kept <= tokens && tail_needs(kept, end, window)) && !tail_needs(last, end, window) &&
            !tail_needs(again, end, window))
            continue;
        if (count < room)
            positions[count] = (uint32_t)block;
        count++;
    }
    *ret_count = count;
    return count > room ? -ENOBUFS : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Operations on the tokens of a sequence: match, append, commit, fork, truncate.
 *
 * Blocks are taken for all pools of the set or for none. A block that others see, or that is
 * registered, is copied before a token is written into it.
 */
#include <string.h>

#include "pool/kv/sequence_set.h"

static uint32_t blocks_for(uint64_t tokens, uint32_t block_tokens)
{
    return (uint32_t)((tokens + block_tokens - 1) / block_tokens);
}

/* Releases blocks that were taken since `before` and not used. */
static void blocks_restore(struct cupool_sequences *set, struct sequence_slot *slot,
                           const uint32_t *before)
{
    for (uint32_t member = 0; member < set->member_count; member++) {
        set_blocks_release(set, slot, member, before[member], slot->blocks[member],
                           CUPOOL_STREAM_NONE);
        set_table_write(set, slot, member, before[member], slot->blocks[member]);
        slot->blocks[member] = before[member];
    }
}

/* Takes blocks for `tokens` tokens in every pool. All or none. */
static int blocks_take(struct cupool_sequences *set, struct sequence_slot *slot, uint64_t tokens,
                       cupool_stream stream)
{
    uint32_t before[SET_MEMBERS], member = 0;
    int error = 0;

    memcpy(before, slot->blocks, sizeof(before));
    for (; member < set->member_count; member++) {
        uint32_t have = slot->blocks[member];
        uint32_t need = blocks_for(tokens, set->members[member].block_tokens);

        if (need <= have)
            continue;
        error = cupool_kv_allocate(set->members[member].pool, need - have, stream,
                                   set_handles(set, slot, member) + have);
        if (error < 0)
            break;
        slot->blocks[member] = need;
        set_table_write(set, slot, member, have, need);
    }
    if (error == 0)
        return 0;
    blocks_restore(set, slot, before);
    return set_fail(set, error, "not enough blocks");
}

/* What is announced for a block that a row gives up may read the row, too. */
static void readers_note(struct set_member *m, uint32_t row, cupool_kv_handle handle)
{
    m->row_readers[row] = kv_serials_join(m->pool, m->row_readers[row],
                                          kv_block_serial(m->pool, handle));
}

/* The block that the next token goes into, if it already holds some, must belong to the
 * sequence alone. */
static int last_make_writable(struct cupool_sequences *set, struct sequence_slot *slot,
                              cupool_stream stream)
{
    for (uint32_t member = 0; member < set->member_count; member++) {
        struct set_member *m = &set->members[member];
        uint32_t block = slot->length / m->block_tokens;
        cupool_kv_handle *handle = &set_handles(set, slot, member)[block], own;

        if (slot->length % m->block_tokens == 0)
            continue;
        int error = cupool_kv_make_writable(m->pool, *handle, stream, &own);
        if (error < 0)
            return set_fail(set, error, "no block for copy-on-write");
        if (own == *handle)
            continue;
        readers_note(m, set_index(set, slot), *handle);
        *handle = own;
        if (slot->registered[member] > block)
            slot->registered[member] = block;
        set_table_write(set, slot, member, block, block + 1);
        pthread_mutex_lock(&set->lock);
        set->stats.copies++;
        pthread_mutex_unlock(&set->lock);
    }
    return 0;
}

/* Hashes of blocks that have become full. */
static void hashes_extend(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t blocks)
{
    struct cupool_kv_hash *hashes = set_hashes(set, slot);
    uint32_t size = set->identity.block_tokens;

    if (blocks <= slot->hashed)
        return;
    cupool_kv_identity_blocks(
        &set->identity, &slot->scope, slot->hashed > 0 ? &hashes[slot->hashed - 1] : &slot->root,
        set_tokens(set, slot) + (size_t)slot->hashed * size, (uint64_t)slot->hashed * size,
        blocks - slot->hashed, &hashes[slot->hashed]);
    slot->hashed = blocks;
}

/* Registers blocks [from, to) of one pool, one call for each run of adjacent hashes. */
static int blocks_register(struct cupool_sequences *set, struct sequence_slot *slot,
                           uint32_t member, uint32_t from, uint32_t to, cupool_stream stream)
{
    struct set_member *m = &set->members[member];
    struct cupool_kv_hash *hashes = set_hashes(set, slot);
    cupool_kv_handle *handles = set_handles(set, slot, member);
    uint32_t step = m->fine == 1 ? to - from : 1;
    int error = 0;

    for (uint32_t at = from; at < to && error == 0; at += step) {
        uint32_t fine = at * m->fine;

        error = cupool_kv_register(m->pool, handles + at, &hashes[fine + m->fine - 1], step,
                                   fine > 0 ? &hashes[fine - 1] : NULL, set->config.duplicates,
                                   stream, handles + at);
        if (error == 0)
            slot->registered[member] = at + step;
    }
    return error;
}

int cupool_sequence_commit(struct cupool_sequences *set, cupool_sequence sequence,
                           cupool_stream stream)
{
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    hashes_extend(set, slot, slot->length / set->identity.block_tokens);
    for (uint32_t member = 0; member < set->member_count; member++) {
        struct set_member *m = &set->members[member];
        uint32_t from = slot->registered[member], to = slot->length / m->block_tokens;

        if (from < slot->first[member])
            from = slot->first[member];
        if (from >= to || (slot->flags & CUPOOL_SEQUENCE_NO_CACHE))
            continue;
        error = cupool_kv_complete(m->pool, set_handles(set, slot, member) + from, to - from);
        if (error == 0)
            error = blocks_register(set, slot, member, from, to, stream);
        set_table_write(set, slot, member, from, to);
        if (error < 0)
            return set_fail(set, error, "blocks could not be registered");
    }
    slot->committed = slot->length;
    return 0;
}

int cupool_sequence_append(struct cupool_sequences *set, cupool_sequence sequence,
                           const int32_t *tokens, uint32_t count, cupool_stream stream)
{
    uint32_t before[SET_MEMBERS];
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if (count > 0 && !tokens)
        return set_fail(set, -EINVAL, "an array argument is NULL");
    if (count > set->config.max_tokens - slot->length)
        return set_fail(set, -EOVERFLOW, "more tokens than max_tokens");
    if (slot->committed < slot->length)
        error = cupool_sequence_commit(set, sequence, stream);
    else
        error = 0;
    if (error < 0 || count == 0)
        return error;
    memcpy(before, slot->blocks, sizeof(before));
    error = blocks_take(set, slot, (uint64_t)slot->length + count, stream);
    if (error < 0)
        return error;
    error = last_make_writable(set, slot, stream);
    if (error < 0) {
        blocks_restore(set, slot, before);
        return error;
    }
    memcpy(set_tokens(set, slot) + slot->length, tokens, count * sizeof(*tokens));
    slot->length += count;
    set_slot_tell(set, slot);
    hashes_extend(set, slot, slot->length / set->identity.block_tokens);
    return 0;
}

int cupool_sequence_reserve(struct cupool_sequences *set, cupool_sequence sequence, uint32_t count,
                            cupool_stream stream)
{
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if (count > set->config.max_tokens - slot->length)
        return set_fail(set, -EOVERFLOW, "more tokens than max_tokens");
    error = last_make_writable(set, slot, stream);
    if (error == 0)
        error = blocks_take(set, slot, (uint64_t)slot->length + count, stream);
    set_slot_tell(set, slot);
    return error;
}

/* Takes the prefix of whole blocks that every pool has. */
static int prefix_take(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t fine,
                       uint32_t *ret_tokens)
{
    struct set_member *only = &set->members[0];
    struct cupool_kv_member members[SET_MEMBERS];
    cupool_kv_handle *handles[SET_MEMBERS];
    uint32_t matched = 0;

    if (set->member_count == 1 && only->window == 0) {
        int error = cupool_kv_match(only->pool, set_hashes(set, slot), fine,
                                    set_handles(set, slot, 0), &matched);

        *ret_tokens = matched * only->block_tokens;
        return error;
    }
    for (uint32_t at = 0; at < set->member_count; at++) {
        members[at] = (struct cupool_kv_member){set->members[at].pool, set->members[at].window};
        handles[at] = set_handles(set, slot, at);
    }
    return cupool_kv_match_group(members, set->member_count, set_hashes(set, slot), fine, handles,
                                 ret_tokens);
}

/* The blocks of a matched prefix become the sequence's. */
static int prefix_enter(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t tokens,
                        cupool_stream stream)
{
    int error = 0;

    for (uint32_t member = 0; member < set->member_count; member++) {
        cupool_kv_handle *handles = set_handles(set, slot, member);
        uint32_t blocks = tokens / set->members[member].block_tokens, first = 0;

        while (first < blocks && handles[first] == 0)
            first++;
        slot->first[member] = first;
        slot->blocks[member] = slot->registered[member] = blocks;
        set_table_write(set, slot, member, 0, blocks);
        if (error == 0 && stream != CUPOOL_STREAM_NONE)
            error = cupool_kv_stream_order(set->members[member].pool, handles + first,
                                           blocks - first, stream);
    }
    slot->length = slot->committed = tokens;
    slot->hashed = tokens / set->identity.block_tokens;
    return error;
}

/* Gives a matched prefix back: the stream cannot be ordered behind it. */
static void prefix_leave(struct cupool_sequences *set, struct sequence_slot *slot)
{
    for (uint32_t member = 0; member < set->member_count; member++) {
        uint32_t blocks = slot->blocks[member];

        set_blocks_release(set, slot, member, 0, blocks, CUPOOL_STREAM_NONE);
        set_table_write(set, slot, member, 0, blocks);
        slot->blocks[member] = slot->first[member] = slot->registered[member] = 0;
    }
    slot->length = slot->committed = slot->hashed = 0;
}

/* Matches some tokens of one more block, from a sequence that ended there: copies its block. */
static void partial_take(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t most,
                         cupool_stream stream)
{
    struct cupool_kv *pool = set->members[0].pool;
    uint32_t size = set->identity.block_tokens, block = slot->length / size;
    struct cupool_kv_hash *hashes = set_hashes(set, slot), hash;
    cupool_kv_handle handle, own;

    for (uint32_t count = most < size - 1 ? most : size - 1; count > 0; count--) {
        uint32_t matched = 0;

        cupool_kv_identity_partial(
            &set->identity, &slot->scope, block > 0 ? &hashes[block - 1] : &slot->root,
            set_tokens(set, slot) + slot->length, slot->length, count, &hash);
        if (cupool_kv_peek(pool, &hash, 1, &matched) < 0 || matched == 0 ||
            cupool_kv_match(pool, &hash, 1, &handle, &matched) < 0 || matched == 0)
            continue;
        if (cupool_kv_make_writable(pool, handle, stream, &own) < 0) {
            cupool_kv_release(pool, &handle, 1, CUPOOL_STREAM_NONE);
            return;
        }
        set_handles(set, slot, 0)[block] = own;
        slot->blocks[0] = block + 1;
        slot->length += count;
        slot->committed = slot->length;
        set_table_write(set, slot, 0, block, block + 1);
        return;
    }
}

int cupool_sequence_match(struct cupool_sequences *set, cupool_sequence sequence,
                          const int32_t *tokens, uint32_t count, cupool_stream stream,
                          uint32_t *ret_matched)
{
    uint32_t matched = 0;
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if ((count > 0 && !tokens) || !ret_matched || slot->length > 0 ||
        count > set->config.max_tokens)
        return set_fail(set, -EINVAL, "the sequence already has tokens, or there are too many");
    if (count < 2 || (slot->flags & CUPOOL_SEQUENCE_NO_MATCH)) {
        *ret_matched = 0;
        return 0;
    }
    /* Replaces reserved blocks by matched ones. */
    for (uint32_t member = 0; member < set->member_count; member++) {
        error = set_blocks_release(set, slot, member, 0, slot->blocks[member], stream);
        if (error < 0)
            return error;
        slot->blocks[member] = 0;
    }
    memcpy(set_tokens(set, slot), tokens, count * sizeof(*tokens));
    slot->hashed = 0;
    uint32_t fine = (count - 1) / set->identity.block_tokens;
    hashes_extend(set, slot, fine);
    error = prefix_take(set, slot, fine, &matched);
    if (error == 0) {
        error = prefix_enter(set, slot, matched, stream);
        if (error < 0)
            prefix_leave(set, slot);
    }
    if (error == 0 && set->config.partial && set->member_count == 1)
        partial_take(set, slot, count - 1 - matched, stream);
    set_slot_tell(set, slot);
    if (error < 0)
        return set_fail(set, error, "the prefix could not be matched");
    pthread_mutex_lock(&set->lock);
    set->stats.matched_tokens += slot->length;
    pthread_mutex_unlock(&set->lock);
    *ret_matched = slot->length;
    return 0;
}

/* References for a second owner. All or none. */
static int blocks_share(struct cupool_sequences *set, struct sequence_slot *slot,
                        struct sequence_slot *child)
{
    uint32_t member = 0;
    int error = 0;

    for (; member < set->member_count; member++) {
        uint32_t first = slot->first[member];
        uint32_t blocks = blocks_for(slot->length, set->members[member].block_tokens);
        cupool_kv_handle *from = set_handles(set, slot, member);
        cupool_kv_handle *to = set_handles(set, child, member);

        error = cupool_kv_retain(set->members[member].pool, from + first, blocks - first);
        if (error < 0)
            break;
        memcpy(to, from, blocks * sizeof(*to));
        child->first[member] = first;
        child->blocks[member] = blocks;
        child->registered[member] = slot->registered[member] < blocks ? slot->registered[member]
                                                                      : blocks;
        set_table_write(set, child, member, 0, blocks);
    }
    while (error < 0 && member-- > 0)
        set_blocks_release(set, child, member, 0, child->blocks[member], CUPOOL_STREAM_NONE);
    return error;
}

int cupool_sequence_fork(struct cupool_sequences *set, cupool_sequence sequence,
                         cupool_stream stream, cupool_sequence *ret_child)
{
    struct sequence_slot *child;
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    error = set_slot_take(set, &child);
    if (error < 0)
        return error;
    error = blocks_share(set, slot, child);
    if (error < 0) {
        set_slot_give(set, child);
        return set_fail(set, error, "a block of the sequence was evicted");
    }
    child->flags = slot->flags;
    child->length = slot->length;
    child->committed = slot->committed;
    child->hashed = slot->hashed;
    child->root = slot->root;
    child->scope = slot->scope;
    set_slot_tell(set, child);
    memcpy(set_tokens(set, child), set_tokens(set, slot), slot->length * sizeof(int32_t));
    memcpy(set_hashes(set, child), set_hashes(set, slot),
           slot->hashed * sizeof(struct cupool_kv_hash));
    pthread_mutex_lock(&set->lock);
    set->stats.forks++;
    pthread_mutex_unlock(&set->lock);
    *ret_child = set_name(set, child);
    return 0;
}

int cupool_sequence_truncate(struct cupool_sequences *set, cupool_sequence sequence,
                             uint32_t tokens, cupool_stream stream)
{
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if (tokens > slot->length)
        return set_fail(set, -EINVAL, "a sequence cannot be truncated to more tokens than it has");
    for (uint32_t member = 0; member < set->member_count; member++)
        if (slot->first[member] > 0 &&
            blocks_for(tokens, set->members[member].block_tokens) <= slot->first[member])
            return set_fail(set, -EINVAL, "the window has moved past this position");
    error = 0;
    for (uint32_t member = 0; member < set->member_count; member++) {
        uint32_t size = set->members[member].block_tokens, keep = blocks_for(tokens, size);

        if (keep < slot->blocks[member]) {
            error = set_blocks_release(set, slot, member, keep, slot->blocks[member], stream);
            if (error < 0)
                return error;
            set_table_write(set, slot, member, keep, slot->blocks[member]);
            slot->blocks[member] = keep;
        }
        if (slot->registered[member] > tokens / size)
            slot->registered[member] = tokens / size;
    }
    slot->length = tokens;
    set_slot_tell(set, slot);
    slot->committed = slot->committed < tokens ? slot->committed : tokens;
    if (slot->hashed > tokens / set->identity.block_tokens)
        slot->hashed = tokens / set->identity.block_tokens;
    return 0;
}

int cupool_sequence_slide(struct cupool_sequences *set, cupool_sequence sequence, uint32_t window,
                          cupool_stream stream)
{
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    for (uint32_t member = 0; member < set->member_count; member++) {
        struct set_member *m = &set->members[member];
        uint32_t seen = window != 0 ? window : m->window;

        if (seen == 0 || slot->length + 1 <= seen)
            continue;
        uint32_t first = (slot->length + 1 - seen) / m->block_tokens;
        uint32_t before = slot->first[member];
        if (first > slot->blocks[member])
            first = slot->blocks[member];
        if (first <= before)
            continue;
        error = set_blocks_release(set, slot, member, before, first, stream);
        if (error < 0)
            return error;
        slot->first[member] = first;
        if (slot->registered[member] < first)
            slot->registered[member] = first;
        set_table_write(set, slot, member, before, first);
        set_slot_tell(set, slot);
    }
    return 0;
}

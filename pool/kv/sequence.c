/* SPDX-License-Identifier: MIT */
/*
 * Sets of sequences: creation and destruction, slots, queries about a sequence.
 */
#include <string.h>

#include "pool/kv/sequence_set.h"

void cupool_sequences_config_init(struct cupool_sequences_config *config)
{
    *config = (struct cupool_sequences_config){
        .sequences = 64, .max_tokens = 4096, .duplicates = CUPOOL_KV_ANSWER_FIRST};
}

const char *cupool_sequences_error(const struct cupool_sequences *set)
{
    const char *text = atomic_load(&set->error);

    return text ? text : "";
}

int set_fail(struct cupool_sequences *set, int error, const char *text)
{
    atomic_store(&set->error, text);
    return error;
}

struct sequence_slot *set_slot(struct cupool_sequences *set, cupool_sequence sequence,
                               int *ret_error)
{
    uint32_t at = (uint32_t)sequence;

    *ret_error = -EINVAL;
    if (at >= set->config.sequences || sequence >> 32 == 0)
        goto refuse;
    *ret_error = -ESTALE;
    /* Odd generations are live ones. */
    if (atomic_load(&set->slots[at].generation) == sequence >> 32 && (sequence >> 32 & 1))
        return &set->slots[at];
refuse:
    set_fail(set, *ret_error, "the sequence has ended or is not of this set");
    return NULL;
}

cupool_sequence set_name(const struct cupool_sequences *set, const struct sequence_slot *slot)
{
    return (uint64_t)atomic_load(&slot->generation) << 32 | set_index(set, slot);
}

int set_slot_take(struct cupool_sequences *set, struct sequence_slot **ret_slot)
{
    int error = -ENOBUFS;

    pthread_mutex_lock(&set->lock);
    if (set->free_first != KV_NONE) {
        struct sequence_slot *slot = &set->slots[set->free_first];

        set->free_first = slot->next_free;
        slot->flags = slot->length = slot->committed = slot->hashed = 0;
        memset(slot->blocks, 0, sizeof(slot->blocks));
        memset(slot->registered, 0, sizeof(slot->registered));
        memset(slot->first, 0, sizeof(slot->first));
        set_slot_tell(set, slot);
        atomic_fetch_add(&slot->generation, 1);
        slot->live = true;
        set->stats.live++;
        set->stats.created++;
        *ret_slot = slot;
        error = 0;
    }
    pthread_mutex_unlock(&set->lock);
    return error < 0 ? set_fail(set, error, "all slots of the set are in use") : 0;
}

void set_slot_give(struct cupool_sequences *set, struct sequence_slot *slot)
{
    atomic_fetch_add(&slot->generation, 1);
    pthread_mutex_lock(&set->lock);
    slot->live = false;
    slot->next_free = set->free_first;
    set->free_first = set_index(set, slot);
    set->stats.live--;
    pthread_mutex_unlock(&set->lock);
}

/* Validates sizes of blocks and windows; the identity uses the smallest. */
static int members_init(struct cupool_sequences *set, const struct cupool_kv_member *members)
{
    uint32_t least = UINT32_MAX;

    for (uint32_t at = 0; at < set->member_count; at++) {
        uint32_t tokens = members[at].pool->config.block_tokens;

        least = tokens < least ? tokens : least;
        set->coarsest = tokens > set->coarsest ? tokens : set->coarsest;
    }
    for (uint32_t at = 0; at < set->member_count; at++) {
        struct set_member *member = &set->members[at];

        member->pool = members[at].pool;
        member->window = members[at].window;
        member->block_tokens = member->pool->config.block_tokens;
        if (member->block_tokens % least != 0 || set->coarsest % member->block_tokens != 0)
            return -EINVAL;
        member->fine = member->block_tokens / least;
        member->row_blocks = (set->config.max_tokens + member->block_tokens - 1) /
                             member->block_tokens;
    }
    set->identity = (struct cupool_kv_identity){
        .method = set->config.method, .block_tokens = least, .secret = set->config.secret};
    set->fine_blocks = set->config.max_tokens / least + 1;
    return 0;
}

static int arrays_init(struct cupool_sequences *set)
{
    size_t slots = set->config.sequences;

    set->slots = kv_heap_allocate(&set->heap, slots, sizeof(*set->slots));
    set->tokens = kv_heap_allocate(&set->heap, slots * set->config.max_tokens, sizeof(int32_t));
    set->hashes = kv_heap_allocate(&set->heap, slots * set->fine_blocks,
                                   sizeof(struct cupool_kv_hash));
    if (!set->slots || !set->tokens || !set->hashes)
        return -ENOMEM;
    for (uint32_t at = 0; at < set->config.sequences; at++)
        set->slots[at].next_free = at + 1 < set->config.sequences ? at + 1 : KV_NONE;
    for (uint32_t at = 0; at < set->member_count; at++) {
        struct set_member *member = &set->members[at];

        member->handles = kv_heap_allocate(&set->heap, slots * member->row_blocks,
                                           sizeof(*member->handles));
        member->table = kv_heap_allocate(&set->heap, slots * member->row_blocks,
                                         sizeof(*member->table));
        member->row_readers = kv_heap_allocate(&set->heap, slots, sizeof(*member->row_readers));
        if (!member->handles || !member->table || !member->row_readers)
            return -ENOMEM;
        int error = set_tables_init(set, member);
        if (error < 0)
            return error;
    }
    return 0;
}

int cupool_sequences_create(const struct cupool_kv_member *members, uint32_t count,
                            const struct cupool_sequences_config *config,
                            struct cupool_sequences **ret_set)
{
    struct kv_heap heap = {.count = 0};
    struct cupool_sequences *set;
    int error;

    if (!members || count == 0 || count > SET_MEMBERS || !config || !ret_set ||
        config->sequences == 0 || config->sequences > 1u << 24 || config->max_tokens == 0 ||
        config->max_tokens > 1u << 30 || config->method > CUPOOL_KV_XXH3)
        return -EINVAL;
    set = kv_heap_allocate(&heap, 1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->heap = heap;
    set->config = *config;
    set->member_count = count;
    pthread_mutex_init(&set->lock, NULL);
    error = members_init(set, members);
    if (error == 0)
        error = arrays_init(set);
    if (error < 0) {
        cupool_sequences_destroy(set);
        return error;
    }
    *ret_set = set;
    return 0;
}

void cupool_sequences_destroy(struct cupool_sequences *set)
{
    if (!set)
        return;
    for (uint32_t at = 0; set->slots && at < set->config.sequences; at++)
        if (set->slots[at].live)
            cupool_sequence_remove(set, set_name(set, &set->slots[at]), CUPOOL_STREAM_NONE);
    for (uint32_t at = 0; at < set->member_count; at++)
        set_tables_done(set, &set->members[at]);
    pthread_mutex_destroy(&set->lock);
    struct kv_heap heap = set->heap;
    kv_heap_done(&heap);
}

int cupool_sequence_create(struct cupool_sequences *set, const struct cupool_kv_scope *scope,
                           unsigned flags, cupool_sequence *ret_sequence)
{
    struct sequence_slot *slot;
    struct cupool_kv_hash root;
    int error = cupool_kv_identity_root(&set->identity, scope, &root);

    if (error < 0 || (flags & ~(unsigned)(CUPOOL_SEQUENCE_NO_MATCH | CUPOOL_SEQUENCE_NO_CACHE)))
        return set_fail(set, -EINVAL, "unknown flag, or a scope without its strings");
    error = set_slot_take(set, &slot);
    if (error < 0)
        return error;
    slot->flags = flags;
    slot->root = root;
    slot->scope = (struct cupool_kv_scope){0};
    if (scope) {
        slot->scope.media = scope->media;
        slot->scope.media_count = scope->media_count;
    }
    *ret_sequence = set_name(set, slot);
    return 0;
}

int set_blocks_release(struct cupool_sequences *set, struct sequence_slot *slot, uint32_t member,
                       uint32_t from, uint32_t to, cupool_stream stream)
{
    cupool_kv_handle *handles = set_handles(set, slot, member);
    uint32_t first = from > slot->first[member] ? from : slot->first[member];

    if (first < to) {
        struct set_member *m = &set->members[member];
        uint32_t serial, *readers = &m->row_readers[set_index(set, slot)];
        int error = kv_release(m->pool, handles + first, to - first, stream, &serial);

        if (error < 0)
            return set_fail(set, error, "blocks cannot be released on this stream now");
        *readers = kv_serials_join(m->pool, *readers, serial);
    }
    for (uint32_t at = from; at < to; at++)
        handles[at] = 0;
    return 0;
}

/* The last block, if it is not full, can still be found by a sequence with the same tokens. */
static void partial_register(struct cupool_sequences *set, struct sequence_slot *slot,
                             cupool_stream stream)
{
    uint32_t size = set->identity.block_tokens, rest = slot->length % size;
    uint32_t block = slot->length / size;
    struct cupool_kv_hash *hashes = set_hashes(set, slot), hash;
    const struct cupool_kv_hash *parent = block > 0 ? &hashes[block - 1] : &slot->root;

    if (!set->config.partial || set->member_count != 1 || rest == 0 ||
        slot->committed != slot->length || (slot->flags & CUPOOL_SEQUENCE_NO_CACHE) ||
        block < slot->first[0])
        return;
    cupool_kv_identity_partial(&set->identity, &slot->scope, parent,
                               set_tokens(set, slot) + (size_t)block * size, (uint64_t)block * size,
                               rest, &hash);
    cupool_kv_register_partial(set->members[0].pool, set_handles(set, slot, 0)[block], &hash,
                               block > 0 ? parent : NULL, rest, stream);
}

int cupool_sequence_remove(struct cupool_sequences *set, cupool_sequence sequence,
                           cupool_stream stream)
{
    int error;
    struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    partial_register(set, slot, stream);
    for (uint32_t member = 0; member < set->member_count; member++) {
        error = set_blocks_release(set, slot, member, 0, slot->blocks[member], stream);
        if (error < 0)
            return error; /* -EBUSY: the sequence is there until this succeeds */
        slot->blocks[member] = slot->first[member] = slot->registered[member] = 0;
    }
    set_slot_give(set, slot);
    return 0;
}

int cupool_sequence_length(struct cupool_sequences *set, cupool_sequence sequence,
                           uint32_t *ret_tokens)
{
    int error;
    const struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    *ret_tokens = slot->length;
    return 0;
}

int cupool_sequences_stats(struct cupool_sequences *set,
                           struct cupool_sequences_statistics *ret_stats)
{
    pthread_mutex_lock(&set->lock);
    *ret_stats = set->stats;
    for (uint32_t at = 0; at < set->config.sequences; at++) {
        const struct sequence_slot *slot = &set->slots[at];

        if (!slot->live)
            continue;
        ret_stats->tokens += atomic_load(&slot->told_tokens);
        ret_stats->blocks += atomic_load(&slot->told_blocks);
    }
    pthread_mutex_unlock(&set->lock);
    return 0;
}

/* Every block of a sequence is a live handle, and the table has its number. */
static const char *slot_problem(const struct cupool_sequences *set,
                                const struct sequence_slot *slot)
{
    for (uint32_t at = 0; at < set->member_count; at++) {
        const struct set_member *member = &set->members[at];
        const cupool_kv_handle *handles = set_handles(set, slot, at);
        const int32_t *row = member->table + (size_t)set_index(set, slot) * member->row_blocks;

        if ((uint64_t)slot->blocks[at] * member->block_tokens < slot->length)
            return "a sequence has more tokens than its blocks hold";
        for (uint32_t block = slot->first[at]; block < slot->blocks[at]; block++) {
            int error;

            if (!kv_find(member->pool, handles[block], &error))
                return "a sequence names a block without a reference to it";
            if (row[block] != (int32_t)cupool_kv_id(handles[block]))
                return "the table and the sequence name different blocks";
        }
    }
    return slot->committed <= slot->length ? NULL
                                           : "more tokens are committed than the sequence has";
}

int cupool_sequences_check(struct cupool_sequences *set, char *why, size_t why_bytes)
{
    const char *problem = NULL;

    for (uint32_t at = 0; at < set->config.sequences && !problem; at++)
        if (set->slots[at].live)
            problem = slot_problem(set, &set->slots[at]);
    if (!problem)
        return 0;
    if (why_bytes > 0) {
        strncpy(why, problem, why_bytes - 1);
        why[why_bytes - 1] = '\0';
    }
    return set_fail(set, -EFAULT, problem);
}

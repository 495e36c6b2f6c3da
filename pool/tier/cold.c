/* SPDX-License-Identifier: MIT */
/*
 * A token is the leaf of the first piece, plus one. A request takes the largest pieces that it can
 * use; when no buddy has such a piece, the largest available.
 */
#include "pool/tier/cold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct piece {
    uint32_t next; /* leaf + 1; 0: the last */
    uint32_t leaves;
    uint64_t bytes; /* of the entry, from this piece on */
};

int cold_init(struct cold *cold, size_t bytes)
{
    size_t count = bytes / COLD_SEGMENT_BYTES;

    if (count == 0 || count > UINT32_MAX / SIZE_LEAVES - 1)
        return -EINVAL;
    *cold = (struct cold){.count = (uint32_t)count, .free_leaves = count * SIZE_LEAVES};
    cold->segments = calloc(count, sizeof(*cold->segments));
    if (!cold->segments)
        return -ENOMEM;
    cold->memory = mmap(NULL, count * COLD_SEGMENT_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cold->memory == MAP_FAILED) {
        free(cold->segments);
        return -ENOMEM;
    }
    for (size_t at = 0; at < count; at++)
        buddy_init(&cold->segments[at]);
    pthread_mutex_init(&cold->lock, NULL);
    return 0;
}

void cold_done(struct cold *cold)
{
    munmap(cold->memory, cold->count * COLD_SEGMENT_BYTES);
    free(cold->segments);
    pthread_mutex_destroy(&cold->lock);
}

static size_t leaves_of(size_t bytes)
{
    return (bytes + sizeof(struct piece) + COLD_LEAF_BYTES - 1) / COLD_LEAF_BYTES;
}

uint64_t cold_charge(size_t bytes)
{
    const size_t most = COLD_SEGMENT_BYTES - sizeof(struct piece);

    return bytes / most * COLD_SEGMENT_BYTES +
           (bytes % most > 0 || bytes == 0 ? leaves_of(bytes % most) * COLD_LEAF_BYTES : 0);
}

static struct piece *piece_at(const struct cold *cold, uint64_t token)
{
    return (struct piece *)(void *)(cold->memory + (token - 1) * COLD_LEAF_BYTES);
}

/* Takes a piece of at most `leaves` leaves, as large as available. Under the lock. */
static struct piece *piece_take(struct cold *cold, uint32_t leaves)
{
    uint32_t best = cold->hint;
    int best_order = -1, wanted = (int)pool_log2_ceil(leaves);

    for (uint32_t step = 0; step < cold->count && best_order < wanted; step++) {
        uint32_t at = (cold->hint + step) % cold->count;
        int order = buddy_largest_order(&cold->segments[at]);

        if (order > best_order) {
            best_order = order;
            best = at;
        }
    }
    if (best_order < 0)
        return NULL;
    if (best_order < wanted && leaves > 1u << best_order)
        leaves = 1u << best_order;
    int leaf = buddy_take(&cold->segments[best], leaves);
    if (leaf < 0)
        return NULL;
    cold->hint = best;
    cold->free_leaves -= leaves;
    struct piece *piece = piece_at(cold, (uint64_t)best * SIZE_LEAVES + (uint32_t)leaf + 1);
    *piece = (struct piece){.leaves = leaves};
    return piece;
}

static uint32_t token_of(const struct cold *cold, const struct piece *piece)
{
    return (uint32_t)((size_t)((const uint8_t *)piece - cold->memory) / COLD_LEAF_BYTES) + 1;
}

/* Gives a chain back. Under the lock. */
static void chain_give(struct cold *cold, uint64_t token)
{
    while (token != 0) {
        struct piece piece = *piece_at(cold, token);
        uint32_t leaf = (uint32_t)(token - 1);

        buddy_give(&cold->segments[leaf / SIZE_LEAVES], leaf % SIZE_LEAVES, piece.leaves);
        cold->free_leaves += piece.leaves;
        token = piece.next;
    }
}

static size_t room_of(const struct piece *piece)
{
    return piece->leaves * COLD_LEAF_BYTES - sizeof(*piece);
}

/* Takes the pieces of an entry; returns the first one's token, or 0. Under the lock. */
static uint32_t chain_take(struct cold *cold, size_t bytes)
{
    uint32_t first = 0, *link = &first;
    size_t left = bytes;

    if (leaves_of(bytes) > cold->free_leaves)
        return 0;
    do {
        size_t leaves = leaves_of(left);
        struct piece *piece = piece_take(cold,
                                         leaves < SIZE_LEAVES ? (uint32_t)leaves : SIZE_LEAVES);

        if (!piece) {
            chain_give(cold, first);
            return 0;
        }
        piece->bytes = left;
        *link = token_of(cold, piece);
        link = &piece->next;
        left -= room_of(piece) < left ? room_of(piece) : left;
    } while (left > 0);
    return first;
}

int cold_put(struct cold *cold, const void *data, size_t bytes, uint64_t *ret_token)
{
    pthread_mutex_lock(&cold->lock);
    uint32_t first = chain_take(cold, bytes);
    pthread_mutex_unlock(&cold->lock);
    if (first == 0)
        return -ENOSPC;
    for (uint32_t token = first; token != 0;) {
        struct piece *piece = piece_at(cold, token);
        size_t part = room_of(piece) < piece->bytes ? room_of(piece) : piece->bytes;

        memcpy(piece + 1, (const uint8_t *)data + (bytes - piece->bytes), part);
        token = piece->next;
    }
    *ret_token = first;
    return 0;
}

int cold_get(const struct cold *cold, uint64_t token, void *to, size_t room, size_t *ret_bytes)
{
    const uint64_t leaves = (uint64_t)cold->count * SIZE_LEAVES;
    size_t bytes, left;

    if (token == 0 || token > leaves)
        return -EBADMSG;
    bytes = left = piece_at(cold, token)->bytes;
    *ret_bytes = bytes;
    if (bytes > room)
        return -ENOSPC;
    while (token != 0) {
        if (token > leaves)
            return -EBADMSG;
        const struct piece *piece = piece_at(cold, token);
        if (piece->bytes != left || piece->leaves == 0 || piece->leaves > SIZE_LEAVES)
            return -EBADMSG;
        size_t part = room_of(piece) < left ? room_of(piece) : left;
        memcpy((uint8_t *)to + (bytes - left), piece + 1, part);
        left -= part;
        token = piece->next;
    }
    return left == 0 ? 0 : -EBADMSG;
}

void cold_free(struct cold *cold, uint64_t token)
{
    pthread_mutex_lock(&cold->lock);
    chain_give(cold, token);
    pthread_mutex_unlock(&cold->lock);
}

const char *cold_check(struct cold *cold)
{
    const char *why = NULL;
    uint64_t leaves = 0;

    pthread_mutex_lock(&cold->lock);
    for (uint32_t at = 0; at < cold->count && !why; at++) {
        why = buddy_check(&cold->segments[at]);
        leaves += cold->segments[at].free_leaves;
    }
    if (!why && leaves != cold->free_leaves)
        why = "cold: free leaves differ from those of the segments";
    pthread_mutex_unlock(&cold->lock);
    return why;
}

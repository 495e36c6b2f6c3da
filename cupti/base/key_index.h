/* SPDX-License-Identifier: MIT */
/*
 * Finds the row of a 64-bit key: open addressing under a hash with a seed.
 *
 * Keys of a trace are chosen by whoever wrote it. Without a seed a file could be made whose keys
 * all fall on one place; the seed is drawn anew in each process, so nobody can. Rows are numbered
 * by their owner, so what it prints does not depend on the seed.
 *
 * Memory comes from pages of its own, as the traced process keeps tallies too.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_BASE_KEY_INDEX_H
#define CUPTI_BASE_KEY_INDEX_H

#include <stddef.h>
#include <stdint.h>

/** Secret of a table; all 0 until it is drawn. */
struct hash_seed {
    uint64_t before, factor;
};

/** Draws a seed, another for each object. Makes no system call and leaves errno alone. */
struct hash_seed hash_seed_draw(const void *object);

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_key(const struct hash_seed *seed, uint64_t key)
{
    return hash_fold(hash_fold(key ^ seed->before, seed->factor) ^ key, seed->factor);
}

#define KEY_INDEX_NONE UINT32_MAX

struct key_entry {
    uint64_t key;
    uint64_t row; /* + 1; 0: a free place */
};

struct key_index {
    struct key_entry *entry;
    size_t room, used;
    struct hash_seed seed;
};

/** The row of a key; KEY_INDEX_NONE when it is not there. */
uint32_t key_index_find(const struct key_index *index, uint64_t key);

/**
 * The row of a key, which becomes `row` where the key is new. KEY_INDEX_NONE: out of memory.
 */
uint32_t key_index_get(struct key_index *index, uint64_t key, uint32_t row);

void key_index_done(struct key_index *index);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Finds the row of a 64-bit key: open addressing with a seeded hash.
 *
 * The writer of a trace chooses its keys. Without a seed, an attacker could make a file with keys
 * that all collide; each process draws a new seed, so nobody can. The owner numbers the rows, so
 * its output does not depend on the seed.
 *
 * Memory comes from separate pages, because the traced process also keeps tallies.
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

/** Draws a seed, different for each object. Makes no system call and preserves errno. */
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

/** Returns the row of a key; KEY_INDEX_NONE when it is not there. */
uint32_t key_index_find(const struct key_index *index, uint64_t key);

/**
 * Returns the row of a key; a new key gets `row`. KEY_INDEX_NONE: out of memory.
 */
uint32_t key_index_get(struct key_index *index, uint64_t key, uint32_t row);

void key_index_done(struct key_index *index);

#endif

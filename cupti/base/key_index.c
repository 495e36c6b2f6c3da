/* SPDX-License-Identifier: MIT */
/*
 * At least half of the places are free.
 */
#include "cupti/base/key_index.h"

#include <string.h>
#include <sys/auxv.h>

#include "cupti/base/pages.h"

#define FIRST_ROOM 128

struct hash_seed hash_seed_draw(const void *object)
{
    const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
    uint64_t drawn[2] = {0}, place = (uint64_t)(uintptr_t)object;
    uint64_t mixed;

    /* 16 random bytes from the kernel. They also guard the process's stack, so they are folded:
     * the stored seed does not reveal them. */
    if (random)
        memcpy(drawn, random, sizeof drawn);
    mixed = hash_fold(drawn[0] ^ UINT64_C(0xa0761d6478bd642f),
                      drawn[1] ^ UINT64_C(0xe7037ed1a0b428db));
    return (struct hash_seed){
        .before = hash_fold(mixed ^ place, UINT64_C(0x8ebc6af09c88c6e3)),
        .factor = hash_fold(mixed + place, UINT64_C(0x589965cc75374cc3)) | 1,
    };
}

static struct key_entry *place_of(const struct key_index *index, uint64_t key)
{
    size_t i = (size_t)hash_key(&index->seed, key) & (index->room - 1);

    while (index->entry[i].row && index->entry[i].key != key)
        i = (i + 1) & (index->room - 1);
    return &index->entry[i];
}

static int grow(struct key_index *index)
{
    struct key_index larger = {.room = index->room ? 2 * index->room : FIRST_ROOM,
                               .used = index->used,
                               .seed = index->room ? index->seed : hash_seed_draw(index)};

    larger.entry = pages_map(larger.room * sizeof *larger.entry);
    if (!larger.entry)
        return -1;
    for (size_t i = 0; i < index->room; i++)
        if (index->entry[i].row)
            *place_of(&larger, index->entry[i].key) = index->entry[i];
    key_index_done(index);
    *index = larger;
    return 0;
}

uint32_t key_index_find(const struct key_index *index, uint64_t key)
{
    return index->room ? (uint32_t)place_of(index, key)->row - 1 : KEY_INDEX_NONE;
}

uint32_t key_index_get(struct key_index *index, uint64_t key, uint32_t row)
{
    struct key_entry *entry = index->room ? place_of(index, key) : NULL;

    if (entry && entry->row)
        return (uint32_t)entry->row - 1;
    if (row == KEY_INDEX_NONE || (index->used >= index->room / 2 && grow(index) < 0))
        return KEY_INDEX_NONE;
    *place_of(index, key) = (struct key_entry){key, (uint64_t)row + 1};
    index->used++;
    return row;
}

void key_index_done(struct key_index *index)
{
    pages_unmap(index->entry, index->room * sizeof *index->entry);
    *index = (struct key_index){0};
}

/* SPDX-License-Identifier: MIT */
#include "tools/base/texts.h"

#include <stdlib.h>
#include <string.h>

static uint64_t text_hash(const struct hash_seed *seed, const char *text, size_t bytes)
{
    uint64_t hash = bytes, word;

    for (; bytes >= sizeof word; bytes -= sizeof word, text += sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = hash_key(seed, hash_fold(hash ^ seed->before, seed->factor) ^ word);
    }
    word = 0;
    memcpy(&word, text, bytes);
    return hash_key(seed, hash_fold(hash ^ seed->before, seed->factor) ^ word);
}

static uint32_t row_add(struct texts *texts, const char *text, uint32_t same)
{
    char *copy = strdup(text);

    if (copy && texts->rows == texts->room) {
        uint32_t room = texts->room ? 2 * texts->room : 64;
        struct texts_row *grown = reallocarray(texts->row, room, sizeof *grown);

        if (!grown) {
            free(copy);
            return 0;
        }
        texts->row = grown;
        texts->room = room;
    }
    if (!copy)
        return 0;
    texts->row[texts->rows++] = (struct texts_row){copy, same};
    return texts->rows;
}

uint32_t texts_number(struct texts *texts, const char *text)
{
    uint32_t first, number;
    uint64_t hash;

    text = text ? text : "";
    if (!texts->seed.factor)
        texts->seed = hash_seed_draw(texts);
    hash = text_hash(&texts->seed, text, strlen(text));
    first = key_index_find(&texts->by_hash, hash);
    for (number = first == KEY_INDEX_NONE ? 0 : first; number; number = texts->row[number - 1].same)
        if (!strcmp(texts->row[number - 1].text, text))
            return number;
    if (first != KEY_INDEX_NONE) { /* another text of the same hash: behind the first */
        number = row_add(texts, text, texts->row[first - 1].same);
        if (number)
            texts->row[first - 1].same = number;
        return number;
    }
    number = row_add(texts, text, 0);
    if (number && key_index_get(&texts->by_hash, hash, number) == KEY_INDEX_NONE) {
        free(texts->row[--texts->rows].text);
        return 0;
    }
    return number;
}

const char *texts_keep(struct texts *texts, const char *text)
{
    uint32_t number = texts_number(texts, text);

    return number ? texts->row[number - 1].text : NULL;
}

void texts_done(struct texts *texts)
{
    for (uint32_t i = 0; i < texts->rows; i++)
        free(texts->row[i].text);
    free(texts->row);
    key_index_done(&texts->by_hash);
    *texts = (struct texts){0};
}

/* SPDX-License-Identifier: MIT */
/*
 * Interned strings, numbered in the order of arrival. The output for a trace may mention one long
 * path a million times; here it is stored once, and equal strings have one number and one address.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_TEXTS_H
#define TOOLS_BASE_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "cupti/base/key_index.h"

struct texts_row {
    char *text;
    uint32_t same; /* number of another text of this hash; 0: none */
};

struct texts {
    struct texts_row *row;
    uint32_t rows, room;
    struct key_index by_hash;
    struct hash_seed seed;
};

/** Returns the number of a string, from 1; NULL counts as the empty one. 0: out of memory. */
uint32_t texts_number(struct texts *texts, const char *text);

/** Returns the copy of a string, valid until texts_done(). NULL: out of memory. */
const char *texts_keep(struct texts *texts, const char *text);

void texts_done(struct texts *texts);

#endif

/* SPDX-License-Identifier: MIT */
#include "tools/base/disguise.h"

#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_on;
static void *texts; /* a tree of strings that were made */

void disguise_hash(const char *text, size_t bytes, char ret_text[DISGUISE_TEXT_BYTES])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    snprintf(ret_text, DISGUISE_TEXT_BYTES, "anon-%016" PRIx64, hash ^ hash >> 31);
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/** Returns a permanent copy; `instead` when there is no memory for it. */
static const char *text_keep(const char *text, const char *instead)
{
    char *copy = strdup(text), **found = copy ? tsearch(copy, &texts, text_compare) : NULL;

    if (!found || *found != copy)
        free(copy);
    return found ? *found : instead;
}

void disguise_begin(void)
{
    is_on = true;
}

const char *disguise_path(const char *path)
{
    const char *slash = is_on && path ? strrchr(path, '/') : NULL;

    if (slash && !slash[1])
        return disguise_text(path);
    return slash ? slash + 1 : path;
}

const char *disguise_text(const char *text)
{
    char hash[DISGUISE_TEXT_BYTES];

    if (!is_on || !text)
        return text;
    disguise_hash(text, strlen(text), hash);
    return text_keep(hash, "anon");
}

const char *disguise_trace(const char *path, size_t number)
{
    char name[32];

    if (!is_on || !path)
        return path;
    snprintf(name, sizeof name, "trace %zu", number);
    return text_keep(name, "trace");
}

bool disguise_is_on(void)
{
    return is_on;
}

void disguise_done(void)
{
    tdestroy(texts, free);
    texts = NULL;
    is_on = false;
}

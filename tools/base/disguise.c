/* SPDX-License-Identifier: MIT */
/*
 * See disguise.h.
 */
#include "tools/base/disguise.h"

#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis.h"

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

/** A copy that stays; `instead` when there is no memory for it. */
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

/** Keys that are paths, of interned texts. */
static void key_disguise(uint64_t *key)
{
    *key = (uint64_t)(uintptr_t)disguise_path((const char *)(uintptr_t)*key);
}

static void libraries_disguise(struct tallies *libraries)
{
    for (size_t i = 0; libraries && i < libraries->rows; i++)
        key_disguise(&libraries->row[i].key);
}

static void phases_disguise(struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].source != ANALYSIS_PHASE_DETECTED)
            analysis->phase[i].name = disguise_text(analysis->phase[i].name);
    analysis->window.phase = disguise_text(analysis->window.phase);
}

void disguise_analysis(struct analysis *analysis)
{
    if (!is_on)
        return;
    analysis->command = disguise_text(analysis->command);
    analysis->driver_view.library = disguise_path(analysis->driver_view.library);
    libraries_disguise(&analysis->libraries);
    libraries_disguise(analysis->driver_view.libraries);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        for (size_t k = 0; k < ANALYSIS_POSTMORTEM_PARTS; k++)
            key_disguise(&analysis->postmortem[i].libraries[k].key);
    phases_disguise(analysis);
}

void disguise_done(void)
{
    tdestroy(texts, free);
    texts = NULL;
    is_on = false;
}

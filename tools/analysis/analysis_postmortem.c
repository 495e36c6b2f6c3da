/* SPDX-License-Identifier: MIT */
/*
 * Requests that could not be served. The pool's own failure comes first, if there was a pool. When
 * the program is refused in the end, the same thread then records the figures and the request.
 * Thread, size and number identify the parts of one request.
 */
#include <string.h>

#include "tools/analysis/analysis_parts.h"

#define SLAB_MOST_BYTES (UINT64_C(4) << 20)

static struct analysis_postmortem *postmortem_new(struct analysis *analysis,
                                                  const struct trace_record *record)
{
    if (analysis->postmortems++ >= ANALYSIS_POSTMORTEMS)
        return NULL;
    analysis->postmortem[analysis->postmortems - 1] = (struct analysis_postmortem){
        .time_ns = record->time_ns,
        .thread = record->thread,
        .context = record->context,
        .levels = analysis_levels_now(analysis, record->time_ns)};
    return &analysis->postmortem[analysis->postmortems - 1];
}

void analysis_add_failure(struct analysis *analysis, const struct trace_record *record)
{
    struct analysis_postmortem *postmortem = postmortem_new(analysis, record);

    if (!postmortem)
        return;
    postmortem->request_bytes = record->size;
    postmortem->held_free_bytes = record->value;
    postmortem->site = record->site;
}

/** Whether the pool's request may come from this one: the pool asks for whole pages or slabs. */
static bool is_rounded(uint64_t request_bytes, uint64_t rounded_bytes)
{
    return rounded_bytes >= request_bytes &&
           rounded_bytes - request_bytes <= request_bytes / 4 + SLAB_MOST_BYTES;
}

/** Returns the post-mortem of a number; else the pool's failure that it explains; else a new
 * one. */
static struct analysis_postmortem *postmortem_get(struct analysis *analysis,
                                                  const struct trace_record *record,
                                                  uint64_t request_bytes)
{
    size_t kept = analysis->postmortems < ANALYSIS_POSTMORTEMS ? analysis->postmortems
                                                               : ANALYSIS_POSTMORTEMS;
    struct analysis_postmortem *postmortem;

    for (size_t i = kept; i-- > 0;)
        if (analysis->postmortem[i].number == record->value)
            return &analysis->postmortem[i];
    for (size_t i = kept; i-- > 0;) {
        postmortem = &analysis->postmortem[i];
        if (!postmortem->number && postmortem->thread == record->thread) {
            if (!is_rounded(request_bytes, postmortem->request_bytes))
                break;
            postmortem->number = (uint32_t)record->value;
            return postmortem;
        }
    }
    postmortem = postmortem_new(analysis, record);
    if (postmortem)
        postmortem->number = (uint32_t)record->value;
    return postmortem;
}

static struct analysis_postmortem_pool *pool_get(struct analysis_postmortem *postmortem,
                                                 uint32_t context)
{
    for (size_t i = 0; i < postmortem->pools; i++)
        if (postmortem->pool[i].context == context)
            return &postmortem->pool[i];
    if (postmortem->pools == ANALYSIS_POSTMORTEM_POOLS)
        return NULL;
    postmortem->pool[postmortem->pools].context = context;
    return &postmortem->pool[postmortem->pools++];
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t result;

    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

void analysis_add_postmortem_figure(struct analysis *analysis, const struct trace_record *record)
{
    const char *name = trace_reader_string(analysis->reader, record->api);
    struct analysis_postmortem *postmortem;
    struct analysis_postmortem_pool *pool;
    uint64_t largest;

    if (!name || !record->value)
        return;
    postmortem = postmortem_get(analysis, record, record->address);
    pool = postmortem && record->context ? pool_get(postmortem, record->context) : NULL;
    if (!postmortem || (record->context && !pool))
        return;
    largest = postmortem->facts.largest_free_bytes;
#define POSTMORTEM_POOL(figure, help)                                                              \
    if (pool && !strcmp(name, #figure)) {                                                          \
        pool->figure = record->size;                                                               \
        postmortem->facts.figure = sum(postmortem->facts.figure, record->size);                    \
    }
#define POSTMORTEM_DEVICE(figure, help)                                                            \
    if (!pool && !strcmp(name, #figure))                                                           \
        postmortem->facts.figure = record->size;
#include "cupti/format/postmortem.def"
    /* The largest of the pools' largest pieces, not their sum. */
    if (pool && !strcmp(name, "largest_free_bytes"))
        postmortem->facts.largest_free_bytes = largest > record->size ? largest : record->size;
}

/** The largest live parts of a breakdown, largest first. */
static void parts_fill(const struct tallies *tallies,
                       struct analysis_part ret_parts[ANALYSIS_POSTMORTEM_PARTS])
{
    for (size_t i = 0; i < tallies->rows; i++) {
        struct analysis_part part = {tallies->row[i].key, tallies->row[i].live_bytes.current};

        for (size_t j = 0; j < ANALYSIS_POSTMORTEM_PARTS && part.bytes; j++)
            if (part.bytes > ret_parts[j].bytes) {
                struct analysis_part smaller = ret_parts[j];

                ret_parts[j] = part;
                part = smaller;
            }
    }
}

void analysis_add_postmortem(struct analysis *analysis, const struct trace_record *record)
{
    struct analysis_postmortem *postmortem = record->value
                                                 ? postmortem_get(analysis, record, record->size)
                                                 : NULL;

    if (!postmortem)
        return;
    postmortem->request_bytes = postmortem->facts.request_bytes = record->size;
    postmortem->time_ns = record->time_ns;
    postmortem->context = record->context;
    postmortem->site = record->site;
    postmortem->levels = analysis_levels_now(analysis, record->time_ns);
    postmortem->is_refused = true;
    postmortem->verdict = verdict_of(&postmortem->facts);
    parts_fill(&analysis->sites, postmortem->sites);
    parts_fill(&analysis->libraries, postmortem->libraries);
}

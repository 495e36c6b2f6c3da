/* SPDX-License-Identifier: MIT */
/*
 * The figures come from a trace, so sums are clamped instead of trusted.
 */
#include "cupti/format/verdict.h"

#include <stdbool.h>

#define OTHERS_LEAST_PART 8 /* of the device: contexts and loaded code stay below */

static const struct {
    const char *name, *sentence;
} rows[VERDICT_COUNT] = {
#define VERDICT(NAME, name, sentence) [VERDICT_##NAME] = {name, sentence},
    VERDICTS(VERDICT)
#undef VERDICT
};

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t result;

    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t verdict_others_bytes(const struct verdict_facts *facts)
{
    return less(less(facts->driver_total_bytes, facts->driver_free_bytes), facts->own_bytes);
}

enum verdict verdict_of(const struct verdict_facts *facts)
{
    bool is_limited = facts->limit_bytes != 0;
    uint64_t under_limit = less(facts->limit_bytes, facts->own_bytes);
    uint64_t room = facts->driver_total_bytes ? facts->driver_free_bytes : 0;
    uint64_t others = verdict_others_bytes(facts), with_cache, with_quarantine;

    if (is_limited && room >= facts->request_bytes && under_limit < facts->request_bytes &&
        sum(under_limit, sum(facts->cached_bytes, facts->quarantined_bytes)) < facts->request_bytes)
        return VERDICT_LIMIT;
    if (is_limited && under_limit < room)
        room = under_limit;
    with_cache = sum(room, facts->cached_bytes);
    with_quarantine = sum(with_cache, facts->quarantined_bytes);
    if (facts->largest_free_bytes >= facts->request_bytes)
        return VERDICT_HOARDING;
    if (with_cache >= facts->request_bytes)
        return VERDICT_FRAGMENTATION;
    if (with_quarantine >= facts->request_bytes)
        return VERDICT_HOARDING;
    if (others >= facts->request_bytes - with_quarantine &&
        others >= facts->driver_total_bytes / OTHERS_LEAST_PART && others)
        return VERDICT_OTHERS;
    return VERDICT_GENUINE;
}

const char *verdict_name(enum verdict verdict)
{
    return rows[verdict].name;
}

const char *verdict_sentence(enum verdict verdict)
{
    return rows[verdict].sentence;
}

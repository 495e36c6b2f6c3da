/* SPDX-License-Identifier: MIT */
#include "tools/report/base/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/units.h"
#include "tools/report/base/memory_error_text.h"
#include "tools/report/base/report.h"
#include "tools/symbols/function_name.h"

#define COPIES_LEAST        3
#define COPIES_TO_EXCHANGES 3  /* fewer: blocks of any size take turns */
#define REST_PART           5  /* of the run must follow a short peak, or */
#define REST_ALLOCATIONS    4  /* so many allocations */
#define ROUNDING_PERCENT    10 /* of allocated memory */
#define ROUNDING_LEAST      (1 << 20)
#define REPEATED_LEAST      64  /* allocations of one site */
#define REPEATED_FUNCTIONS  256 /* that are distinguished */
#define REPEATED_TURNS      16  /* of the blocks it has at a time */

const char *const finding_kind_name[FINDING_KINDS] = {
#define FINDING(NAME, name, rank) name,
    FINDINGS(FINDING)
#undef FINDING
};

static const int kind_rank[FINDING_KINDS] = {
#define FINDING(NAME, name, rank) rank,
    FINDINGS(FINDING)
#undef FINDING
};

/** What the rules read and fill. */
struct search {
    const struct analysis *analysis;
    const struct callers *callers;
    struct findings *findings;
};

/** "Engine::serve"; the place where no name is known. */
static void site_text(const struct search *search, uint64_t site, char *ret_text, size_t text_bytes)
{
    struct frame frame;

    if (!frames_location(search->analysis->reader, site, &frame) || !frame.function) {
        report_site_name(search->analysis, site, ret_text, text_bytes);
        return;
    }
    function_name_copy(frame.function, ret_text, text_bytes);
}

/** Adds to what a finding says. */
__attribute__((format(printf, 2, 3))) static void sentence(struct finding *finding,
                                                           const char *format, ...)
{
    size_t used = strlen(finding->text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(finding->text + used, sizeof finding->text - used, format, arguments);
    va_end(arguments);
}

__attribute__((format(printf, 2, 3))) static void advise(struct finding *finding,
                                                         const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(finding->action, sizeof finding->action, format, arguments);
    va_end(arguments);
    safe_text_end(finding->action, sizeof finding->action);
}

static bool is_before(const struct finding *one, const struct finding *other)
{
    if (kind_rank[one->kind] != kind_rank[other->kind])
        return kind_rank[one->kind] < kind_rank[other->kind];
    return one->bytes > other->bytes;
}

static void where_set(const struct search *search, struct finding *finding)
{
    const struct caller *paths;
    char name[256], path[256], passed[160];
    size_t count, used;

    if (!finding->site)
        return;
    report_site_name(search->analysis, finding->site, name, sizeof name);
    count = callers_of(search->callers, finding->site, &paths);
    used = (size_t)snprintf(finding->where, sizeof finding->where, "%s%s%s",
                            finding->bytes ? unit_bytes(finding->bytes).text : "",
                            finding->bytes ? " at " : "", name);
    if (!count)
        return;
    caller_text(search->callers, &paths[0], path, sizeof path);
    caller_passed_text(search->callers, &paths[0], passed, sizeof passed);
    if (*path && used < sizeof finding->where)
        used += (size_t)snprintf(finding->where + used, sizeof finding->where - used, " < %s",
                                 path);
    if (count > 1 && used < sizeof finding->where)
        used += (size_t)snprintf(finding->where + used, sizeof finding->where - used,
                                 " and %zu more %s", count - 1, count == 2 ? "path" : "paths");
    if (*passed && used < sizeof finding->where)
        snprintf(finding->where + used, sizeof finding->where - used, "; through %s", passed);
    safe_text_end(finding->where, sizeof finding->where);
}

/** Inserts a finding by rank; if there are too many, the least is dropped. */
static void add(const struct search *search, struct finding *finding)
{
    struct findings *findings = search->findings;
    size_t place = findings->rows;

    safe_text_end(finding->text, sizeof finding->text);
    while (place && is_before(finding, &findings->row[place - 1]))
        place--;
    if (findings->rows == FINDINGS_MOST)
        findings->left_out++;
    if (place == FINDINGS_MOST)
        return;
    where_set(search, finding);
    if (findings->rows < FINDINGS_MOST)
        findings->rows++;
    memmove(&findings->row[place + 1], &findings->row[place],
            (findings->rows - 1 - place) * sizeof *finding);
    findings->row[place] = *finding;
}

static bool has_finding(const struct search *search, enum finding_kind kind, uint64_t site)
{
    for (size_t i = 0; i < search->findings->rows; i++)
        if (search->findings->row[i].kind == kind && search->findings->row[i].site == site)
            return true;
    return false;
}

/** Whether a finding of a kind begins with the name of a function. */
static bool is_said_of(const struct search *search, enum finding_kind kind, const char *name)
{
    for (size_t i = 0; i < search->findings->rows; i++) {
        const struct finding *row = &search->findings->row[i];

        if (row->kind == kind && !strncmp(row->text, name, strlen(name)) &&
            row->text[strlen(name)] == ' ')
            return true;
    }
    return false;
}

static void out_of_memory_find(const struct search *search)
{
    static const char *const actions[VERDICT_COUNT] = {
        [VERDICT_GENUINE] =
            "Use less memory: the sites that held the most are listed under Out of memory.",
        [VERDICT_LIMIT] = "Raise the option limit, or use less memory.",
        [VERDICT_HOARDING] = "Synchronize before large allocations, or set a lower cache_max.",
        [VERDICT_FRAGMENTATION] = "Allocate long-lived blocks together, or try backing:vmm.",
        [VERDICT_OTHERS] = "Check which processes use the device (nvidia-smi).",
    };
    const struct analysis *analysis = search->analysis;

    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++) {
        const struct analysis_postmortem *postmortem = &analysis->postmortem[i];
        struct finding finding = {.kind = FINDING_OUT_OF_MEMORY,
                                  .site = postmortem->site,
                                  .bytes = postmortem->request_bytes};
        char name[256];

        if (!postmortem->is_refused)
            continue;
        site_text(search, postmortem->site, name, sizeof name);
        sentence(&finding, "%s failed to allocate %s with %s in use by the program (%s: %s).", name,
                 unit_bytes(postmortem->request_bytes).text,
                 unit_bytes(postmortem->levels.requested_bytes).text,
                 verdict_name(postmortem->verdict), verdict_sentence(postmortem->verdict));
        advise(&finding, "%s", actions[postmortem->verdict]);
        add(search, &finding);
        return;
    }
}

static void invalid_free_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    const struct analysis_invalid_free *first = &analysis->invalid_free[0];
    struct finding finding = {.kind = FINDING_INVALID_FREE, .site = first->site};
    char name[256], before[256];

    if (!analysis->total.invalid_frees)
        return;
    site_text(search, first->site, name, sizeof name);
    sentence(&finding, "%s frees an address that is not allocated%s", name,
             analysis->total.invalid_frees > 1 ? "" : ".");
    if (analysis->total.invalid_frees > 1)
        sentence(&finding, "; the first of %s invalid frees.",
                 unit_count(analysis->total.invalid_frees).text);
    if (first->first_free_site) {
        site_text(search, first->first_free_site, before, sizeof before);
        advise(&finding, "It was already freed by %s.", before);
    } else {
        advise(&finding, "Free only addresses that an allocation returned.");
    }
    add(search, &finding);
}

/** A fault has no block and no place. */
static void fault_find(const struct search *search)
{
    const uint64_t count = search->analysis->memory_errors.count;
    struct finding finding = {.kind = FINDING_MEMORY_ERROR};

    sentence(&finding, "The device accessed an unmapped address");
    if (count > 1)
        sentence(&finding, "; the first of %s memory errors", unit_count(count).text);
    sentence(&finding, ".");
    advise(&finding, "Check the code that uses the suspects: freed blocks, and blocks at the end "
                     "of mapped memory.");
    add(search, &finding);
}

static void memory_error_find(const struct search *search)
{
    const struct memory_errors *errors = &search->analysis->memory_errors;
    const struct memory_errors_row *first = &errors->row[0];
    struct finding finding = {.kind = FINDING_MEMORY_ERROR, .site = first->allocation_site};
    char name[256], place[64], before[256];

    if (!errors->count)
        return;
    if (first->kind == MEMORY_ERROR_FAULT) {
        fault_find(search);
        return;
    }
    site_text(search, first->allocation_site, name, sizeof name);
    memory_error_place_text(first, place, sizeof place);
    sentence(&finding, "Invalid write: %s of a block of %s allocated by %s, at %s",
             memory_error_name(first->kind), unit_bytes(first->requested_bytes).text, name, place);
    if (errors->count > 1)
        sentence(&finding, "; the first of %s memory errors", unit_count(errors->count).text);
    sentence(&finding, ".");
    if (first->free_site) {
        site_text(search, first->free_site, before, sizeof before);
        advise(&finding, "It was freed by %s: find the later use.", before);
    } else {
        advise(&finding, "Check the code that writes to it, and how its size is computed.");
    }
    add(search, &finding);
}

/** "one block every 7 allocations of the program", "2 blocks per step". */
static void rate_text(const struct analysis *analysis, const struct growth_site *growth,
                      char *ret_text, size_t text_bytes)
{
    double every = growth->blocks_per_x > 0 ? 1 / growth->blocks_per_x : 0;

    if (analysis->steps.count >= GROWTH_LEAST)
        snprintf(ret_text, text_bytes, "%.3g %s per step", growth->blocks_per_x,
                 growth->blocks_per_x > 0.995 && growth->blocks_per_x < 1.005 ? "block" : "blocks");
    else if (every < 1.5)
        snprintf(ret_text, text_bytes, "one block per allocation of the program");
    else
        snprintf(ret_text, text_bytes, "one block every %.0f allocations of the program", every);
}

static void growth_find_all(const struct search *search)
{
    const struct analysis *analysis = search->analysis;

    for (size_t i = 0; i < analysis->growths; i++) {
        const struct growth_site *growth = &analysis->growth[i];
        const struct tally *row = &analysis->sites.row[growth->row];
        bool leaks = !growth->of_bytes && 2 * row->leaked_blocks >= growth->blocks &&
                     !analysis_was_killed(analysis);
        struct finding finding = {.kind = leaks ? FINDING_LEAK : FINDING_GROWTH,
                                  .site = row->key,
                                  .bytes = leaks ? row->leaked_bytes : growth->bytes};
        const char *until = analysis->recording.running ? "until now" : "until the end of the run";
        char name[256], rate[96];

        if (growth->of_bytes && has_finding(search, FINDING_COPYING, row->key))
            continue;
        site_text(search, row->key, name, sizeof name);
        rate_text(analysis, growth, rate, sizeof rate);
        if (leaks)
            sentence(&finding, "%s leaks %s in %s: %s, until the end of the run.", name,
                     unit_bytes(row->leaked_bytes).text, unit_blocks(row->leaked_blocks).text,
                     rate);
        else if (growth->of_bytes)
            sentence(&finding, "%s grows: its blocks get larger, by %s in total, %s.", name,
                     unit_bytes(growth->bytes).text, until);
        else
            sentence(&finding, "%s grows %s by %s (%s), %s; %s%s.", name, until,
                     unit_blocks(growth->blocks).text, unit_bytes(growth->bytes).text, rate,
                     row->leaked_blocks ? "some are " : "all are freed only at the end",
                     row->leaked_blocks ? report_unfreed(analysis) : "");
        advise(&finding, "%s",
               leaks ? "Free these blocks, or limit how many it keeps."
                     : "Limit how much it keeps: a longer run needs more.");
        add(search, &finding);
    }
}

static void copying_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;

    for (size_t i = 0; i < analysis->copies.rows && i < analysis->sites.rows; i++) {
        const struct copies_site *copies = &analysis->copies.row[i];
        uint64_t at_peak = copies->at_peak_serial == analysis->peak_serial ? copies->at_peak_bytes
                                                                           : 0;
        struct finding finding = {.kind = FINDING_COPYING,
                                  .site = analysis->sites.row[i].key,
                                  .bytes = at_peak > copies->old_bytes ? at_peak
                                                                       : copies->old_bytes};
        char name[256], held[160] = "";

        if (copies->copies < COPIES_LEAST && 10 * at_peak < analysis->requested.peak)
            continue;
        if (!copies->copies || COPIES_TO_EXCHANGES * copies->exchanges > copies->copies)
            continue;
        site_text(search, finding.site, name, sizeof name);
        if (is_said_of(search, FINDING_COPYING, name))
            continue; /* keys and values, on two lines */
        if (at_peak)
            snprintf(held, sizeof held, "; at the peak, the old copy takes %s of %s",
                     unit_bytes(at_peak).text, unit_bytes(analysis->requested.peak).text);
        sentence(
            &finding,
            "%s grows by copying: the old and the new buffer coexist %s, the old one with up to "
            "%s%s.",
            name, unit_nouns(copies->copies, "time").text, unit_bytes(copies->old_bytes).text,
            held);
        advise(&finding, "Reserve the final size at first, or grow in chunks without a copy.");
        add(search, &finding);
    }
}

/** Whether this much of the run follows a peak that was left for good. */
static bool peak_is_short(const struct analysis *analysis)
{
    const struct aftermath *after = &analysis->aftermath;
    uint64_t end_ns = analysis->teardown.begin_ns ? analysis->teardown.begin_ns
                                                  : analysis->duration_ns;

    return after->peak_bytes == analysis->requested.peak && aftermath_is_short(after) &&
           after->lowest.time_ns < end_ns &&
           (analysis->total.allocations - after->lowest.allocations >= REST_ALLOCATIONS ||
            end_ns - after->lowest.time_ns >= analysis->duration_ns / REST_PART);
}

static void peak_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    const struct timeline_point *after = &analysis->aftermath.highest;
    const struct tally *gone = NULL, *beside = NULL;
    uint64_t gone_bytes = 0, beside_bytes = 0;
    struct finding finding = {.kind = FINDING_PEAK};
    char name[256], other[256];

    if (!peak_is_short(analysis))
        return;
    for (size_t i = 0; i < analysis->sites.rows; i++) {
        const struct tally *row = &analysis->sites.row[i];
        uint64_t later = growth_bytes_at(&analysis->tracks, i, after->time_ns);
        uint64_t less = row->live_bytes.at_peak > later ? row->live_bytes.at_peak - later : 0;

        if (less > gone_bytes) {
            gone_bytes = less;
            gone = row;
        }
    }
    for (size_t i = 0; i < analysis->sites.rows; i++) {
        const struct tally *row = &analysis->sites.row[i];

        if (row != gone && row->live_bytes.at_peak > beside_bytes) {
            beside_bytes = row->live_bytes.at_peak;
            beside = row;
        }
    }
    if (!gone || has_finding(search, FINDING_COPYING, gone->key))
        return;
    finding.site = gone->key;
    finding.bytes = analysis->requested.peak - after->requested_bytes;
    site_text(search, gone->key, name, sizeof name);
    sentence(&finding,
             "The peak of %s is short: at most %s is in use after it. At the peak, %s held %s "
             "that was gone soon after",
             unit_bytes(analysis->requested.peak).text, unit_bytes(after->requested_bytes).text,
             name, unit_bytes(gone_bytes).text);
    if (beside) {
        site_text(search, beside->key, other, sizeof other);
        sentence(&finding, ", next to %s of %s.", unit_bytes(beside_bytes).text, other);
    } else {
        sentence(&finding, ".");
    }
    advise(&finding, "Free the old data before allocating the new, or convert in smaller pieces.");
    add(search, &finding);
}

/** Finds the sites that keep the free space of segments, apart from rests too small for their
 * sizes. */
static const struct fragmentation_part *pins_most(const struct analysis *analysis,
                                                  uint64_t *ret_bytes)
{
    const struct fragmentation_part *most = NULL;

    *ret_bytes = 0;
    for (size_t i = 0; i < fragmentation_notable_sites(analysis); i++) {
        const struct fragmentation_part *part = &analysis->fragmentation.site[i];

        if (part->pinned_bytes - part->rounding_bytes > *ret_bytes) {
            most = part;
            *ret_bytes = part->pinned_bytes - part->rounding_bytes;
        }
    }
    return fragmentation_is_notable(*ret_bytes, analysis->driver.at_peak) ? most : NULL;
}

static void fragmentation_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    struct finding finding = {.kind = FINDING_FRAGMENTATION};
    const struct fragmentation_part *part = pins_most(analysis, &finding.bytes);
    char name[256];

    if (!part)
        return;
    finding.site = part->key;
    site_text(search, part->key, name, sizeof name);
    sentence(&finding,
             "%s leaves %s of segments idle by holding %s in %s; %.1f %% of driver memory is idle "
             "at the peak.",
             name, unit_bytes(finding.bytes).text, unit_bytes(part->block_bytes).text,
             unit_blocks(part->blocks).text, 100 * analysis_overhead(analysis));
    advise(&finding, "Allocate long-lived blocks together, or before short-lived ones.");
    add(search, &finding);
}

static void rounding_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    const struct fragmentation *fragmentation = &analysis->fragmentation;
    const struct fragmentation_part *part = fragmentation->rounding;
    uint64_t waste = fragmentation->rounding_bytes;
    uint64_t taken = analysis->driver.at_peak > analysis->allocated.at_peak
                         ? analysis->driver.at_peak
                         : analysis->allocated.at_peak;
    struct finding finding = {.kind = FINDING_ROUNDING, .bytes = waste};
    char name[256];

    if (!fragmentation->roundings || waste < ROUNDING_LEAST ||
        waste < percent_of(taken, ROUNDING_PERCENT))
        return;
    finding.site = part->key;
    site_text(search, part->key, name, sizeof name);
    sentence(&finding,
             "Rounding wastes %s (%s of driver memory) at the peak, %s in %s of %s: on average a "
             "block requests %s and occupies %s.",
             unit_bytes(waste).text, unit_percent(waste, taken).text,
             unit_bytes(part->pinned_bytes).text, unit_blocks(part->blocks).text, name,
             unit_bytes((part->block_bytes - part->pinned_bytes) / part->blocks).text,
             unit_bytes(part->block_bytes / part->blocks).text);
    advise(&finding, "Combine several into one allocation, or request sizes that fit.");
    add(search, &finding);
}

static bool is_repeated(const struct tally *row)
{
    return row->allocations >= REPEATED_LEAST && 5 * row->frees >= 4 * row->allocations &&
           row->live_blocks.peak * REPEATED_TURNS <= row->allocations;
}

/** Finds sites of one function that allocate again and again. */
struct repeated {
    char function[256];
    const struct tally *most;
    uint64_t allocations, blocks, bytes;
    uint64_t in_steps; /* allocations */
};

static bool repeated_is_more(const struct repeated *one, const struct repeated *other)
{
    return one->allocations != other->allocations ? one->allocations > other->allocations
                                                  : one->bytes > other->bytes;
}

static void repeated_add(struct repeated *rows, size_t *count, const char *function,
                         const struct tally *row, uint64_t in_steps)
{
    size_t i = 0;

    while (i < *count && strcmp(rows[i].function, function) != 0)
        i++;
    if (i == REPEATED_FUNCTIONS)
        return;
    if (i == *count) {
        rows[(*count)++] = (struct repeated){.most = row};
        snprintf(rows[i].function, sizeof rows[i].function, "%s", function);
    }
    if (row->allocations > rows[i].most->allocations)
        rows[i].most = row;
    rows[i].allocations += row->allocations;
    rows[i].blocks += row->live_blocks.peak;
    rows[i].bytes += row->live_bytes.peak;
    rows[i].in_steps += in_steps;
}

static void repeated_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    struct finding finding = {.kind = FINDING_REPEATED};
    struct repeated *rows = calloc(REPEATED_FUNCTIONS, sizeof *rows), *most = rows;
    char name[256], steps[96] = "";
    size_t count = 0;

    for (size_t i = 0; rows && i < analysis->sites.rows; i++) {
        const struct tally *row = &analysis->sites.row[i];

        if (!is_repeated(row) || has_finding(search, FINDING_COPYING, row->key))
            continue;
        site_text(search, row->key, name, sizeof name);
        repeated_add(rows, &count, name, row,
                     i < analysis->step_sites.rows ? analysis->step_sites.row[i].sum : 0);
    }
    for (size_t i = 1; i < count; i++)
        most = repeated_is_more(&rows[i], most) ? &rows[i] : most;
    if (count) {
        finding.site = most->most->key;
        finding.bytes = most->bytes;
        if (most->in_steps && analysis->steps.count)
            snprintf(steps, sizeof steps, ", %.3g per step",
                     (double)most->in_steps / (double)analysis->steps.count);
        sentence(&finding,
                 "%s allocates and frees repeatedly: %s%s, with at most %s (%s) live at a time.",
                 most->function, unit_nouns(most->allocations, "time").text, steps,
                 unit_blocks(most->blocks).text, unit_bytes(most->bytes).text);
        if (count > 1)
            sentence(&finding, " %zu more %s the same.", count - 1,
                     count == 2 ? "function does" : "functions do");
        advise(&finding, "Allocate once before the loop and reuse the memory.");
        add(search, &finding);
    }
    free(rows);
}

static void not_freed_find(const struct search *search)
{
    const struct analysis *analysis = search->analysis;
    const struct tally *most = NULL;
    uint64_t bytes = 0, blocks = 0;
    struct finding finding = {.kind = FINDING_NOT_FREED};
    size_t sites = 0;
    char name[256], others[64] = "";

    if (analysis_was_killed(analysis))
        return;
    for (size_t i = 0; i < analysis->sites.rows; i++) {
        const struct tally *row = &analysis->sites.row[i];

        if (!row->leaked_blocks || has_finding(search, FINDING_LEAK, row->key))
            continue;
        sites++;
        bytes += row->leaked_bytes;
        blocks += row->leaked_blocks;
        if (!most || row->leaked_bytes > most->leaked_bytes)
            most = row;
    }
    if (!most)
        return;
    finding.site = most->key;
    finding.bytes = bytes;
    site_text(search, most->key, name, sizeof name);
    if (sites > 1)
        snprintf(others, sizeof others, " and %s", unit_nouns(sites - 1, "other site").text);
    sentence(&finding, "%s in %s of %s%s remained unfreed; no steady growth.",
             unit_bytes(bytes).text, unit_blocks(blocks).text, name, others);
    advise(&finding, "Harmless at exit; a leak if the code runs repeatedly in one process.");
    add(search, &finding);
}

void findings_find(const struct analysis *analysis, const struct callers *callers,
                   struct findings *ret_findings)
{
    const struct search search = {analysis, callers, ret_findings};

    *ret_findings = (struct findings){0};
    out_of_memory_find(&search);
    invalid_free_find(&search);
    memory_error_find(&search);
    copying_find(&search);
    growth_find_all(&search);
    peak_find(&search);
    fragmentation_find(&search);
    rounding_find(&search);
    repeated_find(&search);
    not_freed_find(&search);
}

const char *findings_none(const struct analysis *analysis)
{
    if (report_misses_records(&analysis->recording))
        return "Nothing found, but records are missing.";
    return analysis->total.allocations ? "Nothing found: no leak, no growth, no notable waste."
                                       : "Nothing found: no device memory was allocated.";
}

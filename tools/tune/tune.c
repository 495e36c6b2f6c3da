/* SPDX-License-Identifier: MIT */
/*
 * The search.
 *
 * The cost of a trace: memory is the peak of reserved bytes and of bytes occupied by blocks, so
 * that less rounding counts before it saves a whole segment; calls are those of a first and of a
 * second replay. Each is a ratio to the value before; balanced is the mean of both, and neither may
 * become worse on any trace. For memory, calls may grow by 10 per 1,000 operations; for calls,
 * reserved bytes by 1/16, or up to the given capacity.
 */
#include "tools/tune/tune.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/options/options_pool.h"
#include "tools/base/progress.h"
#include "tools/tune/classes.h"

#define NOISE      0.005 /* of the cost before, and */
#define SPREAD     8.0   /* this part of what the device's haste alone makes of it */
#define ROUNDS     3u
#define WORST      1e30
#define FORBIDDEN  1e6 /* more than any ratio */
#define VALUE_MOST 512

#define REPLAYS_USUAL 240u /* of each trace; there may be more or fewer */

#define CALLS_PART  100u /* of the operations */
#define MEMORY_PART 16u  /* of what is reserved */

#define CALLS_ANY   (UINT64_C(1) << 18) /* a replay may make so many calls, and */
#define CALLS_FIRST (UINT64_C(1) << 22) /* if it may be the first that completes, and */
#define CALLS_FOLD  16u                 /* so many times those that are permitted */

/** The search's own figures. */
struct search {
    const struct tune_request *request;
    struct tune_result *result;
    const struct replay_trace **traces; /* those of the request, then the judge */
    size_t trace_count;                 /* without the judge */
    struct class_histogram histogram;
    struct tune_figures *trial;
    bool compares;  /* the figures before are known */
    bool completes; /* every trace did before */
    double noise;   /* a gain is more than this */
    struct progress progress;
};

/* ---- replaying ---- */

/* Bytes of events that two passes read. */
static uint64_t replay_bytes(const struct replay_trace *trace)
{
    return 2 * trace->event_count * sizeof *trace->events;
}

/* A candidate that makes many times the permitted calls is out, whatever else it would do; where
 * not every trace completed before, one with which all do is better, whatever it calls. 0: there is
 * nothing to compare with yet. */
static uint64_t calls_enough(const struct search *search, size_t index)
{
    const struct tune_figures *before = &search->result->before[index];
    uint64_t operations = search->traces[index]->operations;
    uint64_t permitted = before->completed ? before->driver_calls + operations / CALLS_PART
                                           : operations;

    if (!search->compares)
        return 0;
    return (search->completes ? CALLS_ANY : CALLS_FIRST) + permitted * CALLS_FOLD;
}

static int figures_get(struct search *search, size_t index, const struct options *options,
                       enum device_haste haste, struct tune_figures *ret_figures)
{
    struct replay_settings settings = {.profile = search->request->profile,
                                       .capacity_bytes = search->request->capacity_bytes,
                                       .haste = haste,
                                       .most_calls = calls_enough(search, index),
                                       .quiet = true};
    struct policy policy = {.name = "cupool", .ops = &policy_cupool, .options = *options};
    struct replay_outcome outcome;
    int error = replay_run(search->traces[index], &policy, &settings, &outcome);

    search->result->replays++;
    search->result->stopped += error == 0 && outcome.stopped;
    progress_add(&search->progress, replay_bytes(search->traces[index]));
    if (error < 0)
        return error;
    *ret_figures = (struct tune_figures){
        .completed = outcome.completed && outcome.repeated,
        .peak_reserved_bytes = outcome.peak_reserved_bytes,
        .peak_allocated_bytes = outcome.peak_allocated_bytes,
        .driver_calls = outcome.driver_calls,
        .driver_calls_second = outcome.driver_calls_second,
    };
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static double ratio(uint64_t now, uint64_t before)
{
    return before ? (double)now / (double)before : now ? WORST : 1;
}

/* How far the figure that is not the goal exceeds its limit: at most 1 is permitted. */
static double excess(const struct search *search, size_t index, const struct tune_figures *now,
                     const struct tune_figures *before)
{
    uint64_t memory = before->peak_reserved_bytes, calls = 0;

    if (search->request->goal == TUNE_MEMORY)
        calls = search->traces[index]->operations / CALLS_PART;
    if (search->request->goal == TUNE_CALLS)
        memory = search->request->capacity_bytes ? UINT64_MAX : memory + memory / MEMORY_PART;
    const double parts[] = {ratio(now->peak_reserved_bytes, memory),
                            ratio(now->driver_calls, before->driver_calls + calls),
                            ratio(now->driver_calls_second, before->driver_calls_second + calls)};
    double over = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        over = parts[i] > over ? parts[i] : over;
    return over < FORBIDDEN ? over : FORBIDDEN;
}

/* Returns the cost of a trace relative to before; WORST: it does not complete. */
static double cost(const struct search *search, size_t index, const struct tune_figures *now,
                   const struct tune_figures *before)
{
    double memory, calls, over;

    if (!now->completed)
        return WORST;
    if (!before->completed) /* it runs at all now: that is worth everything */
        return 0.1 * ratio(now->peak_reserved_bytes, before->peak_reserved_bytes + 1);
    memory = ratio(now->peak_reserved_bytes + now->peak_allocated_bytes,
                   before->peak_reserved_bytes + before->peak_allocated_bytes);
    calls = ratio(now->driver_calls + now->driver_calls_second,
                  before->driver_calls + before->driver_calls_second);
    over = excess(search, index, now, before);
    if (over > 1) /* the less the better, so that a search finds its way back */
        return FORBIDDEN * over;
    switch (search->request->goal) {
    case TUNE_MEMORY: return memory;
    case TUNE_CALLS: return calls;
    case TUNE_BALANCED: break;
    }
    return (memory + calls) / 2;
}

/* Returns the worst of the traces, and the figures of each in `trial`. */
static int options_try(struct search *search, const struct options *options, double *ret_cost)
{
    double worst = 0;

    search->result->candidates++;
    for (size_t i = 0; i < search->trace_count; i++) {
        double one;
        int error = figures_get(search, i, options, DEVICE_LIKELY, &search->trial[i]);

        if (error < 0)
            return error;
        one = cost(search, i, &search->trial[i], &search->result->before[i]);
        worst = one > worst ? one : worst;
        if (worst >= WORST)
            break;
    }
    *ret_cost = worst;
    return 0;
}

/* ---- candidates ---- */

/** An option and the values to try, separated by blanks. */
static const struct {
    enum option_id option;
    const char *values;
} tunables[] = {
    {OPTION_ID_classes, "auto"}, /* and those that the histogram asks for */
    {OPTION_ID_backing, ""},     /* each is a start of its own */
    {OPTION_ID_page, "2MiB 4MiB 8MiB 16MiB 32MiB 64MiB 128MiB"},
    {OPTION_ID_reserve, "0"}, /* and parts of what is occupied at the peak */
    {OPTION_ID_quarantine_max, "0 512KiB 1MiB 2MiB 4MiB 8MiB 16MiB 32MiB 64MiB"},
    {OPTION_ID_ceiling, "0 1 2 4 6 10 15 25 50 100"},
    {OPTION_ID_growth, "0 2 4 12 25 50 100"},
    {OPTION_ID_large_waste, "0 4 8 12 18 25 50 100"},
    {OPTION_ID_cache_max, "0 32MiB 128MiB 512MiB 2GiB"},
    {OPTION_ID_slab, "0 64KiB 128KiB 192KiB 256KiB 512KiB 1MiB"}, /* after the others */
};

#define TUNABLES (sizeof tunables / sizeof *tunables)

/* Copies the next value of a list to `text`; false: there is none. */
static bool value_next(const char **values, char *text, size_t bytes)
{
    size_t length;

    *values += strspn(*values, " ");
    length = strcspn(*values, " ");
    if (!length || length >= bytes)
        return false;
    memcpy(text, *values, length);
    text[length] = '\0';
    *values += length;
    return true;
}

/* Options of mapped memory would be tried in vain without it. */
static bool is_meaningful(const struct options *options, enum option_id option)
{
    return (option != OPTION_ID_page && option != OPTION_ID_reserve) ||
           options->backing != OPTION_BACKING_DRIVER;
}

static int value_try(struct search *search, const struct options *options, double *best,
                     struct options *ret_best)
{
    double now;
    int error = options_try(search, options, &now);

    if (error == 0 && now < *best - search->noise) {
        *best = now;
        *ret_best = *options;
    }
    return error;
}

static int classes_try(struct search *search, const struct options *from, double *best,
                       struct options *ret_best)
{
    static const unsigned counts[] = {8, 12, 16, 24, 32};
    int error = 0;

    for (size_t i = 0; i < sizeof counts / sizeof *counts && error == 0; i++) {
        struct options options = *from;

        if (counts[i] > search->request->classes_most)
            break;
        classes_choose(&search->histogram, counts[i], &options.classes);
        error = value_try(search, &options, best, ret_best);
    }
    return error;
}

static int option_set(struct options *options, size_t option, const char *value)
{
    return options_set(options, options_row(option)->key, value, OPTION_SOURCE_FILE, "tune", NULL,
                       NULL);
}

static int text_try(struct search *search, size_t index, const char *value,
                    const struct options *from, double *best, struct options *ret_best)
{
    struct options options = *from;

    return option_set(&options, tunables[index].option, value) == 0
               ? value_try(search, &options, best, ret_best)
               : 0;
}

/* Fractions of the bytes that blocks occupied at the peak of the smallest trace, in whole
 * segments: a run that needs less must not hold more for it. */
static int reserve_try(struct search *search, size_t index, const struct options *from,
                       double *best, struct options *ret_best)
{
    static const unsigned eighths[] = {4, 6};
    uint64_t needed = UINT64_MAX;
    int error = 0;

    for (size_t i = 0; i < search->trace_count; i++)
        needed = least(needed, search->result->before[i].peak_allocated_bytes);
    for (unsigned i = 0; i < sizeof eighths / sizeof *eighths && error == 0; i++) {
        char value[32];

        snprintf(value, sizeof value, "%" PRIu64 "MiB", (needed / 8 * eighths[i] >> 21) * 2);
        error = text_try(search, index, value, from, best, ret_best);
    }
    return error;
}

/* The best value of one option, the others as they are. */
static int tunable_try(struct search *search, size_t index, struct options *current, double *best)
{
    const char *values = tunables[index].values;
    struct options found = *current;
    char value[VALUE_MOST];
    int error = 0;

    if (!is_meaningful(current, tunables[index].option))
        return 0;
    while (error == 0 && value_next(&values, value, sizeof value))
        error = text_try(search, index, value, current, best, &found);
    if (error == 0 && tunables[index].option == OPTION_ID_reserve)
        error = reserve_try(search, index, current, best, &found);
    if (error == 0 && tunables[index].option == OPTION_ID_classes)
        error = classes_try(search, current, best, &found);
    *current = found;
    return error;
}

/* ---- what stays ---- */

static bool is_changed(const struct options *a, const struct options *b, size_t option)
{
    char one[VALUE_MOST], other[VALUE_MOST];

    options_format(a, option, one, sizeof one);
    options_format(b, option, other, sizeof other);
    return strcmp(one, other) != 0;
}

static void option_copy(struct options *to, const struct options *from, size_t option)
{
    char value[VALUE_MOST];

    options_format(from, option, value, sizeof value);
    option_set(to, option, value);
}

/* Whether each trace is worse without a setting, beyond noise. */
static int setting_helps(struct search *search, const struct options *with, size_t option,
                         bool *ret_helps)
{
    const struct tune_result *result = search->result;
    struct options without = *with;

    *ret_helps = true;
    option_copy(&without, &result->base, option);
    for (size_t i = 0; i < search->trace_count; i++) {
        struct tune_figures one, other;
        int error = figures_get(search, i, with, DEVICE_LIKELY, &one);

        if (error == 0)
            error = figures_get(search, i, &without, DEVICE_LIKELY, &other);
        if (error < 0)
            return error;
        *ret_helps = *ret_helps && cost(search, i, &other, &result->before[i]) >
                                       cost(search, i, &one, &result->before[i]) + search->noise;
    }
    return 0;
}

/* Removes settings that do not help, the last first, until all remaining ones do. */
static int settings_prune(struct search *search, struct options *current)
{
    bool pruned = true;
    int error = 0;

    while (error == 0 && pruned) {
        pruned = false;
        for (size_t i = TUNABLES; error == 0 && !pruned && i-- > 0;) {
            bool helps = true;

            if (!is_changed(current, &search->result->base, tunables[i].option))
                continue;
            error = setting_helps(search, current, tunables[i].option, &helps);
            if (error == 0 && !helps) {
                option_copy(current, &search->result->base, tunables[i].option);
                pruned = true;
            }
        }
    }
    return error;
}

static void settings_note(struct tune_result *result)
{
    result->set_count = 0;
    for (size_t i = 0; i < TUNABLES; i++)
        if (is_changed(&result->options, &result->base, tunables[i].option))
            result->set[result->set_count++] = tunables[i].option;
    result->gained = result->set_count > 0;
}

/* Replays on a device as fast, or as slow, as the trace permits. */
static int range_get(struct search *search, size_t index, const struct options *options,
                     struct tune_figures *figures)
{
    int error = 0;

    figures->reserved_least = figures->reserved_most = figures->peak_reserved_bytes;
    figures->calls_least = figures->calls_most = figures->driver_calls;
    for (int haste = DEVICE_EARLY; haste <= DEVICE_LATE && figures->completed && error == 0;
         haste++) {
        struct tune_figures other;

        error = figures_get(search, index, options, (enum device_haste)haste, &other);
        if (error < 0 || !other.completed)
            continue;
        figures->reserved_least = least(figures->reserved_least, other.peak_reserved_bytes);
        figures->reserved_most = most(figures->reserved_most, other.peak_reserved_bytes);
        figures->calls_least = least(figures->calls_least, other.driver_calls);
        figures->calls_most = most(figures->calls_most, other.driver_calls);
    }
    return error;
}

static int all_figures(struct search *search, const struct options *options,
                       struct tune_figures *ret_figures)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < search->trace_count + (search->request->judge != NULL);
         i++) {
        error = figures_get(search, i, options, DEVICE_LIKELY, &ret_figures[i]);
        if (error == 0)
            error = range_get(search, i, options, &ret_figures[i]);
    }
    return error;
}

/* A trace that took no part must not be worse off. */
static void judge_ask(struct search *search)
{
    struct tune_result *result = search->result;
    size_t judge = search->trace_count;

    if (!search->request->judge || !result->gained ||
        cost(search, judge, &result->after[judge], &result->before[judge]) <= 1 + NOISE)
        return;
    result->refused = true;
    result->options = result->base;
    memcpy(result->after, result->before, (judge + 1) * sizeof *result->after);
    settings_note(result);
}

/* If the same options cost much more or less on a device of another speed, the placement of
 * blocks is a matter of chance, and so is a small gain. */
static double noise_of(const struct search *search)
{
    double widest = 0;

    for (size_t i = 0; i < search->trace_count; i++) {
        const struct tune_figures *before = &search->result->before[i];
        double memory = 1 - ratio(before->reserved_least, before->reserved_most);
        double calls = 1 - ratio(before->calls_least, before->calls_most);
        double spread = search->request->goal == TUNE_MEMORY  ? memory
                        : search->request->goal == TUNE_CALLS ? calls
                                                              : (memory + calls) / 2;

        widest = before->completed && spread > widest ? spread : widest;
    }
    return NOISE + widest / SPREAD;
}

/* The recorded run itself is the baseline and, without a gain, the result. */
static void recorded_note(struct search *search)
{
    struct tune_result *result = search->result;

    for (size_t i = 0; i < search->trace_count + (search->request->judge != NULL); i++) {
        const struct replay_recorded *recorded = &search->traces[i]->recorded;
        struct tune_figures *before = &result->before[i];

        if (recorded->known && !search->request->capacity_bytes) {
            before->driver_calls = recorded->driver_calls;
            before->calls_least = least(before->calls_least, recorded->driver_calls);
            before->calls_most = most(before->calls_most, recorded->driver_calls);
            before->peak_reserved_bytes = recorded->peak_reserved_bytes;
            before->reserved_least = least(before->reserved_least, recorded->peak_reserved_bytes);
            before->reserved_most = most(before->reserved_most, recorded->peak_reserved_bytes);
        }
        if (!result->gained)
            result->after[i] = *before;
    }
}

/* From `current` on, tries one option after the other, until none lowers the cost. */
static int descend(struct search *search, struct options *current, double *best)
{
    int error = 0;

    for (unsigned round = 0; error == 0 && round < ROUNDS; round++) {
        double earlier = *best;

        for (size_t i = 0; error == 0 && i < TUNABLES; i++)
            if (tunables[i].option != OPTION_ID_slab)
                error = tunable_try(search, i, current, best);
        if (*best >= earlier - search->noise)
            break;
    }
    return error;
}

/* The other backing is a separate start: options that suit one may be worse with the other, and
 * its page or reserve may be what makes it worthwhile. The initial cost may be high. */
static int other_backing(struct search *search, struct options *ret_options, double *ret_cost)
{
    bool maps = search->result->base.backing == OPTION_BACKING_DRIVER;
    struct options start = search->result->base;
    int error;

    option_set(&start, OPTION_ID_backing, maps ? "vmm" : "driver");
    error = options_try(search, &start, ret_cost);
    for (size_t i = 0; error == 0 && i < TUNABLES; i++)
        if (tunables[i].option == OPTION_ID_page || tunables[i].option == OPTION_ID_reserve)
            error = tunable_try(search, i, &start, ret_cost);
    if (error == 0)
        error = descend(search, &start, ret_cost);
    *ret_options = start;
    return error;
}

/* Slab sizes change placement slightly, so tried early they would mislead the search by chance.
 * They are tried last, and the result is never worse than without them. */
static int slabs_try(struct search *search, struct options *current, double *best)
{
    double before = *best;
    int error = 0;

    for (size_t i = 0; error == 0 && i < TUNABLES; i++)
        if (tunables[i].option == OPTION_ID_slab)
            error = tunable_try(search, i, current, best);
    return error == 0 && *best < before ? descend(search, current, best) : error;
}

static int search_run(struct search *search)
{
    struct tune_result *result = search->result;
    struct options current = result->base, other;
    double best = 1, cost_other;
    int error = all_figures(search, &result->base, result->before);

    for (size_t i = 0; i < search->trace_count; i++)
        if (!result->before[i].completed)
            best = WORST / 2;
    search->completes = best == 1;
    search->compares = true;
    search->noise = noise_of(search);
    result->noise = search->noise;
    if (error == 0)
        error = descend(search, &current, &best);
    if (error == 0)
        error = other_backing(search, &other, &cost_other);
    if (error == 0 && cost_other < best - search->noise) {
        current = other;
        best = cost_other;
    }
    if (error == 0)
        error = slabs_try(search, &current, &best);
    if (error == 0)
        error = settings_prune(search, &current);
    result->options = current;
    settings_note(result);
    if (error == 0)
        error = all_figures(search, &result->options, result->after);
    if (error == 0)
        judge_ask(search);
    if (error == 0)
        recorded_note(search);
    return error;
}

/* All traces must have the same options; otherwise there is no common "before". */
static int base_choose(const struct tune_request *request, struct options *ret_base)
{
    char first[VALUE_MOST * 2], other[VALUE_MOST * 2];

    *ret_base = request->traces[0].options;
    options_pool_format(ret_base, first, sizeof first);
    for (size_t i = 1; i < request->trace_count; i++) {
        options_pool_format(&request->traces[i].options, other, sizeof other);
        if (strcmp(first, other))
            return -EINVAL;
    }
    return 0;
}

int tune_find(const struct tune_request *request, struct tune_result *ret_result)
{
    struct tune_result result = {0};
    struct search search = {
        .request = request, .result = &result, .trace_count = request->trace_count};
    uint64_t bytes = 0;
    int error = base_choose(request, &result.base);

    search.traces = calloc(request->trace_count + 1, sizeof *search.traces);
    search.trial = calloc(request->trace_count + 1, sizeof *search.trial);
    result.before = calloc(request->trace_count + 1, sizeof *result.before);
    result.after = calloc(request->trace_count + 1, sizeof *result.after);
    if (error == 0 && (!search.traces || !search.trial || !result.before || !result.after))
        error = -ENOMEM;
    for (size_t i = 0; error == 0 && i < request->trace_count; i++) {
        search.traces[i] = &request->traces[i];
        class_histogram_add(&search.histogram, search.traces[i]);
        bytes += REPLAYS_USUAL * replay_bytes(search.traces[i]);
    }
    progress_begin_work(&search.progress, "tuning", bytes);
    if (error == 0) {
        search.traces[request->trace_count] = request->judge;
        error = search_run(&search);
    }
    progress_end(&search.progress);
    free(search.traces);
    free(search.trial);
    if (error < 0)
        tune_result_done(&result);
    else
        *ret_result = result;
    return error;
}

void tune_result_done(struct tune_result *result)
{
    free(result->before);
    free(result->after);
    result->before = result->after = NULL;
}

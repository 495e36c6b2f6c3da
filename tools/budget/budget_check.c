/* SPDX-License-Identifier: MIT */
/*
 * Here: the judgement.
 */
#include "tools/budget/budget_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"

int budget_check_warn(struct budget_check *check, const char *format, ...)
{
    char **array = realloc(check->warning, (check->warnings + 1) * sizeof *array);
    va_list arguments;
    int length;

    if (!array)
        return -ENOMEM;
    check->warning = array;
    va_start(arguments, format);
    length = vasprintf(&array[check->warnings], format, arguments);
    va_end(arguments);
    if (length < 0)
        return -ENOMEM;
    check->warnings++;
    return 0;
}

/** Formats both figures for people; exactly if rounding would make them look alike. */
static void figures_text(enum metric_unit unit, uint64_t one, uint64_t other,
                         struct unit_text *ret_one, struct unit_text *ret_other)
{
    *ret_one = metric_text(unit, one);
    *ret_other = metric_text(unit, other);
    if (one == other || strcmp(ret_one->text, ret_other->text) != 0)
        return;
    if (unit == METRIC_UNIT_PERCENT) {
        snprintf(ret_one->text, sizeof ret_one->text, "%.4f %%", (double)one / 1e4);
        snprintf(ret_other->text, sizeof ret_other->text, "%.4f %%", (double)other / 1e4);
    } else {
        snprintf(ret_one->text, sizeof ret_one->text, "%llu B", (unsigned long long)one);
        snprintf(ret_other->text, sizeof ret_other->text, "%llu B", (unsigned long long)other);
    }
}

/** `bound`: the value is an upper bound. */
static void limit_judge(struct budget_check_result *result, uint64_t value, bool bound)
{
    const struct metric_row *row = &metric_rows[result->item->metric];
    uint64_t limit = result->item->limit;
    bool at_least = row->direction == METRIC_AT_LEAST;
    struct unit_text measured, allowed;

    figures_text(row->unit, value, limit, &measured, &allowed);
    snprintf(result->measured, sizeof result->measured, "%s%s", bound ? "at most " : "",
             measured.text);
    snprintf(result->allowed, sizeof result->allowed, "%s%s", at_least ? "at least " : "",
             allowed.text);
    if (at_least ? value >= limit : value <= limit)
        return;
    result->outcome = BUDGET_CHECK_OVER;
    snprintf(result->by, sizeof result->by, "%s by %s", at_least ? "under" : "over",
             metric_text(row->unit, at_least ? limit - value : value - limit).text);
}

static void growth_judge(struct budget_check_result *result, uint64_t before, uint64_t after)
{
    const struct budget_item *item = result->item;
    enum metric_unit unit = metric_rows[item->metric].unit;
    uint64_t grown = after > before ? after - before : 0;
    uint64_t allowed = tolerance_allowed(&item->tolerance, before);
    struct unit_text change = change_text(unit, before, after);
    struct unit_text from, to, share = {""};

    figures_text(unit, before, after, &from, &to);
    if (before)
        snprintf(share.text, sizeof share.text, "%+.1f %%, ",
                 100.0 * ((double)after - (double)before) / (double)before);
    snprintf(result->measured, sizeof result->measured, "%s (%s%s to %s)", change.text, share.text,
             from.text, to.text);
    snprintf(result->allowed, sizeof result->allowed, "+%s (%s)", metric_text(unit, allowed).text,
             item->text);
    if (grown <= allowed)
        return;
    result->outcome = BUDGET_CHECK_OVER;
    snprintf(result->by, sizeof result->by, "over by %s", metric_text(unit, grown - allowed).text);
}

/** What of a site a budget of a phase is about, and its unit. */
static uint64_t phase_value_of(const struct snapshot_site *site, enum phase_metric metric)
{
    switch (metric) {
    case PHASE_METRIC_peak_live: return site->figure[SNAPSHOT_at_peak_bytes];
    case PHASE_METRIC_growth: return site->figure[SNAPSHOT_leaked_bytes];
    case PHASE_METRIC_driver_calls:
    case PHASE_METRIC_driver_calls_per_step: return site->unserved + site->failures;
    default: return site->figure[SNAPSHOT_allocations];
    }
}

/** What of a site a budget is about, and its unit. */
static uint64_t value_of(const struct snapshot_site *site, const struct budget_check_result *result)
{
    const struct budget_item *item = result->item;

    if (item->is_phase)
        return phase_value_of(site, item->phase_metric);
    if (item->metric == METRIC_leaked_at_exit)
        return site->figure[SNAPSHOT_leaked_bytes];
    if (metric_rows[item->metric].unit == METRIC_UNIT_BYTES)
        return site->figure[SNAPSHOT_at_peak_bytes];
    return item->metric == METRIC_alloc_failures  ? site->failures
           : item->metric == METRIC_invalid_frees ? site->invalid_frees
           : item->metric == METRIC_pool_hits     ? site->unserved
           : item->metric == METRIC_driver_calls  ? site->unserved + site->failures
                                                  : site->figure[SNAPSHOT_allocations];
}

/** Returns the site with the most of a budget's figure, or NULL. */
static const struct snapshot_site *site_with_most(const struct snapshot *snapshot,
                                                  const struct budget_check_result *result,
                                                  struct glob_work *work)
{
    const char *glob = result->item->is_phase ? NULL : result->item->glob;
    const struct snapshot_site *most = NULL;

    for (size_t i = 0; i < snapshot->sites && glob_work_take(work, 1); i++) {
        const struct snapshot_site *site = &snapshot->site[i];
        const struct site_name name = {site->module, site->function};

        if (value_of(site, result) > (most ? value_of(most, result) : 0) &&
            (!glob || site_name_fits(&name, glob, work)))
            most = site;
    }
    return most;
}

/** Returns the site that keeps the most segment space free beside its blocks. */
static void hint_pinned(const struct budget_check_input *input, struct budget_check_result *result)
{
    const struct snapshot_site *most = snapshot_pins_most(input->measured);
    char name[512];

    if (!most)
        return;
    snapshot_pinned_text(most, name, sizeof name);
    snprintf(result->hint, sizeof result->hint, "pins most: %s %s", name,
             unit_bytes(most->pinned_bytes).text);
    safe_text_end(result->hint, sizeof result->hint);
    result->site = most;
}

/** Returns the site that grew most, for a budget of used memory. */
static bool hint_grown(const struct budget_check_input *input, struct budget_check_result *result)
{
    const struct site_change *first = input->difference ? difference_first(input->difference)
                                                        : NULL;
    char name[512];

    if (!first || !first->fresh || result->item->glob ||
        metric_rows[result->item->metric].unit != METRIC_UNIT_BYTES ||
        result->item->metric == METRIC_leaked_at_exit)
        return false;
    snapshot_site_text(first->site, name, sizeof name);
    snprintf(result->hint, sizeof result->hint, "grew most: %s %s", name,
             change_text(METRIC_UNIT_BYTES, first->before[SNAPSHOT_peak_bytes],
                         first->after[SNAPSHOT_peak_bytes])
                 .text);
    safe_text_end(result->hint, sizeof result->hint);
    result->site = first->fresh;
    return true;
}

/** Returns what was measured of a phase alone, or NULL. */
static const struct snapshot *phase_measure(const struct budget_check_input *input,
                                            struct budget_check *check, const char *phase)
{
    struct snapshot_trace part = *input->trace;
    char why[256];

    if (part.window.is_set) /* a part of a part cannot be measured */
        return part.window.phase && phase && !strcmp(part.window.phase, phase) ? input->measured
                                                                               : NULL;
    for (size_t i = 0; i < check->phases; i++)
        if (phase && !strcmp(check->phase_name[i], phase))
            return check->phase[i];
    if (!phase || check->phases == BUDGET_CHECK_PHASES)
        return NULL;
    part.window = (struct analysis_window){.is_set = true, .phase = phase};
    if (snapshot_measure(&part, NULL, 0, NULL, &check->phase[check->phases], why, sizeof why) < 0)
        return NULL;
    check->phase_name[check->phases] = phase;
    return check->phase[check->phases++];
}

/** Chooses the site to look at first: the one that grew most, or the largest one. */
static void hint_set(const struct budget_check_input *input, struct budget_check *check,
                     struct budget_check_result *result)
{
    const struct snapshot *measured = result->item->is_phase
                                          ? phase_measure(input, check, result->phase)
                                          : input->measured;
    const struct snapshot_site *most;
    enum metric_unit unit = metric_rows[result->item->metric].unit;
    char name[512];

    if (!result->item->glob && result->item->metric == METRIC_fragmentation_overhead)
        hint_pinned(input, result);
    if (result->site || hint_grown(input, result))
        return;
    most = measured ? site_with_most(measured, result, input->trace->work) : NULL;
    if (!most)
        return;
    snapshot_site_text(most, name, sizeof name);
    snprintf(
        result->hint, sizeof result->hint, "most%s: %s %s",
        result->item->is_phase ? " in the phase" : "", name,
        metric_text(unit == METRIC_UNIT_BYTES ? unit : METRIC_UNIT_COUNT, value_of(most, result))
            .text);
    safe_text_end(result->hint, sizeof result->hint);
    result->site = most;
}

/** An upper bound proves that a figure is within its limit, but not that it is over. */
static int bound_warn(struct budget_check *check, const struct budget_check_result *result,
                      bool bound)
{
    bool proves = !result->item->is_growth && result->outcome == BUDGET_CHECK_WITHIN &&
                  result->item->metric != METRIC_fragmentation_overhead;

    if (!bound || proves)
        return 0;
    return budget_check_warn(check,
                             "[%s]: measured is an upper bound, as early events were dropped "
                             "(trace_max): record with a higher limit",
                             result->item->name);
}

static int growth_result(const struct budget_check_input *input, struct budget_check *check,
                         struct budget_check_result *result, char *ret_why, size_t why_bytes)
{
    enum metric metric = result->item->metric;

    if (!input->difference) {
        snprintf(result->measured, sizeof result->measured, "%s",
                 metric_text(metric_rows[metric].unit, input->measured->metric[metric]).text);
        snprintf(result->allowed, sizeof result->allowed, "the new baseline");
        result->outcome = BUDGET_CHECK_ACCEPTED;
        return 0;
    }
    if (!input->difference->base->has[metric]) {
        snprintf(ret_why, why_bytes, "the baseline has no %s: renew it with --update-baseline",
                 metric_rows[metric].key);
        return -ENOENT;
    }
    growth_judge(result, input->difference->base->metric[metric], input->measured->metric[metric]);
    return bound_warn(check, result,
                      input->difference->base->bound[metric] || input->measured->bound[metric]);
}

static int phase_result(const struct budget_check_input *input, struct budget_check *check,
                        struct budget_check_result *result)
{
    const struct trace_summary *recording = trace_reader_summary(input->trace->reader);
    const struct budget_item *item = result->item;
    uint64_t highest = 0;
    bool fitted = false;
    int error = 0;

    for (size_t i = 0; i < input->measured->phases; i++) {
        const struct snapshot_phase *phase = &input->measured->phase[i];

        if (!glob_fits(item->glob, phase->name, input->trace->work))
            continue;
        fitted = true;
        if (phase->value[item->phase_metric] > highest) {
            highest = phase->value[item->phase_metric];
            result->phase = phase->name;
        }
    }
    limit_judge(result, highest, false);
    if (!fitted)
        error = budget_check_warn(check, "[%s]: no phase matches this glob", item->name);
    if (error == 0 && recording->folded_records)
        error = budget_check_warn(check,
                                  "[%s]: phases are measured from %s on, as earlier events were "
                                  "dropped (trace_max): record with a higher limit",
                                  item->name, unit_duration(recording->kept_from_ns).text);
    return error;
}

static int limit_result(const struct budget_check_input *input, struct budget_check *check,
                        struct budget_check_result *result)
{
    const struct budget_item *item = result->item;
    const struct snapshot_set *set;
    bool bound, leaked = item->metric == METRIC_leaked_at_exit;
    int error;

    if (item->is_phase)
        return phase_result(input, check, result);
    if (!item->glob) {
        limit_judge(result, input->measured->metric[item->metric],
                    input->measured->bound[item->metric]);
        return bound_warn(check, result, input->measured->bound[item->metric]);
    }
    set = &input->measured->set[item->set];
    bound = !leaked && set->bound;
    limit_judge(result, leaked ? set->leaked_bytes : set->peak_bytes, bound);
    error = bound_warn(check, result, bound);
    if (error == 0 && !set->fitted)
        error = budget_check_warn(check, "[%s]: no site matches this glob", item->name);
    return error;
}

int budget_check_create(const struct budget_check_input *input, struct budget_check **ret_check,
                        char *ret_why, size_t why_bytes)
{
    size_t items = input->budget ? input->budget->items : 0;
    struct budget_check *check = calloc(1, sizeof *check);
    int error = -ENOMEM;

    snprintf(ret_why, why_bytes, "out of memory");
    if (check)
        check->result = calloc(items + 1, sizeof *check->result);
    if (!check || !check->result)
        goto destroy;
    check->trace = input->path;
    check->difference = input->difference;
    for (size_t i = 0; i < items; i++) {
        struct budget_check_result *result = &check->result[check->results];

        result->item = &input->budget->item[i];
        error = result->item->is_growth ? growth_result(input, check, result, ret_why, why_bytes)
                                        : limit_result(input, check, result);
        if (error < 0)
            goto destroy;
        if (result->outcome == BUDGET_CHECK_OVER) {
            hint_set(input, check, result);
            check->over++;
        }
        if (result->item->is_default && result->outcome != BUDGET_CHECK_OVER)
            *result = (struct budget_check_result){0};
        else
            check->results++;
    }
    *ret_check = check;
    return 0;
destroy:
    budget_check_destroy(check);
    return error;
}

void budget_check_destroy(struct budget_check *check)
{
    if (!check)
        return;
    for (size_t i = 0; i < check->warnings; i++)
        free(check->warning[i]);
    free(check->warning);
    for (size_t i = 0; i < check->phases; i++)
        snapshot_destroy(check->phase[i]);
    free(check->result);
    free(check);
}

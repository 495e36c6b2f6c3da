/* SPDX-License-Identifier: MIT */
#include "tools/report/report_json_parts.h"

#define SPANS_SHOWN 100
#define STEPS_SHOWN 1000

json_t *report_json_integer(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

void report_json_set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, report_json_integer(value));
}

void report_json_place_set(json_t *object, const struct report_place *place)
{
    json_object_set_new(object, "module", json_text_or_null(place->site.module));
    json_object_set_new(object, "build_id", json_text_or_null(place->site.build_id));
    json_object_set_new(object, "offset",
                        place->known ? report_json_integer(place->site.offset) : json_null());
    json_object_set_new(object, "function",
                        json_text_or_null(*place->function ? place->function : NULL));
    json_object_set_new(object, "file", json_text_or_null(place->file));
    json_object_set_new(object, "line",
                        place->line ? report_json_integer(place->line) : json_null());
}

void report_json_site_set(json_t *object, const struct analysis *analysis, uint64_t id)
{
    struct report_place place;

    report_place_find(analysis, id, &place);
    report_json_place_set(object, &place);
}

void report_json_key_set(json_t *object, const struct analysis *analysis, uint64_t id)
{
    char key[512];

    report_site_key(analysis, id, key, sizeof key);
    json_object_set_new(object, "key", json_text_or_null(key));
}

json_t *report_json_point(const struct timeline_point *point)
{
    json_t *object = json_object();

    report_json_set(object, "t_ns", point->time_ns);
    report_json_set(object, "requested_bytes", point->requested_bytes);
    report_json_set(object, "allocated_bytes", point->allocated_bytes);
    report_json_set(object, "reserved_bytes", point->reserved_bytes);
    report_json_set(object, "driver_bytes", point->driver_bytes);
    return object;
}

static json_t *step_figures_json(const struct analysis_step_figures *steps)
{
    json_t *object = json_object();

    report_json_set(object, "count", steps->count);
    report_json_set(object, "allocations", steps->allocations);
    report_json_set(object, "allocations_max", steps->allocations_max);
    report_json_set(object, "driver_calls", steps->driver_calls);
    report_json_set(object, "driver_calls_max", steps->driver_calls_max);
    return object;
}

/** The first spans of a phase, each as [begin, end]. */
static json_t *spans_json(const struct analysis *analysis, size_t phase)
{
    json_t *spans = json_array();

    for (size_t i = 0; i < analysis->spans && json_array_size(spans) < SPANS_SHOWN; i++) {
        json_t *span;

        if (analysis->span[i].phase != phase)
            continue;
        span = json_array();
        json_array_append_new(span, report_json_integer(analysis->span[i].begin_ns));
        json_array_append_new(span, report_json_integer(analysis->span[i].end_ns));
        json_array_append_new(spans, span);
    }
    return spans;
}

json_t *report_json_phases(const struct analysis *analysis)
{
    json_t *array = json_array();

    for (size_t i = 0; i < analysis->phases; i++) {
        const struct analysis_phase *phase = &analysis->phase[i];
        json_t *object = json_object();

        json_object_set_new(object, "name", json_text_or_null(phase->name));
        json_object_set_new(object, "source",
                            json_string(analysis_phase_source_name[phase->source]));
        report_json_set(object, "count", phase->count);
        report_json_set(object, "first_ns", phase->first_ns);
        report_json_set(object, "duration_ns", phase->duration_ns);
        report_json_set(object, "allocations", phase->allocations);
        report_json_set(object, "frees", phase->frees);
        report_json_set(object, "driver_calls", phase->driver_calls);
        report_json_set(object, "opening_requested_bytes", phase->opening_requested_bytes);
        report_json_set(object, "peak_requested_bytes", phase->peak_requested_bytes);
        json_object_set_new(object, "growth_bytes", json_integer(phase->growth_bytes));
        json_object_set_new(object, "steps", step_figures_json(&phase->steps));
        json_object_set_new(object, "spans", spans_json(analysis, i));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *report_json_steps(const struct analysis *analysis)
{
    json_t *steps = step_figures_json(&analysis->steps), *rows = json_array();

    for (size_t i = 0; i < analysis->steps_kept && i < STEPS_SHOWN; i++) {
        const struct analysis_step *step = &analysis->step[i];
        json_t *row = json_object();

        report_json_set(row, "number", step->number);
        report_json_set(row, "begin_ns", step->begin_ns);
        report_json_set(row, "end_ns", step->end_ns);
        report_json_set(row, "allocations", step->allocations);
        report_json_set(row, "frees", step->frees);
        report_json_set(row, "driver_calls", step->driver_calls);
        json_object_set_new(row, "growth_bytes", json_integer(step->growth_bytes));
        json_array_append_new(rows, row);
    }
    json_object_set_new(steps, "rows", rows);
    return steps;
}

json_t *report_json_growth(const struct analysis *analysis)
{
    bool by_step = analysis->steps.count >= GROWTH_LEAST;
    json_t *array = json_array();

    for (size_t i = 0; i < analysis->growths; i++) {
        const struct growth_site *growth = &analysis->growth[i];
        const struct tally *row = &analysis->sites.row[growth->row];
        json_t *object = json_object();

        report_json_site_set(object, analysis, row->key);
        report_json_set(object, "blocks", growth->blocks);
        report_json_set(object, "bytes", growth->bytes);
        report_json_set(object, "leaked_blocks", row->leaked_blocks);
        json_object_set_new(object, "blocks_per_step",
                            by_step ? json_real(growth->blocks_per_x) : json_null());
        json_object_set_new(object, "bytes_per_step",
                            by_step ? json_real(growth->bytes_per_x) : json_null());
        json_object_set_new(object, "fit", json_real(growth->fit));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *report_json_fragmentation(const struct analysis *analysis, size_t top, json_t *left_out)
{
    const struct fragmentation *fragmentation = &analysis->fragmentation;
    size_t count = top && fragmentation->sites > top ? top : fragmentation->sites;
    json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        const struct fragmentation_part *part = &fragmentation->site[i];
        json_t *object = json_object();

        report_json_site_set(object, analysis, part->key);
        report_json_set(object, "pinned_bytes", part->pinned_bytes);
        report_json_set(object, "held_bytes", part->pinned_bytes + part->block_bytes);
        report_json_set(object, "block_bytes", part->block_bytes);
        report_json_set(object, "blocks", part->blocks);
        json_array_append_new(array, object);
    }
    report_json_set(left_out, "fragmentation_site", fragmentation->sites - count);
    return array;
}

json_t *report_json_window(const struct analysis *analysis)
{
    json_t *object;

    if (!analysis->window.is_set)
        return json_null();
    object = json_object();
    json_object_set_new(object, "phase", json_text_or_null(analysis->window.phase));
    json_object_set_new(object, "begin_ns",
                        analysis->window.phase ? json_null()
                                               : report_json_integer(analysis->window.begin_ns));
    json_object_set_new(object, "end_ns",
                        analysis->window.phase ? json_null()
                                               : report_json_integer(analysis->window.end_ns));
    report_json_set(object, "duration_ns", analysis->window_ns);
    report_json_set(object, "opening_requested_bytes", analysis->opening.requested_bytes);
    report_json_set(object, "opening_reserved_bytes", analysis->opening.reserved_bytes);
    report_json_set(object, "opening_driver_bytes", analysis->opening.driver_bytes);
    report_json_set(object, "opening_blocks", analysis->opening.blocks);
    return object;
}

static json_t *parts_json(const struct analysis *analysis, const struct analysis_part *parts,
                          bool are_sites)
{
    json_t *array = json_array();

    for (size_t i = 0; i < ANALYSIS_POSTMORTEM_PARTS && parts[i].bytes; i++) {
        json_t *object = json_object();

        if (are_sites)
            report_json_site_set(object, analysis, parts[i].key);
        else
            json_object_set_new(object, "path",
                                json_text_or_null((const char *)(uintptr_t)parts[i].key));
        report_json_set(object, "live_bytes", parts[i].bytes);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *pools_json(const struct analysis_postmortem *postmortem)
{
    json_t *array = json_array();

    for (size_t i = 0; i < postmortem->pools; i++) {
        json_t *object = json_object();

        report_json_set(object, "context", postmortem->pool[i].context);
#define POSTMORTEM_POOL(name, help) report_json_set(object, #name, postmortem->pool[i].name);
#include "cupti/format/postmortem.def"
        json_array_append_new(array, object);
    }
    return array;
}

/** The state known when the request was refused to the program. */
static json_t *state_json(const struct analysis *analysis,
                          const struct analysis_postmortem *postmortem)
{
    const struct verdict_facts *facts = &postmortem->facts;
    json_t *object = json_object();

#define POSTMORTEM_POOL(name, help)   report_json_set(object, #name, facts->name);
#define POSTMORTEM_DEVICE(name, help) report_json_set(object, #name, facts->name);
#include "cupti/format/postmortem.def"
    report_json_set(object, "others_bytes", verdict_others_bytes(facts));
    json_object_set_new(object, "pools", pools_json(postmortem));
    json_object_set_new(object, "sites", parts_json(analysis, postmortem->sites, true));
    json_object_set_new(object, "libraries", parts_json(analysis, postmortem->libraries, false));
    return object;
}

json_t *report_json_postmortems(const struct analysis *analysis)
{
    json_t *array = json_array();

    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++) {
        const struct analysis_postmortem *postmortem = &analysis->postmortem[i];
        json_t *object = report_json_point(&postmortem->levels);

        report_json_set(object, "request_bytes", postmortem->request_bytes);
        report_json_set(object, "held_free_bytes", postmortem->held_free_bytes);
        report_json_site_set(object, analysis, postmortem->site);
        json_object_set_new(object, "refused", json_boolean(postmortem->is_refused));
        json_object_set_new(object, "verdict",
                            postmortem->is_refused ? json_string(verdict_name(postmortem->verdict))
                                                   : json_null());
        json_object_set_new(object, "state",
                            postmortem->is_refused ? state_json(analysis, postmortem)
                                                   : json_null());
        json_array_append_new(array, object);
    }
    return array;
}

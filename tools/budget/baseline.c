/* SPDX-License-Identifier: MIT */
/*
 * Baseline files, see snapshot.h. The input is not trusted: every field's type is checked, and an
 * error names the field.
 */
#include "tools/budget/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/base/file/infile.h"
#include "tools/base/json_text.h"
#include "tools/base/file/outfile.h"
#include "tools/symbols/wrappers.h"

#define SCHEMA  "cupool.baseline/1"
#define MAKE_IT "make it with --update-baseline"

/* In the list of upper bounds: the peaks of sites. */
#define BOUND_SITES "sites"

#define BYTES_MOST ((size_t)64 << 20)

json_t *metric_json(enum metric_unit unit, uint64_t value)
{
    if (unit == METRIC_UNIT_PERCENT)
        return json_real((double)value / METRIC_PERCENT_PPM);
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static json_t *metrics_json(const struct snapshot *snapshot)
{
    json_t *metrics = json_object();

    for (int i = 0; i < METRIC_COUNT; i++)
        if (snapshot->has[i])
            json_object_set_new(metrics, metric_rows[i].key,
                                metric_json(metric_rows[i].unit, snapshot->metric[i]));
    return metrics;
}

/** Names of the figures that are upper bounds; NULL: there are none. */
static json_t *bounds_json(const struct snapshot *snapshot)
{
    json_t *bounds = json_array();

    for (int i = 0; i < METRIC_COUNT; i++)
        if (snapshot->bound[i])
            json_array_append_new(bounds, json_string(metric_rows[i].key));
    if (snapshot->sites_bound)
        json_array_append_new(bounds, json_string(BOUND_SITES));
    if (json_array_size(bounds))
        return bounds;
    json_decref(bounds);
    return NULL;
}

static json_t *devices_json(const struct snapshot *snapshot)
{
    json_t *devices = json_array();

    for (size_t i = 0; i < snapshot->devices; i++) {
        json_t *device = json_object();

        json_object_set_new(device, "name", json_text(snapshot->device[i].name));
        json_object_set_new(device, "driver_version", json_text(snapshot->device[i].driver));
        json_array_append_new(devices, device);
    }
    return devices;
}

static json_t *related_json(const struct snapshot_site *site)
{
    json_t *related = json_array();

    for (size_t i = 0; i < site->relateds; i++)
        json_array_append_new(related, json_text(site->related[i]));
    return related;
}

/** Detected wrappers, so that later runs separate sites in the same way. */
static json_t *wrappers_json(void)
{
    json_t *wrappers = json_object();
    const char *module, *function;

    for (size_t i = 0; wrappers_get(i, &module, &function); i++) {
        json_t *functions = json_object_get(wrappers, module);

        if (!functions)
            json_object_set_new(wrappers, module, functions = json_array());
        json_array_append_new(functions, json_text(function));
    }
    return wrappers;
}

/** Writes the largest sites by name, so that a change of order changes no line. */
static json_t *sites_json(const struct snapshot *snapshot)
{
    size_t count = snapshot->sites < SNAPSHOT_BASELINE_SITES ? snapshot->sites
                                                             : SNAPSHOT_BASELINE_SITES;
    struct snapshot_site *sorted = calloc(count + 1, sizeof *sorted);
    json_t *sites = sorted ? json_array() : NULL;

    if (sites && count) {
        memcpy(sorted, snapshot->site, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, snapshot_site_compare_name);
    }
    for (size_t i = 0; sites && i < count; i++) {
        json_t *site = json_object();

        json_object_set_new(site, "module", json_text(sorted[i].module));
        json_object_set_new(site, "function", json_text(sorted[i].function));
        json_object_set_new(site, "related", related_json(&sorted[i]));
        for (int k = 0; k < SNAPSHOT_FIGURE_COUNT; k++)
            json_object_set_new(site, snapshot_figure_name[k],
                                metric_json(METRIC_UNIT_COUNT, sorted[i].figure[k]));
        json_array_append_new(sites, site);
    }
    free(sorted);
    return sites;
}

int baseline_write(const struct snapshot *snapshot, const char *path)
{
    json_t *root = json_object(), *ignored = json_array(), *bounds = bounds_json(snapshot);
    uint64_t left_out = snapshot->sites_left_out;
    char *text = NULL, *whole = NULL;
    int error = -ENOMEM, length = -1;

    if (snapshot->sites > SNAPSHOT_BASELINE_SITES)
        left_out += snapshot->sites - SNAPSHOT_BASELINE_SITES;
    for (size_t i = 0; i < snapshot->ignored_count; i++)
        json_array_append_new(ignored, json_text(snapshot->ignored[i]));
    json_object_set_new(root, "schema", json_string(SCHEMA));
    json_object_set_new(root, "device", devices_json(snapshot));
    json_object_set_new(root, "ignored_sites", ignored);
    json_object_set_new(root, "metrics", metrics_json(snapshot));
    json_object_set_new(root, "sites", sites_json(snapshot));
    json_object_set_new(root, "sites_left_out", metric_json(METRIC_UNIT_COUNT, left_out));
    if (bounds)
        json_object_set_new(root, "upper_bounds", bounds);
    json_object_set_new(root, "wrappers", wrappers_json());
    text = json_dumps(root, JSON_SORT_KEYS | JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (text)
        length = asprintf(&whole, "%s\n", text);
    if (length >= 0) {
        error = outfile_write(path, whole, (size_t)length);
        free(whole);
    }
    free(text);
    json_decref(root);
    return error;
}

/** Where reading is, for messages. */
struct reading {
    const char *path;
    char *why;
    size_t why_bytes;
};

static int field_bad(const struct reading *reading, const char *where, const char *what)
{
    snprintf(reading->why, reading->why_bytes, "%s: %s: %s: " MAKE_IT, reading->path, where, what);
    return -EBADMSG;
}

static int text_read(const struct reading *reading, const json_t *from, const char *where,
                     char **ret_text)
{
    if (!json_is_string(from))
        return field_bad(reading, where, "not a string");
    *ret_text = strdup(json_string_value(from));
    return *ret_text ? 0 : field_bad(reading, where, "out of memory");
}

static int figure_read(const struct reading *reading, const json_t *from, enum metric_unit unit,
                       const char *where, uint64_t *ret_value)
{
    double share = json_number_value(from);

    if (unit == METRIC_UNIT_PERCENT && json_is_number(from) && share >= 0 && share <= 100) {
        *ret_value = (uint64_t)(share * METRIC_PERCENT_PPM + 0.5);
        return 0;
    }
    if (unit == METRIC_UNIT_PERCENT || !json_is_integer(from) || json_integer_value(from) < 0)
        return field_bad(reading, where, "not a number in range");
    *ret_value = (uint64_t)json_integer_value(from);
    return 0;
}

static int metrics_read(const struct reading *reading, const json_t *from,
                        struct snapshot *snapshot)
{
    int error = 0;

    if (!json_is_object(from))
        return field_bad(reading, "metrics", "not an object");
    for (int i = 0; i < METRIC_COUNT && error == 0; i++) {
        const json_t *value = json_object_get(from, metric_rows[i].key);

        snapshot->has[i] = value;
        if (value)
            error = figure_read(reading, value, metric_rows[i].unit, metric_rows[i].key,
                                &snapshot->metric[i]);
    }
    return error;
}

/** Only baselines of traces of limited size have it. */
static int bounds_read(const struct reading *reading, const json_t *from, struct snapshot *snapshot)
{
    if (from && !json_is_array(from))
        return field_bad(reading, "upper_bounds", "not an array");
    for (size_t i = 0; i < json_array_size(from); i++) {
        const char *key = json_string_value(json_array_get(from, i));
        int metric = key ? metric_find(key, strlen(key)) : -ENOENT;

        if (!key)
            return field_bad(reading, "upper_bounds", "not a string");
        if (metric >= 0)
            snapshot->bound[metric] = true;
        snapshot->sites_bound |= !strcmp(key, BOUND_SITES);
    }
    return 0;
}

static int devices_read(const struct reading *reading, const json_t *from,
                        struct snapshot *snapshot)
{
    size_t count = json_array_size(from);
    int error = 0;

    if (!json_is_array(from))
        return field_bad(reading, "device", "not an array");
    snapshot->device = calloc(count + 1, sizeof *snapshot->device);
    if (!snapshot->device)
        return field_bad(reading, "device", "out of memory");
    for (size_t i = 0; i < count && error == 0; i++) {
        const json_t *row = json_array_get(from, i);
        struct snapshot_device *device = &snapshot->device[snapshot->devices++];

        error = text_read(reading, json_object_get(row, "name"), "device name", &device->name);
        if (error == 0)
            error = text_read(reading, json_object_get(row, "driver_version"), "driver_version",
                              &device->driver);
    }
    return error;
}

/** Does the same for a string of a site; many of them may be equal. */
static int site_text_read(const struct reading *reading, const json_t *from, const char *where,
                          struct texts *texts, const char **ret_text)
{
    if (!json_is_string(from))
        return field_bad(reading, where, "not a string");
    *ret_text = texts_keep(texts, json_string_value(from));
    return *ret_text ? 0 : field_bad(reading, where, "out of memory");
}

/** Baselines of older versions have neither these fields nor the wrappers. */
static int related_read(const struct reading *reading, const json_t *from, struct texts *texts,
                        struct snapshot_site *site)
{
    int error = 0;

    for (size_t i = 0; i < json_array_size(from) && i < SNAPSHOT_RELATED && error == 0; i++) {
        error = site_text_read(reading, json_array_get(from, i), "related sites of a site", texts,
                               &site->related[i]);
        site->relateds += error == 0;
    }
    return error;
}

static int site_read(const struct reading *reading, const json_t *row, struct texts *texts,
                     struct snapshot_site *site)
{
    int error = site_text_read(reading, json_object_get(row, "module"), "module of a site", texts,
                               &site->module);

    if (error == 0)
        error = site_text_read(reading, json_object_get(row, "function"), "function of a site",
                               texts, &site->function);
    for (int k = 0; k < SNAPSHOT_FIGURE_COUNT && error == 0; k++)
        error = figure_read(reading, json_object_get(row, snapshot_figure_name[k]),
                            METRIC_UNIT_COUNT, snapshot_figure_name[k], &site->figure[k]);
    return error < 0 ? error : related_read(reading, json_object_get(row, "related"), texts, site);
}

static int wrappers_read(const struct reading *reading, json_t *from)
{
    const char *module;
    json_t *functions;
    int error = 0;

    json_object_foreach(from, module, functions)
    {
        for (size_t i = 0; i < json_array_size(functions) && error >= 0; i++) {
            const char *function = json_string_value(json_array_get(functions, i));

            error = function ? wrappers_add(module, function)
                             : field_bad(reading, "wrappers", "not a string");
        }
    }
    return error < 0 ? error : 0;
}

static int sites_read(const struct reading *reading, const json_t *root, struct snapshot *snapshot)
{
    const json_t *from = json_object_get(root, "sites");
    size_t count = json_array_size(from);
    int error = figure_read(reading, json_object_get(root, "sites_left_out"), METRIC_UNIT_COUNT,
                            "sites_left_out", &snapshot->sites_left_out);

    if (error < 0)
        return error;
    if (!json_is_array(from))
        return field_bad(reading, "sites", "not an array");
    snapshot->site = calloc(count + 1, sizeof *snapshot->site);
    if (!snapshot->site)
        return field_bad(reading, "sites", "out of memory");
    for (size_t i = 0; i < count && error == 0; i++)
        error = site_read(reading, json_array_get(from, i), &snapshot->texts,
                          &snapshot->site[snapshot->sites++]);
    if (error == 0)
        qsort(snapshot->site, snapshot->sites, sizeof *snapshot->site, snapshot_site_compare);
    return error;
}

static int ignored_read(const struct reading *reading, const json_t *from,
                        struct snapshot *snapshot)
{
    size_t count = json_array_size(from);
    int error = 0;

    if (!json_is_array(from))
        return field_bad(reading, "ignored_sites", "not an array");
    snapshot->ignored = calloc(count + 1, sizeof *snapshot->ignored);
    if (!snapshot->ignored)
        return field_bad(reading, "ignored_sites", "out of memory");
    for (size_t i = 0; i < count && error == 0; i++)
        error = text_read(reading, json_array_get(from, i), "ignored_sites",
                          &snapshot->ignored[snapshot->ignored_count++]);
    return error;
}

static int root_read(const struct reading *reading, const json_t *root, struct snapshot *snapshot)
{
    const char *schema = json_string_value(json_object_get(root, "schema"));
    int error;

    if (!schema || strcmp(schema, SCHEMA) != 0) {
        snprintf(reading->why, reading->why_bytes, "%s: not a baseline: its schema is %s, not %s",
                 reading->path, schema ? schema : "missing", SCHEMA);
        return -EPROTONOSUPPORT;
    }
    error = metrics_read(reading, json_object_get(root, "metrics"), snapshot);
    if (error == 0)
        error = bounds_read(reading, json_object_get(root, "upper_bounds"), snapshot);
    if (error == 0)
        error = devices_read(reading, json_object_get(root, "device"), snapshot);
    if (error == 0)
        error = sites_read(reading, root, snapshot);
    if (error == 0)
        error = ignored_read(reading, json_object_get(root, "ignored_sites"), snapshot);
    if (error == 0)
        error = wrappers_read(reading, json_object_get(root, "wrappers"));
    return error;
}

int baseline_read(const char *path, struct snapshot **ret_snapshot, char *ret_why, size_t why_bytes)
{
    const struct reading reading = {path, ret_why, why_bytes};
    struct snapshot *snapshot = NULL;
    json_error_t place;
    json_t *root;
    char *text;
    size_t bytes;
    int error;

    error = infile_read(path, BYTES_MOST, &text, &bytes);
    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s: " MAKE_IT, path, infile_reason(error));
        return error;
    }
    root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &place);
    free(text);
    if (!root) {
        snprintf(ret_why, why_bytes, "%s:%d: %s: " MAKE_IT, path, place.line, place.text);
        return -EBADMSG;
    }
    snapshot = calloc(1, sizeof *snapshot);
    error = snapshot ? root_read(&reading, root, snapshot)
                     : field_bad(&reading, "file", "out of memory");
    json_decref(root);
    if (error < 0) {
        snapshot_destroy(snapshot);
        return error;
    }
    *ret_snapshot = snapshot;
    return 0;
}

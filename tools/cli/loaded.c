/* SPDX-License-Identifier: MIT */
#include "tools/cli/loaded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/wrapper_rules.h"
#include "tools/base/disguise.h"
#include "tools/symbols/frames.h"
#include "tools/symbols/symbols.h"
#include "tools/symbols/wrappers.h"
#include "tools/trace/trace_open.h"

#define DETAILED_MOST                                                                              \
    8 /* traces of a report: of more, what is kept for ranges of time is too much */

static const char *advice(int error)
{
    return error == -ENOTSUP           ? "install libzstd-dev and build cupool again"
           : error == -ENOENT          ? "name a file that 'cupool run' wrote"
           : error == -EBADMSG         ? "record it again"
           : error == -EPROTONOSUPPORT ? "use the cupool that wrote it"
                                       : "see that it can be read";
}

static int trace_open_one(struct loaded *loaded, const char *path, char *ret_why, size_t why_bytes)
{
    char why[512];
    int error = trace_open(path, &loaded->reader[loaded->count], why, sizeof why);

    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s: %s", path, why, advice(error));
        return error;
    }
    loaded->count++;
    return 0;
}

static int trace_analyse(struct loaded *loaded, size_t i, const char *path,
                         const struct window_request *window, char *ret_why, size_t why_bytes)
{
    struct analysis_request request = {.detailed = loaded->detailed &&
                                                   loaded->count <= DETAILED_MOST};
    struct analysis_lens lens;
    char why[512] = "out of memory";
    int error = 0;

    if (window && window_is_wanted(window)) {
        error = window_resolve(window, loaded->reader[i], &request.window, why, sizeof why);
        if (error < 0) {
            snprintf(ret_why, why_bytes, "%s: %s", path, why);
            return error;
        }
    }
    error = locations_create(loaded->reader[i], &loaded->locations[i]);
    if (error == 0) {
        lens = locations_lens(loaded->locations[i]);
        request.lens = &lens;
        error = analysis_create_as(loaded->reader[i], &request, &loaded->analysis[i], why,
                                   sizeof why);
    }
    if (error < 0)
        snprintf(ret_why, why_bytes, "%s: %s: record it again", path, why);
    return error;
}

/** Wrappers of all traces. */
static int wrappers_learn(struct loaded *loaded, char *const *paths, char *ret_why,
                          size_t why_bytes)
{
    char why[512];

    for (size_t i = 0; i < loaded->count; i++) {
        int error = wrapper_rules_learn(loaded->reader[i], why, sizeof why);

        if (error < 0) {
            snprintf(ret_why, why_bytes, "%s: %s: record it again", paths[i], why);
            return error;
        }
    }
    for (size_t i = 0; i < loaded->count; i++)
        frames_forget(loaded->reader[i]);
    return 0;
}

int loaded_create(struct loaded *loaded, char *const *paths, size_t count,
                  const struct window_request *window, char *ret_why, size_t why_bytes)
{
    int error = 0;

    loaded->reader = calloc(count, sizeof(void *));
    loaded->analysis = calloc(count, sizeof(void *));
    loaded->locations = calloc(count, sizeof(void *));
    loaded->name = calloc(count, sizeof(void *));
    if (!loaded->reader || !loaded->analysis || !loaded->locations || !loaded->name) {
        snprintf(ret_why, why_bytes, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < count && error == 0; i++)
        error = trace_open_one(loaded, paths[i], ret_why, why_bytes);
    if (error == 0)
        error = wrappers_learn(loaded, paths, ret_why, why_bytes);
    for (size_t i = 0; i < count && error == 0; i++)
        error = trace_analyse(loaded, i, paths[i], window, ret_why, why_bytes);
    return error;
}

void loaded_name(struct loaded *loaded, char *const *paths, bool anonymize)
{
    if (anonymize)
        disguise_begin();
    for (size_t i = 0; i < loaded->count; i++) {
        analysis_disguise(loaded->analysis[i]);
        loaded->name[i] = disguise_trace(paths[i], i + 1);
    }
}

void loaded_destroy(struct loaded *loaded)
{
    for (size_t i = 0; i < loaded->count; i++) {
        analysis_destroy(loaded->analysis[i]);
        locations_destroy(loaded->locations[i]);
        trace_reader_close(loaded->reader[i]);
    }
    free(loaded->reader);
    free(loaded->analysis);
    free(loaded->locations);
    free(loaded->name);
    *loaded = (struct loaded){0};
    wrappers_done();
    symbols_done();
    disguise_done();
}

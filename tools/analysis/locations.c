/* SPDX-License-Identifier: MIT */
/*
 * See locations.h.
 */
#include "tools/analysis/locations.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/frames.h"

struct locations {
    const struct trace_reader *reader;
    uint32_t *first; /* of site i + 1; 0: not asked for */
    size_t sites;
    void *names; /* a tree of struct name */
};

struct name {
    char *text;
    uint32_t first;
};

static int name_compare(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void name_free(void *entry)
{
    struct name *name = entry;

    free(name->text);
    free(name);
}

/** What stacks of one location have in common. free() it. */
static char *location_name(const struct locations *locations, uint64_t site)
{
    struct frame frame;
    char *text = NULL;
    int r;

    if (!frames_location(locations->reader, site, &frame))
        return strdup("");
    if (frame.file)
        r = asprintf(&text, "%s\n%s\n%llu\n%s", frame.site.module, frame.file,
                     (unsigned long long)frame.line, frame.function ? frame.function : "");
    else
        r = asprintf(&text, "%s\n%llx", frame.site.module ? frame.site.module : "",
                     (unsigned long long)frame.site.offset);
    return r < 0 ? NULL : text;
}

/** Out of memory leaves a stack by itself. */
static uint32_t first_find(struct locations *locations, uint32_t site)
{
    struct name *name = malloc(sizeof *name), **found = NULL;

    if (name)
        *name = (struct name){location_name(locations, site), site};
    if (name && name->text)
        found = tsearch(name, &locations->names, name_compare);
    if (found && *found == name)
        return site;
    if (name)
        name_free(name);
    return found ? (*found)->first : site;
}

int locations_create(const struct trace_reader *reader, struct locations **ret_locations)
{
    struct locations *locations = calloc(1, sizeof *locations);
    size_t sites = trace_reader_summary(reader)->sites;

    if (!locations)
        return -ENOMEM;
    locations->reader = reader;
    locations->sites = sites;
    locations->first = calloc(sites + 1, sizeof *locations->first);
    if (!locations->first) {
        free(locations);
        return -ENOMEM;
    }
    *ret_locations = locations;
    return 0;
}

void locations_destroy(struct locations *locations)
{
    if (!locations)
        return;
    tdestroy(locations->names, name_free);
    free(locations->first);
    free(locations);
}

uint64_t locations_site(struct locations *locations, uint64_t site)
{
    if (!site || site > locations->sites)
        return 0;
    if (!locations->first[site - 1])
        locations->first[site - 1] = first_find(locations, (uint32_t)site);
    return locations->first[site - 1];
}

static bool lens_map(void *context, uint64_t site, uint64_t *ret_site)
{
    *ret_site = locations_site(context, site);
    return true;
}

struct analysis_lens locations_lens(struct locations *locations)
{
    return (struct analysis_lens){.map = lens_map, .context = locations};
}

/* SPDX-License-Identifier: MIT */
#include "tools/analysis/locations.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/frames.h"
#include "tools/base/texts.h"

struct locations {
    const struct trace_reader *reader;
    uint32_t *first; /* of site i + 1; 0: not asked for */
    size_t sites;
    struct texts texts;
    void *names; /* a tree of struct name */
};

/** What stacks of one location have in common; texts by number. */
struct name {
    uint64_t place; /* line and column, or offset where none is known */
    uint32_t module, file, function;
    uint32_t first; /* site */
};

static int name_compare(const void *a, const void *b)
{
    const struct name *left = a, *right = b;

    if (left->place != right->place)
        return left->place < right->place ? -1 : 1;
    if (left->module != right->module)
        return left->module < right->module ? -1 : 1;
    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    return (left->function > right->function) - (left->function < right->function);
}

/** False: out of memory. */
static bool name_find(struct locations *locations, uint32_t site, struct name *ret_name)
{
    struct name name = {.first = site};
    struct frame frame;

    if (frames_location(locations->reader, site, &frame)) {
        name.place = frame.file ? frame.line << 16 | frame.column : frame.site.offset;
        name.module = texts_number(&locations->texts, frame.site.module);
        name.file = frame.file ? texts_number(&locations->texts, frame.file) : 0;
        name.function = frame.file ? texts_number(&locations->texts, frame.function) : 0;
        if (!name.module || (frame.file && (!name.file || !name.function)))
            return false;
    }
    *ret_name = name;
    return true;
}

/** Out of memory leaves a stack by itself. */
static uint32_t first_find(struct locations *locations, uint32_t site)
{
    struct name name, **found, *kept;

    if (!name_find(locations, site, &name))
        return site;
    found = tfind(&name, &locations->names, name_compare);
    if (found)
        return (*found)->first;
    kept = malloc(sizeof *kept);
    if (kept)
        *kept = name;
    if (kept && !tsearch(kept, &locations->names, name_compare))
        free(kept);
    return site;
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
    tdestroy(locations->names, free);
    texts_done(&locations->texts);
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

/* SPDX-License-Identifier: MIT */
/*
 * The stacks as a profile for `pprof` and similar tools (profile.proto): one sample for each stack,
 * with its bytes live at the peak, never freed, and allocated in total. Several traces are
 * distinguished by the label "trace". Compressed if zlib is available; both forms are valid.
 *
 * Numbers of fields: github.com/google/pprof/proto/profile.proto.
 */
#include "tools/report/report_formats.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUPOOL_HAS_ZLIB
#include <zlib.h>
#endif

#include "tools/base/escape.h"
#include "tools/base/protobuf.h"

enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_FUNCTION,
    PROFILE_STRING,
    PROFILE_TIME_NS = 9,
    PROFILE_DURATION_NS,
    PROFILE_DEFAULT_TYPE = 14
};
enum { TYPE_NAME = 1, TYPE_UNIT };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_TEXT };
enum {
    MAPPING_ID = 1,
    MAPPING_START,
    MAPPING_LIMIT,
    MAPPING_FILE = 5,
    MAPPING_BUILD_ID,
    MAPPING_HAS_FUNCTIONS
};
enum { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS, LOCATION_LINE };
enum { LINE_FUNCTION = 1, LINE_NUMBER };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_LINKER_NAME, FUNCTION_FILE };

/*
 * VALUE(name, unit, value from `struct tally *row`)
 */
#define VALUES(VALUE)                                                                              \
    VALUE(inuse_objects, "count", row->live_blocks.at_peak)                                        \
    VALUE(inuse_space, "bytes", row->live_bytes.at_peak)                                           \
    VALUE(exit_objects, "count", row->leaked_blocks)                                               \
    VALUE(exit_space, "bytes", row->leaked_bytes)                                                  \
    VALUE(alloc_objects, "count", row->allocations)                                                \
    VALUE(alloc_space, "bytes", row->requested_bytes)

enum {
#define VALUE(name, unit, value) VALUE_##name,
    VALUES(VALUE)
#undef VALUE
        VALUE_COUNT
};

/** What has an id by its text. */
struct named {
    char *text;
    uint64_t id;
};

struct ids {
    void *tree; /* of struct named */
    uint64_t count;
};

/** Returns the location of a site, created at first use. */
struct site_location {
    uint64_t location; /* 0: not made yet */
    uint32_t frames;   /* inlined ones and its own */
};

struct profile {
    struct protobuf out, message, line;
    struct ids texts, mappings, functions, locations;
    struct frames_budget budget;
    struct site_location *site; /* of the trace under way, by id - 1 */
    bool failed;
};

static int named_compare(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->text, ((const struct named *)b)->text);
}

static void named_free(void *entry)
{
    free(((struct named *)entry)->text);
    free(entry);
}

/** Returns the id of a string, of which it takes ownership. `ret_new`: it is new. */
static uint64_t id_get(struct profile *profile, struct ids *ids, char *text, bool *ret_new)
{
    struct named *named = malloc(sizeof *named), **found;
    uint64_t id;

    *ret_new = false;
    if (!named || !text) {
        profile->failed = true;
        free(named);
        free(text);
        return 0;
    }
    *named = (struct named){text, ids->count + 1};
    found = tsearch(named, &ids->tree, named_compare);
    profile->failed |= !found;
    id = found ? (*found)->id : 0;
    *ret_new = found && *found == named;
    ids->count += *ret_new;
    if (!*ret_new)
        named_free(named);
    return id;
}

/** Index of a text in the table; the empty one is 0. */
static uint64_t text_get(struct profile *profile, const char *text)
{
    bool is_new;
    uint64_t id;
    char *copy;

    if (!text || !*text)
        return 0;
    copy = escape_copy(text); /* strings of a protocol buffer are UTF-8 */
    id = id_get(profile, &profile->texts, copy, &is_new);
    if (is_new)
        protobuf_add_bytes(&profile->out, PROFILE_STRING, copy, strlen(copy));
    return id;
}

static uint64_t mapping_get(struct profile *profile, const struct frame *frame)
{
    struct protobuf *message = &profile->message;
    const char *module = frame->site.module ? frame->site.module : "unknown";
    const char *build_id = frame->site.build_id ? frame->site.build_id : "";
    char *key = NULL;
    bool is_new;
    uint64_t id;

    /* One path may stand for two files: traces of two machines, paths cut to their names. */
    if (asprintf(&key, "%s\n%s", module, build_id) < 0)
        key = NULL;
    id = id_get(profile, &profile->mappings, key, &is_new);
    if (is_new) {
        uint64_t file = text_get(profile, module), build = text_get(profile, build_id);

        protobuf_add_number(message, MAPPING_ID, id);
        /* Addresses of a location belong to its file, so mappings need not distinguish them. */
        protobuf_add_number(message, MAPPING_FILE, file);
        protobuf_add_number(message, MAPPING_BUILD_ID, build);
        protobuf_add_number(message, MAPPING_HAS_FUNCTIONS, 1);
        protobuf_add_message(&profile->out, PROFILE_MAPPING, message);
    }
    return id;
}

static uint64_t function_get(struct profile *profile, const struct frame *frame)
{
    struct protobuf *message = &profile->message;
    char *key = NULL, address[64];
    const char *name = frame->function;
    uint64_t text, file, id;
    bool is_new;

    if (!name || !*name) {
        snprintf(address, sizeof address, "+%#llx", (unsigned long long)frame->site.offset);
        name = address;
    }
    text = text_get(profile, name);
    file = text_get(profile, frame->file);
    /* Keyed by numbers: a path may be long, and contain many functions without a name. */
    if (asprintf(&key, "%llu\n%llu\n%llu", (unsigned long long)text, (unsigned long long)file,
                 (unsigned long long)text_get(profile, frame->site.module)) < 0)
        key = NULL;
    id = id_get(profile, &profile->functions, key, &is_new);
    if (is_new) {
        protobuf_add_number(message, FUNCTION_ID, id);
        protobuf_add_number(message, FUNCTION_NAME, text);
        protobuf_add_number(message, FUNCTION_LINKER_NAME, text);
        protobuf_add_number(message, FUNCTION_FILE, file);
        protobuf_add_message(&profile->out, PROFILE_FUNCTION, message);
    }
    return id;
}

/** Returns the location of the `count` frames of one address, innermost first. */
static uint64_t location_get(struct profile *profile, const struct frame *frames, size_t count)
{
    const struct trace_site *site = &frames->site;
    uint64_t mapping = mapping_get(profile, frames), id;
    struct protobuf lines = {0};
    char *key = NULL;
    bool is_new;

    if (asprintf(&key, "%llu\n%s\n%llx\n%llu", (unsigned long long)mapping,
                 site->function ? site->function : "", (unsigned long long)site->offset,
                 (unsigned long long)site->line) < 0)
        key = NULL;
    id = id_get(profile, &profile->locations, key, &is_new);
    if (!is_new)
        return id;
    protobuf_add_number(&lines, LOCATION_ID, id);
    protobuf_add_number(&lines, LOCATION_MAPPING, mapping);
    protobuf_add_number(&lines, LOCATION_ADDRESS, site->offset);
    for (size_t i = 0; i < count; i++) {
        uint64_t function = function_get(profile, &frames[i]);

        protobuf_add_number(&profile->line, LINE_FUNCTION, function);
        protobuf_add_number(&profile->line, LINE_NUMBER, frames[i].line);
        protobuf_add_message(&lines, LOCATION_LINE, &profile->line);
    }
    protobuf_add_message(&profile->out, PROFILE_LOCATION, &lines);
    protobuf_done(&lines);
    return id;
}

/** What is known of a site, which exists. */
static const struct site_location *site_get(struct profile *profile,
                                            const struct trace_reader *reader, uint64_t id)
{
    struct site_location *site = &profile->site[id - 1];

    if (!site->location) {
        struct frame frames[FRAMES_MOST];
        size_t count = frames_get_own(reader, id, frames, FRAMES_MOST);

        *site = (struct site_location){location_get(profile, frames, count), (uint32_t)count};
    }
    return site;
}

/** Returns the locations of a stack, innermost first, and how many. */
static size_t locations_find(struct profile *profile, const struct trace_reader *reader,
                             uint64_t id, uint64_t locations[FRAMES_MOST])
{
    size_t most = frames_share(&profile->budget, FRAMES_REST), frames = 0, used = 0;
    struct trace_site place;

    for (; frames < most && trace_reader_site(reader, id, &place) == 0; id = place.caller) {
        const struct site_location *site = site_get(profile, reader, id);

        locations[used++] = site->location;
        frames += site->frames;
    }
    profile->budget.written += frames;
    return used;
}

static void label_add(struct profile *profile, struct protobuf *sample, const char *trace)
{
    uint64_t key = text_get(profile, "trace"), text = text_get(profile, trace);

    protobuf_add_number(&profile->line, LABEL_KEY, key);
    protobuf_add_number(&profile->line, LABEL_TEXT, text);
    protobuf_add_message(sample, SAMPLE_LABEL, &profile->line);
}

static void sample_add(struct profile *profile, const struct analysis *analysis, const char *trace,
                       const struct tally *row)
{
    const uint64_t values[VALUE_COUNT] = {
#define VALUE(name, unit, value) [VALUE_##name] = (value),
        VALUES(VALUE)
#undef VALUE
    };
    uint64_t locations[FRAMES_MOST];
    size_t used = locations_find(profile, analysis->reader, row->key, locations);
    struct protobuf sample = {0};

    protobuf_add_numbers(&sample, SAMPLE_LOCATION, locations, used);
    protobuf_add_numbers(&sample, SAMPLE_VALUE, values, VALUE_COUNT);
    if (trace)
        label_add(profile, &sample, trace);
    protobuf_add_message(&profile->out, PROFILE_SAMPLE, &sample);
    protobuf_done(&sample);
}

static void types_add(struct profile *profile)
{
    static const char *const types[][2] = {
#define VALUE(name, unit, value) {#name, unit},
        VALUES(VALUE)
#undef VALUE
    };

    protobuf_add_bytes(&profile->out, PROFILE_STRING, "", 0);
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        uint64_t name = text_get(profile, types[i][0]), unit = text_get(profile, types[i][1]);

        protobuf_add_number(&profile->message, TYPE_NAME, name);
        protobuf_add_number(&profile->message, TYPE_UNIT, unit);
        protobuf_add_message(&profile->out, PROFILE_SAMPLE_TYPE, &profile->message);
    }
    protobuf_add_number(&profile->out, PROFILE_DEFAULT_TYPE,
                        text_get(profile, types[VALUE_inuse_space][0]));
}

static int stacks_add(struct profile *profile, const struct analysis *analysis, const char *trace,
                      size_t top)
{
    struct tally *rows = report_rows_sorted(&analysis->stacks);

    profile->site = calloc(trace_reader_summary(analysis->reader)->sites + 1,
                           sizeof *profile->site);
    if ((!rows && analysis->stacks.rows) || !profile->site) {
        free(rows);
        free(profile->site);
        return -ENOMEM;
    }
    for (size_t i = 0; i < analysis->stacks.rows && (!top || i < top); i++)
        sample_add(profile, analysis, trace, &rows[i]);
    free(profile->site);
    free(rows);
    return 0;
}

static int plain_write(const struct protobuf *profile, FILE *out)
{
    return fwrite(profile->data, 1, profile->bytes, out) == profile->bytes ? 0 : -EIO;
}

#ifdef CUPOOL_HAS_ZLIB
#define WINDOW_OF_GZIP (15 + 16)

static int profile_write(const struct protobuf *profile, FILE *out)
{
    z_stream stream = {.next_in = profile->data, .avail_in = (uInt)profile->bytes};
    unsigned char part[16384];
    int error = 0, state = Z_OK;

    if (profile->bytes > UINT32_MAX / 2 ||
        deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_OF_GZIP, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return plain_write(profile, out);
    while (error == 0 && state == Z_OK) {
        stream.next_out = part;
        stream.avail_out = sizeof part;
        state = deflate(&stream, Z_FINISH);
        if (fwrite(part, 1, sizeof part - stream.avail_out, out) != sizeof part - stream.avail_out)
            error = -EIO;
    }
    deflateEnd(&stream);
    return error;
}
#else
static int profile_write(const struct protobuf *profile, FILE *out)
{
    return plain_write(profile, out);
}
#endif

static void profile_done(struct profile *profile)
{
    tdestroy(profile->texts.tree, named_free);
    tdestroy(profile->mappings.tree, named_free);
    tdestroy(profile->functions.tree, named_free);
    tdestroy(profile->locations.tree, named_free);
    protobuf_done(&profile->message);
    protobuf_done(&profile->line);
    protobuf_done(&profile->out);
}

int report_pprof_write(const struct report_input *input, const struct report_style *style,
                       FILE *out)
{
    struct profile profile = {0};
    int error = 0;

    types_add(&profile);
    if (input->count) {
        protobuf_add_number(&profile.out, PROFILE_TIME_NS,
                            input->analyses[0]->recording.start_realtime_ns);
        protobuf_add_number(&profile.out, PROFILE_DURATION_NS, input->analyses[0]->duration_ns);
    }
    for (size_t i = 0; i < input->count && error == 0; i++)
        error = stacks_add(&profile, input->analyses[i], input->count > 1 ? input->traces[i] : NULL,
                           style->top);
    if (error == 0)
        error = profile.failed || profile.out.failed ? -ENOMEM : profile_write(&profile.out, out);
    profile_done(&profile);
    return error;
}

/* SPDX-License-Identifier: MIT */
/*
 * Replays a trace of requests through a KV block pool and counts hits and evictions.
 *
 *     kv_trace FILE --blocks N [--full-only] [--policy lru|priority] [--block-tokens N] --json
 *
 * A line of the trace is {"input_length": …, "hash_ids": […]}; an id stands for 512 tokens.
 * Requests run one after another: match, allocate the rest, complete, register, release. A request
 * that needs more blocks than the pool has is left out. --full-only drops the last id where it
 * stands for fewer tokens than a block; --block-tokens splits each id into blocks of N tokens.
 *
 * heap_calls counts malloc, calloc, realloc and free between the first request and the last.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/cupool/kv.h"
#include "pool/base/clock.h"
#include "tests/bench/heap_count.h"

#define TRACE_TOKENS 512u

struct settings {
    const char *file;
    uint32_t blocks, block_tokens;
    enum cupool_kv_policy policy;
    bool full_only, json;
};

/** All requests as block hashes, one after another. */
struct trace {
    struct cupool_kv_hash *hashes;
    uint32_t *lengths; /* of each request, in blocks */
    size_t requests, blocks, room, request_room;
    uint32_t longest;
};

struct result {
    uint64_t requests, blocks, hits, evictions, left_out;
    uint64_t heap_calls;
    double ns_per_block;
};

__attribute__((noreturn)) static void die(const char *what, const char *text)
{
    fprintf(stderr, "kv_trace: %s: %s\n", what, text);
    exit(1);
}

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

static struct cupool_kv_hash hash_of(uint64_t id, uint32_t part)
{
    struct cupool_kv_hash hash;
    uint64_t words[4];

    for (unsigned at = 0; at < 4; at++)
        words[at] = mix(mix(id + 1) ^ ((uint64_t)part << 8) ^ at);
    memcpy(hash.bytes, words, sizeof(words));
    return hash;
}

static void block_add(struct trace *trace, struct cupool_kv_hash hash)
{
    if (trace->blocks == trace->room) {
        trace->room = trace->room * 2 + 4096;
        trace->hashes = realloc(trace->hashes, trace->room * sizeof(*trace->hashes));
        if (!trace->hashes)
            die("reading", strerror(ENOMEM));
    }
    trace->hashes[trace->blocks++] = hash;
}

static void request_end(struct trace *trace, size_t first)
{
    if (trace->requests == trace->request_room) {
        trace->request_room = trace->request_room * 2 + 1024;
        trace->lengths = realloc(trace->lengths, trace->request_room * sizeof(*trace->lengths));
        if (!trace->lengths)
            die("reading", strerror(ENOMEM));
    }
    uint32_t length = (uint32_t)(trace->blocks - first);
    trace->lengths[trace->requests++] = length;
    if (length > trace->longest)
        trace->longest = length;
}

static void line_read(struct trace *trace, const char *line, const struct settings *settings)
{
    json_error_t error;
    json_t *row = json_loads(line, 0, &error);
    json_t *ids = json_object_get(row, "hash_ids"), *length = json_object_get(row, "input_length");
    uint32_t parts = TRACE_TOKENS / settings->block_tokens;
    size_t first = trace->blocks, index;
    json_t *id;

    if (!json_is_array(ids) || !json_is_integer(length))
        die(settings->file, "a line has no hash_ids or no input_length");
    uint64_t tokens = (uint64_t)json_integer_value(length);
    json_array_foreach(ids, index, id)
    {
        for (uint32_t part = 0; part < parts; part++) {
            uint64_t begin = index * TRACE_TOKENS + part * settings->block_tokens;
            uint64_t end = begin + settings->block_tokens;
            bool last_of_row = index + 1 == json_array_size(ids);

            if (last_of_row && end > tokens &&
                (settings->full_only || (part > 0 && begin >= tokens)))
                continue;
            block_add(trace, hash_of((uint64_t)json_integer_value(id), part));
        }
    }
    request_end(trace, first);
    json_decref(row);
}

static void trace_read(struct trace *trace, const struct settings *settings)
{
    FILE *file = fopen(settings->file, "r");
    char *line = NULL;
    size_t room = 0;

    if (!file)
        die(settings->file, strerror(errno));
    while (getline(&line, &room, file) > 0)
        line_read(trace, line, settings);
    free(line);
    fclose(file);
}

static void check(struct cupool_kv *pool, int error, const char *what)
{
    if (error < 0)
        die(what, cupool_kv_error(pool));
}

static void request_run(struct cupool_kv *pool, const struct cupool_kv_hash *hashes, uint32_t count,
                        cupool_kv_handle *handles, struct result *result)
{
    uint32_t matched = 0;

    check(pool, cupool_kv_match(pool, hashes, count, handles, &matched), "match");
    int error = cupool_kv_allocate(pool, count - matched, CUPOOL_STREAM_NONE, handles + matched);
    if (error == -ENOMEM) {
        check(pool, cupool_kv_release(pool, handles, matched, CUPOOL_STREAM_NONE), "release");
        result->left_out++;
        return;
    }
    check(pool, error, "allocate");
    check(pool, cupool_kv_complete(pool, handles + matched, count - matched), "complete");
    check(pool,
          cupool_kv_register(pool, handles + matched, hashes + matched, count - matched,
                             matched > 0 ? &hashes[matched - 1] : NULL, CUPOOL_KV_KEEP_BOTH,
                             CUPOOL_STREAM_NONE, handles + matched),
          "register");
    check(pool, cupool_kv_release(pool, handles, count, CUPOOL_STREAM_NONE), "release");
    result->hits += matched;
}

static struct result replay(struct cupool_kv *pool, const struct trace *trace)
{
    struct result result = {.requests = trace->requests, .blocks = trace->blocks};
    cupool_kv_handle *handles = calloc(trace->longest + 1, sizeof(*handles));
    const struct cupool_kv_hash *hashes = trace->hashes;
    struct cupool_kv_statistics stats;
    char why[160];

    if (!handles)
        die("replay", strerror(ENOMEM));
    uint64_t heap_before = heap_calls(), begin = pool_clock_ns();
    for (size_t at = 0; at < trace->requests; hashes += trace->lengths[at++])
        request_run(pool, hashes, trace->lengths[at], handles, &result);
    result.ns_per_block = (double)(pool_clock_ns() - begin) / (double)trace->blocks;
    result.heap_calls = heap_calls() - heap_before;
    check(pool, cupool_kv_stats(pool, &stats), "statistics");
    result.evictions = stats.evictions;
    if (cupool_kv_check(pool, why, sizeof(why)) < 0)
        die("check", why);
    free(handles);
    return result;
}

static uint32_t number(const char *option, const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < least || value > most)
        die(option, "not a number in range");
    return (uint32_t)value;
}

static void settings_parse(struct settings *settings, int argc, char **argv)
{
    static const struct option options[] = {
        {"blocks", required_argument, NULL, 'b'}, {"full-only", no_argument, NULL, 'f'},
        {"policy", required_argument, NULL, 'p'}, {"block-tokens", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},         {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'b': settings->blocks = number("--blocks", optarg, 1, 1u << 26); break;
        case 'f': settings->full_only = true; break;
        case 't':
            settings->block_tokens = number("--block-tokens", optarg, 1, TRACE_TOKENS);
            if (TRACE_TOKENS % settings->block_tokens != 0)
                die("--block-tokens", "does not divide 512");
            break;
        case 'p':
            if (strcmp(optarg, "lru") != 0 && strcmp(optarg, "priority") != 0)
                die("--policy", "not lru or priority");
            settings->policy = *optarg == 'l' ? CUPOOL_KV_LRU : CUPOOL_KV_PRIORITY;
            break;
        case 'j': settings->json = true; break;
        default: exit(2);
        }
    }
    if (optind + 1 != argc || settings->blocks == 0) {
        fprintf(stderr, "usage: kv_trace FILE --blocks N [--full-only] [--policy lru|priority] "
                        "[--block-tokens N] [--json]\n");
        exit(2);
    }
    settings->file = argv[optind];
}

int main(int argc, char **argv)
{
    struct settings settings = {.block_tokens = TRACE_TOKENS};
    struct trace trace = {0};
    struct cupool_kv_config config;
    struct cupool_device *device;
    struct cupool_kv *pool;

    settings_parse(&settings, argc, argv);
    trace_read(&trace, &settings);
    cupool_kv_config_init(&config);
    config.blocks = settings.blocks;
    config.block_tokens = settings.block_tokens;
    config.policy = settings.policy;
    if (cupool_device_host(&device) < 0 || cupool_kv_create(device, &config, &pool) < 0)
        die("--blocks", "the pool could not be made");
    struct result result = replay(pool, &trace);
    printf(settings.json ? "{\"requests\": %llu, \"blocks\": %llu, \"hits\": %llu, "
                           "\"evictions\": %llu, \"ns_per_block\": %.1f, \"heap_calls\": %llu}\n"
                         : "requests %llu, blocks %llu, hits %llu, evictions %llu, %.1f ns a "
                           "block, %llu heap calls\n",
           (unsigned long long)result.requests, (unsigned long long)result.blocks,
           (unsigned long long)result.hits, (unsigned long long)result.evictions,
           result.ns_per_block, (unsigned long long)result.heap_calls);
    if (result.left_out > 0)
        fprintf(stderr, "kv_trace: %llu requests need more blocks than the pool has\n",
                (unsigned long long)result.left_out);
    cupool_kv_destroy(pool);
    cupool_device_close(device);
    free(trace.hashes);
    free(trace.lengths);
    return 0;
}

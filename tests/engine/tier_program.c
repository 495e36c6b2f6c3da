/* SPDX-License-Identifier: MIT */
/*
 * What tests in Python make of tiers:
 *
 *     tier_program write FOLDER      offloads blocks into a folder until it is killed
 *     tier_program verify FOLDER     opens the folder: every block that it names must be right
 *     tier_program serve ADDRESS PORT   rounds of offload and return through a server that may stop
 *
 * The content of a block follows from its number, so that any process can verify it. Prints what it
 * saw as one line of JSON; exits 1 when a block is wrong.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/cupool/tier.h"
#include "tests/random.h"

#define UNIVERSE 240u
#define BLOCKS   64u
#define LAYERS   4u
#define BATCH    12u
#define HEADS    4u
#define DIM      128u
#define BUDGET   ((uint64_t)90 * LAYERS * 2 * HEADS * DIM * 16 * 2)

/* A resolver that never answers for one name. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    while (name && strcmp(name, "silent.invalid") == 0)
        pause();
    memcpy(&real, &symbol, sizeof(real));
    return real(name, service, hints, ret_list);
}

static struct cupool_device *device;
static struct cupool_kv *pool;
static struct cupool_tiers *tiers;
static struct cupool_kv_geometry geometry;

static void must(int error, const char *what)
{
    if (error >= 0)
        return;
    fprintf(stderr, "tier_program: %s: error %d (%s)\n", what, error, strerror(-error));
    exit(2);
}

static struct cupool_kv_hash key_of(uint64_t number)
{
    struct cupool_kv_hash key;

    for (size_t at = 0; at < sizeof(key.bytes); at++)
        key.bytes[at] = (uint8_t)(((number + 1) * UINT64_C(0x9e3779b97f4a7c15) + at * 0x1234567) >>
                                  (at % 7 * 8));
    return key;
}

static uint16_t value_of(uint64_t number, uint32_t layer, size_t at)
{
    uint64_t mixed = (number * 1000003 + layer * 8191 + at) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint16_t)(0x3f80u | (mixed >> 40 & 0x7f) | (mixed >> 63 << 15));
}

static uint16_t *layer_of(cupool_kv_handle handle, uint32_t layer)
{
    void *memory;

    must(cupool_kv_memory(pool, handle, layer, CUPOOL_KV_KEY, &memory, NULL), "memory");
    return memory;
}

static void fill(cupool_kv_handle handle, uint64_t number)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        uint16_t *values = layer_of(handle, layer);

        for (size_t at = 0; at < geometry.layer_bytes / 2; at++)
            values[at] = value_of(number, layer, at);
    }
}

static int is_filled(cupool_kv_handle handle, uint64_t number)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        const uint16_t *values = layer_of(handle, layer);

        for (size_t at = 0; at < geometry.layer_bytes / 2; at++)
            if (values[at] != value_of(number, layer, at))
                return 0;
    }
    return 1;
}

static void begin(const struct cupool_tier_store *store)
{
    struct cupool_tier tier = {.store = *store, .name = "tier", .bytes = BUDGET};
    struct cupool_tiers_config below;
    struct cupool_kv_config config;

    cupool_kv_config_init(&config);
    config.blocks = BLOCKS;
    config.layers = LAYERS;
    config.kv_heads = HEADS;
    config.head_dim = DIM;
    config.key_type = config.value_type = CUPOOL_KV_BF16;
    must(cupool_device_host(&device), "device");
    must(cupool_kv_create(device, &config, &pool), "pool");
    cupool_kv_strides(pool, &geometry);
    cupool_tiers_config_init(&below);
    below.identity = "tier_program";
    below.codec = CUPOOL_CODEC_LOSSLESS;
    must(cupool_tiers_create(device, pool, &below, &tier, 1, &tiers), "tiers");
}

static void end(void)
{
    char why[160] = "";

    must(cupool_tiers_drain(tiers), "drain");
    if (cupool_kv_check(pool, why, sizeof(why)) < 0 ||
        cupool_tiers_check(tiers, why, sizeof(why)) < 0) {
        fprintf(stderr, "tier_program: %s\n", why);
        exit(1);
    }
    cupool_tiers_destroy(tiers);
    cupool_kv_destroy(pool);
    cupool_device_close(device);
}

static uint64_t drawn;

static uint32_t draw(uint32_t below)
{
    drawn = random_lcg(drawn);
    return (uint32_t)(drawn >> 33) % below;
}

/* Some blocks of the universe, filled and registered; those that are in the pool as they are. */
static void blocks_make(cupool_kv_handle *handles, uint64_t first)
{
    struct cupool_kv_hash keys[BATCH];

    must(cupool_kv_allocate(pool, BATCH, CUPOOL_STREAM_NONE, handles), "allocate");
    for (uint32_t at = 0; at < BATCH; at++) {
        keys[at] = key_of(first + at);
        fill(handles[at], first + at);
    }
    must(cupool_kv_complete(pool, handles, BATCH), "complete");
    must(cupool_kv_register(pool, handles, keys, BATCH, NULL, CUPOOL_KV_ANSWER_FIRST,
                            CUPOOL_STREAM_NONE, handles),
         "register");
}

static _Noreturn void writes(const char *folder)
{
    struct cupool_tier_store store;

    must(cupool_tier_file(folder, &store), "folder");
    begin(&store);
    drawn = (uint64_t)time(NULL) * 1000003u;
    puts("ready");
    fflush(stdout);
    for (;;) {
        cupool_kv_handle handles[BATCH];
        cupool_kv_ticket ticket;

        blocks_make(handles, draw(UNIVERSE / BATCH) * BATCH);
        must(cupool_tiers_offload(tiers, handles, BATCH, CUPOOL_STREAM_NONE, NULL, NULL, &ticket),
             "offload");
        must(cupool_kv_release(pool, handles, BATCH, CUPOOL_STREAM_NONE), "release");
        must(cupool_tiers_drain(tiers), "drain");
        must(cupool_tiers_result(tiers, ticket, NULL), "result");
        must(cupool_kv_trim(pool, 0, NULL), "trim");
    }
}

static int verifies(const char *folder)
{
    struct cupool_tier_statistics stats;
    struct cupool_tier_store store;
    uint32_t named = 0, wrong = 0, lost = 0;

    must(cupool_tier_file(folder, &store), "folder");
    begin(&store);
    for (uint64_t number = 0; number < UNIVERSE + 20; number++) {
        struct cupool_kv_hash key = key_of(number);
        cupool_kv_handle handle;
        uint32_t matched;
        uint8_t presence;

        must(cupool_tiers_lookup(tiers, &key, 1, &presence), "lookup");
        must(cupool_tiers_match(tiers, &key, 1, CUPOOL_STREAM_NONE, &handle, NULL, &matched),
             "match");
        named += presence == CUPOOL_TIER_HIT;
        lost += presence == CUPOOL_TIER_HIT && matched == 0;
        wrong += matched == 1 && (!is_filled(handle, number) || presence != CUPOOL_TIER_HIT);
        must(cupool_kv_release(pool, &handle, matched, CUPOOL_STREAM_NONE), "release");
        must(cupool_kv_trim(pool, 0, NULL), "trim");
    }
    must(cupool_tier_stats(tiers, 0, &stats), "statistics");
    printf("{\"named\": %u, \"lost\": %u, \"wrong\": %u, \"corrupt\": %llu, \"bytes\": %llu, "
           "\"budget\": %llu}\n",
           named, lost, wrong, (unsigned long long)stats.corrupt, (unsigned long long)stats.bytes,
           (unsigned long long)stats.budget);
    end();
    return wrong + lost > 0;
}

/* One request: available blocks return, the rest is computed and offloaded. */
static void request(uint32_t *wrong, uint32_t *computed)
{
    uint64_t first = draw(UNIVERSE / BATCH) * BATCH;
    struct cupool_kv_hash keys[BATCH];
    cupool_kv_handle handles[BATCH];
    cupool_kv_ticket ticket;
    uint32_t matched;

    for (uint32_t at = 0; at < BATCH; at++)
        keys[at] = key_of(first + at);
    must(cupool_tiers_match(tiers, keys, BATCH, CUPOOL_STREAM_NONE, handles, NULL, &matched),
         "match");
    for (uint32_t at = 0; at < matched; at++)
        *wrong += !is_filled(handles[at], first + at);
    if (matched < BATCH) {
        uint32_t rest = BATCH - matched;
        cupool_kv_handle *own = handles + matched;

        *computed += rest;
        must(cupool_kv_allocate(pool, rest, CUPOOL_STREAM_NONE, own), "allocate");
        for (uint32_t at = matched; at < BATCH; at++)
            fill(handles[at], first + at);
        must(cupool_kv_complete(pool, own, rest), "complete");
        must(cupool_kv_register(pool, own, keys + matched, rest,
                                matched > 0 ? &keys[matched - 1] : NULL, CUPOOL_KV_ANSWER_FIRST,
                                CUPOOL_STREAM_NONE, own),
             "register");
        if (cupool_tiers_offload(tiers, handles, BATCH, CUPOOL_STREAM_NONE, NULL, NULL, &ticket) ==
            0) {
            must(cupool_tiers_drain(tiers), "drain");
            cupool_tiers_result(tiers, ticket, NULL); /* an error while the server is away */
        }
    }
    must(cupool_kv_release(pool, handles, BATCH, CUPOOL_STREAM_NONE), "release");
    must(cupool_kv_trim(pool, 0, NULL), "trim");
}

/* Requests until standard input ends; a line in asks for a line out. */
static int serves(const char *address, unsigned port, unsigned timeout_ms)
{
    struct cupool_tier_server_config config = {.address = address,
                                               .port = (uint16_t)port,
                                               .timeout_ms = timeout_ms,
                                               .retry_ms = timeout_ms < 1000 ? 1 : 20};
    uint32_t wrong = 0, computed = 0, requests = 0;
    struct cupool_tier_statistics stats;
    struct cupool_tier_store store;
    char line[16];

    must(cupool_tier_server(&config, &store), "server");
    begin(&store);
    drawn = 77;
    while (fgets(line, sizeof(line), stdin)) {
        for (int rounds = atoi(line); rounds > 0; rounds--, requests++)
            request(&wrong, &computed);
        must(cupool_tier_stats(tiers, 0, &stats), "statistics");
        printf("{\"requests\": %u, \"wrong\": %u, \"computed\": %u, \"loaded\": %llu, "
               "\"stored\": %llu, \"unavailable\": %llu, \"corrupt\": %llu, \"fault\": \"%s\", "
               "\"available\": %d}\n",
               requests, wrong, computed, (unsigned long long)stats.loaded,
               (unsigned long long)stats.stored, (unsigned long long)stats.unavailable,
               (unsigned long long)stats.corrupt, cupool_tier_fault_text(stats.last_fault),
               stats.available);
        fflush(stdout);
    }
    end();
    return wrong > 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        writes(argv[2]);
    if (argc == 3 && strcmp(argv[1], "verify") == 0)
        return verifies(argv[2]);
    if (argc == 5 && strcmp(argv[1], "serve") == 0)
        return serves(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    fprintf(stderr, "usage: tier_program write|verify FOLDER | serve ADDRESS PORT TIMEOUT\n");
    return 2;
}

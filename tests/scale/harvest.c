/* SPDX-License-Identifier: MIT */
/*
 * Fills a model of a device with mapped memory of a pool, frees every other block, and allocates
 * one block that needs the memory of all: harvest.py counts the instructions of choosing it.
 *
 *   harvest PLACES SHAPE    equal: of one size; mixed: of many; ragged: between pages
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"
#include "tests/unit/pool/fake_backend.h"

#define MIB        ((size_t)1 << 20)
#define PLACES_MAX 20000

static struct pool *pool;

static void configure(struct pool_config *config)
{
    config->page_bytes = 2 * MIB;
    config->range_bytes = (uint64_t)1 << 40;
}

static uint64_t take(size_t bytes)
{
    struct pool_block block;

    OK(pool_allocate(pool, bytes, 0, &block));
    return block.address;
}

static size_t place_bytes(const char *shape, size_t place)
{
    if (strcmp(shape, "equal") == 0)
        return 2 * MIB;
    if (strcmp(shape, "mixed") == 0)
        return (2 + 2 * (place * 7919 % 64)) * MIB;
    return 6 * MIB - 512;
}

int main(int count, char **words)
{
    static uint64_t places[PLACES_MAX];
    static struct fake_backend fake;
    size_t most = count > 2 ? strtoul(words[1], NULL, 10) : 0;

    if (most == 0 || most > PLACES_MAX)
        return 2;
    fake_init(&fake);
    fake_backing = POOL_BACKING_MAPPED;
    fake.complete_at_once = true;
    pool = fake_pool(&fake, configure);
    if (!pool)
        return 1;
    for (size_t i = 0; i < most; i++) {
        places[i] = take(place_bytes(words[2], i));
        take(2 * MIB);
    }
    fake.capacity_bytes = fake.used_bytes;
    for (size_t i = 0; i < most; i++)
        OK(pool_free(places[i], 0, NULL));

    struct pool_statistics before, after;
    pool_statistics_get(pool, &before);
    size_t wanted = 0;
    for (size_t i = 0; i < most; i++)
        wanted += strcmp(words[2], "ragged") == 0 ? 2 * MIB : place_bytes(words[2], i);
    take(wanted);
    pool_statistics_get(pool, &after);
    printf("%d of %zu MiB\n", (int)((after.stitched_bytes - before.stitched_bytes) / MIB),
           wanted / MIB);
    return 0;
}

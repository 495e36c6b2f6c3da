/* SPDX-License-Identifier: MIT */
/*
 * Linear hashing. See table.h.
 */
#include "shim/memory/table.h"

#include "cupti/base/pages.h"

#define FIRST_BUCKETS 1024 /* power of two */

/* Neighbouring keys are often used one after the other. Keys of one page stay close together in
 * the table; pages are spread over it. Neighbours may be 16 bytes apart, or 1 where keys are
 * plain numbers. */
static uint64_t hash_of(uint64_t key)
{
    uint64_t page = (key >> 12) * UINT64_C(0x9e3779b97f4a7c15);

    return (page ^ page >> 29) + (key >> 4 & 0xff) + (key & 0xf) * 0x101;
}

/* Segment 0 holds the first buckets, segment n the next FIRST_BUCKETS * 2^(n-1). */
static unsigned segment_of(size_t bucket)
{
    return bucket < FIRST_BUCKETS ? 0
                                  : (unsigned)(63 - __builtin_clzll(bucket / FIRST_BUCKETS)) + 1;
}

static size_t segment_begin(unsigned segment)
{
    return segment ? (size_t)FIRST_BUCKETS << (segment - 1) : 0;
}

static struct table_node **bucket_at(const struct table *table, size_t bucket)
{
    unsigned segment = segment_of(bucket);

    return &table->segment[segment][bucket - segment_begin(segment)];
}

static size_t bucket_of(const struct table *table, uint64_t key)
{
    size_t half = (size_t)1 << (63 - __builtin_clzll(table->buckets));
    size_t bucket = hash_of(key) & (2 * half - 1);

    return bucket < table->buckets ? bucket : bucket - half;
}

/* Adds a bucket, which takes its part of the bucket it was split from. Without host memory it
 * does nothing: chains get longer then. */
static void bucket_split(struct table *table)
{
    size_t made = table->buckets;
    unsigned segment = segment_of(made);

    if (segment == TABLE_SEGMENTS)
        return;
    if (!table->segment[segment])
        table->segment[segment] = pages_map(segment_begin(segment) * sizeof(struct table_node *));
    if (!table->segment[segment])
        return;
    size_t half = (size_t)1 << (63 - __builtin_clzll(made));
    struct table_node **from = bucket_at(table, made - half);
    table->buckets++;
    struct table_node **to = bucket_at(table, made);
    while (*from) {
        struct table_node *node = *from;

        if (bucket_of(table, node->key) != made) {
            from = &node->next;
            continue;
        }
        *from = node->next;
        node->next = *to;
        *to = node;
    }
}

void *table_add(struct table *table, uint64_t key)
{
    if (!table->buckets) {
        table->segment[0] = pages_map(FIRST_BUCKETS * sizeof(struct table_node *));
        if (!table->segment[0])
            return NULL;
        table->buckets = FIRST_BUCKETS;
    }
    struct table_node *node = node_cache_take(&table->nodes);
    if (!node)
        return NULL;
    node->key = key;
    struct table_node **bucket = bucket_at(table, bucket_of(table, key));
    node->next = *bucket;
    *bucket = node;
    if (++table->count > table->buckets / 2)
        bucket_split(table);
    return node;
}

static void *node_from(struct table_node *node, uint64_t key)
{
    while (node && node->key != key)
        node = node->next;
    return node;
}

void *table_first(const struct table *table, uint64_t key)
{
    return table->buckets ? node_from(*bucket_at(table, bucket_of(table, key)), key) : NULL;
}

void *table_next(const void *node)
{
    const struct table_node *here = node;

    return node_from(here->next, here->key);
}

void table_remove(struct table *table, void *node)
{
    struct table_node *gone = node;
    struct table_node **link = bucket_at(table, bucket_of(table, gone->key));

    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    node_cache_give(&table->nodes, gone);
    table->count--;
}

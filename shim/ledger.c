/* SPDX-License-Identifier: MIT */
/*
 * A chained hash table of fixed size under one lock. See ledger.h.
 */
#include "shim/ledger.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384 /* power of two */

struct ledger_node {
    struct ledger_entry entry;
    struct ledger_node *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ledger_node *buckets[BUCKETS];     /* guarded by lock */
static size_t node_count;                        /* guarded by lock */
static struct ledger_total totals[LEDGER_KINDS]; /* guarded by lock */

/* Kinds that one and the same free function may be given share a space. */
static enum trace_memory space_of(enum trace_memory memory)
{
    bool pointer = memory == TRACE_MEMORY_ASYNC || memory == TRACE_MEMORY_MANAGED;
    return pointer ? TRACE_MEMORY_DEVICE : memory;
}

static struct ledger_node **bucket_of(uint64_t address)
{
    return &buckets[address * UINT64_C(0x9E3779B97F4A7C15) >> 50 & (BUCKETS - 1)];
}

static struct ledger_node *unlink_locked(struct ledger_node **link)
{
    struct ledger_node *node = *link;
    *link = node->next;
    node_count--;
    totals[node->entry.memory].blocks--;
    totals[node->entry.memory].bytes -= node->entry.requested_bytes;
    return node;
}

static struct ledger_node *remove_locked(enum trace_memory memory, uint64_t address)
{
    for (struct ledger_node **link = bucket_of(address); *link; link = &(*link)->next)
        if ((*link)->entry.address == address &&
            space_of((*link)->entry.memory) == space_of(memory))
            return unlink_locked(link);
    return NULL;
}

static void add_locked(struct ledger_node *node)
{
    struct ledger_node **first = bucket_of(node->entry.address);
    node->next = *first;
    *first = node;
    node_count++;
    totals[node->entry.memory].blocks++;
    totals[node->entry.memory].bytes += node->entry.requested_bytes;
}

void ledger_put(const struct ledger_entry *entry)
{
    struct ledger_node *node = malloc(sizeof(*node));
    if (!node)
        return;
    node->entry = *entry;
    pthread_mutex_lock(&lock);
    struct ledger_node *old = remove_locked(entry->memory, entry->address);
    add_locked(node);
    pthread_mutex_unlock(&lock);
    free(old);
}

bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry)
{
    pthread_mutex_lock(&lock);
    struct ledger_node *node = remove_locked(memory, address);
    pthread_mutex_unlock(&lock);
    if (!node)
        return false;
    *ret_entry = node->entry;
    free(node);
    return true;
}

void ledger_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS && node_count; i++) {
        for (struct ledger_node **link = &buckets[i]; *link;) {
            if ((*link)->entry.context == context)
                free(unlink_locked(link));
            else
                link = &(*link)->next;
        }
    }
    pthread_mutex_unlock(&lock);
}

bool ledger_memory_is_device(enum trace_memory memory)
{
    return memory == TRACE_MEMORY_DEVICE || memory == TRACE_MEMORY_ASYNC ||
           memory == TRACE_MEMORY_ARRAY || memory == TRACE_MEMORY_PHYSICAL;
}

uint64_t ledger_device_bytes(int device)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS && node_count; i++)
        for (const struct ledger_node *node = buckets[i]; node; node = node->next)
            if (node->entry.device == device && ledger_memory_is_device(node->entry.memory))
                bytes += node->entry.allocated_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void ledger_totals(struct ledger_total ret_totals[LEDGER_KINDS])
{
    pthread_mutex_lock(&lock);
    memcpy(ret_totals, totals, sizeof(totals));
    pthread_mutex_unlock(&lock);
}

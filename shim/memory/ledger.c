/* SPDX-License-Identifier: MIT */
/*
 * A chained hash table of fixed size under one lock. See ledger.h.
 */
#include "shim/memory/ledger.h"

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
    bool pointer = memory == TRACE_MEMORY_ASYNC || memory == TRACE_MEMORY_MANAGED ||
                   memory == TRACE_MEMORY_IMPORTED;
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

static struct ledger_node **link_locked(enum trace_memory memory, uint64_t address)
{
    struct ledger_node **link = bucket_of(address);
    while (*link && ((*link)->entry.address != address ||
                     space_of((*link)->entry.memory) != space_of(memory)))
        link = &(*link)->next;
    return link;
}

static struct ledger_node *remove_locked(enum trace_memory memory, uint64_t address)
{
    struct ledger_node **link = link_locked(memory, address);
    return *link ? unlink_locked(link) : NULL;
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

bool ledger_retain(enum trace_memory memory, uint64_t address)
{
    pthread_mutex_lock(&lock);
    struct ledger_node *node = *link_locked(memory, address);
    if (node)
        node->entry.references++;
    pthread_mutex_unlock(&lock);
    return node;
}

bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry)
{
    pthread_mutex_lock(&lock);
    struct ledger_node **link = link_locked(memory, address);
    struct ledger_node *gone = NULL;
    bool found = *link;
    if (found) {
        *ret_entry = (*link)->entry;
        if (ret_entry->references)
            (*link)->entry.references--;
        else
            gone = unlink_locked(link);
    }
    pthread_mutex_unlock(&lock);
    free(gone);
    return found;
}

void ledger_return(const struct ledger_entry *entry)
{
    if (!entry->references || !ledger_retain(entry->memory, entry->address))
        ledger_put(entry);
}

void ledger_take_chain(enum trace_memory memory, uint64_t address, uint64_t bytes,
                       struct ledger_chain *ret_chain)
{
    struct ledger_node **last = &ret_chain->first;
    pthread_mutex_lock(&lock);
    for (uint64_t offset = 0; offset < bytes;) {
        struct ledger_node *node = remove_locked(memory, address + offset);
        if (!node)
            break;
        *last = node;
        last = &node->next;
        offset += node->entry.allocated_bytes ? node->entry.allocated_bytes : bytes;
    }
    *last = NULL;
    pthread_mutex_unlock(&lock);
}

bool ledger_chain_pop(struct ledger_chain *chain, struct ledger_entry *ret_entry)
{
    struct ledger_node *first = chain->first;
    if (!first)
        return false;
    *ret_entry = first->entry;
    chain->first = first->next;
    free(first);
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

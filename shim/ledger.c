/* SPDX-License-Identifier: MIT */
/*
 * A hash table under one lock. See ledger.h.
 */
#include "shim/ledger.h"

#include <pthread.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct ledger_key {
    uint64_t address;
    uint64_t space;
};

struct ledger_node {
    struct ledger_key key;
    struct ledger_entry entry;
    UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ledger_node *nodes; /* guarded by lock */

/* Kinds that one and the same free function may be given share a space. */
static enum trace_memory space_of(enum trace_memory memory)
{
    bool pointer = memory == TRACE_MEMORY_ASYNC || memory == TRACE_MEMORY_MANAGED;
    return pointer ? TRACE_MEMORY_DEVICE : memory;
}

static struct ledger_key key_of(enum trace_memory memory, uint64_t address)
{
    return (struct ledger_key){.address = address, .space = space_of(memory)};
}

static struct ledger_node *remove_locked(struct ledger_key key)
{
    struct ledger_node *node;
    HASH_FIND(hh, nodes, &key, sizeof(key), node);
    if (node)
        HASH_DELETE(hh, nodes, node);
    return node;
}

static void add_locked(struct ledger_node *node)
{
    HASH_ADD(hh, nodes, key, sizeof(node->key), node);
    if (!node->hh.tbl) /* no host memory for the table */
        free(node);
}

void ledger_put(const struct ledger_entry *entry)
{
    struct ledger_node *node = calloc(1, sizeof(*node));
    if (!node)
        return;
    node->key = key_of(entry->memory, entry->address);
    node->entry = *entry;
    pthread_mutex_lock(&lock);
    struct ledger_node *old = remove_locked(node->key);
    add_locked(node);
    pthread_mutex_unlock(&lock);
    free(old);
}

bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry)
{
    pthread_mutex_lock(&lock);
    struct ledger_node *node = remove_locked(key_of(memory, address));
    pthread_mutex_unlock(&lock);
    if (!node)
        return false;
    *ret_entry = node->entry;
    free(node);
    return true;
}

void ledger_forget_context(uint32_t context)
{
    struct ledger_node *node, *next;
    pthread_mutex_lock(&lock);
    HASH_ITER(hh, nodes, node, next) {
        if (node->entry.context == context) {
            HASH_DELETE(hh, nodes, node);
            free(node);
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
    struct ledger_node *node, *next;
    pthread_mutex_lock(&lock);
    HASH_ITER(hh, nodes, node, next) {
        if (node->entry.device == device && ledger_memory_is_device(node->entry.memory))
            bytes += node->entry.allocated_bytes;
    }
    pthread_mutex_unlock(&lock);
    return bytes;
}

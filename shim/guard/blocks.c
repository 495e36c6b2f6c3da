/* SPDX-License-Identifier: MIT */
/*
 * Two tables by address, each with a list through it. See blocks.h.
 */
#include "shim/guard/blocks.h"

#include "shim/memory/guarded.h"

pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;

/** Guarded by guard_lock. */
struct kept {
    struct table table;
    struct guarded_node *first, *last;
};

static struct kept live = {.table = TABLE_OF(struct guarded_node)};
static struct kept freed = {.table = TABLE_OF(struct guarded_node)};
static uint64_t generation = 1;

static void remove_node(struct kept *kept, struct guarded_node *node)
{
    *(node->previous ? &node->previous->next : &kept->first) = node->next;
    *(node->next ? &node->next->previous : &kept->last) = node->previous;
    table_remove(&kept->table, node);
}

/* At most one node for each address: an older one has been overtaken. */
static struct guarded_node *add_node(struct kept *kept, const struct guarded_block *block)
{
    struct guarded_node *old = table_first(&kept->table, block->address);
    if (old)
        remove_node(kept, old);
    struct guarded_node *node = table_add(&kept->table, block->address);
    if (!node)
        return NULL;
    node->block = *block;
    node->previous = kept->last;
    *(kept->last ? &kept->last->next : &kept->first) = node;
    kept->last = node;
    return node;
}

struct guarded_node *blocks_live_first(void)
{
    return live.first;
}

struct guarded_node *blocks_freed_first(void)
{
    return freed.first;
}

void blocks_live_add(const struct guarded_block *block)
{
    add_node(&live, block);
}

bool blocks_live_take(uint64_t address, struct guarded_block *ret_block)
{
    struct guarded_node *node = table_first(&live.table, address);
    if (!node)
        return false;
    *ret_block = node->block;
    remove_node(&live, node);
    return true;
}

void blocks_freed_add(const struct guarded_block *block)
{
    struct guarded_node *node = add_node(&freed, block);
    if (node)
        node->generation = generation;
}

bool blocks_freed_known(const struct guarded_node *node)
{
    return node->generation == generation;
}

bool blocks_freed_take(uint64_t address, struct guarded_block *ret_block)
{
    struct guarded_node *node = table_first(&freed.table, address);
    if (!node)
        return false;
    bool known = blocks_freed_known(node);
    *ret_block = node->block;
    remove_node(&freed, node);
    return known;
}

void blocks_freed_forget(void)
{
    generation++;
}

static void forget_context(struct kept *kept, uint32_t context)
{
    for (struct guarded_node *node = kept->first, *next; node; node = next) {
        next = node->next;
        if (node->block.context == context)
            remove_node(kept, node);
    }
}

void blocks_forget_context(uint32_t context)
{
    forget_context(&live, context);
    forget_context(&freed, context);
}

void blocks_fork_child(void)
{
    pthread_mutex_init(&guard_lock, NULL);
    live = (struct kept){.table = TABLE_OF(struct guarded_node)};
    freed = (struct kept){.table = TABLE_OF(struct guarded_node)};
}

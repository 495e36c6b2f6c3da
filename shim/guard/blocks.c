/* SPDX-License-Identifier: MIT */
/*
 * Two tables by address, each with a list through it. See blocks.h.
 */
#include "shim/guard/blocks.h"

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

/* Keeps at most one node for each address: a new one replaces the older one. */
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

const struct guarded_node *blocks_live_last(void)
{
    return live.last;
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
    if (freed.table.count >= BLOCKS_FREED_MAX)
        remove_node(&freed, freed.first);
    struct guarded_node *node = add_node(&freed, block);
    if (node)
        node->generation = generation;
}

bool blocks_freed_take(uint64_t address, struct guarded_block *ret_block)
{
    struct guarded_node *node = table_first(&freed.table, address);

    if (!node)
        return false;
    bool known = node->generation == generation;
    *ret_block = node->block;
    remove_node(&freed, node);
    return known;
}

void blocks_freed_forget(void)
{
    generation++;
}

void blocks_freed_forget_in(uint64_t address, size_t bytes)
{
    for (struct guarded_node *node = freed.first, *next; node; node = next) {
        next = node->next;
        if (guarded_begin(&node->block) < address + bytes && guarded_end(&node->block) > address)
            remove_node(&freed, node);
    }
}

/* ---- what of the freed memory is handed out ---- */

static uint64_t begin_of(const struct guarded_node *node)
{
    return guarded_begin(&node->block);
}

static uint64_t end_of(const struct guarded_node *node)
{
    return guarded_end(&node->block);
}

/* Sorted by address; ends[i] is the highest end among those up to i. Guarded by guard_lock. */
static struct guarded_node *sorted[BLOCKS_FREED_MAX];
static uint64_t ends[BLOCKS_FREED_MAX];

static void sift_down(size_t at, size_t count)
{
    for (size_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
        if (child + 1 < count && begin_of(sorted[child + 1]) > begin_of(sorted[child]))
            child++;
        if (begin_of(sorted[at]) >= begin_of(sorted[child]))
            return;
        struct guarded_node *other = sorted[at];
        sorted[at] = sorted[child];
        sorted[child] = other;
    }
}

/* In place, as the C library's own may allocate. */
static void heap_sort(size_t count)
{
    for (size_t at = count / 2; at-- > 0;)
        sift_down(at, count);
    for (size_t last = count; last-- > 1;) {
        struct guarded_node *largest = sorted[0];

        sorted[0] = sorted[last];
        sorted[last] = largest;
        sift_down(0, last);
    }
}

static size_t freed_collect(void)
{
    size_t count = 0;

    for (struct guarded_node *node = freed.first; node; node = node->next) {
        node->untouched = node->generation == generation && count < BLOCKS_FREED_MAX;
        if (node->untouched)
            sorted[count++] = node;
    }
    heap_sort(count);
    for (size_t at = 0; at < count; at++)
        ends[at] = at && ends[at - 1] > end_of(sorted[at]) ? ends[at - 1] : end_of(sorted[at]);
    return count;
}

/* How many begin below an address. */
static size_t freed_below(uint64_t address, size_t count)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (begin_of(sorted[middle]) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void blocks_freed_examine(void)
{
    size_t count = freed_collect();

    for (const struct guarded_node *node = live.first; node; node = node->next)
        for (size_t at = freed_below(end_of(node), count); at-- > 0 && ends[at] > begin_of(node);)
            if (end_of(sorted[at]) > begin_of(node))
                sorted[at]->untouched = false;
}

/* ---- contexts, fork ---- */

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

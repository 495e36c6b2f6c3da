/* SPDX-License-Identifier: MIT */
/*
 * The tree by size and the list by age hold the same runs.
 */
#include "pool/heap/run_cache.h"

static struct run *run_of(struct size_node *node)
{
    return node ? pool_container_of(node, struct run, node) : NULL;
}

static void age_insert(struct runs *runs, struct run *run)
{
    run->newer = NULL;
    run->older = runs->newest;
    if (run->older)
        run->older->newer = run;
    else
        runs->oldest = run;
    runs->newest = run;
}

static void age_remove(struct runs *runs, struct run *run)
{
    *(run->newer ? &run->newer->older : &runs->newest) = run->older;
    *(run->older ? &run->older->newer : &runs->oldest) = run->newer;
    run->newer = run->older = NULL;
}

void run_cache_insert_locked(struct runs *runs, struct run *run)
{
    size_tree_insert(&runs->cached, &run->node);
    run->use = RUN_CACHED;
    age_insert(runs, run);
    count_add(&runs->cached_bytes, run->bytes);
}

void run_cache_remove_locked(struct runs *runs, struct run *run)
{
    pool_assert(run->use == RUN_CACHED);
    size_tree_remove(&runs->cached, &run->node);
    age_remove(runs, run);
    count_subtract(&runs->cached_bytes, run->bytes);
}

void run_cache_doom_locked(struct runs *runs, struct run *run)
{
    run->use = RUN_DOOMED;
    run->newer = runs->doomed;
    runs->doomed = run;
    count_add(&runs->wasted_bytes, run->bytes);
}

struct run *run_cache_best_locked(const struct runs *runs, size_t bytes)
{
    return run_of(size_tree_best(&runs->cached, bytes));
}

struct run *run_cache_largest_locked(const struct runs *runs)
{
    return run_of(size_tree_largest(&runs->cached));
}

/* ---- all runs ---- */

void run_link_locked(struct runs *runs, struct run *run)
{
    run->prev = NULL;
    run->next = runs->all;
    if (run->next)
        run->next->prev = run;
    runs->all = run;
}

void run_unlink_locked(struct runs *runs, struct run *run)
{
    *(run->prev ? &run->prev->next : &runs->all) = run->next;
    if (run->next)
        run->next->prev = run->prev;
}

struct run *range_run_create_locked(struct pool *pool, struct extent *page)
{
    struct run *run = metadata_allocate(METADATA_RUN, sizeof(*run), &pool->metadata_bytes);

    if (!run)
        return NULL;
    *run = (struct run){
        .address = page->node.address, .bytes = page->node.bytes, .pool = pool, .use = RUN_CACHED};
    page_map_replace(run->address, run->bytes, (page_entry)run | PAGE_ENTRY_RUN);
    run_link_locked(&pool->runs, run);
    return run;
}

void range_run_give_locked(struct pool *pool, struct run *run)
{
    struct range *range = pool->runs.range;
    struct extent *page = range_at(range, run->address);

    run_unlink_locked(&pool->runs, run);
    page_map_replace(run->address, run->bytes, (page_entry)&pool->range_run | PAGE_ENTRY_RUN);
    range_settle(range, page, page->exported ? EXTENT_SPENT : EXTENT_FREE);
    metadata_free(METADATA_RUN, run, sizeof(*run), &pool->metadata_bytes);
}

/* ---- check ---- */

const char *run_cache_check_locked(const struct runs *runs)
{
    uint64_t bytes, in_tree, in_list = 0;
    const char *why = size_tree_check(&runs->cached, &in_tree, &bytes);

    if (why)
        return why;
    for (const struct run *run = runs->newest; run; run = run->older) {
        if (run->use != RUN_CACHED || run->pinned)
            return "run cache: a listed run is not cached, or pinned";
        in_list++;
    }
    if (in_tree != in_list)
        return "run cache: tree and age list differ";
    return bytes == count_get(&runs->cached_bytes) ? NULL
                                                   : "run cache: bytes differ from the counter";
}

/* SPDX-License-Identifier: MIT */
/*
 * The treap and the age list of cached runs.
 *
 *   priority of a run ≥ priority of its children; left < run ≤ right by (bytes, address)
 */
#include "pool/heap/run_cache.h"

static bool run_less(const struct run *a, size_t bytes, uint64_t address)
{
    return a->bytes != bytes ? a->bytes < bytes : a->address < address;
}

/* xorshift32; any nonzero state will do. */
static uint32_t random_next(struct runs *runs)
{
    uint32_t x = runs->random != 0 ? runs->random : 0x9E3779B9u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return runs->random = x;
}

static void tree_split(struct run *root, const struct run *at, struct run **left,
                       struct run **right)
{
    while (root) {
        if (run_less(root, at->bytes, at->address)) {
            *left = root;
            left = &root->right;
            root = root->right;
        } else {
            *right = root;
            right = &root->left;
            root = root->left;
        }
    }
    *left = *right = NULL;
}

static struct run *tree_merge(struct run *left, struct run *right)
{
    struct run *root, **link = &root;
    while (left && right) {
        if (left->priority >= right->priority) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left ? left : right;
    return root;
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
    run->priority = random_next(runs);
    struct run **link = &runs->cached_root;
    while (*link && (*link)->priority >= run->priority)
        link = run_less(*link, run->bytes, run->address) ? &(*link)->right : &(*link)->left;
    tree_split(*link, run, &run->left, &run->right);
    *link = run;
    run->use = RUN_CACHED;
    age_insert(runs, run);
    count_add(&runs->cached_bytes, run->bytes);
}

void run_cache_remove_locked(struct runs *runs, struct run *run)
{
    pool_assert(run->use == RUN_CACHED);
    struct run **link = &runs->cached_root;
    while (*link != run)
        link = run_less(*link, run->bytes, run->address) ? &(*link)->right : &(*link)->left;
    *link = tree_merge(run->left, run->right);
    run->left = run->right = NULL;
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
    struct run *best = NULL;
    for (struct run *run = runs->cached_root; run;) {
        bool fits = run->bytes >= bytes;
        if (fits)
            best = run;
        run = fits ? run->left : run->right;
    }
    return best;
}

struct run *run_cache_largest_locked(const struct runs *runs)
{
    struct run *run = runs->cached_root;
    while (run && run->right)
        run = run->right;
    return run;
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

static const char *tree_check(const struct run *run, uint64_t *bytes, unsigned *count)
{
    if (!run)
        return NULL;
    const struct run *children[] = {run->left, run->right};
    for (unsigned side = 0; side < 2; side++) {
        if (!children[side])
            continue;
        if (children[side]->priority > run->priority)
            return "run cache: a child has a higher priority";
        if (run_less(children[side], run->bytes, run->address) != (side == 0))
            return "run cache: the tree is out of order";
    }
    *bytes += run->bytes;
    *count += 1;
    const char *why = tree_check(run->left, bytes, count);
    return why ? why : tree_check(run->right, bytes, count);
}

const char *run_cache_check_locked(const struct runs *runs)
{
    uint64_t bytes = 0;
    unsigned in_tree = 0, in_list = 0;
    const char *why = tree_check(runs->cached_root, &bytes, &in_tree);
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

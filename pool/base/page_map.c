/* SPDX-License-Identifier: MIT */
/*
 * The writers of the page map. Insertion first ensures that every leaf exists and every page is
 * vacant, then writes; so a failure leaves nothing but empty leaves.
 *
 *   a leaf stands at one place of the root, unless it is shared; then its places are marked
 *   all entries of a shared leaf are equal
 *
 * When its range is removed, a shared leaf stays at its places, empty, so that the range can return
 * without new memory. Insertions replace it; without places it waits for the next range.
 */
#include "pool/base/page_map.h"

#include <errno.h>

#include "pool/base/lock.h"
#include "pool/base/metadata.h"

#define WORD_BITS    64u
#define CHUNK_LEAVES 16u

_Atomic(page_map_leaf *) page_map_root[PAGE_MAP_ROOT_COUNT];

/** A shared leaf; readers know its entries alone. */
struct shared_leaf {
    page_map_leaf entries; /* must be first */
    uint64_t places;
    struct shared_leaf *next;
};

/* Guards every write to the root and the leaves, and all of the following. */
static struct pool_lock write_lock = POOL_LOCK_INITIALIZER(PAGE_MAP);
static uint64_t shared_marks[PAGE_MAP_ROOT_COUNT / WORD_BITS]; /* by place */
static struct shared_leaf *shared_unused;
static page_map_leaf *chunk; /* zeroed leaves */
static unsigned chunk_left;
static uint64_t place_first = PAGE_MAP_ROOT_COUNT, place_end; /* no other has a leaf */

/** The part of a range that lies in one leaf. */
struct part {
    uint64_t place;
    unsigned first, end; /* entries */
};

static struct part part_of(uint64_t page, uint64_t end)
{
    uint64_t place = page >> PAGE_MAP_LEAF_BITS, next = (place + 1) << PAGE_MAP_LEAF_BITS;
    unsigned first = (unsigned)(page & (PAGE_MAP_LEAF_COUNT - 1));

    return (struct part){place, first, first + (unsigned)((end < next ? end : next) - page)};
}

static uint64_t part_pages(const struct part *part)
{
    return part->end - part->first;
}

static page_map_leaf *leaf_at(uint64_t place)
{
    return atomic_load_explicit(&page_map_root[place], memory_order_relaxed);
}

static bool is_shared(uint64_t place)
{
    return shared_marks[place / WORD_BITS] >> place % WORD_BITS & 1;
}

static struct shared_leaf *shared_at(uint64_t place)
{
    return (struct shared_leaf *)(void *)leaf_at(place);
}

/* ---- leaves ---- */

static page_map_leaf *leaf_create(void)
{
    if (chunk_left == 0) {
        chunk = metadata_map(CHUNK_LEAVES * sizeof(*chunk));
        chunk_left = chunk ? CHUNK_LEAVES : 0;
    }
    return chunk_left > 0 ? &chunk[--chunk_left] : NULL;
}

/* Sees to it that there is an unused shared leaf. */
static int shared_provide(void)
{
    if (!shared_unused)
        shared_unused = metadata_map(sizeof(*shared_unused));
    return shared_unused ? 0 : -ENOMEM;
}

/* An empty shared leaf loses this place. Readers may still hold it: what they find in it later is
 * an owner that is not theirs, which they find out under that owner's lock. */
static void shared_leave(uint64_t place)
{
    struct shared_leaf *shared = shared_at(place);

    shared_marks[place / WORD_BITS] &= ~(UINT64_C(1) << place % WORD_BITS);
    if (--shared->places > 0)
        return;
    shared->next = shared_unused;
    shared_unused = shared;
}

static void leaf_put(uint64_t place, page_map_leaf *leaf)
{
    if (is_shared(place))
        shared_leave(place);
    place_first = pool_min(place_first, place); /* before: a fork may come in between */
    place_end = pool_max(place_end, place + 1);
    atomic_store_explicit(&page_map_root[place], leaf, memory_order_release);
}

static void entries_write(page_map_leaf *leaf, unsigned first, unsigned end, page_entry entry)
{
    for (unsigned index = first; index < end; index++)
        atomic_store_explicit(&(*leaf)[index], entry, memory_order_release);
}

static page_entry entry_read(page_map_leaf *leaf, unsigned index)
{
    return atomic_load_explicit(&(*leaf)[index], memory_order_relaxed);
}

/* ---- insertion ---- */

/* Whether a part gets the range's shared leaf. */
static bool part_shares(const struct part *part, bool whole)
{
    return whole && part_pages(part) == PAGE_MAP_LEAF_COUNT &&
           (!leaf_at(part->place) || is_shared(part->place));
}

static int part_vacate_locked(const struct part *part, bool whole)
{
    page_map_leaf *leaf = leaf_at(part->place);
    bool shared = is_shared(part->place);

    if (shared && entry_read(leaf, 0) != 0)
        return -EEXIST;
    if (part_shares(part, whole))
        return shared_provide();
    if (!leaf || shared) {
        leaf = leaf_create();
        if (!leaf)
            return -ENOMEM;
        leaf_put(part->place, leaf);
        return 0;
    }
    for (unsigned index = part->first; index < part->end; index++)
        if (entry_read(leaf, index) != 0)
            return -EEXIST;
    return 0;
}

static void part_insert_locked(const struct part *part, bool whole, page_entry entry,
                               struct shared_leaf **shared)
{
    if (!part_shares(part, whole)) {
        entries_write(leaf_at(part->place), part->first, part->end, entry);
        return;
    }
    if (!*shared) {
        *shared = shared_unused;
        shared_unused = (*shared)->next;
        entries_write(&(*shared)->entries, 0, PAGE_MAP_LEAF_COUNT, entry);
    }
    leaf_put(part->place, &(*shared)->entries);
    (*shared)->places++;
    shared_marks[part->place / WORD_BITS] |= UINT64_C(1) << part->place % WORD_BITS;
}

static int insert(uint64_t address, size_t bytes, page_entry entry, bool whole)
{
    uint64_t first = address >> PAGE_MAP_PAGE_BITS, pages = bytes >> PAGE_MAP_PAGE_BITS;

    if (pages == 0 || first + pages > UINT64_C(1) << (PAGE_MAP_ROOT_BITS + PAGE_MAP_LEAF_BITS))
        return -ERANGE;

    struct shared_leaf *shared = NULL;
    struct part part;
    int error = 0;
    pool_lock_acquire(&write_lock);
    for (uint64_t page = first; error == 0 && page < first + pages; page += part_pages(&part)) {
        part = part_of(page, first + pages);
        error = part_vacate_locked(&part, whole);
    }
    for (uint64_t page = first; error == 0 && page < first + pages; page += part_pages(&part)) {
        part = part_of(page, first + pages);
        part_insert_locked(&part, whole, entry, &shared);
    }
    pool_lock_release(&write_lock);
    return error;
}

int page_map_insert(uint64_t address, size_t bytes, page_entry entry)
{
    return insert(address, bytes, entry, false);
}

int page_map_insert_whole(uint64_t address, size_t bytes, page_entry entry)
{
    return insert(address, bytes, entry, true);
}

/* ---- change ---- */

static void part_replace_locked(const struct part *part, page_entry entry)
{
    page_map_leaf *leaf = leaf_at(part->place);

    if (!is_shared(part->place))
        entries_write(leaf, part->first, part->end, entry);
    else if (entry_read(leaf, 0) != entry)
        entries_write(leaf, 0, PAGE_MAP_LEAF_COUNT, entry);
    pool_assert(!is_shared(part->place) || part_pages(part) == PAGE_MAP_LEAF_COUNT);
}

void page_map_replace(uint64_t address, size_t bytes, page_entry entry)
{
    uint64_t first = address >> PAGE_MAP_PAGE_BITS, pages = bytes >> PAGE_MAP_PAGE_BITS;
    struct part part;

    pool_lock_acquire(&write_lock);
    for (uint64_t page = first; page < first + pages; page += part_pages(&part)) {
        part = part_of(page, first + pages);
        part_replace_locked(&part, entry);
    }
    pool_lock_release(&write_lock);
}

/* ---- fork ---- */

/* Leaves are forgotten, like other metadata. */
void page_map_fork_child(void)
{
    for (uint64_t place = place_first; place < place_end; place++) {
        if (!leaf_at(place))
            continue;
        atomic_store_explicit(&page_map_root[place], NULL, memory_order_relaxed);
        shared_marks[place / WORD_BITS] = 0;
    }
    place_first = PAGE_MAP_ROOT_COUNT;
    place_end = 0;
    pool_lock_init(&write_lock, POOL_LOCK_PAGE_MAP);
}

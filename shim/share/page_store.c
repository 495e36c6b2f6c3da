/* SPDX-License-Identifier: MIT */
/*
 * Uses arrays of a fixed size, committed as they are touched. Indexes begin with 1; 0 means none.
 */
#include "shim/share/page_store.h"

#include <errno.h>
#include <unistd.h>

#include "cupti/base/pages.h"
#include "shim/share/ipc_token.h"

#define PAGES_MOST   IPC_PAGES_MOST
#define ENTRIES_MOST (4 * IPC_PAGES_MOST)
#define BUCKETS      4096u /* power of two */

struct page {
    struct page_store_page is;
    uint32_t entries; /* entries of slots that name it */
    uint32_t next;    /* in its bucket, or in the free list */
};

/** A page of a slot. */
struct entry {
    uint32_t page, next;
};

struct slot {
    uint64_t key;
    uint32_t first, last, count;
};

struct page_store {
    struct slot slots[IPC_BOARD_TOKENS];
    uint32_t buckets[BUCKETS];
    struct page pages[PAGES_MOST + 1];
    struct entry entries[ENTRIES_MOST + 1];
    uint32_t pages_end, entries_end;   /* highest numbers ever in use */
    uint32_t free_pages, free_entries; /* first of each free list */
    uint32_t count;
};

struct page_store *page_store_create(void)
{
    return pages_map(sizeof(struct page_store));
}

void page_store_destroy(struct page_store *store)
{
    for (uint32_t slot = 0; store && slot < IPC_BOARD_TOKENS; slot++)
        page_store_drop(store, slot, store->slots[slot].key);
    pages_unmap(store, sizeof(*store));
}

static uint32_t *bucket_of(struct page_store *store, uint64_t id)
{
    return &store->buckets[id * UINT64_C(0x9E3779B97F4A7C15) >> 52 & (BUCKETS - 1)];
}

static uint32_t page_find(struct page_store *store, const struct page_store_page *page)
{
    uint32_t at = *bucket_of(store, page->id);

    while (at && store->pages[at].is.id != page->id)
        at = store->pages[at].next;
    return at;
}

static uint32_t page_add(struct page_store *store, const struct page_store_page *page,
                         uint32_t most)
{
    uint32_t *bucket = bucket_of(store, page->id), at = store->free_pages;

    if (store->count >= most)
        return 0;
    if (at)
        store->free_pages = store->pages[at].next;
    else if (store->pages_end < PAGES_MOST)
        at = ++store->pages_end;
    else
        return 0;
    store->pages[at] = (struct page){.is = *page, .next = *bucket};
    *bucket = at;
    store->count++;
    return at;
}

static void page_remove(struct page_store *store, uint32_t at)
{
    uint32_t *link = bucket_of(store, store->pages[at].is.id);

    while (*link != at)
        link = &store->pages[*link].next;
    *link = store->pages[at].next;
    close(store->pages[at].is.descriptor);
    store->pages[at].next = store->free_pages;
    store->free_pages = at;
    store->count--;
}

static uint32_t entry_add(struct page_store *store)
{
    uint32_t at = store->free_entries;

    if (at)
        store->free_entries = store->entries[at].next;
    else if (store->entries_end < ENTRIES_MOST)
        at = ++store->entries_end;
    return at;
}

static void entry_remove(struct page_store *store, uint32_t at)
{
    store->entries[at].next = store->free_entries;
    store->free_entries = at;
}

static void slot_append(struct page_store *store, struct slot *slot, uint32_t entry, uint32_t page)
{
    store->entries[entry] = (struct entry){.page = page};
    store->pages[page].entries++;
    *(slot->last ? &store->entries[slot->last].next : &slot->first) = entry;
    slot->last = entry;
    slot->count++;
}

int page_store_put(struct page_store *store, uint32_t slot, uint64_t key, uint32_t index,
                   const struct page_store_page *page, uint32_t most)
{
    if (slot >= IPC_BOARD_TOKENS || !key || !page->id)
        return -EINVAL;
    struct slot *known = &store->slots[slot];
    if (known->key != key)
        page_store_drop(store, slot, known->key);
    known->key = key;
    if (index != known->count)
        return -EINVAL;
    uint32_t entry = entry_add(store);
    if (!entry)
        return -ENOSPC;
    uint32_t found = page_find(store, page), at = found ? found : page_add(store, page, most);
    if (!at || store->pages[at].is.bytes != page->bytes) {
        entry_remove(store, entry);
        return at ? -EINVAL : -ENOSPC;
    }
    if (found)
        close(page->descriptor);
    slot_append(store, known, entry, at);
    return 0;
}

uint32_t page_store_get(const struct page_store *store, uint32_t slot, uint64_t key, uint32_t index,
                        uint32_t most, struct page_store_page *ret_pages)
{
    uint32_t count = 0;

    if (slot >= IPC_BOARD_TOKENS || !key || store->slots[slot].key != key)
        return 0;
    uint32_t at = store->slots[slot].first;
    while (at && index--)
        at = store->entries[at].next;
    for (; at && count < most; at = store->entries[at].next)
        ret_pages[count++] = store->pages[store->entries[at].page].is;
    return count;
}

void page_store_drop(struct page_store *store, uint32_t slot, uint64_t key)
{
    if (slot >= IPC_BOARD_TOKENS || store->slots[slot].key > key)
        return;
    for (uint32_t at = store->slots[slot].first, next; at; at = next) {
        uint32_t page = store->entries[at].page;

        next = store->entries[at].next;
        entry_remove(store, at);
        if (--store->pages[page].entries == 0)
            page_remove(store, page);
    }
    store->slots[slot] = (struct slot){0};
}

uint32_t page_store_count(const struct page_store *store)
{
    return store->count;
}

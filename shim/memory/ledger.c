/* SPDX-License-Identifier: MIT */
/*
 * Two tables under one lock: memory by address and space, and for each context the first of the
 * memory that ends with it. See ledger.h.
 */
#include "shim/memory/ledger.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cupti/replay/memory_kind.h"
#include "shim/context/thread_state.h"
#include "shim/memory/table.h"

struct block {
    struct table_node node; /* key: the address */
    struct ledger_entry entry;
    struct block *owned_next, *owned_previous; /* that end with the same context */
};

struct owner {
    struct table_node node; /* key: the context's number */
    struct block *first;    /* NULL while the context owns nothing */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table blocks = TABLE_OF(struct block); /* guarded by lock */
static struct table owners = TABLE_OF(struct owner); /* guarded by lock */
static _Atomic uint64_t kind_blocks[LEDGER_KINDS], kind_bytes[LEDGER_KINDS];
static _Atomic uint64_t device_bytes[LEDGER_DEVICES];
static _Atomic uint64_t requested_bytes, requested_peak; /* of the kinds that count as requested */

/* Kinds that the same free function accepts share a space. */
static enum trace_memory space_of(enum trace_memory memory)
{
    bool pointer = memory == TRACE_MEMORY_ASYNC || memory == TRACE_MEMORY_HOST_ASYNC ||
                   memory == TRACE_MEMORY_MANAGED || memory == TRACE_MEMORY_IMPORTED;

    return pointer ? TRACE_MEMORY_DEVICE : memory;
}

static struct block *find_locked(enum trace_memory memory, uint64_t address)
{
    struct block *block = table_first(&blocks, address);

    while (block && space_of(block->entry.memory) != space_of(memory))
        block = table_next(block);
    return block;
}

static void add(_Atomic uint64_t *total, uint64_t change)
{
    atomic_fetch_add_explicit(total, change, memory_order_relaxed);
}

static bool has_total(int device)
{
    return device >= 0 && device < LEDGER_DEVICES;
}

bool ledger_device_add(int device, size_t bytes, size_t limit)
{
    if (!has_total(device))
        return true;
    uint64_t now = atomic_load_explicit(&device_bytes[device], memory_order_relaxed);
    do {
        if (now > limit || bytes > limit - now)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&device_bytes[device], &now, now + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void ledger_device_remove(int device, size_t bytes)
{
    if (has_total(device))
        add(&device_bytes[device], -(uint64_t)bytes);
}

/* Returns the thread's room on a device, or with `unused` a place for one; NULL: none. */
static struct held_room *room_on(int device, bool unused)
{
    struct held_room *found = NULL;

    for (int i = 0; i < HELD_ROOMS; i++) {
        struct held_room *room = &thread_state.held[i];

        if (room->bytes && room->device == device)
            return room;
        if (unused && !room->bytes)
            found = room;
    }
    return found;
}

bool ledger_hold(int device, size_t bytes, size_t limit)
{
    struct held_room *room = room_on(device, true);

    if (!ledger_device_add(device, bytes, limit))
        return false;
    if (!room) {
        ledger_device_remove(device, bytes);
        return true;
    }
    room->device = device;
    room->bytes += bytes;
    return true;
}

void ledger_hold_end(void)
{
    for (int i = 0; i < HELD_ROOMS; i++) {
        struct held_room *room = &thread_state.held[i];

        if (room->bytes)
            ledger_device_remove(room->device, room->bytes);
        room->bytes = 0;
    }
}

/* Counts memory of a device in place of the room held for it, in one step. */
static void device_begin(int device, size_t bytes)
{
    struct held_room *room = room_on(device, false);
    size_t held = !room ? 0 : room->bytes < bytes ? room->bytes : bytes;

    if (held)
        room->bytes -= held;
    add(&device_bytes[device], bytes - held);
}

static void requested_count(uint64_t change)
{
    uint64_t now = atomic_fetch_add_explicit(&requested_bytes, change, memory_order_relaxed) +
                   change;
    uint64_t peak = atomic_load_explicit(&requested_peak, memory_order_relaxed);

    while ((int64_t)now > (int64_t)peak &&
           !atomic_compare_exchange_weak_explicit(&requested_peak, &peak, now, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

void ledger_count(const struct ledger_entry *entry, int sign)
{
    uint64_t change = (uint64_t)sign * entry->requested_bytes;

    add(&kind_blocks[entry->memory], (uint64_t)sign);
    add(&kind_bytes[entry->memory], change);
    if (memory_kind(entry->memory)->on_device)
        requested_count(change);
    if (!memory_kind(entry->memory)->takes_device || !has_total(entry->device))
        return;
    if (sign > 0)
        device_begin(entry->device, entry->allocated_bytes);
    else
        ledger_device_remove(entry->device, entry->allocated_bytes);
}

/* Head of a context's list; without host memory for it, the block outlives its context here. */
static struct owner *owner_locked(uint32_t context)
{
    struct owner *owner = table_first(&owners, context);

    return owner ? owner : table_add(&owners, context);
}

static void own_locked(struct block *block)
{
    struct owner *owner = block->entry.context ? owner_locked(block->entry.context) : NULL;

    if (!owner)
        block->entry.context = 0;
    if (!owner)
        return;
    block->owned_next = owner->first;
    if (owner->first)
        owner->first->owned_previous = block;
    owner->first = block;
}

static void disown_locked(struct block *block)
{
    if (!block->entry.context)
        return;
    if (block->owned_next)
        block->owned_next->owned_previous = block->owned_previous;
    if (block->owned_previous)
        block->owned_previous->owned_next = block->owned_next;
    else
        owner_locked(block->entry.context)->first = block->owned_next;
}

static void remove_locked(struct block *block)
{
    ledger_count(&block->entry, -1);
    disown_locked(block);
    table_remove(&blocks, block);
}

static void put_locked(const struct ledger_entry *entry)
{
    struct block *old = find_locked(entry->memory, entry->address);

    if (old)
        remove_locked(old);
    struct block *block = table_add(&blocks, entry->address);
    if (!block)
        return;
    block->entry = *entry;
    own_locked(block);
    ledger_count(entry, 1);
}

void ledger_put(const struct ledger_entry *entry)
{
    pthread_mutex_lock(&lock);
    put_locked(entry);
    pthread_mutex_unlock(&lock);
}

static bool retain_locked(enum trace_memory memory, uint64_t address)
{
    struct block *block = find_locked(memory, address);

    if (block)
        block->entry.references++;
    return block;
}

bool ledger_retain(enum trace_memory memory, uint64_t address)
{
    pthread_mutex_lock(&lock);
    bool found = retain_locked(memory, address);
    pthread_mutex_unlock(&lock);
    return found;
}

bool ledger_take(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry)
{
    pthread_mutex_lock(&lock);
    struct block *block = find_locked(memory, address);
    bool found = block;
    if (found) {
        *ret_entry = block->entry;
        if (ret_entry->references)
            block->entry.references--;
        else
            remove_locked(block);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void ledger_return(const struct ledger_entry *entry)
{
    pthread_mutex_lock(&lock);
    if (!entry->references || !retain_locked(entry->memory, entry->address))
        put_locked(entry);
    pthread_mutex_unlock(&lock);
}

bool ledger_look_up(enum trace_memory memory, uint64_t address, struct ledger_entry *ret_entry)
{
    pthread_mutex_lock(&lock);
    const struct block *block = find_locked(memory, address);
    if (block)
        *ret_entry = block->entry;
    pthread_mutex_unlock(&lock);
    return block;
}

void ledger_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    struct owner *owner = table_first(&owners, context);
    while (owner && owner->first)
        remove_locked(owner->first);
    if (owner)
        table_remove(&owners, owner);
    pthread_mutex_unlock(&lock);
}

uint64_t ledger_device_bytes(int device)
{
    return has_total(device) ? atomic_load_explicit(&device_bytes[device], memory_order_relaxed)
                             : 0;
}

void ledger_totals(struct ledger_total ret_totals[LEDGER_KINDS])
{
    for (int kind = 0; kind < LEDGER_KINDS; kind++)
        ret_totals[kind] = (struct ledger_total){
            .blocks = atomic_load_explicit(&kind_blocks[kind], memory_order_relaxed),
            .bytes = atomic_load_explicit(&kind_bytes[kind], memory_order_relaxed)};
}

struct ledger_level ledger_requested(void)
{
    return (struct ledger_level){
        .bytes = atomic_load_explicit(&requested_bytes, memory_order_relaxed),
        .peak_bytes = atomic_load_explicit(&requested_peak, memory_order_relaxed)};
}

void ledger_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    blocks = (struct table)TABLE_OF(struct block); /* not freed: a change may be incomplete */
    owners = (struct table)TABLE_OF(struct owner);
    for (int kind = 0; kind < LEDGER_KINDS; kind++) {
        atomic_store(&kind_blocks[kind], 0);
        atomic_store(&kind_bytes[kind], 0);
    }
    for (int device = 0; device < LEDGER_DEVICES; device++)
        atomic_store(&device_bytes[device], 0);
    atomic_store(&requested_bytes, 0);
    atomic_store(&requested_peak, 0);
    for (int i = 0; i < HELD_ROOMS; i++)
        thread_state.held[i].bytes = 0;
}

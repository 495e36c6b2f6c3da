/* SPDX-License-Identifier: MIT */
/*
 * Tables under one lock: handles, memory by identity, exported memory, and the mappings
 * (shim/memory/mapping.h). See physical.h.
 */
#include "shim/memory/physical.h"

#include <pthread.h>
#include <stddef.h>

#include "shim/memory/ledger.h"
#include "shim/memory/mapping.h"
#include "shim/memory/table.h"

/* There may be very many, so nodes are small: a look-up touches little memory. */
struct physical {
    struct table_node node; /* key: its identity */
    uint64_t bytes;
    uint64_t export_key; /* 0: it was not exported */
    uint32_t releases;   /* still to come, of the handle numbered as the identity */
    uint32_t handles;    /* that keep it: all releases still to come */
    uint32_t mappings;   /* that keep it */
    int16_t device;
    uint16_t memory;
};

/* A handle with a number other than the identity of its memory. */
struct handle {
    struct table_node node; /* key: the handle */
    struct physical *physical;
    uint32_t releases; /* still to come */
};

struct export
{
    struct table_node node; /* key: see physical_exported */
    struct physical *physical;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below, and the mappings */
static struct table physicals = TABLE_OF(struct physical);
static struct table handles = TABLE_OF(struct handle);
static struct table exports = TABLE_OF(struct export);
static size_t unnamed; /* memory with an identity that no handle has any more */

static struct physical_facts facts_of(const struct physical *physical)
{
    return (struct physical_facts){.id = physical->node.key,
                                   .memory = physical->memory,
                                   .device = physical->device,
                                   .bytes = physical->bytes};
}

static void count(const struct physical_facts *facts, int sign)
{
    ledger_count(&(struct ledger_entry){.memory = facts->memory,
                                        .device = facts->device,
                                        .requested_bytes = facts->bytes,
                                        .allocated_bytes = facts->bytes},
                 sign);
}

static void count_mapping(const struct mapping *mapping, int sign)
{
    ledger_count(&(struct ledger_entry){.memory = TRACE_MEMORY_MAPPING,
                                        .device = LEDGER_HOST,
                                        .requested_bytes = mapping->bytes,
                                        .allocated_bytes = mapping->bytes},
                 sign);
}

static void unexport_locked(struct physical *physical)
{
    struct export *found = physical->export_key ? table_first(&exports, physical->export_key)
                                                : NULL;

    if (found && found->physical == physical)
        table_remove(&exports, found);
    physical->export_key = 0;
}

/* Ends memory that nothing keeps any more. */
static struct physical_facts end_locked(struct physical *physical)
{
    struct physical_facts facts = {0};

    if (!physical || physical->handles || physical->mappings)
        return facts;
    facts = facts_of(physical);
    count(&facts, -1);
    unexport_locked(physical);
    unnamed--;
    table_remove(&physicals, physical);
    return facts;
}

/* Returns the memory that a handle names, and its count of releases; NULL when it names none. */
static struct physical *named_locked(uint64_t number, uint32_t **ret_releases)
{
    struct handle *handle = handles.count ? table_first(&handles, number) : NULL;
    struct physical *physical = handle ? NULL : table_first(&physicals, number);

    if (handle) {
        *ret_releases = &handle->releases;
        return handle->physical;
    }
    if (!physical || !physical->releases)
        return NULL;
    *ret_releases = &physical->releases;
    return physical;
}

static uint32_t *handle_make_locked(uint64_t number, struct physical *physical)
{
    if (number == physical->node.key) {
        unnamed--;
        return &physical->releases;
    }
    struct handle *handle = table_add(&handles, number);
    if (!handle)
        return NULL;
    handle->physical = physical;
    return &handle->releases;
}

/* Adds a release that a handle needs; false without host memory to remember it. */
static bool handle_add_locked(uint64_t number, struct physical *physical)
{
    uint32_t *releases = NULL;
    struct physical *named = named_locked(number, &releases);

    if (!named) {
        releases = physical ? handle_make_locked(number, physical) : NULL;
        named = physical;
    }
    if (!releases)
        return false;
    ++*releases;
    named->handles++;
    return true;
}

/* Subtracts a release; the count stays in `handles` until the driver has answered. */
static struct physical *handle_take_locked(uint64_t number)
{
    uint32_t *releases;
    struct physical *named = named_locked(number, &releases);

    if (!named || --*releases)
        return named;
    if (releases == &named->releases)
        unnamed++;
    else
        table_remove(&handles, table_first(&handles, number));
    return named;
}

static uint64_t identity_locked(uint64_t handle)
{
    uint64_t id = handle;

    for (uint64_t turn = 1; unnamed && table_first(&physicals, id); turn++)
        id = handle ^ turn << 56;
    return id;
}

static bool made_locked(uint64_t handle, const struct physical_facts *facts,
                        struct physical_facts *ret_facts)
{
    uint64_t id = identity_locked(handle);
    struct physical *physical = table_add(&physicals, id);
    uint32_t *releases;

    if (!physical)
        return false;
    physical->bytes = facts->bytes;
    physical->memory = (uint16_t)facts->memory;
    physical->device = (int16_t)facts->device;
    unnamed++;
    releases = handle_make_locked(handle, physical);
    if (releases)
        physical->handles = ++*releases;
    if (!releases) {
        unnamed--;
        table_remove(&physicals, physical);
        return false;
    }
    *ret_facts = facts_of(physical);
    count(ret_facts, 1);
    return true;
}

bool physical_made(uint64_t handle, const struct physical_facts *facts,
                   struct physical_facts *ret_facts)
{
    pthread_mutex_lock(&lock);
    bool made = made_locked(handle, facts, ret_facts);
    pthread_mutex_unlock(&lock);
    return made;
}

bool physical_imported(uint64_t handle, uint64_t key, struct physical_facts *ret_facts)
{
    const struct physical_facts theirs = {.memory = TRACE_MEMORY_PHYSICAL, .device = LEDGER_HOST};
    bool made = false;

    pthread_mutex_lock(&lock);
    const struct export *ours = key ? table_first(&exports, key) : NULL;
    if (!handle_add_locked(handle, ours ? ours->physical : NULL))
        made = made_locked(handle, &theirs, ret_facts);
    pthread_mutex_unlock(&lock);
    return made;
}

void physical_exported(uint64_t handle, uint64_t key)
{
    pthread_mutex_lock(&lock);
    uint32_t *releases;
    struct physical *physical = key ? named_locked(handle, &releases) : NULL;
    struct export *old = physical ? table_first(&exports, key) : NULL;
    if (old)
        unexport_locked(old->physical);
    struct export *made = physical ? table_add(&exports, key) : NULL;
    if (made) {
        unexport_locked(physical);
        made->physical = physical;
        physical->export_key = key;
    }
    pthread_mutex_unlock(&lock);
}

void physical_retained(uint64_t handle, uint64_t address)
{
    pthread_mutex_lock(&lock);
    const struct mapping *mapping = mapping_at(address);
    handle_add_locked(handle, mapping ? mapping->physical : NULL);
    pthread_mutex_unlock(&lock);
}

struct physical_release physical_release_begin(uint64_t number)
{
    struct physical_release release = {.handle = number};

    pthread_mutex_lock(&lock);
    release.physical = handle_take_locked(number);
    pthread_mutex_unlock(&lock);
    return release;
}

struct physical_facts physical_release_end(const struct physical_release *release, bool released)
{
    struct physical_facts facts = {0};

    if (!release->physical)
        return facts;
    pthread_mutex_lock(&lock);
    release->physical->handles--;
    if (released) {
        facts = end_locked(release->physical);
    } else {
        facts = facts_of(release->physical);
        handle_add_locked(release->handle, release->physical);
    }
    pthread_mutex_unlock(&lock);
    return facts;
}

struct physical *physical_map_begin(uint64_t number, struct physical_facts *ret_facts)
{
    *ret_facts = (struct physical_facts){.device = LEDGER_HOST};
    pthread_mutex_lock(&lock);
    uint32_t *releases;
    struct physical *physical = named_locked(number, &releases);
    if (physical) {
        physical->mappings++;
        *ret_facts = facts_of(physical);
    }
    pthread_mutex_unlock(&lock);
    return physical;
}

struct physical_facts physical_map_end(struct physical *physical, uint64_t address, uint64_t bytes,
                                       bool mapped)
{
    struct physical_facts facts = {0};

    pthread_mutex_lock(&lock);
    if (mapped && mapping_add(address, bytes, physical) == 0) {
        count_mapping(mapping_at(address), 1);
    } else if (!mapped && physical) {
        physical->mappings--;
        facts = end_locked(physical);
    }
    pthread_mutex_unlock(&lock);
    return facts;
}

struct mapping *physical_unmap_begin(uint64_t address, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    struct mapping *taken = bytes ? mapping_take(address, bytes) : NULL;
    pthread_mutex_unlock(&lock);
    return taken;
}

void physical_unmap_undo(struct mapping *taken)
{
    pthread_mutex_lock(&lock);
    while (taken) {
        struct mapping *next = taken->next[0];

        mapping_return(taken);
        taken = next;
    }
    pthread_mutex_unlock(&lock);
}

/* What stays mapped on one side of a hole. */
static void keep_locked(const struct mapping *was, uint64_t address, uint64_t end)
{
    if (address >= end || mapping_add(address, end - address, was->physical) < 0)
        return;
    count_mapping(mapping_at(address), 1);
    if (was->physical)
        was->physical->mappings++;
}

struct physical_facts physical_unmap_end(struct mapping *taken, uint64_t address, uint64_t bytes)
{
    struct physical_facts facts = {0};

    pthread_mutex_lock(&lock);
    count_mapping(taken, -1);
    keep_locked(taken, taken->address, address);
    keep_locked(taken, address + bytes, taken->address + taken->bytes);
    if (taken->physical) {
        taken->physical->mappings--;
        facts = end_locked(taken->physical);
    }
    mapping_drop(taken);
    pthread_mutex_unlock(&lock);
    return facts;
}

struct physical_facts physical_of_mapping(const struct mapping *mapping)
{
    return mapping->physical ? facts_of(mapping->physical)
                             : (struct physical_facts){.device = LEDGER_HOST};
}

void physical_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    physicals = (struct table)TABLE_OF(struct physical); /* not freed: a change may be incomplete */
    handles = (struct table)TABLE_OF(struct handle);
    exports = (struct table)TABLE_OF(struct export);
    unnamed = 0;
    mapping_forget_all();
}

/* SPDX-License-Identifier: MIT */
/*
 * The memory manager.
 *
 * Memory has three sources: the allocator of pool/ (a GPU without the preload), the driver itself
 * (under the preload, which pools the calls), and the system (host memory). The allocator gets a
 * cache by stream in front: a block freed on a stream is reused there at once, because that
 * stream's work is ordered anyway. Blocks that leave the cache go back to the pool, where the
 * quarantine waits for the device. Sizes are rounded to classes of an eighth of a power of two, so
 * a cached block serves every request of its class.
 *
 * Threading: one lock around the manager's own tables; the driver is called without it.
 */
#include "include/cupool/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/addresses.h"
#include "engine/device.h"
#include "engine/pool_device.h"
#include "engine/work_marks.h"
#include "pool/base/clock.h"
#include "pool/pool.h"

#define HISTORY     1024u
#define STREAMS     64u
#define CLASSES     432u /* of SIZE_MAX / 4 and less */
#define ALIGNMENT   ((size_t)512)
#define CACHE_LEAST ((uint64_t)64 << 20) /* bytes that the streams may cache in any case */
#define CLASS_STEPS 8u                   /* classes a power of two */

/** What one stream has freed. */
struct stream_cache {
    void *stream;
    int used;
    uint64_t first[CLASSES]; /* address of the newest of a class; 0: none */
};

struct memory_manager {
    struct pool *pool; /* NULL: the driver, or the system */
    pthread_mutex_t lock;
    struct addresses addresses;
    struct stream_cache *streams; /* [STREAMS]; with a pool */
    uint64_t cached_bytes;
    struct cupool_memory_statistics stats;
    struct cupool_memory_event history[HISTORY];
    uint64_t events;
    struct {
        struct cupool_pressure_thresholds thresholds;
        void (*callback)(void *state, enum cupool_pressure level, double usage);
        void *state;
        enum cupool_pressure level;
    } pressure;
};

/* Returns the class of a size, and the bytes of every block of that class. */
static unsigned class_of(size_t bytes, size_t *ret_room)
{
    size_t units = (bytes + ALIGNMENT - 1) / ALIGNMENT;
    unsigned log = 63 - (unsigned)__builtin_clzll(units);
    size_t step = log >= 3 ? (size_t)1 << (log - 3) : 1;

    units = (units + step - 1) / step * step;
    log = 63 - (unsigned)__builtin_clzll(units);
    *ret_room = units * ALIGNMENT;
    if (log < 3)
        return (unsigned)units;
    return log * CLASS_STEPS + (unsigned)((units >> (log - 3)) & (CLASS_STEPS - 1));
}

static int manager_make(struct cupool_device *device, struct memory_manager **ret_manager)
{
    struct memory_manager *manager = calloc(1, sizeof(*manager));
    struct pool_config config;
    int error = 0;

    if (!manager)
        return -ENOMEM;
    pthread_mutex_init(&manager->lock, NULL);
    manager->pressure.thresholds = (struct cupool_pressure_thresholds){0.7, 0.9, 0.05};
    if (device->driver && !device->preloaded) {
        struct pool_backend backend = device_pool_backend(device);

        manager->streams = calloc(STREAMS, sizeof(*manager->streams));
        pool_config_init(&config);
        error = !manager->streams ? -ENOMEM : pool_create(&config, &backend, &manager->pool);
    }
    if (error < 0) {
        free(manager->streams);
        free(manager);
        return error;
    }
    *ret_manager = manager;
    return 0;
}

static struct memory_manager *manager_of(struct cupool_device *device)
{
    struct memory_manager *manager = atomic_load(&device->memory);

    if (manager)
        return manager;
    pthread_mutex_lock(&device->memory_lock);
    manager = atomic_load(&device->memory);
    if (!manager && manager_make(device, &manager) == 0)
        atomic_store(&device->memory, manager);
    pthread_mutex_unlock(&device->memory_lock);
    if (!manager)
        device_fail(device, -ENOMEM, "no host memory for the memory manager");
    return manager;
}

static void history_add(struct memory_manager *manager, enum cupool_memory_event_kind kind,
                        uint64_t address, uint64_t bytes)
{
    manager->history[manager->events++ % HISTORY] = (struct cupool_memory_event){
        .time_ns = pool_clock_ns(),
        .kind = kind,
        .address = address,
        .bytes = bytes,
        .current_bytes = manager->stats.current_bytes};
}

/* Whether the handle alone names a stream: it is not that of every thread, nor none. */
static bool is_cached_stream(cupool_stream stream)
{
    return stream != CUPOOL_STREAM_NONE && stream != CUPOOL_STREAM_PER_THREAD;
}

static struct stream_cache *stream_find(struct memory_manager *manager, void *stream, int make)
{
    struct stream_cache *unused = NULL;

    for (unsigned at = 0; at < STREAMS && manager->streams; at++) {
        struct stream_cache *cache = &manager->streams[at];

        if (cache->used && cache->stream == stream)
            return cache;
        if (!cache->used && !unused)
            unused = cache;
    }
    if (!make || !unused)
        return NULL;
    memset(unused, 0, sizeof(*unused));
    unused->used = 1;
    unused->stream = stream;
    return unused;
}

/* Takes a cached block that this stream freed; NULL if it has none of the class. */
static struct address_entry *stream_take(struct memory_manager *manager, void *stream,
                                         unsigned size_class)
{
    struct stream_cache *cache = stream_find(manager, stream, 0);

    if (!cache || cache->first[size_class] == 0)
        return NULL;
    struct address_entry *entry = addresses_find(&manager->addresses, cache->first[size_class]);
    cache->first[size_class] = entry->next;
    manager->cached_bytes -= entry->room;
    return entry;
}

/* Whether one more freed block may stay with its stream. */
static bool stream_has_room(const struct memory_manager *manager, size_t room)
{
    uint64_t most = manager->stats.peak_bytes / 4;

    return manager->cached_bytes + room <= (most > CACHE_LEAST ? most : CACHE_LEAST);
}

/* Keeps a freed block for its stream. False: it goes back to its source. */
static bool stream_keep(struct memory_manager *manager, struct address_entry *entry,
                        cupool_stream stream)
{
    size_t room;

    if (!manager->streams || !is_cached_stream(stream))
        return false;
    struct stream_cache *cache = stream_find(manager, stream, 1);
    if (!cache)
        return false;
    unsigned size_class = class_of(entry->room, &room);
    entry->next = cache->first[size_class];
    entry->stream = stream;
    cache->first[size_class] = entry->address;
    manager->cached_bytes += entry->room;
    return true;
}

/* Takes the cached blocks of all streams out of the caches, as a chain; the lock is held. */
static uint64_t streams_detach(struct memory_manager *manager)
{
    uint64_t chain = 0;

    for (unsigned at = 0; at < STREAMS && manager->streams; at++) {
        struct stream_cache *cache = &manager->streams[at];

        for (unsigned size_class = 0; size_class < CLASSES && cache->used; size_class++) {
            for (uint64_t address = cache->first[size_class], next; address != 0; address = next) {
                struct address_entry *entry = addresses_find(&manager->addresses, address);

                next = entry->next;
                entry->next = chain;
                chain = address;
            }
        }
        cache->used = 0;
    }
    return chain;
}

/* Returns the cached blocks of all streams to the pool, behind all work so far; if that cannot be
 * marked or waited for, to their streams. Returns their bytes. */
static uint64_t streams_flush(struct cupool_device *device, struct memory_manager *manager)
{
    uint64_t flushed = 0;

    pthread_mutex_lock(&manager->lock);
    uint64_t chain = streams_detach(manager);
    pthread_mutex_unlock(&manager->lock);
    if (chain == 0)
        return 0;
    bool ordered = work_mark_context(device) == 0 ||
                   cupool_device_wait(device, CUPOOL_STREAM_NONE) == 0;
    pthread_mutex_lock(&manager->lock);
    for (uint64_t address = chain, next; address != 0; address = next) {
        struct address_entry *entry = addresses_find(&manager->addresses, address);

        next = entry->next;
        manager->cached_bytes -= entry->room;
        if (!ordered && stream_keep(manager, entry, entry->stream))
            continue;
        if (!ordered) { /* its stream's place is taken: as good as live for good */
            manager->cached_bytes += entry->room;
            continue;
        }
        flushed += entry->room;
        pool_free(address, 0, NULL);
        addresses_remove(&manager->addresses, address);
    }
    pthread_mutex_unlock(&manager->lock);
    return flushed;
}

static double usage_of(struct cupool_device *device)
{
    struct cupool_device_statistics stats;

    if (cupool_device_stats(device, &stats) < 0 || stats.total_bytes == 0)
        return 0;
    return 1 - (double)stats.free_bytes / (double)stats.total_bytes;
}

/* Checks the thresholds. The callback runs here, outside the lock. */
static void pressure_look(struct cupool_device *device, struct memory_manager *manager)
{
    pthread_mutex_lock(&manager->lock);
    bool wanted = manager->pressure.callback;
    pthread_mutex_unlock(&manager->lock);
    if (!wanted)
        return;
    double usage = usage_of(device);
    pthread_mutex_lock(&manager->lock);
    const struct cupool_pressure_thresholds *t = &manager->pressure.thresholds;
    enum cupool_pressure level = manager->pressure.level;
    double aggressive = t->aggressive - (level == CUPOOL_PRESSURE_AGGRESSIVE ? t->hysteresis : 0);
    double normal = t->normal - (level != CUPOOL_PRESSURE_NONE ? t->hysteresis : 0);
    level = usage >= aggressive ? CUPOOL_PRESSURE_AGGRESSIVE
            : usage >= normal   ? CUPOOL_PRESSURE_NORMAL
                                : CUPOOL_PRESSURE_NONE;
    bool crossed = level != manager->pressure.level;
    manager->pressure.level = level;
    void (*callback)(void *state, enum cupool_pressure level,
                     double usage) = manager->pressure.callback;
    void *state = manager->pressure.state;
    pthread_mutex_unlock(&manager->lock);
    if (crossed && callback)
        callback(state, level, usage);
}

/* Allocates from the pool, or from the driver or the system. */
static int source_allocate(struct cupool_device *device, struct memory_manager *manager,
                           size_t room, uint64_t *ret_address, bool *ret_hit)
{
    struct pool_block block;
    int error;

    *ret_hit = false;
    if (!manager->pool)
        return device_memory_allocate(device, room, ret_address);
    error = pool_allocate(manager->pool, room, 0, &block);
    if (error == -ENOMEM) {
        if (streams_flush(device, manager) > 0)
            error = pool_allocate(manager->pool, room, 0, &block);
    }
    if (error < 0)
        return error;
    *ret_address = block.address;
    *ret_hit = block.outcome == POOL_OUTCOME_HIT;
    return 0;
}

static void source_free(struct cupool_device *device, struct memory_manager *manager,
                        uint64_t address, size_t room)
{
    if (manager->pool)
        pool_free(address, 0, NULL);
    else
        device_memory_free(device, address, room);
}

static void allocation_count(struct memory_manager *manager, struct address_entry *entry,
                             size_t bytes, bool hit)
{
    entry->live = true;
    entry->bytes = bytes;
    entry->next = 0;
    manager->stats.allocations++;
    manager->stats.hits += hit;
    manager->stats.misses += !hit;
    manager->stats.current_bytes += bytes;
    if (manager->stats.current_bytes > manager->stats.peak_bytes)
        manager->stats.peak_bytes = manager->stats.current_bytes;
    history_add(manager, CUPOOL_MEMORY_ALLOCATE, entry->address, bytes);
}

/* Enters a new block. -ENOMEM: out of host memory; the block was given back. */
static int block_enter(struct cupool_device *device, struct memory_manager *manager,
                       uint64_t address, size_t bytes, size_t room, bool hit)
{
    pthread_mutex_lock(&manager->lock);
    struct address_entry *entry = addresses_add(&manager->addresses, address);
    if (entry) {
        entry->room = room;
        allocation_count(manager, entry, bytes, hit);
    }
    pthread_mutex_unlock(&manager->lock);
    if (entry)
        return 0;
    source_free(device, manager, address, room);
    return device_fail(device, -ENOMEM, "no host memory for bookkeeping");
}

static int allocation_fail(struct cupool_device *device, struct memory_manager *manager, int error,
                           size_t bytes)
{
    pthread_mutex_lock(&manager->lock);
    manager->stats.failures++;
    history_add(manager, CUPOOL_MEMORY_FAILURE, 0, bytes);
    pthread_mutex_unlock(&manager->lock);
    return device_fail(device, error, "the device does not have that much memory");
}

int cupool_memory_allocate(struct cupool_device *device, size_t bytes, cupool_stream stream,
                           void **ret_memory)
{
    struct memory_manager *manager;
    struct address_entry *entry = NULL;
    uint64_t address = 0;
    size_t room;
    bool hit;
    int error;

    if (!device || bytes == 0 || !ret_memory)
        return -EINVAL;
    manager = manager_of(device);
    if (!manager)
        return -ENOMEM;
    if (bytes > SIZE_MAX / 4)
        return allocation_fail(device, manager, -ENOMEM, bytes);
    unsigned size_class = class_of(bytes, &room);
    if (!manager->pool)
        room = bytes;
    pthread_mutex_lock(&manager->lock);
    if (is_cached_stream(stream))
        entry = stream_take(manager, stream, size_class);
    if (entry) {
        allocation_count(manager, entry, bytes, true);
        manager->stats.stream_hits++;
        address = entry->address;
    }
    pthread_mutex_unlock(&manager->lock);
    if (!entry) {
        error = source_allocate(device, manager, room, &address, &hit);
        if (error < 0)
            return allocation_fail(device, manager, error, bytes);
        error = block_enter(device, manager, address, bytes, room, hit);
        if (error < 0)
            return error;
        pressure_look(device, manager);
    }
    *ret_memory = (void *)(uintptr_t)address;
    return 0;
}

/* Counts a free; the lock is held. */
static void free_count(struct memory_manager *manager, struct address_entry *entry)
{
    manager->stats.frees++;
    manager->stats.current_bytes -= entry->bytes;
    history_add(manager, CUPOOL_MEMORY_FREE, entry->address, entry->bytes);
    entry->live = false;
}

/* Marks the work that a freed block waits for. -EBUSY: its stream is captured. */
static int work_mark(struct cupool_device *device, struct memory_manager *manager,
                     cupool_stream stream)
{
    if (!manager->pool || stream == CUPOOL_STREAM_NONE)
        return 0; /* the driver waits itself, host streams have no work, or the caller has waited */
    int error = work_mark_stream(device, stream);
    return error == 0 || error == -EBUSY ? error : cupool_device_wait(device, CUPOOL_STREAM_NONE);
}

int cupool_memory_free(struct cupool_device *device, void *memory, cupool_stream stream)
{
    struct memory_manager *manager;
    uint64_t address = (uintptr_t)memory;
    size_t room = 0;
    bool kept = false;

    if (!memory)
        return 0;
    if (!device || !(manager = manager_of(device)))
        return -EINVAL;
    pthread_mutex_lock(&manager->lock);
    struct address_entry *entry = addresses_find(&manager->addresses, address);
    int error = !entry ? -EINVAL : !entry->live || entry->leaving ? -EALREADY : 0;
    if (error == 0) {
        room = entry->room;
        kept = stream_has_room(manager, room) && stream_keep(manager, entry, stream);
        if (kept)
            free_count(manager, entry);
        else
            entry->leaving = true;
    }
    pthread_mutex_unlock(&manager->lock);
    if (error < 0)
        return device_fail(device, error, "not the address of a live block");
    if (kept)
        return 0;
    error = work_mark(device, manager, stream);
    pthread_mutex_lock(&manager->lock);
    entry = addresses_find(&manager->addresses, address);
    entry->leaving = false;
    kept = error == -EBUSY && stream_keep(manager, entry, stream);
    error = kept ? 0 : error;
    if (error == 0)
        free_count(manager, entry);
    if (error == 0 && !kept)
        addresses_remove(&manager->addresses, address);
    pthread_mutex_unlock(&manager->lock);
    if (error < 0)
        return device_fail(device, error, "the stream is captured, or the device has failed");
    if (!kept) {
        source_free(device, manager, address, room);
        pressure_look(device, manager);
    }
    return 0;
}

int cupool_memory_size(struct cupool_device *device, const void *memory, size_t *ret_bytes)
{
    struct memory_manager *manager = device ? manager_of(device) : NULL;
    int error = -ENOENT;

    if (!manager)
        return -EINVAL;
    pthread_mutex_lock(&manager->lock);
    const struct address_entry *entry = addresses_find(&manager->addresses, (uintptr_t)memory);
    if (entry && entry->live) {
        *ret_bytes = entry->bytes;
        error = 0;
    }
    pthread_mutex_unlock(&manager->lock);
    return error < 0 ? device_fail(device, error, "not the address of a live block") : 0;
}

int cupool_memory_trim(struct cupool_device *device, size_t keep_bytes, size_t *ret_returned_bytes)
{
    struct memory_manager *manager = device ? manager_of(device) : NULL;
    size_t returned = 0;
    int error = 0;

    if (!manager)
        return -EINVAL;
    if (manager->pool) {
        streams_flush(device, manager);
        error = pool_trim(manager->pool, keep_bytes, &returned);
    }
    pthread_mutex_lock(&manager->lock);
    manager->stats.trims++;
    manager->stats.trimmed_bytes += returned;
    history_add(manager, CUPOOL_MEMORY_TRIM, 0, returned);
    pthread_mutex_unlock(&manager->lock);
    pressure_look(device, manager);
    if (error == 0 && ret_returned_bytes)
        *ret_returned_bytes = returned;
    return error < 0 ? device_fail(device, error, "cached memory could not be returned") : 0;
}

int cupool_memory_defragment(struct cupool_device *device, size_t *ret_gained_bytes)
{
    struct cupool_memory_statistics before, after;
    size_t returned = 0;
    int error = device ? cupool_device_wait(device, CUPOOL_STREAM_NONE) : -EINVAL;

    if (error == 0)
        error = cupool_memory_stats(device, &before);
    if (error == 0)
        error = cupool_memory_trim(device, 0, &returned);
    if (error == 0)
        error = cupool_memory_stats(device, &after);
    if (error == 0 && ret_gained_bytes)
        *ret_gained_bytes = returned + (after.largest_free_bytes > before.largest_free_bytes
                                            ? after.largest_free_bytes - before.largest_free_bytes
                                            : 0);
    return error;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

int cupool_memory_stats(struct cupool_device *device, struct cupool_memory_statistics *ret_stats)
{
    struct memory_manager *manager = device ? manager_of(device) : NULL;
    struct pool_statistics pool = {0};

    if (!manager || !ret_stats)
        return -EINVAL;
    if (manager->pool)
        pool_statistics_get(manager->pool, &pool);
    pthread_mutex_lock(&manager->lock);
    struct cupool_memory_statistics stats = manager->stats;
    pthread_mutex_unlock(&manager->lock);
    stats.reserved_bytes = manager->pool ? pool.reserved_bytes.current
                                         : atomic_load(&device->current_bytes);
    stats.cached_bytes = stats.reserved_bytes > stats.current_bytes && manager->pool
                             ? stats.reserved_bytes - stats.current_bytes
                             : 0;
    stats.largest_free_bytes = pool.largest_free_bytes;
    stats.hit_rate = share(stats.hits, stats.allocations);
    stats.utilization = share(stats.current_bytes, stats.reserved_bytes);
    stats.fragmentation = stats.cached_bytes > stats.largest_free_bytes
                              ? 1 - share(stats.largest_free_bytes, stats.cached_bytes)
                              : 0;
    stats.pressure = usage_of(device);
    *ret_stats = stats;
    return 0;
}

size_t cupool_memory_history(struct cupool_device *device, struct cupool_memory_event *events,
                             size_t room)
{
    struct memory_manager *manager = device ? manager_of(device) : NULL;
    size_t count = 0;

    if (!manager || !events)
        return 0;
    pthread_mutex_lock(&manager->lock);
    uint64_t first = manager->events > HISTORY ? manager->events - HISTORY : 0;
    if (manager->events - first > room)
        first = manager->events - room;
    for (; first + count < manager->events; count++)
        events[count] = manager->history[(first + count) % HISTORY];
    pthread_mutex_unlock(&manager->lock);
    return count;
}

int cupool_memory_pressure(struct cupool_device *device,
                           const struct cupool_pressure_thresholds *thresholds,
                           void (*callback)(void *state, enum cupool_pressure level, double usage),
                           void *state)
{
    static const struct cupool_pressure_thresholds standard = {0.7, 0.9, 0.05};
    const struct cupool_pressure_thresholds *t = thresholds ? thresholds : &standard;
    struct memory_manager *manager = device ? manager_of(device) : NULL;

    if (!manager || !(t->normal > 0 && t->normal <= t->aggressive && t->aggressive <= 1) ||
        !(t->hysteresis >= 0 && t->hysteresis < t->normal))
        return -EINVAL;
    pthread_mutex_lock(&manager->lock);
    manager->pressure.thresholds = *t;
    manager->pressure.callback = callback;
    manager->pressure.state = state;
    manager->pressure.level = CUPOOL_PRESSURE_NONE;
    pthread_mutex_unlock(&manager->lock);
    pressure_look(device, manager);
    return 0;
}

int cupool_memory_should_trim(struct cupool_device *device)
{
    struct cupool_memory_statistics stats;

    if (cupool_memory_stats(device, &stats) < 0)
        return 0;
    return stats.cached_bytes > 0 && (stats.pressure > 0.8 || stats.fragmentation > 0.3);
}

int cupool_memory_check(struct cupool_device *device, char *why, size_t why_bytes)
{
    struct memory_manager *manager = device ? manager_of(device) : NULL;
    uint64_t live = 0, cached = 0;

    if (!manager)
        return -EINVAL;
    pthread_mutex_lock(&manager->lock);
    const struct addresses *table = &manager->addresses;
    for (size_t at = 0; table->entries && at <= table->mask; at++) {
        const struct address_entry *entry = &table->entries[at];

        live += entry->address != 0 && entry->live ? entry->bytes : 0;
        cached += entry->address != 0 && !entry->live ? entry->room : 0;
    }
    bool right = live == manager->stats.current_bytes && cached == manager->cached_bytes;
    pthread_mutex_unlock(&manager->lock);
    if (!right) {
        if (why_bytes > 0)
            strncpy(why, "live or cached bytes differ from the sum of the blocks",
                    why_bytes - 1)[why_bytes - 1] = '\0';
        return device_fail(device, -EFAULT, "an invariant of the memory manager is broken");
    }
    return manager->pool ? pool_check(manager->pool, why, why_bytes) : 0;
}

void memory_manager_end(struct cupool_device *device)
{
    struct memory_manager *manager = atomic_exchange(&device->memory, NULL);

    if (!manager)
        return;
    if (manager->pool)
        pool_destroy(manager->pool, POOL_END_RETURN);
    addresses_done(&manager->addresses);
    pthread_mutex_destroy(&manager->lock);
    free(manager->streams);
    free(manager);
}

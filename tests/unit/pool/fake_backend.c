/* SPDX-License-Identifier: MIT */
/*
 * The fake device. Addresses start at 2^40 and freed ranges are handed out again first, so that a
 * stale entry of the page map would be noticed.
 */
#include "tests/unit/pool/fake_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ADDRESS (UINT64_C(1) << 40)

/* Counts a call; returns 0, or the error set for it. Leaves the mutex locked. */
static int call_begin(struct fake_backend *fake, enum fake_call call)
{
    pthread_mutex_lock(&fake->mutex);
    fake->calls[call]++;
    fake->calls_total++;
    fake->clock_ns += 1000;
    return fake->fail_at != 0 && fake->calls_total == fake->fail_at ? fake->fail_error : 0;
}

static int call_end(struct fake_backend *fake, int error)
{
    pthread_mutex_unlock(&fake->mutex);
    return error;
}

static struct fake_segment *segment_reusable(struct fake_backend *fake, size_t bytes)
{
    for (size_t index = 0; index < fake->segment_count; index++) {
        struct fake_segment *segment = &fake->segments[index];

        if (!segment->live && segment->bytes == bytes)
            return segment;
    }
    return NULL;
}

static struct fake_segment *segment_new(struct fake_backend *fake, size_t bytes)
{
    if (fake->segment_count == fake->segment_room) {
        fake->segment_room = fake->segment_room * 2 + 64;
        fake->segments = realloc(fake->segments, fake->segment_room * sizeof(*fake->segments));
    }
    struct fake_segment *segment = &fake->segments[fake->segment_count++];
    *segment = (struct fake_segment){.address = fake->next_address, .bytes = bytes};
    fake->next_address += bytes;
    return segment;
}

static int fake_segment_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_SEGMENT_ALLOCATE);

    if (error < 0)
        return call_end(fake, error);
    if (bytes == 0 || bytes % POOL_SEGMENT_BYTES != 0)
        fake->errors++;
    if (fake->capacity_bytes != 0 && fake->used_bytes + bytes > fake->capacity_bytes)
        return call_end(fake, -ENOMEM);
    struct fake_segment *segment = segment_reusable(fake, bytes);
    if (!segment)
        segment = segment_new(fake, bytes);
    segment->live = true;
    fake->used_bytes += bytes;
    if (fake->used_bytes > fake->peak_bytes)
        fake->peak_bytes = fake->used_bytes;
    *ret_address = segment->address + fake->misalign_bytes;
    return call_end(fake, 0);
}

static void device_finish(struct fake_backend *fake)
{
    fake->stamp++;
    if (fake->held_at == 0)
        fake->completed = fake->stamp;
    else if (!fake->only_peers)
        fake->hangs++;
}

static int fake_segment_free(void *state, uint64_t address, size_t bytes)
{
    struct fake_backend *fake = state;

    if (fake->on_segment_free)
        fake->on_segment_free(fake);
    int error = call_begin(fake, FAKE_SEGMENT_FREE);
    if (error < 0)
        return call_end(fake, error);
    for (size_t index = 0; index < fake->segment_count; index++) {
        struct fake_segment *segment = &fake->segments[index];

        if (!segment->live || segment->address + fake->misalign_bytes != address ||
            segment->bytes != bytes)
            continue;
        segment->live = false;
        fake->used_bytes -= bytes;
        device_finish(fake);
        return call_end(fake, 0);
    }
    fake->errors++;
    return call_end(fake, -EINVAL);
}

static void fence_complete(struct fake_backend *fake)
{
    if (fake->complete_at_once && (fake->held_at == 0 || fake->stamp < fake->held_at))
        fake->completed = fake->stamp;
}

static int fake_fence_record(void *state, pool_fence *ret_fence)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_FENCE_RECORD);

    if (error == 0 && fake->capturing && !fake->open_fences)
        error = -EBUSY;
    if (error == 0 && fake->without_events)
        error = -ENOTSUP;
    if (error < 0)
        return call_end(fake, error);
    fake->fences_recorded++;
    fake->fences_live++;
    *ret_fence = ++fake->stamp;
    fake->late_left = fake->late_queries;
    if (fake->late_left == 0)
        fence_complete(fake);
    return call_end(fake, 0);
}

static bool fake_fence_open(void *state, pool_fence fence)
{
    const struct fake_backend *fake = state;

    return fake->capturing && fake->open_fences && (fence == 0 || fence > fake->completed);
}

static int fake_fence_query(void *state, pool_fence fence)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_FENCE_QUERY);

    if (error == 0 && fake->capturing && !fake->open_fences)
        error = -EBUSY;
    if (fence == 0 || fence > fake->stamp)
        fake->errors++;
    if (fake->late_left > 0 && --fake->late_left == 0)
        fence_complete(fake);
    return call_end(fake, error < 0 ? error : fence <= fake->completed);
}

/* Work that never ends is waited for in vain; who would wait for it without a bound hangs. */
static int fake_fence_wait(void *state, pool_fence fence, uint64_t most_ns)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_FENCE_WAIT);
    bool endless = fake->held_at != 0 && (fence >= fake->held_at || fake_fence_open(fake, fence));

    if (error == 0 && fake->capturing && !fake->open_fences)
        error = -EBUSY;
    if (error == 0 && endless && most_ns == POOL_WAIT_FOREVER && !fake->only_peers)
        fake->hangs++;
    if (error == 0 && !endless && fake->completed < fence)
        fake->completed = fence;
    call_end(fake, error);
    if (error == 0 && fake->on_wait)
        fake->on_wait(fake);
    return error < 0 ? error : !endless;
}

static int fake_own_idle(void *state)
{
    const struct fake_backend *fake = state;

    return !fake->only_peers ? 0 : fake->linked ? 1 : 2;
}

static void fake_fence_release(void *state, pool_fence fence)
{
    struct fake_backend *fake = state;

    pthread_mutex_lock(&fake->mutex);
    if (fence == 0 || fake->fences_live == 0)
        fake->errors++;
    fake->fences_live--;
    pthread_mutex_unlock(&fake->mutex);
}

static int fake_device_wait(void *state)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_DEVICE_WAIT);

    if (error == 0 && fake->capturing)
        error = -EBUSY;
    if (error == 0)
        device_finish(fake);
    return call_end(fake, error);
}

static int fake_device_settle(void *state, uint64_t most_ns)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_DEVICE_SETTLE);
    bool settled = fake->held_at == 0;

    if (error == 0 && (settled || most_ns == POOL_WAIT_FOREVER))
        device_finish(fake);
    return call_end(fake, error < 0 ? error : settled);
}

static int fake_memory_fill(void *state, uint64_t address, size_t bytes, uint8_t value,
                            bool after_work)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_MEMORY_FILL);

    if (after_work && fake->held_at != 0)
        fake->hangs++;
    if (error == 0 && fake->fill_count < FAKE_FILLS_MAX)
        fake->fills[fake->fill_count++] = (struct fake_fill){
            .address = address, .bytes = bytes, .value = value, .completed = fake->completed};
    return call_end(fake, error);
}

static int fake_memory_info(void *state, size_t *ret_free_bytes, size_t *ret_total_bytes)
{
    struct fake_backend *fake = state;

    *ret_total_bytes = fake->capacity_bytes;
    *ret_free_bytes = fake->capacity_bytes == 0 ? SIZE_MAX / 2
                                                : fake->capacity_bytes - fake->used_bytes;
    return 0;
}

static uint64_t fake_clock_ns(void *state)
{
    struct fake_backend *fake = state;

    return fake->clock_ns;
}

/* ---- mapped memory ---- */

#define PAGE_BYTES ((uint64_t)2 << 20)

enum pool_backing fake_backing = POOL_BACKING_DRIVER;

static int fake_range_reserve(void *state, size_t bytes, uint64_t *ret_address)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_RANGE_RESERVE);

    if (bytes == 0 || bytes % PAGE_BYTES != 0)
        fake->errors++;
    if (error == 0 && fake->range_most != 0 && bytes > fake->range_most)
        error = -ENOMEM;
    for (unsigned index = 0; error == 0 && index < FAKE_RANGES_MAX; index++) {
        struct fake_range *range = &fake->ranges[index];

        if (range->bytes != 0)
            continue;
        *range = (struct fake_range){.address = fake->next_address, .bytes = bytes};
        range->pages = calloc(bytes / PAGE_BYTES, sizeof(*range->pages));
        fake->next_address += bytes;
        *ret_address = range->address;
        return call_end(fake, 0);
    }
    return call_end(fake, error < 0 ? error : -ENOMEM);
}

/* The range that holds [address, address + bytes), or NULL and a mark against the pool. */
static struct fake_range *range_around(struct fake_backend *fake, uint64_t address, uint64_t bytes)
{
    for (unsigned index = 0; index < FAKE_RANGES_MAX; index++) {
        struct fake_range *range = &fake->ranges[index];

        if (address - range->address < range->bytes &&
            address + bytes - range->address <= range->bytes)
            return range;
    }
    return NULL;
}

/* The pages of a call that must be whole pages of one range. */
static struct fake_page *pages_of(struct fake_backend *fake, uint64_t address, uint64_t bytes)
{
    struct fake_range *range = range_around(fake, address, bytes);

    if (!range || bytes == 0 || (address | bytes) % PAGE_BYTES != 0) {
        fake->errors++;
        return NULL;
    }
    return &range->pages[(address - range->address) / PAGE_BYTES];
}

static int fake_range_release(void *state, uint64_t address, size_t bytes)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_RANGE_RELEASE);
    struct fake_page *pages = pages_of(fake, address, bytes);
    struct fake_range *range = range_around(fake, address, bytes);

    if (error < 0 || !pages)
        return call_end(fake, error < 0 ? error : -EINVAL);
    if (range->address != address || range->bytes != bytes)
        fake->errors++;
    for (uint64_t page = 0; page < bytes / PAGE_BYTES; page++)
        fake->errors += pages[page].handle != 0;
    free(range->pages);
    *range = (struct fake_range){0};
    return call_end(fake, 0);
}

static int fake_page_create(void *state, size_t bytes, pool_page_handle *ret_handle)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_PAGE_CREATE);

    if (error < 0)
        return call_end(fake, error);
    if (bytes == 0 || bytes % PAGE_BYTES != 0)
        fake->errors++;
    if (fake->capacity_bytes != 0 && fake->used_bytes + bytes > fake->capacity_bytes)
        return call_end(fake, -ENOMEM);
    if (fake->handle_count == fake->handle_room) {
        fake->handle_room = fake->handle_room * 2 + 64;
        fake->handles = realloc(fake->handles, fake->handle_room * sizeof(*fake->handles));
    }
    fake->handles[fake->handle_count++] = (struct fake_handle){
        .bytes = bytes, .tags = calloc(bytes / PAGE_BYTES, sizeof(uint64_t))};
    fake->used_bytes += bytes;
    if (fake->used_bytes > fake->peak_bytes)
        fake->peak_bytes = fake->used_bytes;
    *ret_handle = fake->handle_count;
    return call_end(fake, 0);
}

static struct fake_handle *handle_of(struct fake_backend *fake, pool_page_handle handle)
{
    if (handle == 0 || handle > fake->handle_count || fake->handles[handle - 1].bytes == 0) {
        fake->errors++;
        return NULL;
    }
    return &fake->handles[handle - 1];
}

/* The pool releases only unmapped memory; the driver would allow more. */
static int fake_page_release(void *state, pool_page_handle number)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_PAGE_RELEASE);
    struct fake_handle *handle = handle_of(fake, number);

    if (error < 0 || !handle)
        return call_end(fake, error < 0 ? error : -EINVAL);
    fake->errors += handle->address != 0;
    fake->used_bytes -= handle->bytes;
    handle->bytes = 0;
    free(handle->tags);
    handle->tags = NULL;
    return call_end(fake, 0);
}

static int fake_page_map(void *state, uint64_t address, size_t bytes, pool_page_handle number)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_PAGE_MAP);
    struct fake_handle *handle = handle_of(fake, number);
    struct fake_page *pages = pages_of(fake, address, bytes);

    if (error < 0 || !handle || !pages)
        return call_end(fake, error < 0 ? error : -EINVAL);
    fake->errors += handle->bytes != bytes || handle->address != 0;
    for (uint64_t page = 0; page < bytes / PAGE_BYTES; page++) {
        fake->errors += pages[page].handle != 0;
        pages[page] = (struct fake_page){.handle = (uint32_t)number};
    }
    handle->address = address;
    return call_end(fake, 0);
}

static int fake_page_enable(void *state, uint64_t address, size_t bytes)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_PAGE_ENABLE);
    struct fake_page *pages = pages_of(fake, address, bytes);

    for (uint64_t page = 0; error == 0 && pages && page < bytes / PAGE_BYTES; page++) {
        fake->errors += pages[page].handle == 0;
        pages[page].enabled = true;
    }
    return call_end(fake, error);
}

/* Only whole mappings, without a gap. */
static int fake_page_unmap(void *state, uint64_t address, size_t bytes)
{
    struct fake_backend *fake = state;

    if (fake->on_unmap)
        fake->on_unmap(fake, address, bytes);
    int error = call_begin(fake, FAKE_PAGE_UNMAP);
    struct fake_page *pages = pages_of(fake, address, bytes);
    if (error < 0 || !pages)
        return call_end(fake, error < 0 ? error : -EINVAL);
    for (uint64_t page = 0; page < bytes / PAGE_BYTES; page++) {
        struct fake_handle *handle = handle_of(fake, pages[page].handle);

        if (!handle)
            continue;
        if (handle->address < address || handle->address + handle->bytes > address + bytes)
            fake->errors++;
        if (handle->address + handle->bytes == address + (page + 1) * PAGE_BYTES)
            handle->address = 0;
        pages[page] = (struct fake_page){0};
    }
    return call_end(fake, 0);
}

/* The tag of the page at an address, or NULL where nothing may be used. */
static uint64_t *tag_at(struct fake_backend *fake, uint64_t address)
{
    const struct fake_range *range = range_around(fake, address, 1);

    if (!range)
        return NULL;
    const struct fake_page *page = &range->pages[(address - range->address) / PAGE_BYTES];
    if (page->handle == 0 || !page->enabled)
        return NULL;
    const struct fake_handle *handle = &fake->handles[page->handle - 1];
    return &handle->tags[(address - handle->address) / PAGE_BYTES];
}

void fake_tag_set(struct fake_backend *fake, uint64_t address, uint64_t tag)
{
    *tag_at(fake, address) = tag;
}

uint64_t fake_tag_get(struct fake_backend *fake, uint64_t address)
{
    return *tag_at(fake, address);
}

static int fake_memory_copy(void *state, uint64_t target, uint64_t source, size_t bytes)
{
    struct fake_backend *fake = state;
    int error = call_begin(fake, FAKE_MEMORY_COPY);

    for (uint64_t offset = 0; error == 0 && offset < bytes; offset += PAGE_BYTES) {
        uint64_t *to = tag_at(fake, target + offset), *from = tag_at(fake, source + offset);

        if (!to || !from)
            fake->errors++;
        else
            *to = *from;
    }
    return call_end(fake, error);
}

bool fake_accessible(struct fake_backend *fake, uint64_t address, uint64_t bytes)
{
    pthread_mutex_lock(&fake->mutex);
    const struct fake_range *range = range_around(fake, address, bytes);
    bool accessible = range;
    for (uint64_t at = address & ~(PAGE_BYTES - 1); accessible && at < address + bytes;
         at += PAGE_BYTES)
        accessible = range->pages[(at - range->address) / PAGE_BYTES].enabled;
    pthread_mutex_unlock(&fake->mutex);
    return accessible;
}

void fake_init(struct fake_backend *fake)
{
    memset(fake, 0, sizeof(*fake));
    pthread_mutex_init(&fake->mutex, NULL);
    fake->next_address = FIRST_ADDRESS;
}

void fake_done(struct fake_backend *fake)
{
    free(fake->segments);
    for (size_t index = 0; index < fake->handle_count; index++)
        free(fake->handles[index].tags);
    free(fake->handles);
    for (unsigned index = 0; index < FAKE_RANGES_MAX; index++)
        free(fake->ranges[index].pages);
    pthread_mutex_destroy(&fake->mutex);
}

struct pool_backend fake_backend(struct fake_backend *fake)
{
    struct pool_backend backend = {
        .state = fake,
        .segment_allocate = fake_segment_allocate,
        .segment_free = fake_segment_free,
        .fence_record = fake_fence_record,
        .fence_query = fake_fence_query,
        .fence_wait = fake_fence_wait,
        .fence_release = fake_fence_release,
        .fence_open = fake_fence_open,
        .device_wait = fake_device_wait,
        .device_settle = fake_device_settle,
        .own_idle = fake_own_idle,
        .memory_fill = fake_memory_fill,
        .memory_info = fake_memory_info,
        .clock_ns = fake_clock_ns,
        .range_reserve = fake_range_reserve,
        .range_release = fake_range_release,
        .page_create = fake_page_create,
        .page_release = fake_page_release,
        .page_map = fake_page_map,
        .page_enable = fake_page_enable,
        .page_unmap = fake_page_unmap,
        .memory_copy = fake_memory_copy,
    };

    if (fake->without_pages)
        backend.range_reserve = NULL;
    return backend;
}

void fake_complete(struct fake_backend *fake)
{
    pthread_mutex_lock(&fake->mutex);
    fake->completed = fake->stamp;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_hold(struct fake_backend *fake)
{
    pthread_mutex_lock(&fake->mutex);
    fake->held_at = fake->stamp + 1;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_release(struct fake_backend *fake)
{
    fake->held_at = 0;
    fake_complete(fake);
}

size_t fake_segments_live(const struct fake_backend *fake)
{
    size_t live = 0;

    for (size_t index = 0; index < fake->segment_count; index++)
        live += fake->segments[index].live;
    for (size_t index = 0; index < fake->handle_count; index++)
        live += fake->handles[index].bytes != 0;
    for (unsigned index = 0; index < FAKE_RANGES_MAX; index++)
        live += fake->ranges[index].bytes != 0;
    return live;
}

struct pool *fake_pool(struct fake_backend *fake, void (*change)(struct pool_config *config))
{
    struct pool_config config;
    struct pool_backend backend = fake_backend(fake);
    struct pool *pool = NULL;

    pool_config_init(&config);
    config.backing = fake_backing;
    config.range_bytes = FAKE_RANGE_BYTES;
    if (change)
        change(&config);
    return pool_create(&config, &backend, &pool) == 0 ? pool : NULL;
}

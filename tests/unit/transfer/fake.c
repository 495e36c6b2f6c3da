/* SPDX-License-Identifier: MIT */
/*
 * A fence is stream:8 | order:56.
 */
#include "tests/unit/transfer/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct descriptor {
    uint64_t to, from, bytes;
};

void fake_make(struct fake *fake)
{
    size_t bytes = FAKE_DEVICE_BYTES + 2 * FAKE_PINNED_BYTES + FAKE_FOREIGN_BYTES + 8192;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(fake, 0, sizeof(*fake));
    if (memory == MAP_FAILED)
        abort();
    fake->device = memory;
    fake->foreign = memory + FAKE_DEVICE_BYTES + 4096;
    fake->pinned = fake->foreign + FAKE_FOREIGN_BYTES + 4096;
    fake->second = fake->pinned + FAKE_PINNED_BYTES;
    pthread_mutex_init(&fake->lock, NULL);
}

void fake_end(struct fake *fake)
{
    munmap(fake->device, FAKE_DEVICE_BYTES + 2 * FAKE_PINNED_BYTES + FAKE_FOREIGN_BYTES + 8192);
    pthread_mutex_destroy(&fake->lock);
}

/* Counts a call; takes the lock. */
static int enter(struct fake *fake, enum fake_call call)
{
    pthread_mutex_lock(&fake->lock);
    fake->calls[call]++;
    return ++fake->all_calls == fake->fail_at ? fake->fail_error : 0;
}

static int leave(struct fake *fake, int error)
{
    pthread_mutex_unlock(&fake->lock);
    return error;
}

static int place(void *state, uint64_t address, enum transfer_place *ret_place, uint64_t *ret_end)
{
    struct fake *fake = state;
    const struct {
        uint8_t *first;
        size_t bytes;
        enum transfer_place place;
    } stretches[] = {
        {fake->device, FAKE_DEVICE_BYTES, TRANSFER_DEVICE},
        {fake->foreign, FAKE_FOREIGN_BYTES, TRANSFER_FOREIGN},
        {fake->pinned, FAKE_PINNED_BYTES, TRANSFER_PINNED},
        {fake->second, FAKE_PINNED_BYTES, TRANSFER_PINNED},
    };
    int error = enter(fake, FAKE_PLACE);

    if (error < 0)
        return leave(fake, error);
    *ret_place = TRANSFER_PAGEABLE;
    *ret_end = UINT64_MAX;
    for (unsigned at = 0; at < sizeof(stretches) / sizeof(*stretches); at++)
        if (address - (uintptr_t)stretches[at].first < stretches[at].bytes) {
            *ret_place = stretches[at].place;
            *ret_end = (uintptr_t)stretches[at].first + stretches[at].bytes;
        }
    return leave(fake, 0);
}

static int stream_make(void *state, transfer_stream *ret_stream)
{
    struct fake *fake = state;

    *ret_stream = FAKE_STREAM(++fake->stream_count);
    return 0;
}

static void stream_end(void *state, transfer_stream stream)
{
    struct fake *fake = state;
    unsigned number = (unsigned)(uintptr_t)stream;

    fake->broken += fake->streams[number].first != fake->streams[number].last;
}

static void work_run(const struct fake_work *work)
{
    const struct descriptor *descriptors = work->descriptors;

    if (work->bytes != 0)
        memcpy((void *)(uintptr_t)work->to, (const void *)(uintptr_t)work->from, work->bytes);
    for (uint64_t at = 0; at < work->count; at++)
        memcpy((void *)(uintptr_t)descriptors[at].to, (const void *)(uintptr_t)descriptors[at].from,
               descriptors[at].bytes);
}

static bool passed(const struct fake *fake, uint64_t fence)
{
    return (fence & (UINT64_MAX >> 8)) <= fake->streams[fence >> 56].passed;
}

/* One unit of a stream, with the marks behind it. */
static bool stream_step(struct fake *fake, unsigned number)
{
    uint32_t first = fake->streams[number].first;
    struct fake_work *work = &fake->streams[number].works[first % FAKE_WORKS];

    if (first == fake->streams[number].last || (work->fence != 0 && !passed(fake, work->fence)))
        return false;
    work_run(work);
    fake->streams[number].first++;
    fake->streams[number].passed++;
    return true;
}

static void streams_run(struct fake *fake, unsigned most, unsigned *ran)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned at = 0; at < FAKE_STREAMS; at++)
            for (unsigned step = 0; step < most && stream_step(fake, at); step++, ++*ran)
                moved = most == UINT32_MAX;
    }
}

unsigned fake_run(struct fake *fake, unsigned count)
{
    unsigned ran = 0;

    pthread_mutex_lock(&fake->lock);
    streams_run(fake, count, &ran);
    pthread_mutex_unlock(&fake->lock);
    return ran;
}

static void work_add(struct fake *fake, transfer_stream stream, struct fake_work work)
{
    unsigned number = (unsigned)(uintptr_t)stream, ran = 0;

    if (fake->streams[number].last - fake->streams[number].first == FAKE_WORKS)
        abort();
    fake->streams[number].works[fake->streams[number].last++ % FAKE_WORKS] = work;
    fake->streams[number].newest++;
    if (!fake->held)
        streams_run(fake, UINT32_MAX, &ran);
}

static int stream_drain(void *state, transfer_stream stream)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_DRAIN);

    while (stream_step(fake, (unsigned)(uintptr_t)stream))
        ;
    return leave(fake, error);
}

static int copy(void *state, transfer_stream stream, uint64_t to, uint64_t from, size_t bytes)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_COPY);

    fake->clock_ns += fake->copy_ns + fake->copy_kib_ns * bytes / 1024;
    if (fake->host)
        memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
    else if (error == 0)
        work_add(fake, stream, (struct fake_work){.to = to, .from = from, .bytes = bytes});
    return leave(fake, error);
}

static int copy_batch(void *state, transfer_stream stream, uint64_t *to, uint64_t *from,
                      size_t *bytes, size_t count)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_BATCH);

    fake->clock_ns += fake->batch_ns + count * fake->batch_each_ns;
    for (size_t at = 0; at < count && error == 0; at++)
        work_add(fake, stream, (struct fake_work){to[at], from[at], bytes[at], NULL, 0, 0});
    return leave(fake, error);
}

static int copy_kernel(void *state, transfer_stream stream, void *descriptors, const uint64_t *to,
                       const uint64_t *from, const size_t *bytes, size_t count)
{
    struct fake *fake = state;
    struct descriptor *list = descriptors;
    int error = enter(fake, FAKE_KERNEL);

    for (size_t at = 0; at < count; at++) {
        list[at] = (struct descriptor){to[at], from[at], bytes[at]};
        fake->clock_ns += fake->kernel_kib_ns * bytes[at] / 1024;
    }
    fake->clock_ns += fake->kernel_ns;
    if (error == 0 && fake->kernel_unsupported)
        error = -ENOTSUP;
    if (error == 0)
        work_add(fake, stream, (struct fake_work){.descriptors = descriptors, .count = count});
    return leave(fake, error);
}

static int host_allocate(void *state, size_t bytes, void **ret_memory)
{
    struct fake *fake = state;

    *ret_memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    fake->ring++;
    return *ret_memory ? 0 : -ENOMEM;
}

static void host_free(void *state, void *memory)
{
    ((struct fake *)state)->ring--;
    free(memory);
}

static int fence_record(void *state, transfer_stream stream, uint64_t *ret_fence)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_RECORD);

    if (error == 0 && fake->captured != 0 && (uintptr_t)stream == fake->captured)
        error = -EBUSY;
    if (error < 0)
        return leave(fake, error);
    fake->fences++;
    *ret_fence = (uint64_t)(uintptr_t)stream << 56 | fake->streams[(uintptr_t)stream].newest;
    return leave(fake, 0);
}

static int fence_query(void *state, uint64_t fence)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_QUERY);

    if (fence == fake->gone && fence != 0)
        error = -EBUSY;
    return leave(fake, error < 0 ? error : passed(fake, fence));
}

static void fence_release(void *state, uint64_t fence)
{
    struct fake *fake = state;

    pthread_mutex_lock(&fake->lock);
    fake->fences--;
    pthread_mutex_unlock(&fake->lock);
}

static int stream_wait(void *state, transfer_stream stream, uint64_t fence)
{
    struct fake *fake = state;
    int error = enter(fake, FAKE_WAIT);

    if (error == 0)
        work_add(fake, stream, (struct fake_work){.fence = fence});
    return leave(fake, error);
}

static int memory_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    void *memory;
    int error = host_allocate(state, bytes, &memory);

    *ret_address = (uintptr_t)memory;
    return error;
}

static void memory_free(void *state, uint64_t address, size_t bytes)
{
    host_free(state, (void *)(uintptr_t)address);
}

static uint64_t clock_ns(void *state)
{
    return ((struct fake *)state)->clock_ns;
}

/* Who waits lets the device work. */
static void pause_ns(void *state, uint64_t ns)
{
    struct fake *fake = state;
    unsigned ran = 0;

    pthread_mutex_lock(&fake->lock);
    fake->clock_ns += ns;
    fake->pauses++;
    streams_run(fake, 1, &ran);
    pthread_mutex_unlock(&fake->lock);
}

struct transfer_backend fake_backend(struct fake *fake)
{
    struct transfer_backend backend = {
        .state = fake,
        .host = fake->host,
        .place = place,
        .stream_drain = stream_drain,
        .copy = copy,
        .copy_batch = fake->no_batch || fake->host ? NULL : copy_batch,
        .copy_kernel = fake->no_kernel || fake->host ? NULL : copy_kernel,
        .descriptor_bytes = sizeof(struct descriptor),
        .host_allocate = host_allocate,
        .host_free = host_free,
        .memory_allocate = memory_allocate,
        .memory_free = memory_free,
        .clock_ns = clock_ns,
        .pause = pause_ns,
    };

    if (!fake->host) {
        backend.stream_make = stream_make;
        backend.stream_end = stream_end;
        backend.fence_record = fence_record;
        backend.fence_query = fence_query;
        backend.fence_release = fence_release;
        backend.stream_wait = stream_wait;
    }
    return backend;
}

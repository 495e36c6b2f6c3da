/* SPDX-License-Identifier: MIT */
/*
 * Memory is malloc's, so that a sanitizer checks the pool's accesses.
 */
#include "tests/unit/kv/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int call(struct fake *fake)
{
    __atomic_add_fetch(&fake->calls, 1, __ATOMIC_RELAXED);
    return fake->fail_at != 0 && fake->calls == fake->fail_at ? fake->fail_error : 0;
}

static int memory_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct fake *fake = state;
    int error = call(fake);
    void *memory = error == 0 ? aligned_alloc(256, (bytes + 255) / 256 * 256) : NULL;

    if (!memory)
        return error < 0 ? error : -ENOMEM;
    memset(memory, 0x5a, bytes);
    fake->memory++;
    *ret_address = (uintptr_t)memory;
    return 0;
}

static void memory_free(void *state, uint64_t address, size_t bytes)
{
    ((struct fake *)state)->memory--;
    free((void *)(uintptr_t)address);
}

static int memory_fill(void *state, uint64_t address, size_t bytes, kv_stream stream)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0) {
        memset((void *)(uintptr_t)address, 0, bytes);
        fake->fills++;
        fake->filled[(uintptr_t)stream % 8] = fake->waited[(uintptr_t)stream % 8];
        fake->errors += fake->captured != 0 && (uintptr_t)stream == (uintptr_t)fake->captured;
    }
    return error;
}

static int memory_copy(void *state, uint64_t to, uint64_t from, size_t bytes, kv_stream stream)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0) {
        memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes);
        fake->copies++;
        fake->errors += fake->captured != 0 && (uintptr_t)stream == (uintptr_t)fake->captured;
    }
    return error;
}

static int host_allocate(void *state, size_t bytes, void **ret_memory)
{
    uint64_t address = 0;
    int error = memory_allocate(state, bytes, &address);

    if (error == 0)
        *ret_memory = (void *)(uintptr_t)address;
    return error;
}

static void host_free(void *state, void *memory)
{
    memory_free(state, (uintptr_t)memory, 0);
}

static int stream_check(void *state, kv_stream stream)
{
    const struct fake *fake = state;

    return fake->captured != 0 && (uintptr_t)stream == (uintptr_t)fake->captured ? -EBUSY : 0;
}

static int fence_record(void *state, kv_stream stream, uint64_t *ret_fence)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0)
        error = stream_check(fake, stream);
    if (error < 0)
        return error;
    uint64_t fence = __atomic_add_fetch(&fake->serial, 1, __ATOMIC_RELAXED);
    fake->streams[fence % FAKE_FENCES] = (uint8_t)((uintptr_t)stream % 8);
    __atomic_add_fetch(&fake->live_fences, 1, __ATOMIC_RELAXED);
    *ret_fence = fence;
    return 0;
}

static int fence_query(void *state, uint64_t fence)
{
    struct fake *fake = state;

    fake->errors += fence == 0 || fence > fake->serial;
    return fence <= fake->passed[fake->streams[fence % FAKE_FENCES]];
}

static void fence_release(void *state, uint64_t fence)
{
    struct fake *fake = state;

    __atomic_sub_fetch(&fake->live_fences, 1, __ATOMIC_RELAXED);
    fake->errors += fence == 0 || fence > fake->serial || fake->live_fences < 0;
}

static int stream_wait(void *state, kv_stream stream, uint64_t fence)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0)
        error = stream_check(fake, stream);
    fake->waits += error == 0;
    if (error == 0)
        fake->waited[(uintptr_t)stream % 8] = fence;
    return error;
}

static int range_reserve(void *state, size_t bytes, size_t *page_bytes, uint64_t *ret_address)
{
    int error = call(state);

    *page_bytes = *page_bytes == 0 ? 65536 : *page_bytes;
    bytes = (bytes + *page_bytes - 1) / *page_bytes * *page_bytes;
    void *memory = error == 0 ? mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                              : MAP_FAILED;
    if (memory == MAP_FAILED)
        return error < 0 ? error : -ENOMEM;
    *ret_address = (uintptr_t)memory;
    return 0;
}

static void range_release(void *state, uint64_t address, size_t bytes)
{
    munmap((void *)(uintptr_t)address, bytes);
}

static int page_map(void *state, uint64_t address, size_t bytes, uint64_t *ret_page)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0 && mprotect((void *)(uintptr_t)address, bytes, PROT_READ | PROT_WRITE) != 0)
        error = -ENOMEM;
    if (error == 0) {
        memset((void *)(uintptr_t)address, 0x5a, bytes); /* fresh pages of a device are not zero */
        __atomic_add_fetch(&fake->pages, 1, __ATOMIC_RELAXED);
        *ret_page = address;
    }
    return error;
}

static void page_unmap(void *state, uint64_t address, size_t bytes, uint64_t page)
{
    struct fake *fake = state;

    fake->errors += page != address;
    __atomic_sub_fetch(&fake->pages, 1, __ATOMIC_RELAXED);
    madvise((void *)(uintptr_t)address, bytes, MADV_DONTNEED);
    mprotect((void *)(uintptr_t)address, bytes, PROT_NONE);
}

static uint64_t clock_ns(void *state)
{
    return __atomic_load_n(&((struct fake *)state)->clock_ns, __ATOMIC_RELAXED);
}

struct kv_backend fake_backend(struct fake *fake)
{
    return (struct kv_backend){
        .state = fake,
        .memory_allocate = memory_allocate,
        .memory_free = memory_free,
        .memory_fill = memory_fill,
        .memory_copy = memory_copy,
        .host_allocate = host_allocate,
        .host_free = host_free,
        .stream_check = stream_check,
        .fence_record = fence_record,
        .fence_query = fence_query,
        .fence_release = fence_release,
        .stream_wait = stream_wait,
        .range_reserve = range_reserve,
        .range_release = range_release,
        .page_map = page_map,
        .page_unmap = page_unmap,
        .clock_ns = clock_ns,
        .outlives_fork = 1,
    };
}

void fake_pass(struct fake *fake, unsigned stream)
{
    fake->passed[stream % 8] = fake->serial;
}

static uint64_t heap_at, heap_count;

static int refuse(size_t bytes)
{
    return ++heap_count == heap_at;
}

void heap_fail_at(uint64_t at)
{
    heap_at = at;
    heap_count = 0;
    kv_heap_refuse = refuse;
}

uint64_t heap_asked(void)
{
    return heap_count;
}

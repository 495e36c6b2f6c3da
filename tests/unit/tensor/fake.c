/* SPDX-License-Identifier: MIT */
/*
 * Memory is malloc's, so that a sanitizer checks the cache's accesses.
 */
#include "tests/unit/tensor/fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct head {
    uint64_t bytes, plain, pad[6];
};

static int call(struct fake *fake)
{
    uint64_t number = atomic_fetch_add(&fake->calls, 1) + 1;

    return fake->fail_at != 0 && number == fake->fail_at ? fake->fail_error : 0;
}

static int memory_take(struct fake *fake, size_t bytes, bool plain, uint64_t *ret_address)
{
    struct head *head = aligned_alloc(64, sizeof(*head) + (bytes + 63) / 64 * 64);

    if (!head)
        return -ENOMEM;
    *head = (struct head){.bytes = bytes, .plain = plain};
    atomic_fetch_add(plain ? &fake->plain_bytes : &fake->bytes, bytes);
    atomic_fetch_add(&fake->live, 1);
    *ret_address = (uintptr_t)(head + 1);
    return 0;
}

static void memory_give(struct fake *fake, uint64_t address, bool plain)
{
    struct head *head = (struct head *)(uintptr_t)address - 1;

    if (head->plain != plain)
        abort();
    atomic_fetch_sub(plain ? &fake->plain_bytes : &fake->bytes, head->bytes);
    atomic_fetch_sub(&fake->live, 1);
    free(head);
}

static void meanwhile(struct fake *fake)
{
    void (*happens)(void) = fake->meanwhile;

    if (!happens)
        return;
    fake->meanwhile = NULL;
    happens();
}

static int allocate(void *state, size_t bytes, tensor_stream stream, uint64_t *ret_address)
{
    struct fake *fake = state;
    int error = call(fake);

    meanwhile(fake);
    if (error == 0 && fake->capacity != 0 && fake->bytes + bytes > fake->capacity)
        error = -ENOMEM;
    atomic_fetch_add(&fake->allocations, error == 0);
    return error < 0 ? error : memory_take(fake, bytes, false, ret_address);
}

static void give(void *state, uint64_t address, tensor_stream stream)
{
    memory_give(state, address, false);
}

static void relieve(void *state)
{
    struct fake *fake = state;

    atomic_fetch_add(&fake->capacity, atomic_exchange(&fake->cached_bytes, 0));
    fake->reliefs++;
}

static int plain_allocate(void *state, size_t bytes, uint64_t *ret_address)
{
    struct fake *fake = state;
    int error = call(fake);

    if (error == 0 && fake->plain_bytes + bytes > fake->plain_capacity)
        error = -ENOMEM;
    return error < 0 ? error : memory_take(fake, bytes, true, ret_address);
}

static void plain_give(void *state, uint64_t address, size_t bytes)
{
    memory_give(state, address, true);
}

static int fence_record(void *state, tensor_stream stream, uint64_t *ret_fence)
{
    struct fake *fake = state;
    int error = call(fake);

    meanwhile(fake);
    if (error == 0 && fake->captured != 0 && (uintptr_t)stream == fake->captured)
        error = -EBUSY;
    if (error < 0)
        return error;
    atomic_fetch_add(&fake->fences, 1);
    *ret_fence = 7;
    return 0;
}

static int fence_query(void *state, uint64_t fence)
{
    return ((struct fake *)state)->passed;
}

static void fence_release(void *state, uint64_t fence)
{
    atomic_fetch_sub(&((struct fake *)state)->fences, 1);
}

static int stream_wait(void *state, tensor_stream stream, uint64_t fence)
{
    struct fake *fake = state;
    int error = call(fake);

    atomic_fetch_add(&fake->waits, error == 0);
    return error;
}

struct tensor_backend fake_backend(struct fake *fake)
{
    struct tensor_backend backend = {
        .state = fake,
        .allocate = allocate,
        .free = give,
        .relieve = relieve,
        .plain_allocate = plain_allocate,
        .plain_free = plain_give,
    };

    if (!fake->host) {
        backend.fence_record = fence_record;
        backend.fence_query = fence_query;
        backend.fence_release = fence_release;
        backend.stream_wait = stream_wait;
    }
    return backend;
}

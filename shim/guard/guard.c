/* SPDX-License-Identifier: MIT */
/*
 * Allocation, free and check of guarded blocks. See guard.h.
 */
#include "shim/guard/guard.h"

#include <errno.h>
#include <stdlib.h>

#include "shim/backend/context_pool.h"
#include "shim/context/gate.h"
#include "shim/guard/backend.h"
#include "shim/guard/blocks.h"
#include "shim/guard/device.h"
#include "shim/guard/fault.h"
#include "shim/guard/judge.h"
#include "shim/observe/memory_error.h"
#include "shim/options/mode.h"
#include "shim/options/options.h"

uint64_t guard_unverified(void)
{
    return judge_unverified();
}

uint64_t guard_errors(void)
{
    return memory_error_count();
}

void guard_start(void)
{
    if (shim_options()->guard == OPTION_GUARD_OFF)
        return;
    guarded_zone_bytes = GUARDED_ZONE_BYTES;
    if (shim_options()->guard == OPTION_GUARD_PAGE)
        guarded_page_bytes = shim_options()->guard_page.bytes;
    context_pool_watch = guard_pool_watch;
}

/* Recorded when it has changed since the last record. */
static void unverified_tell(void)
{
    static _Atomic uint64_t told;
    uint64_t blocks = guard_unverified();

    if (atomic_exchange(&told, blocks) != blocks)
        memory_error_unverified_record(blocks);
}

/* ---- the end of the process ---- */

static void at_exit(void)
{
    if (!guard_is_on() || mode_now() != SHIM_POOL)
        return;
    thread_enter(); /* what runs beneath only forwards */
    gate_enter();
    guard_check(NULL, GUARD_END_WAIT_NS);
    gate_leave();
    guard_settle();
    thread_leave();
}

static void exit_register_once(void)
{
    (void)atexit(at_exit);
}

/* Registered after the driver's own exit handlers, so that it runs before them. */
static void exit_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, exit_register_once);
}

void guard_pool_watch(struct context *context, struct pool_config *config,
                      struct pool_backend *backend)
{
    exit_register();
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_add(context);
    if (device) {
        device->inner = *backend;
        device->waits = config->reuse != POOL_REUSE_DEFERRED;
        device->poisons = config->scrub == POOL_FILL_POISON;
        guard_backend_wrap(backend);
    }
    if (device && device->poisons)
        config->scrub = POOL_FILL_NONE; /* done at the free, before a later write could be missed */
    pthread_mutex_unlock(&guard_lock);
}

/* ---- batches ---- */

static void batch_discard(struct batch *batch)
{
    judge_unverified_add(batch->blocks);
    batch->state = BATCH_UNUSED;
    if (batch->of_device->open_batch == batch)
        batch->of_device->open_batch = NULL;
}

static bool fence_is_open(const struct guard_device *device, pool_fence fence)
{
    return device->inner.fence_open && device->inner.fence_open(device->context, fence);
}

/* No work can be put behind a fence that is not recorded yet. Blocks that are freed from now on lie
 * behind a later one. */
static void batch_seal(struct guard_device *device, struct batch *batch)
{
    batch->sealed = true;
    if (device->open_batch == batch)
        device->open_batch = NULL;
}

uint64_t guard_batches_run(void *context, pool_fence fence, bool *ret_sealed)
{
    uint64_t number = 0;

    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    *ret_sealed = device && fence_is_open(device, fence);
    for (uint32_t at = 0; device && at < BATCHES_MAX; at++) {
        struct batch *batch = &device->batches[at];

        if (batch->state == BATCH_OPEN && *ret_sealed)
            batch_seal(device, batch);
        else if (batch->state == BATCH_OPEN)
            guard_batch_run(device, batch, fence);
    }
    if (device) {
        number = device->last_number;
        guard_device_poll(device, number);
    }
    pthread_mutex_unlock(&guard_lock);
    return number;
}

/* The work behind it has ended. */
static void batch_run_at_once(struct guard_device *device, struct batch *batch)
{
    if (!guard_batch_run_now(device, batch))
        judge_unverified_add(batch->blocks);
}

/* What a later fence has taken along lies behind that one. */
uint64_t guard_batches_run_sealed(void *context)
{
    uint64_t number = 0;

    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    for (uint32_t at = 0; device && at < BATCHES_MAX; at++) {
        struct batch *batch = &device->batches[at];

        if (batch->sealed && batch->state == BATCH_OPEN)
            batch_run_at_once(device, batch);
        else if (batch->sealed && batch->state == BATCH_RUNNING && batch->number > number)
            number = batch->number;
    }
    pthread_mutex_unlock(&guard_lock);
    return number;
}

void guard_memory_gone(void *context, uint64_t address, size_t bytes)
{
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    for (uint32_t at = 0; device && at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_OPEN)
            judge_unverified_add(guard_batch_withdraw(&device->batches[at], address, bytes));
    blocks_freed_forget_in(address, bytes);
    pthread_mutex_unlock(&guard_lock);
}

void guard_fences_missing(void *context)
{
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    for (uint32_t at = 0; device && at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_OPEN)
            batch_discard(&device->batches[at]);
    if (device)
        device->waits = true;
    pthread_mutex_unlock(&guard_lock);
}

void guard_batches_finish(void *context)
{
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    for (uint32_t at = 0; device && at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_OPEN)
            batch_run_at_once(device, &device->batches[at]);
    if (device)
        guard_device_poll(device, device->last_number);
    pthread_mutex_unlock(&guard_lock);
}

/* Enqueues a full batch if a fence is available for it; otherwise it waits for the pool's next
 * fence. */
static void open_batch_close_locked(struct guard_device *device)
{
    pool_fence fence;
    struct batch *batch = device->open_batch;

    device->open_batch = NULL;
    if (device->inner.fence_record(device->context, &fence) < 0)
        return;
    if (!fence_is_open(device, fence))
        guard_batch_run(device, batch, fence);
    device->inner.fence_release(device->context, fence);
}

static void block_defer_locked(struct guard_device *device, const struct guarded_block *block)
{
    if (!device->open_batch)
        device->open_batch = guard_batch_open(device, false);
    if (!device->open_batch && guard_device_poll(device, device->last_number)) {
        judge_done_locked(device);
        device->open_batch = guard_batch_open(device, false);
    }
    if (!device->open_batch) {
        judge_unverified_add(1);
        return;
    }
    guard_batch_add(device->open_batch, block);
    if (guard_batch_full(device->open_batch))
        open_batch_close_locked(device);
}

/* Compares one block at once; false when that is not possible. */
static bool block_compare_locked(struct guard_device *device, const struct guarded_block *block,
                                 bool poison)
{
    struct batch *batch = guard_batch_open(device, poison);

    if (!batch)
        return false;
    guard_batch_add(batch, block);
    bool compared = guard_batch_run_now(device, batch);
    judge_batch_locked(device, batch);
    return compared;
}

/* ---- allocation ---- */

static void poison_compare_locked(struct guard_device *device, const struct pool_block *block)
{
    struct guarded_block freed;

    if (!blocks_freed_take(block->address + GUARDED_ZONE_BYTES, &freed))
        return;
    if (freed.allocated_bytes > block->allocated_bytes)
        freed.allocated_bytes = block->allocated_bytes;
    if (!block_compare_locked(device, &freed, true))
        judge_unverified_add(1);
}

static int zoned_allocate(struct context *context, size_t bytes, uint32_t site,
                          struct pool_block *ret_block)
{
    size_t guarded_bytes;

    if (__builtin_add_overflow(bytes, (size_t)(2 * GUARDED_ZONE_BYTES), &guarded_bytes))
        return -ENOMEM;
    return pool_allocate(context->pool, guarded_bytes, site, ret_block);
}

/* Where memory is short or not mapped, redzones are better than nothing. */
static int block_allocate(struct context *context, size_t bytes, uint32_t site,
                          struct pool_block *ret_block)
{
    int error = -ENOTSUP;

    if (guarded_page_bytes && bytes >= guarded_page_bytes)
        error = pool_allocate_isolated(context->pool, bytes, site, ret_block);
    return error == -ENOTSUP || error == -ENOMEM ? zoned_allocate(context, bytes, site, ret_block)
                                                 : error;
}

/* The spare memory of an isolated block lies in front of it. */
static size_t front_bytes_of(const struct pool_block *block)
{
    return block->isolated ? block->address - block->segment_address : GUARDED_ZONE_BYTES;
}

int guard_allocate(struct context *context, size_t bytes, uint32_t site,
                   struct pool_block *ret_block)
{
    struct pool_block block;
    int error = block_allocate(context, bytes, site, &block);

    if (error < 0)
        return error;
    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    struct guarded_block guarded = {
        .address = block.address + (block.isolated ? 0 : GUARDED_ZONE_BYTES),
        .requested_bytes = bytes,
        .allocated_bytes = block.allocated_bytes,
        .front_bytes = (uint32_t)front_bytes_of(&block),
        .context = context->number,
        .allocation_site = site,
        .isolated = block.isolated,
    };
    if (device && device->poisons && !block.isolated)
        poison_compare_locked(device, &block);
    guarded.zoned = device && guard_device_fill(device, &guarded);
    blocks_live_add(&guarded);
    pthread_mutex_unlock(&guard_lock);
    guarded_inside(&block);
    *ret_block = block;
    return 0;
}

/* ---- free ---- */

/* The program's submitted work has been waited for, without a lock. */
static bool block_end_waited_locked(struct guard_device *device, struct guarded_block *block)
{
    bool compared = !block->zoned || block_compare_locked(device, block, false);

    if (!device->poisons || block->isolated)
        return compared;
    if (device->inner.memory_fill(device->context, guarded_begin(block), block->allocated_bytes,
                                  POOL_POISON_BYTE, false) == 0)
        blocks_freed_add(block);
    else
        blocks_freed_forget();
    return compared;
}

static void block_end(const struct guarded_block *freed)
{
    struct guarded_block block = *freed;
    struct pool_backend inner = {0};
    bool waited = false, waits = false;

    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_first();
    while (device && device->number != block.context)
        device = device->next;
    if (device) {
        inner = device->inner;
        waits = device->waits || device->poisons || block.isolated;
    }
    pthread_mutex_unlock(&guard_lock);
    if (!device)
        return;
    if (waits)
        waited = inner.device_wait(inner.state) == 0;
    pthread_mutex_lock(&guard_lock);
    if (waited) {
        if (!block_end_waited_locked(device, &block))
            judge_unverified_add(1);
    } else {
        if (device->poisons && !block.isolated)
            blocks_freed_forget();
        if (device->waits || !device->open)
            judge_unverified_add(1);
        else if (block.zoned)
            block_defer_locked(device, &block);
    }
    pthread_mutex_unlock(&guard_lock);
}

/* True if a pool owns the place: the address right behind its last segment belongs to others. */
static bool is_owned(uint64_t address)
{
    struct pool_block block;

    return pool_range_get(address, &block) != -ENOENT;
}

/* Returns the first address of the pool's block behind an address of the program. */
static uint64_t pooled_address(uint64_t address)
{
    struct pool_block block;
    bool isolated = pool_find(address, &block, NULL) == 0 && block.isolated;

    return isolated ? address : address - GUARDED_ZONE_BYTES;
}

int guard_free(uint64_t address, uint32_t site, struct pool_block *ret_block)
{
    struct guarded_block block;
    struct pool_block taken;

    if (!is_owned(address))
        return -ENOENT;
    pthread_mutex_lock(&guard_lock);
    bool live = blocks_live_take(address, &block);
    pthread_mutex_unlock(&guard_lock);
    if (live) {
        block.free_site = site;
        block.freed = true;
        block_end(&block);
        if (block.isolated)
            fault_freed_note(&block);
    }
    int error = pool_free(pooled_address(address), site, &taken);
    if (error == -ENOENT)
        error = -EINVAL; /* the first bytes of a segment are nobody's block */
    if ((error == 0 || error == -EALREADY) && ret_block) {
        *ret_block = taken;
        guarded_inside(ret_block);
    }
    return error;
}

/* ---- all there is ---- */

static bool everything_before_waited(const struct pool_backend *inner, uint64_t most_ns)
{
    pool_fence fence;
    int error = inner->fence_record(inner->state, &fence);

    if (error == -ENOTSUP && most_ns == POOL_WAIT_FOREVER)
        return inner->device_wait(inner->state) == 0;
    if (error < 0)
        return false;
    bool passed = inner->fence_wait(inner->state, fence, most_ns) == 1;
    inner->fence_release(inner->state, fence);
    return passed;
}

/* Some at a time, from a node on; the next one. */
static struct guarded_node *nodes_compare_locked(struct guard_device *device,
                                                 struct guarded_node *node, bool poison,
                                                 bool *ret_all)
{
    struct batch *batch = guard_batch_open(device, poison);

    if (!batch) {
        *ret_all = false;
        return NULL;
    }
    for (; node && !guard_batch_full(batch); node = node->next) {
        bool wanted = poison ? node->untouched : node->block.zoned;

        if (wanted && node->block.context == device->number)
            guard_batch_add(batch, &node->block);
    }
    if (!guard_batch_run_now(device, batch))
        *ret_all = false;
    judge_batch_locked(device, batch);
    return node;
}

static bool device_check_locked(struct guard_device *device)
{
    bool all = guard_device_finish(device);

    for (uint32_t at = 0; at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_OPEN)
            all = guard_batch_run_now(device, &device->batches[at]) && all;
    judge_done_locked(device);
    struct guarded_node *node = blocks_live_first();
    while (node)
        node = nodes_compare_locked(device, node, false, &all);
    if (device->poisons)
        blocks_freed_examine();
    node = device->poisons ? blocks_freed_first() : NULL;
    while (node)
        node = nodes_compare_locked(device, node, true, &all);
    judge_repair_locked(device);
    return all;
}

static bool device_check(struct context *context, uint64_t most_ns)
{
    struct pool_backend inner = {0};

    pthread_mutex_lock(&guard_lock);
    struct guard_device *device = guard_device_of(context);
    bool used = device && device->tried, open = device && device->open;
    if (device)
        inner = device->inner;
    pthread_mutex_unlock(&guard_lock);
    if (!used)
        return true; /* nothing in it has redzones */
    if (!open || atomic_load(&context->broken) || !everything_before_waited(&inner, most_ns))
        return false;
    pthread_mutex_lock(&guard_lock);
    bool all = device_check_locked(device);
    pthread_mutex_unlock(&guard_lock);
    return all;
}

bool guard_check(struct context *context, uint64_t most_ns)
{
    bool all = true;

    if (context)
        return device_check(context, most_ns);
    for (context = context_first(); context; context = context_next(context))
        all = device_check(context, most_ns) && all;
    unverified_tell();
    return all;
}

void guard_settle(void)
{
    struct memory_error error;

    fault_settle();
    if (!judge_work_take())
        return;
    pthread_mutex_lock(&guard_lock);
    for (struct guard_device *device = guard_device_first(); device; device = device->next)
        judge_done_locked(device);
    pthread_mutex_unlock(&guard_lock);
    while (judge_error_take(&error))
        memory_error_record(&error);
}

void guard_forget_context(uint32_t number)
{
    pthread_mutex_lock(&guard_lock);
    blocks_forget_context(number);
    fault_forget_context(number);
    guard_device_forget(number);
    pthread_mutex_unlock(&guard_lock);
}

void guard_fork_child(void)
{
    blocks_fork_child();
    guard_devices_fork_child();
    judge_fork_child();
    fault_fork_child();
}

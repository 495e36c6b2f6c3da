/* SPDX-License-Identifier: MIT */
/*
 * Turns results into errors, and keeps these in a ring until a thread that holds no lock records
 * them. See judge.h.
 */
#include "shim/guard/judge.h"

#include <stdatomic.h>

#define ERRORS_MAX   1024u /* waiting to be recorded; what does not fit is counted all the same */
#define OVERRUNS_MAX 256u
#define REACH_BYTES  (UINT64_C(2) << 20) /* of an overrun beyond its block, at most */

/* All guarded by guard_lock. */
static struct memory_error errors[ERRORS_MAX];
static uint32_t errors_first, errors_count;
static uint64_t overrun_ends[OVERRUNS_MAX]; /* where blocks end that were overrun */
static uint32_t overrun_next;
static struct guarded_block changed[OVERRUNS_MAX]; /* live ones, to be repaired */
static uint32_t changed_count;

static _Atomic uint64_t unverified;

void judge_unverified_add(uint64_t blocks)
{
    atomic_fetch_add_explicit(&unverified, blocks, memory_order_relaxed);
}

uint64_t judge_unverified(void)
{
    return atomic_load_explicit(&unverified, memory_order_relaxed);
}

bool judge_work_take(void)
{
    return atomic_load_explicit(&guard_work, memory_order_relaxed) &&
           atomic_exchange(&guard_work, false);
}

static void overrun_note(const struct guarded_block *block)
{
    overrun_ends[overrun_next++ % OVERRUNS_MAX] = guarded_end(block);
}

/* The memory in between is free, so one write may run over it, too. */
static bool is_reach(uint64_t end, uint64_t begin)
{
    return end && end <= begin && begin - end < REACH_BYTES;
}

static bool overrun_reaches(const struct guarded_block *block)
{
    for (uint32_t at = 0; at < OVERRUNS_MAX; at++)
        if (is_reach(overrun_ends[at], guarded_begin(block)))
            return true;
    return false;
}

static const struct guarded_block *live_before(const struct guarded_block *block)
{
    const struct guarded_block *before = NULL;

    for (const struct guarded_node *node = blocks_live_first(); node; node = node->next)
        if (is_reach(guarded_end(&node->block), guarded_begin(block)) &&
            (!before || node->block.address > before->address))
            before = &node->block;
    return before;
}

static void error_put(const struct guard_device *device, const struct guarded_block *block,
                      enum memory_error_kind kind, int64_t offset, uint8_t found, uint8_t expected)
{
    memory_error_count_add();
    atomic_store_explicit(&guard_work, true, memory_order_relaxed);
    if (errors_count == ERRORS_MAX)
        return;
    errors[(errors_first + errors_count++) % ERRORS_MAX] = (struct memory_error){
        .kind = kind,
        .address = block->address,
        .requested_bytes = block->requested_bytes,
        .offset = offset,
        .found = found,
        .expected = expected,
        .context = block->context,
        .device = (uint16_t)device->context->device,
        .allocation_site = block->allocation_site,
        .free_site = block->free_site,
    };
}

static void changed_note(const struct guarded_block *block)
{
    if (!block->freed && changed_count < OVERRUNS_MAX)
        changed[changed_count++] = *block;
}

/* Judges a front redzone that is damaged from its beginning, by looking at the live block
 * before it. */
static void before_ask(struct guard_device *device, const struct guarded_block *block)
{
    const struct guarded_block *before = live_before(block);

    if (!before || !before->zoned || before->context != device->number)
        return;
    struct batch *batch = guard_batch_open(device, false);
    if (!batch)
        return;
    guard_batch_add(batch, before);
    uint64_t rear = guard_batch_run_now(device, batch) ? guard_batch_result(batch, 1)
                                                       : FILL_MATCHES;
    batch->state = BATCH_UNUSED;
    if (rear == FILL_MATCHES)
        return;
    uint64_t offset = fill_mismatch_offset(rear);
    overrun_note(before);
    error_put(device, before, MEMORY_ERROR_OVERRUN, (int64_t)(before->requested_bytes + offset),
              fill_mismatch_value(rear), guard_pattern_byte(device, false, offset));
    guard_device_fill(device, before);
}

static void zones_judge(struct guard_device *device, const struct guarded_block *block,
                        uint64_t front, uint64_t rear)
{
    bool across = false;

    if (front == FILL_MATCHES && rear == FILL_MATCHES)
        return;
    changed_note(block);
    if (front != FILL_MATCHES && fill_mismatch_offset(front) == 0 && !block->isolated) {
        if (!overrun_reaches(block))
            before_ask(device, block);
        across = overrun_reaches(block);
    }
    if (front != FILL_MATCHES && !across) {
        uint64_t offset = fill_mismatch_offset(front);

        error_put(device, block, MEMORY_ERROR_UNDERRUN,
                  (int64_t)offset - (int64_t)guard_front_bytes(device, block),
                  fill_mismatch_value(front), guard_pattern_byte(device, false, offset));
    }
    if (rear == FILL_MATCHES)
        return;
    uint64_t offset = fill_mismatch_offset(rear);
    overrun_note(block);
    if (!across || offset != 0)
        error_put(device, block, MEMORY_ERROR_OVERRUN, (int64_t)(block->requested_bytes + offset),
                  fill_mismatch_value(rear), guard_pattern_byte(device, false, offset));
}

static void poison_judge(struct guard_device *device, const struct guarded_block *block,
                         uint64_t mismatch)
{
    struct guarded_block told;

    if (mismatch == FILL_MATCHES)
        return;
    blocks_freed_take(block->address, &told); /* it holds no poison any more */
    error_put(device, block, MEMORY_ERROR_FREED,
              (int64_t)fill_mismatch_offset(mismatch) - block->front_bytes,
              fill_mismatch_value(mismatch), POOL_POISON_BYTE);
}

/* Goes by address, so that a block is judged before the one it overruns. */
static bool is_before(const struct batch *batch, uint32_t a, uint32_t b)
{
    return batch->of[a].address < batch->of[b].address;
}

static bool is_changed(const struct batch *batch, uint32_t block)
{
    return batch->poison ? guard_batch_result(batch, block) != FILL_MATCHES
                         : guard_batch_result(batch, 2 * block) != FILL_MATCHES ||
                               guard_batch_result(batch, 2 * block + 1) != FILL_MATCHES;
}

void judge_batch_locked(struct guard_device *device, struct batch *batch)
{
    static uint16_t found[BATCH_BLOCKS]; /* guarded by guard_lock */
    uint32_t count = 0;

    if (batch->failed && batch->number != 0)
        judge_unverified_add(batch->blocks);
    for (uint32_t at = 0; at < batch->blocks && !batch->failed; at++)
        if (is_changed(batch, at))
            found[count++] = (uint16_t)at;
    for (uint32_t at = 1; at < count; at++) /* few, as a rule */
        for (uint32_t place = at; place > 0 && is_before(batch, found[place], found[place - 1]);
             place--) {
            uint16_t other = found[place];
            found[place] = found[place - 1];
            found[place - 1] = other;
        }
    for (uint32_t at = 0; at < count; at++) {
        const struct guarded_block *block = &batch->of[found[at]];

        if (batch->poison)
            poison_judge(device, block, guard_batch_result(batch, found[at]));
        else
            zones_judge(device, block, guard_batch_result(batch, 2 * found[at]),
                        guard_batch_result(batch, 2 * found[at] + 1));
    }
    batch->state = BATCH_UNUSED;
}

void judge_done_locked(struct guard_device *device)
{
    for (uint32_t at = 0; at < BATCHES_MAX; at++)
        if (device->batches[at].state == BATCH_DONE)
            judge_batch_locked(device, &device->batches[at]);
}

void judge_repair_locked(struct guard_device *device)
{
    for (uint32_t at = 0; at < changed_count; at++)
        if (changed[at].context == device->number)
            guard_device_fill(device, &changed[at]);
    changed_count = 0;
}

bool judge_error_take(struct memory_error *ret_error)
{
    pthread_mutex_lock(&guard_lock);
    bool any = errors_count > 0;
    if (any) {
        *ret_error = errors[errors_first];
        errors_first = (errors_first + 1) % ERRORS_MAX;
        errors_count--;
    }
    pthread_mutex_unlock(&guard_lock);
    return any;
}

void judge_fork_child(void)
{
    errors_count = 0;
    changed_count = 0;
}

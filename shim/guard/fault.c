/* SPDX-License-Identifier: MIT */
/*
 * Broken contexts wait in a few slots until a thread that holds no lock records them. See fault.h.
 */
#include "shim/guard/fault.h"

#include <stdatomic.h>

#include "shim/memory/guarded.h"
#include "shim/observe/memory_error.h"

#define FAULTS_MAX 16u /* contexts that broke and are not recorded yet */
#define FREED_KEPT 32u
#define LIVE_TOLD  64u /* those that were allocated last */

static _Atomic(struct context *) faults[FAULTS_MAX];
static atomic_bool any;

/* Guarded by guard_lock, the last FREED_KEPT in a ring. */
static struct guarded_block freed[FREED_KEPT];
static uint64_t freed_count;

static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER; /* held while a fault is recorded */

void fault_note(struct context *context, CUresult result)
{
    if (!guarded_page_bytes || result != CUDA_ERROR_ILLEGAL_ADDRESS)
        return;
    for (unsigned at = 0; at < FAULTS_MAX; at++) {
        struct context *none = NULL;

        if (!atomic_compare_exchange_strong(&faults[at], &none, context))
            continue;
        atomic_store(&any, true);
        return;
    }
}

void fault_freed_note(const struct guarded_block *block)
{
    pthread_mutex_lock(&guard_lock);
    freed[freed_count++ % FREED_KEPT] = *block;
    pthread_mutex_unlock(&guard_lock);
}

void fault_forget_context(uint32_t number)
{
    for (unsigned at = 0; at < FREED_KEPT; at++)
        if (freed[at].context == number)
            freed[at] = (struct guarded_block){0};
}

/** Blocks that the fault may concern, the likeliest first. */
struct suspects {
    uint32_t count;
    struct guarded_block of[FREED_KEPT + LIVE_TOLD];
};

/* Those freed last, then those allocated last. */
static void suspects_collect_locked(uint32_t context, struct suspects *ret)
{
    uint32_t live = 0;

    ret->count = 0;
    for (uint64_t back = 1; back <= FREED_KEPT && back <= freed_count; back++) {
        const struct guarded_block *block = &freed[(freed_count - back) % FREED_KEPT];

        if (block->address && block->context == context)
            ret->of[ret->count++] = *block;
    }
    for (const struct guarded_node *node = blocks_live_last(); node && live < LIVE_TOLD;
         node = node->previous)
        if (node->block.isolated && node->block.context == context) {
            ret->of[ret->count++] = node->block;
            live++;
        }
}

static void fault_record(const struct context *context)
{
    static struct suspects suspects; /* guarded by recording */
    struct memory_error error = {
        .kind = MEMORY_ERROR_FAULT,
        .context = context->number,
        .device = (uint16_t)context->device,
    };

    pthread_mutex_lock(&recording);
    pthread_mutex_lock(&guard_lock);
    suspects_collect_locked(context->number, &suspects);
    pthread_mutex_unlock(&guard_lock);
    if (suspects.count) {
        memory_error_count_add();
        memory_error_record(&error);
    }
    for (uint32_t at = 0; at < suspects.count; at++) {
        const struct guarded_block *block = &suspects.of[at];

        error.kind = MEMORY_ERROR_SUSPECT;
        error.address = block->address;
        error.requested_bytes = block->requested_bytes;
        error.allocation_site = block->allocation_site;
        error.free_site = block->free_site;
        error.offset = block->freed;
        memory_error_record(&error);
    }
    pthread_mutex_unlock(&recording);
}

void fault_settle(void)
{
    if (!atomic_load_explicit(&any, memory_order_relaxed) || !atomic_exchange(&any, false))
        return;
    for (unsigned at = 0; at < FAULTS_MAX; at++) {
        struct context *context = atomic_exchange(&faults[at], NULL);

        if (context)
            fault_record(context);
    }
}

void fault_fork_child(void)
{
    pthread_mutex_init(&recording, NULL);
    for (unsigned at = 0; at < FAULTS_MAX; at++)
        atomic_store(&faults[at], NULL);
    freed_count = 0;
}

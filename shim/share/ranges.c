/* SPDX-License-Identifier: MIT */
/*
 * Finds the block at an address: the pool's, or one that was opened. See ranges.h.
 */
#include "shim/share/ranges.h"

#include <errno.h>

#include "shim/memory/guarded.h"
#include "shim/share/claims.h"
#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/vmm.h"
#include "shim/share/ipc_imports.h"
#include "shim/share/ipc_mapped.h"
#include "shim/options/mode.h"

/* The driver numbers its own buffers from 1 upwards and never gets here; a double represents
 * these numbers exactly. */
#define POOLED_IDS   (UINT64_C(1) << 48)
#define IMPORTED_IDS (UINT64_C(1) << 49)

/* -ENOENT: no pool owns it. For an address of a pool without memory the driver would answer that it
 * is reserved. */
static int pooled_range(uint64_t address, struct address_range *ret_range)
{
    struct pool_block block = {0};
    uint64_t bytes;

    *ret_range = (struct address_range){.kind = RANGE_HOLE};
    gate_enter();
    int error = guarded_range_get(address, &block);
    gate_leave();
    if (error == 0)
        *ret_range = (struct address_range){
            .kind = RANGE_BLOCK,
            .synchronous = block.marks & CLAIM_SYNCHRONOUS,
            .base = block.address,
            .bytes = block.requested_bytes,
            .allocation = block.segment_address,
        };
    if (error == 0)
        ret_range->mapped = vmm_mapping_at(block.address, &ret_range->allocation, &bytes);
    return error == -ENOENT && !vmm_context_at(address) ? -ENOENT : 0;
}

static struct address_range imported_range(uint64_t address)
{
    struct ipc_import import;
    struct address_range range = {.kind = ipc_import_find(address, &import)};

    if (range.kind == RANGE_BLOCK)
        range = (struct address_range){
            .kind = RANGE_BLOCK,
            .imported = true,
            .synchronous = import.synchronous,
            .mapped = import.mapped,
            .base = import.address,
            .bytes = import.bytes,
            .allocation = import.base,
            .context = import.context,
            .id = import.id,
        };
    return range;
}

struct address_range address_range_of(uint64_t address)
{
    struct address_range range = {.kind = RANGE_DRIVER};
    enum shim_mode mode = mode_now();

    /* At a deeper level a hook has answered already, and the thread may be inside the gate. */
    if (mode == SHIM_UNKNOWN || mode == SHIM_OFF || thread_state.depth)
        return range;
    int saved_errno = errno;
    if (mode != SHIM_POOL || pooled_range(address, &range) < 0)
        range = imported_range(address);
    errno = saved_errno;
    return range;
}

static const struct context *pooled_context(const struct address_range *range)
{
    struct pool *pool;
    const struct context *context = NULL;

    gate_enter();
    if (guarded_find(range->base, NULL, &pool) == 0)
        context = context_of_pool(pool);
    gate_leave();
    return context;
}

static const struct context *context_of_import(const struct address_range *range)
{
    struct context *context = context_first();

    while (context && context->number != range->context)
        context = context_next(context);
    return context;
}

bool address_range_page(const struct address_range *range, uint64_t address, uint64_t *ret_base,
                        uint64_t *ret_bytes)
{
    return range->imported ? ipc_mapped_page_at(address, ret_base, ret_bytes)
                           : vmm_mapping_at(address, ret_base, ret_bytes);
}

uint32_t address_range_context(const struct address_range *range)
{
    const struct context *context = range->imported ? NULL : pooled_context(range);

    return range->imported ? range->context : context ? context->number : 0;
}

CUcontext address_range_handle(const struct address_range *range)
{
    const struct context *context = range->imported ? context_of_import(range)
                                                    : pooled_context(range);

    return context ? context->handle : NULL;
}

int address_range_id(const struct address_range *range, uint64_t *ret_id)
{
    uint64_t id = range->id;
    int saved_errno = errno, error = 0;

    if (!range->imported) {
        gate_enter();
        error = pool_block_identify(range->base, &id);
        gate_leave();
    }
    errno = saved_errno;
    if (error == 0)
        *ret_id = (range->imported ? IMPORTED_IDS : POOLED_IDS) + id;
    return error;
}

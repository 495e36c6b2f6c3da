/* SPDX-License-Identifier: MIT */
/*
 * A copy between devices that are not enabled peers goes through the host, each side copying for
 * itself; so the memory's own device needs access there. Kernels are not checked: only the host's
 * memory protection applies to them.
 */
#include "tests/simgpu/driver/work/access.h"

#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/memory/vmm.h"
#include "tests/simgpu/driver/work/footprint.h"

static bool mapping_refuses(const struct allocation *mapping, CUcontext ctx, bool copies,
                            bool written)
{
    const struct device *user = ctx->device, *owner = mapping->device;

    if (copies && owner && owner != user && !(ctx->peers >> owner->ordinal & 1))
        user = owner;
    CUmemAccess_flags access = mapping_access(mapping, user->ordinal);
    return !(access & (written ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE & ~CU_MEM_ACCESS_FLAGS_PROT_READ
                               : CU_MEM_ACCESS_FLAGS_PROT_READ));
}

static bool span_refused(void *state, const struct work *work, const struct span *span)
{
    uintptr_t at = span->from, end = span->from + span->bytes;

    while (at < end && va_contains(at)) {
        const struct allocation *found = memory_find(at);

        if (!found)
            return false; /* not there: a fault, as for any device */
        if (found->kind == MEMORY_MAPPED &&
            mapping_refuses(found, state, work->kind == WORK_COPY, span->written))
            return true;
        at = found->base + found->bytes;
    }
    return false;
}

bool access_granted(const struct work *work, CUcontext ctx)
{
    if (profile.visible_count < 2 || (work->kind != WORK_COPY && work->kind != WORK_FILL))
        return true;
    pthread_mutex_lock(&driver_lock);
    bool granted = !work_spans(work, span_refused, ctx);
    pthread_mutex_unlock(&driver_lock);
    return granted;
}

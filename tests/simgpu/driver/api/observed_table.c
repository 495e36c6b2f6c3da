/* SPDX-License-Identifier: MIT */
/*
 * The functions of the table: registering an observer, and looking up ids.
 */
#include "tests/simgpu/driver/api/observed_table.h"

#include <string.h>

#include "tests/simgpu/driver/base/observed.h"
#include "tests/simgpu/driver/work/stream.h"

static uint32_t context_id(CUcontext context)
{
    return handle_is(context, HANDLE_CONTEXT) && context->alive ? (uint32_t)context->id : 0;
}

static uint32_t stream_id(CUcontext context, CUstream stream, bool per_thread)
{
    CUstream found;
    uint32_t id = 0;

    pthread_mutex_lock(&driver_lock);
    if (!stream && handle_is(context, HANDLE_CONTEXT) && context->alive && !per_thread)
        id = (uint32_t)context->legacy->id;
    else if (stream_resolve(stream, per_thread, &found) == CUDA_SUCCESS)
        id = (uint32_t)found->id;
    pthread_mutex_unlock(&driver_lock);
    return id;
}

CUresult observed_table(const void **ret, const CUuuid *id)
{
    static const struct observer_table table = {sizeof table, observed_by, context_id, stream_id};

    if (!ret || !id || memcmp(id, OBSERVER_TABLE_ID, sizeof *id))
        return CUDA_ERROR_NOT_SUPPORTED;
    *ret = &table;
    return CUDA_SUCCESS;
}

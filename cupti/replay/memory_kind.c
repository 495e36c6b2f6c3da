/* SPDX-License-Identifier: MIT */
#include "cupti/replay/memory_kind.h"

#include <stddef.h>

#include "cupti/format/trace_format.h"

/* Which kinds end with their context: cuda.h, cuCtxDestroy and cudaDeviceReset. Managed memory
 * lies where it was used last, so it counts for no device. */
static const struct memory_kind kinds[MEMORY_KINDS] = {
    [TRACE_MEMORY_NONE] = {"unknown", false, false, false, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_DEVICE] = {"device", true, true, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_ASYNC] = {"async", true, true, false, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_MANAGED] = {"managed", true, false, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_PINNED] = {"pinned", false, false, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_REGISTERED] = {"registered", false, false, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_ARRAY] = {"array", true, true, true, BLOCK_SPACE_HANDLE},
    [TRACE_MEMORY_PHYSICAL] = {"physical", true, true, false, BLOCK_SPACE_HANDLE},
    [TRACE_MEMORY_VIRTUAL] = {"virtual", false, false, false, BLOCK_SPACE_RANGE},
    [TRACE_MEMORY_MAPPING] = {"mapping", false, false, false, BLOCK_SPACE_MAPPING},
    [TRACE_MEMORY_IMPORTED] = {"imported", false, false, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_MEMPOOL] = {"mempool", false, false, false, BLOCK_SPACE_HANDLE},
    [TRACE_MEMORY_STATIC] = {"static", false, true, true, BLOCK_SPACE_ADDRESS},
    [TRACE_MEMORY_HOST_PHYSICAL] = {"host_physical", false, false, false, BLOCK_SPACE_HANDLE},
    [TRACE_MEMORY_HOST_ASYNC] = {"host_async", false, false, false, BLOCK_SPACE_ADDRESS},
};

const struct memory_kind *memory_kind(unsigned memory)
{
    return memory < MEMORY_KINDS && kinds[memory].name ? &kinds[memory] : NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * See memory_kind.h.
 */
#include "cupti/replay/memory_kind.h"

#include <stddef.h>

#include "cupti/format/trace_format.h"

static const struct memory_kind kinds[MEMORY_KINDS] = {
    [TRACE_MEMORY_NONE] = {"unknown", false, LEDGER_ADDRESS},
    [TRACE_MEMORY_DEVICE] = {"device", true, LEDGER_ADDRESS},
    [TRACE_MEMORY_ASYNC] = {"async", true, LEDGER_ADDRESS},
    [TRACE_MEMORY_MANAGED] = {"managed", true, LEDGER_ADDRESS},
    [TRACE_MEMORY_PINNED] = {"pinned", false, LEDGER_ADDRESS},
    [TRACE_MEMORY_REGISTERED] = {"registered", false, LEDGER_ADDRESS},
    [TRACE_MEMORY_ARRAY] = {"array", true, LEDGER_HANDLE},
    [TRACE_MEMORY_PHYSICAL] = {"physical", true, LEDGER_HANDLE},
    [TRACE_MEMORY_VIRTUAL] = {"virtual", false, LEDGER_RANGE},
    [TRACE_MEMORY_MAPPING] = {"mapping", false, LEDGER_MAPPING},
    [TRACE_MEMORY_IMPORTED] = {"imported", false, LEDGER_ADDRESS},
    [TRACE_MEMORY_MEMPOOL] = {"mempool", false, LEDGER_HANDLE},
    [TRACE_MEMORY_STATIC] = {"static", false, LEDGER_ADDRESS},
};

const struct memory_kind *memory_kind(unsigned memory)
{
    return memory < MEMORY_KINDS && kinds[memory].name ? &kinds[memory] : NULL;
}

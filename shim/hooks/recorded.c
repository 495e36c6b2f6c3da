/* SPDX-License-Identifier: MIT */
/*
 * The bodies of the hooks that forward and record, generated from hooks.def.
 *
 * A TAKES row evaluates and records its expressions after the real function succeeded, and
 * otherwise records the refusal. A GIVES row removes the entry from the ledger before the real
 * function is called: as soon as that returns, another thread may get the same address. Driver rows
 * also enforce the limit, and repeat a request after the pools returned their free memory.
 */
#include <string.h>

#include "cupti/base/likely.h"
#include "cupti/base/uncancelled.h"
#include "shim/backend/idle.h"
#include "shim/memory/array_size.h"
#include "shim/hooks/call.h"
#include "shim/context/context.h"
#include "shim/guard/fault.h"
#include "shim/memory/graph_memory.h"
#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/mempool.h"
#include "shim/memory/place.h"
#include "shim/hooks/pooled.h"

/* How often a request is repeated after pools returned memory: other threads may take it first. */
#define RELIEFS_MAX 2

/* Pointers and handles of any type as a number. */
#define AS_NUMBER(value) ((uint64_t)(uintptr_t)(value))

#define REFUSED_RUNTIME(real, memory, bytes, place) false
#define REFUSED_DRIVER(real, memory, bytes, place)  !limit_hold_at(real, memory, place, bytes)
#define FAILED_RUNTIME()                            (void)0
#define FAILED_DRIVER()                             limit_hold_end()
#define RELIEVED_RUNTIME(result, place)             false
#define RELIEVED_DRIVER(result, place)                                                             \
    ((result) == CUDA_ERROR_OUT_OF_MEMORY && pooled_relieve_at(place, 0))
/* Done at any depth, where the driver is entered. */
#define PREPARE_RUNTIME(real, memory) (void)0
#define PREPARE_DRIVER(real, memory)                                                               \
    ((memory) == TRACE_MEMORY_ASYNC ? mempool_prepare(real) : (void)0)
#define TAKEN_RUNTIME(real, memory, handle, place) (void)0
#define TAKEN_DRIVER(real, memory, handle, place)                                                  \
    ((memory) == TRACE_MEMORY_MEMPOOL                                                              \
         ? mempool_created(real, (CUmemoryPool)(uintptr_t)AS_NUMBER(handle), place)                \
     : (place) == PLACE_GRAPH ? graph_memory_noticed()                                             \
                              : (void)0)
#define GIVING_RUNTIME(memory, handle) PLACE_HERE
#define GIVING_DRIVER(memory, handle)                                                              \
    ((memory) == TRACE_MEMORY_MEMPOOL ? place_pool_forget((CUmemoryPool)(uintptr_t)(handle))       \
                                      : PLACE_HERE)
#define KEPT_RUNTIME(memory, handle, place) (void)(place)
#define KEPT_DRIVER(memory, handle, place)                                                         \
    ((memory) == TRACE_MEMORY_MEMPOOL ? place_pool_made((CUmemoryPool)(uintptr_t)(handle), place)  \
                                      : (void)(place))
/* The runtime's calls of the driver show what its result would. */
#define OBSERVED_RUNTIME(result) (result)
#define OBSERVED_DRIVER(result)  call_observe(result)
#define NO_MEMORY_RUNTIME        cudaErrorMemoryAllocation
#define NO_MEMORY_DRIVER         CUDA_ERROR_OUT_OF_MEMORY

#define TAKES(family, name, since, params, args, memory_, stream_, address_, requested_,           \
              allocated_)                                                                          \
    TAKES_AT(family, name, since, params, args, memory_, stream_, address_, requested_,            \
             allocated_, PLACE_HERE)

#define TAKES_AT(family, name, since, params, args, memory_, stream_, address_, requested_,        \
                 allocated_, place_)                                                               \
    RESULT_##family name params                                                                    \
    {                                                                                              \
        struct call call;                                                                          \
        const __typeof__(*CALL_REAL_##family()) *real = CALL_REAL_##family();                      \
        if (!real || !real->name)                                                                  \
            return MISSING_##family;                                                               \
        bool outer = call_begin(&call, HOOK_##name, __builtin_return_address(0));                  \
        RESULT_##family result;                                                                    \
        int place = place_;                                                                        \
        PREPARE_##family(real, TRACE_MEMORY_##memory_);                                            \
        for (int attempt = 0;; attempt++) {                                                        \
            result = REFUSED_##family(real, TRACE_MEMORY_##memory_, requested_, place)             \
                         ? NO_MEMORY_##family                                                      \
                         : OBSERVED_##family(real->name args);                                     \
            if (result != 0)                                                                       \
                FAILED_##family();                                                                 \
            if (attempt == RELIEFS_MAX || !RELIEVED_##family(result, place))                       \
                break;                                                                             \
        }                                                                                          \
        if (result == 0)                                                                           \
            TAKEN_##family(real, TRACE_MEMORY_##memory_, address_, place);                         \
        if (!outer)                                                                                \
            return result;                                                                         \
        struct record_block block = {                                                              \
            .memory = place_memory(TRACE_MEMORY_##memory_, place),                                 \
            .outcome = TRACE_OUTCOME_PASSED,                                                       \
            .requested_bytes = (requested_),                                                       \
            .stream = (const void *)(stream_),                                                     \
            .place = place,                                                                        \
        };                                                                                         \
        if (result == 0) {                                                                         \
            block.address = AS_NUMBER(address_);                                                   \
            block.allocated_bytes = (allocated_);                                                  \
            if (!block.requested_bytes)                                                            \
                block.requested_bytes = block.allocated_bytes;                                     \
            if (place != PLACE_GRAPH)                                                              \
                pooled_foreign_taken(&call, &block);                                               \
        } else {                                                                                   \
            record_allocate_refused(&call, &block, (int)result);                                   \
        }                                                                                          \
        call_end(&call);                                                                           \
        return result;                                                                             \
    }

#define GIVES(family, name, since, params, args, memory_, stream_, address_)                       \
    RESULT_##family name params                                                                    \
    {                                                                                              \
        struct call call;                                                                          \
        const __typeof__(*CALL_REAL_##family()) *real = CALL_REAL_##family();                      \
        if (!real || !real->name)                                                                  \
            return MISSING_##family;                                                               \
        bool outer = call_begin(&call, HOOK_##name, __builtin_return_address(0));                  \
        uint64_t address = AS_NUMBER(address_);                                                    \
        int place = GIVING_##family(TRACE_MEMORY_##memory_, address);                              \
        if (!outer) {                                                                              \
            RESULT_##family result = OBSERVED_##family(real->name args);                           \
            if (result != 0)                                                                       \
                KEPT_##family(TRACE_MEMORY_##memory_, address, place);                             \
            return result;                                                                         \
        }                                                                                          \
        struct ledger_entry entry = pooled_foreign_take(&call, TRACE_MEMORY_##memory_, address);   \
        RESULT_##family result = OBSERVED_##family(real->name args);                               \
        if (result != 0)                                                                           \
            KEPT_##family(TRACE_MEMORY_##memory_, address, place);                                 \
        pooled_foreign_freed(&call, TRACE_MEMORY_##memory_, address, (const void *)(stream_),      \
                             &entry, (int)result);                                                 \
        call_end(&call);                                                                           \
        return result;                                                                             \
    }

/* A fault is recorded before the program sees it. */
__attribute__((noinline, cold)) void call_failed(int result)
{
    UNCANCELLED;
    int saved_errno = errno;

    context_observe_result((CUresult)result);
    fault_settle();
    errno = saved_errno;
}

#define WATCHES(family, name, since, params, args)                                                 \
    RESULT_##family name params                                                                    \
    {                                                                                              \
        const __typeof__(*CALL_REAL_##family()) *real = CALL_REAL_##family();                      \
        if (!real || !real->name)                                                                  \
            return MISSING_##family;                                                               \
        RESULT_##family result = OBSERVED_##family(real->name args);                               \
        idle_look();                                                                               \
        return result;                                                                             \
    }

#include "shim/resolve/hooks.def"

/* SPDX-License-Identifier: MIT */
/*
 * Device memory as the program sees it: allocations with a base, a size and an owner.
 *
 * Requests below 2 MiB are cut from segments of 2 MiB, at multiples of 512 bytes; a segment belongs
 * to an arena (of a context, or of a pool) and goes back when its last block does. Others have
 * physical memory of their own, in whole pages at 2 MiB boundaries. The driver's real boundary
 * between the two is not documented.
 */
#ifndef SIMGPU_DRIVER_MEMORY_MEMORY_H
#define SIMGPU_DRIVER_MEMORY_MEMORY_H

#include "tests/simgpu/driver/device/physical.h"
#include "tests/simgpu/driver/device/va.h"

struct device;

#define MEMORY_ALIGN 512

enum memory_kind {
    MEMORY_DEVICE,     /* cuMemAlloc */
    MEMORY_ASYNC,      /* cuMemAllocAsync and friends */
    MEMORY_GRAPH,      /* a graph's allocation node */
    MEMORY_MANAGED,    /* cuMemAllocManaged */
    MEMORY_MAPPED,     /* cuMemMap */
    MEMORY_IMPORTED,   /* cuIpcOpenMemHandle */
    MEMORY_EXTERNAL,   /* cuExternalMemoryGetMappedBuffer */
    MEMORY_GLOBAL,     /* a module's variable */
    MEMORY_ARRAY,      /* an array's backing; not addressable by the program */
    MEMORY_HOST,       /* cuMemHostAlloc */
    MEMORY_REGISTERED, /* cuMemHostRegister */
};

/** Allocations that belong to no context. */
LIST_HEAD(allocation_list, allocation);
extern struct allocation_list memory_others;

struct arena {
    struct device *device; /* NULL: not bounded by a device */
    LIST_HEAD(, segment) segments;
    size_t segment_count;
    bool keeps_empty; /* until memory_trim: of a pool */
};

/** Where allocations belong: a context (context_memory), or a device alone. */
struct memory_owner {
    CUcontext ctx; /* or NULL */
    struct device *device;
    struct allocation_list *allocations;
};

struct allocation {
    LIST_ENTRY(allocation) link; /* in the list of its context, of a pool, or memory_others */
    enum memory_kind kind;
    uintptr_t base;
    size_t bytes;  /* as asked for */
    size_t extent; /* as taken */
    CUcontext ctx;
    struct device *device;
    struct physical *physical; /* NULL when in a segment, or host memory */
    struct segment *segment;
    CUmemoryPool pool;
    uint64_t id; /* CU_POINTER_ATTRIBUTE_BUFFER_ID */
    unsigned flags;
    bool sync_memops;
    bool freeing;  /* a stream-ordered free has been submitted */
    bool of_image; /* a variable: goes with its module */
    /* Of a mapping. */
    uint32_t readers, writers; /* bit per device ordinal */
    size_t physical_offset;
    uint32_t ipc_slot; /* index + 1 on the board of exported memory */
    unsigned opened;   /* cuIpcOpenMemHandle: how often */
    uint64_t origin;   /* of imported memory: who it is there */
};

/** Memory of no context, on the device of an arena. */
static inline struct memory_owner memory_unowned(const struct arena *arena)
{
    return (struct memory_owner){NULL, arena->device, &memory_others};
}

/** Any kind that lives in the region. */
CUresult memory_take(struct arena *arena, struct memory_owner owner, enum memory_kind kind,
                     size_t bytes, struct allocation **ret);
/** Lay existing physical memory over fresh addresses; the allocation begins `skip_bytes` in. */
CUresult memory_adopt(struct physical *physical, struct memory_owner owner, enum memory_kind kind,
                      size_t skip_bytes, size_t bytes, struct allocation **ret);
void memory_give(struct allocation *allocation);

/** Gives back up to `bytes` of empty segments; how much it was. */
size_t memory_trim(struct arena *arena, size_t bytes);

/** The allocation around an address of the region, or NULL. */
struct allocation *memory_find(uintptr_t address);

/** Is all of [address, +bytes) memory of the device that is mapped? */
bool memory_covers(uintptr_t address, size_t bytes);

/** Physical bytes that `bytes` from an arena take at most. */
size_t memory_rounded(size_t bytes);

uint64_t memory_next_id(void);

uintptr_t segment_base(const struct segment *segment);
struct physical *segment_physical(const struct segment *segment);

#endif

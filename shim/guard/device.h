/* SPDX-License-Identifier: MIT */
/*
 * The device side of guards in a context: a stream of our own, kernels, and batches of redzones to
 * compare there.
 *
 * A batch is open while blocks join it, then enqueued, then done: its results lie in host memory
 * until they are settled. Batches run in the order of their numbers. Each also compares a canary,
 * which must not match: if it matches, the batch has compared nothing. Without device code the
 * driver copies a part of each redzone to the host instead.
 *
 * Threading: everything under guard_lock. Driver calls are made under it: no call of the driver
 * leads back here.
 */
#ifndef SHIM_GUARD_DEVICE_H
#define SHIM_GUARD_DEVICE_H

#include "shim/context/context.h" /* first: it says which names of the driver's are declared */

#include "kernels/fill/fill.h"
#include "pool/backend.h"
#include "shim/guard/blocks.h"

#define BATCH_BLOCKS 512u
#define BATCH_RANGES (2 * BATCH_BLOCKS + 1) /* and the canary */
#define BATCHES_MAX  64u
#define ZONE_MAX     65536u /* bytes of a redzone that are looked at */
/** Time limits for a kernel of microseconds: on a device that may be busy, and on one that was
 * just idle. */
#define FILL_WAIT_NS      50000000L
#define FILL_WAIT_BUSY_NS 1000000L
#define STAGING_BYTES     512u /* of a range, where the driver copies it */

enum batch_state { BATCH_UNUSED, BATCH_OPEN, BATCH_RUNNING, BATCH_DONE };

/** Pinned memory of a batch, at the same address on the device. */
struct batch_memory {
    uint8_t canary[16];
    uint64_t mismatches[BATCH_RANGES];
    struct fill_range ranges[BATCH_RANGES];
};

struct batch {
    enum batch_state state;
    uint64_t number; /* once it runs behind the program's work; 0: behind nothing */
    uint32_t blocks;
    bool poison; /* one range for each block, from end to end */
    bool failed; /* nothing was compared */
    bool sealed; /* open, joined by no more blocks: its fence is not recorded yet */
    CUevent event;
    struct batch_memory *host; /* pinned */
    uint8_t *staging;          /* pinned; without kernels */
    struct guarded_block *of;  /* BATCH_BLOCKS */
    struct guard_device *of_device;
};

struct guard_device {
    struct context *context;
    uint32_t number;
    struct pool_backend inner; /* the pool's operations without guards */
    bool tried;                /* to be opened */
    bool open;                 /* stream and table are there */
    bool waits;                /* every free waits for the device */
    bool poisons;
    bool has_kernels;
    struct driver_table driver;
    struct kernel_set kernels;
    CUstream stream;     /* behind the program's work */
    CUstream now_stream; /* fills redzones, compares at once; waits for nothing */
    CUevent fill_event;
    bool late;                         /* the last kernel that was waited for */
    uint64_t last_number, done_number; /* of batches */
    struct batch *open_batch;
    struct batch batches[BATCHES_MAX];
    struct guard_device *next;
};

/** The device of a context; NULL: it has none. */
struct guard_device *guard_device_of(const struct context *context);
struct guard_device *guard_device_first(void);
struct guard_device *guard_device_add(struct context *context);
void guard_device_forget(uint32_t number);
void guard_devices_fork_child(void);

/** Opens the guard's device side when nothing captures. False: not yet, or not possible. */
bool guard_device_ready(struct guard_device *device);

/** Fills the redzones of a block. They are in place when it returns, or FILL_WAIT_NS have
 * passed. */
bool guard_device_fill(struct guard_device *device, const struct guarded_block *block);

/** Returns the batch that blocks join; NULL: none can be made. */
struct batch *guard_batch_open(struct guard_device *device, bool poison);
void guard_batch_add(struct batch *batch, const struct guarded_block *block);
/** Without kernels freed memory is compared block by block. */
static inline bool guard_batch_full(const struct batch *batch)
{
    return batch->blocks == (batch->staging && batch->poison ? 1 : BATCH_BLOCKS);
}

/** Removes blocks from a batch because their memory goes back to the driver first; returns how
 * many. */
uint32_t guard_batch_withdraw(struct batch *batch, uint64_t address, size_t bytes);

/** Enqueues a batch behind the work of a fence of the inner backend. */
void guard_batch_run(struct guard_device *device, struct batch *batch, pool_fence fence);

/** Compares a batch now, while nothing uses its memory. False: not possible. */
bool guard_batch_run_now(struct guard_device *device, struct batch *batch);

/** Set when a batch is done or an error was found: guard_settle() has work. */
extern atomic_bool guard_work;

/** Polls the batches. True when all up to `number` are done. */
bool guard_device_poll(struct guard_device *device, uint64_t number);

/** Waits briefly for batches whose fences are signalled. True when none is pending. */
bool guard_device_finish(struct guard_device *device);

/** Returns the result of a range of a finished batch: FILL_MATCHES, or as verify_launch() says. */
uint64_t guard_batch_result(const struct batch *batch, uint32_t range);
uint32_t guard_batch_ranges(const struct batch *batch);
/** Bytes of the redzones before and behind a block that are checked: those next to it. */
size_t guard_front_bytes(const struct guard_device *device, const struct guarded_block *block);
size_t guard_rear_bytes(const struct guard_device *device, const struct guarded_block *block);
uint8_t guard_pattern_byte(const struct guard_device *device, bool poison, uint64_t offset);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The growing file of a trace: hands out zeroed, mapped blocks in file order.
 *
 * The file grows in steps of 1 to 4 MiB; each step's disk space is reserved first, and each block's
 * pages are made writable when it is handed out. So a full disk is an error here and never a SIGBUS
 * in the traced program. Nothing is unmapped while the process lives: a late thread may still hold
 * a block.
 *
 * A file with a size limit also hands out blocks that trace_ring.h has given back; `at` records the
 * use of each block of such a file.
 *
 * Threading: every function except open and finish from any thread; _locked with the lock held.
 */
#ifndef CUPTI_WRITE_TRACE_STORE_H
#define CUPTI_WRITE_TRACE_STORE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cupti/format/trace_format.h"

enum trace_store_use {
    TRACE_STORE_UNUSED,
    TRACE_STORE_FILE_HEADER,
    TRACE_STORE_DEFINITIONS, /* never used again */
    TRACE_STORE_EVENTS,
    TRACE_STORE_CARRY
};

/** A block of a file with a size limit. */
struct trace_store_place {
    struct trace_block_header *block;
    uint64_t key; /* highest order of a folded event */
    uint32_t sequence;
    uint16_t folded; /* slots */
    uint8_t use;     /* enum trace_store_use */
    bool ending;     /* its events are being folded, all of them */
};

struct trace_store {
    pthread_mutex_t lock;
    int fd;                /* guarded by lock */
    dev_t device;          /* immutable after open: which file `fd` must be */
    ino_t inode;           /* immutable after open */
    char path[PATH_MAX];   /* absolute; immutable after open */
    unsigned char *chunk;  /* mapping of the step in use; guarded by lock */
    uint64_t chunk_blocks; /* guarded by lock */
    uint64_t chunk_used;   /* guarded by lock */
    uint64_t step_blocks;  /* size of the next step; guarded by lock */
    uint64_t blocks;       /* of the file in use, the file header included; guarded by lock */
    uint64_t most_blocks;  /* 0: no limit; guarded by lock */
    int limit_error;       /* why there are no more than most_blocks; guarded by lock */
    uint32_t sequence;     /* of the next block; guarded by lock */
    struct trace_store_place *at; /* by position; NULL: no limit; entries guarded by lock */
    uint32_t *spare;              /* positions of blocks that were given back; guarded by lock */
    uint32_t spares;              /* guarded by lock */
    uint64_t reserved_bytes;      /* size of the file; guarded by lock */
    atomic_int error;             /* why it stopped growing; 0: it goes on */
};

/**
 * Creates the file, or PATH.PID, or PATH.PID.N where the name is taken. `most_bytes`: its maximum
 * size, one block for EXIT included; 0: none. Errors: -EINVAL the path is something other than a
 * file; other negative errno.
 */
int trace_store_open(struct trace_store *ret_store, const char *path, uint64_t most_bytes);

/**
 * Returns the next block, all zero. Errors: -EAGAIN when the limit is reached and no block was
 * given back; any other negative errno is permanent.
 */
int trace_store_block(struct trace_store *store, enum trace_store_use use, void **ret_block,
                      uint32_t *ret_sequence);

/** The same with the lock held; the error is not kept. */
int trace_store_take_locked(struct trace_store *store, enum trace_store_use use, void **ret_block,
                            uint32_t *ret_sequence);

/** Gives a block of a file with a limit back: it counts as unused from now on. */
void trace_store_return_locked(struct trace_store *store, uint32_t position);

/** Blocks that a limited file has left. */
uint64_t trace_store_left_locked(const struct trace_store *store);

/** Truncates the file after the last block handed out and closes it. */
void trace_store_finish(struct trace_store *store);

/** In a child after fork: drops the descriptor, touches nothing else. */
void trace_store_abandon(struct trace_store *store);

#endif

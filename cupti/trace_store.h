/* SPDX-License-Identifier: MIT */
/*
 * The growing file below a trace: hands out zeroed, mapped blocks in the order of the file.
 *
 * The file grows in steps of 1 to 4 MiB whose disk space is reserved first, and each block's
 * pages are made writable when it is handed out, so a full disk is an error here and never a
 * SIGBUS in the traced program. Nothing is unmapped while the process lives: a late thread may
 * still hold a block.
 *
 * Threading: every function but open and finish from any thread.
 */
#ifndef CUPTI_TRACE_STORE_H
#define CUPTI_TRACE_STORE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cupti/trace_format.h"

struct trace_store {
    pthread_mutex_t lock;
    int fd;                  /* guarded by lock */
    dev_t device;            /* immutable after open: which file `fd` must be */
    ino_t inode;             /* immutable after open */
    char path[PATH_MAX];     /* absolute; immutable after open */
    unsigned char *chunk;    /* mapping of the step in use; guarded by lock */
    uint64_t chunk_blocks;   /* guarded by lock */
    uint64_t chunk_used;     /* guarded by lock */
    uint64_t step_blocks;    /* size of the next step; guarded by lock */
    uint64_t blocks;         /* handed out, the file header included; guarded by lock */
    uint64_t reserved_bytes; /* size of the file; guarded by lock */
    atomic_int error;        /* why it stopped growing; 0: it goes on */
};

/**
 * Creates the file, or PATH.PID, or PATH.PID.N where the name is taken. Errors: negative errno.
 */
int trace_store_open(struct trace_store *ret_store, const char *path);

/**
 * The next block, all zero; `ret_sequence` is its position in the file.
 * Errors: negative errno; the store stays in this error.
 */
int trace_store_block(struct trace_store *store, void **ret_block, uint32_t *ret_sequence);

/** Cuts the file behind the last block handed out and closes it. */
void trace_store_finish(struct trace_store *store);

/** In a child after fork: gives up the descriptor, touches nothing else. */
void trace_store_abandon(struct trace_store *store);

#endif

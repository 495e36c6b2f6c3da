/* SPDX-License-Identifier: MIT */
/*
 * State of the readers of traces: numbers for threads, streams and contexts, and the live buffer at
 * each address.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_INPUT_TABLES_H
#define TOOLS_REPLAY_INPUT_TABLES_H

#include "cupti/base/key_index.h"

/** Numbers from 0 in the order in which keys come. Empty when zeroed. */
struct number_table {
    struct key_index index;
    unsigned count;
};

/** Keys beyond `most` share the last number. Errors: -ENOMEM. */
int number_table_get(struct number_table *table, uint64_t key, unsigned most, uint32_t *ret_number);
void number_table_done(struct number_table *table);

/** Live buffers by address. Empty when zeroed. */
struct live_table {
    struct key_index index;
    uint32_t *live; /* by row */
    size_t room;
    uint32_t rows;
};

/**
 * Returns the slot of an address: 0, or the number of the live buffer + 1; the caller writes
 * there. It is valid until the next call. Errors: -ENOMEM.
 */
int live_table_get(struct live_table *table, uint64_t address, uint32_t **ret_live);
void live_table_done(struct live_table *table);

#endif

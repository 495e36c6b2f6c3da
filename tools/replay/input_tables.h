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

/** What lies at an address. */
struct live_buffer {
    uint32_t number;  /* of the live buffer + 1; 0: none */
    uint32_t context; /* it belongs to, as struct replay_event numbers them */
};

/** Live buffers by address. Empty when zeroed. */
struct live_table {
    struct key_index index;
    struct live_buffer *live; /* by row */
    size_t room;
    uint32_t rows;
};

/**
 * Returns the slot of an address; the caller writes there. It is valid until the next call.
 * Errors: -ENOMEM.
 */
int live_table_get(struct live_table *table, uint64_t address, struct live_buffer **ret_live);

/** Returns the slot of an address that has had a buffer, or NULL. */
struct live_buffer *live_table_find(const struct live_table *table, uint64_t address);
void live_table_done(struct live_table *table);

#endif

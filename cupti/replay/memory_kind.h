/* SPDX-License-Identifier: MIT */
/*
 * How each kind of memory in a trace counts.
 *
 * Threading: constants.
 */
#ifndef CUPTI_REPLAY_MEMORY_KIND_H
#define CUPTI_REPLAY_MEMORY_KIND_H

#include <stdbool.h>

#include "cupti/replay/block_table.h"

#define MEMORY_KINDS 16

/** Name of an enum trace_memory in lower case, and its properties. */
struct memory_kind {
    const char *name;
    bool on_device;    /* counts as requested memory */
    bool takes_device; /* a device's memory is less by it, by its own account */
    bool with_context; /* ends with the context it was made in */
    enum block_space space;
};

/** NULL for a kind that does not exist. */
const struct memory_kind *memory_kind(unsigned memory);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What records refer to by number: texts, modules and sites, each written to the trace once.
 *
 * Definitions have a lane of their own, so that they stand in the file in the order of their
 * numbers. A number is given out only after its definition is written: whatever record a reader
 * finds, it finds the definitions it needs, after a crash too.
 *
 * Threading: one lock around everything that adds; finding a known site takes none. The lock is
 * never held while the dynamic loader's is wanted.
 */
#ifndef CUPTI_TRACE_INTERN_H
#define CUPTI_TRACE_INTERN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cupti/site_table.h"
#include "cupti/trace_lane.h"
#include "cupti/trace_store.h"

/** More than there can be site ids. */
#define TRACE_INTERN_SITES (UINT32_C(1) << 17)

struct intern_text;
struct intern_module;

struct trace_intern {
    pthread_mutex_t lock;
    struct trace_store *store;
    struct trace_lane lane;       /* guarded by lock */
    struct intern_text *text;     /* open-addressed; guarded by lock */
    uint32_t text_bits;           /* log2 of its size; guarded by lock */
    uint32_t texts;               /* guarded by lock */
    struct intern_module *module; /* guarded by lock */
    uint32_t modules;             /* guarded by lock */
    uint32_t sites;               /* guarded by lock */
    uint32_t *module_of;          /* by site id: text id of its module; written before the id is
                                     given out */
    bool closed;                  /* nothing may be added; guarded by lock */
    struct site_table table;
};

/** Errors: -ENOMEM. */
int trace_intern_init(struct trace_intern *ret_intern, struct trace_store *store, uint32_t tid);

/** The id of a text, at most 4,096 bytes of it; 0 when it cannot be written. */
uint32_t trace_intern_string(struct trace_intern *intern, const char *text, uint64_t time_ns);

/** The id of a code address; 0 when it cannot be written. */
uint32_t trace_intern_site(struct trace_intern *intern, const void *code_address, uint64_t time_ns);

/** Seals the last block of definitions. */
void trace_intern_close(struct trace_intern *intern);

#endif

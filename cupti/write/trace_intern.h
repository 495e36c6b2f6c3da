/* SPDX-License-Identifier: MIT */
/*
 * Assigns ids to strings, modules and sites, and writes each to the trace once.
 *
 * Definitions have a separate lane, so they stand in the file in the order of their ids. An id is
 * returned only after its definition is written. So for every record that a reader finds, it also
 * finds the definitions, even after a crash.
 *
 * Threading: one lock around every addition; finding a known site takes none. The lock is never
 * held while the dynamic loader's lock is taken.
 */
#ifndef CUPTI_WRITE_TRACE_INTERN_H
#define CUPTI_WRITE_TRACE_INTERN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cupti/write/site_table.h"
#include "cupti/write/trace_lane.h"
#include "cupti/write/trace_store.h"
#include "cupti/write/trace_writer.h"

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
    struct site_table table;      /* frames: code or text of Python, and the calling frame */
    struct site_table stacks;     /* whole stacks, by hash */
};

/** Errors: -ENOMEM. */
int trace_intern_init(struct trace_intern *ret_intern, struct trace_store *store, uint32_t tid);

/** Returns the id of a string, of which at most 4,096 bytes are kept; 0 when it cannot be
 * written. */
uint32_t trace_intern_string(struct trace_intern *intern, const char *text, uint64_t time_ns);

/** Returns the key of a code address with a calling frame (0: none). */
static inline struct site_key trace_intern_key(uint64_t address, uint32_t caller)
{
    return (struct site_key){address, caller};
}

/** Returns the id of a code address; 0 when it cannot be written. */
uint32_t trace_intern_site(struct trace_intern *intern, uint64_t address, uint32_t caller,
                           uint64_t time_ns);

/* stack_intern.c */

/** Key of a whole stack. */
struct site_key trace_intern_stack_key(const struct trace_stack *stack);

/** Returns the id of a stack; sets `ret_cut` if outer frames had to be left out. 0: not even the
 * leaf fits.
 */
uint32_t trace_intern_stack(struct trace_intern *intern, const struct trace_stack *stack,
                            uint64_t time_ns, bool *ret_cut);

/** Returns the id of a Python frame; 0 when it cannot be written. */
uint32_t trace_intern_python(struct trace_intern *intern, const char *file, const char *function,
                             uint32_t line, uint32_t caller, uint64_t time_ns);

/** Seals the last block of definitions. */
void trace_intern_close(struct trace_intern *intern);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Detects other clients of CUPTI in the process by the functions they call first, and finds the
 * real functions.
 *
 * Threading: every function from any thread.
 */
#ifndef SHIM_ENTRY_CUPTI_API_H
#define SHIM_ENTRY_CUPTI_API_H

enum cupti_api_id {
#define CUPTI_API(name, begins, parameters, arguments) CUPTI_API_##name,
#include "shim/resolve/cupti_api.def"
#undef CUPTI_API
    CUPTI_API_COUNT
};

#define CUPTI_API(name, begins, parameters, arguments)                                             \
    __attribute__((visibility("default"))) int name parameters;
#include "shim/resolve/cupti_api.def"
#undef CUPTI_API

/** CUPTI_API_COUNT: a name that is not in the table. */
enum cupti_api_id cupti_api_find(const char *name);

void *cupti_api_entry(enum cupti_api_id id);

/** Remembers what a program's look-up found. */
void cupti_api_note(enum cupti_api_id id, void *function);

/** Returns the real function for a caller; NULL when no CUPTI is reachable from there. */
void *cupti_api_real(enum cupti_api_id id, const void *caller);

#endif

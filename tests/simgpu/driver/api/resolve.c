/* SPDX-License-Identifier: MIT */
/*
 * cuGetProcAddress in both forms. The answer is the last row of calls.def with the name asked for
 * that is not newer than the version asked for. A name that exists but only in newer versions is
 * "version not sufficient"; per-thread default streams are asked for by a flag and fall back to
 * the plain function where there is no twin.
 */
#include "tests/simgpu/driver/api/resolve.h"
#include "tests/simgpu/driver/base/call_id.h"

#include <string.h>

/* Addresses only; the types are in cuda.h, which this file must not see. */
#define CALL(name, base, since, per_thread) __attribute__((visibility("default"))) int name(void);
#include "tests/simgpu/driver/base/calls.def"

struct row {
    const char *base;
    int since;
    bool per_thread;
    int (*function)(void);
};

static const struct row rows[] = {
#define CALL(name, base, since, per_thread) {#base, since, per_thread, name},
#define CALL_ALIAS(name, base, since)       {#base, since, false, name},
#include "tests/simgpu/driver/base/calls.def"
};

enum resolve_status resolve(const char *name, int version, int newest, bool per_thread,
                            void **ret_function)
{
    const struct row *best = NULL;
    bool known = false, has_twin = false;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].base, name))
            has_twin |= rows[i].per_thread;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].base, name) || rows[i].per_thread != (per_thread && has_twin) ||
            rows[i].since > newest)
            continue;
        known = true;
        if (rows[i].since <= version && (!best || rows[i].since >= best->since))
            best = &rows[i];
    }
    if (!best)
        return known ? RESOLVE_TOO_NEW : RESOLVE_UNKNOWN;
    *ret_function = (void *)best->function;
    return RESOLVE_FOUND;
}

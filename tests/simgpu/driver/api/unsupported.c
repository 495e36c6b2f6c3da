/* SPDX-License-Identifier: MIT */
/*
 * Stubs for every documented function that the simulated driver does not implement: each prints
 * its name once, and returns CUDA_ERROR_NOT_SUPPORTED. The definitions are weak: a definition in
 * another file takes precedence. Without cuda.h, because these have no parameters: none is
 * examined.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "tests/simgpu/driver/api/unsupported.h"
#include "tests/simgpu/driver/base/call_id.h"

int unsupported(enum call_id id, const char *name)
{
    static atomic_bool said[CALL_COUNT];

    if (!atomic_exchange(&said[id], 1))
        fprintf(stderr, "simgpu: %s is not implemented\n", name);
    return unsupported_leave(id);
}

/* clang-format off */
#define CALL(name, base, since, per_thread)                                                        \
    __attribute__((weak, visibility("default"))) int name(void);                                   \
    int name(void)                                                                                 \
    {                                                                                              \
        return unsupported(CALL_##name, #name);                                                    \
    }
#include "tests/simgpu/driver/base/calls.def"
/* clang-format on */

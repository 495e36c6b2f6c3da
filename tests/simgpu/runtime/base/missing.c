/* SPDX-License-Identifier: MIT */
/*
 * The exports without a simulation: the MISSING rows of calls.def. Each says so once on stderr, so
 * that a program which needs one is not left guessing, and answers cudaErrorNotSupported.
 *
 * The toolkit's header is left out on purpose: one shape of stub serves every signature, because
 * the caller's arguments are ignored. Compiled once; the twins are written from the same row.
 */
#include <stdbool.h>
#include <stdio.h>

static int missing(const char *name, bool *said)
{
    if (!__atomic_exchange_n(said, true, __ATOMIC_RELAXED))
        fprintf(stderr, "simgpu runtime: %s is not simulated\n", name);
    return 801; /* cudaErrorNotSupported */
}

#define FORWARD(name, slot, parameters, arguments)
#define FORWARD_DEVICE(name, slot, parameters, arguments)
#define FORWARD_PTSZ(name, slot, parameters, arguments)
#define FORWARD_PTDS(name, slot, parameters, arguments)
#define WRITTEN(name)
#define WRITTEN_PTSZ(name)
#define WRITTEN_PTDS(name)
#define MISSING(name)                                                                              \
    __attribute__((visibility("default"))) int name(void);                                         \
    int name(void)                                                                                 \
    {                                                                                              \
        static bool said;                                                                          \
        return missing(#name, &said);                                                              \
    }
#define MISSING_PTSZ(name)                                                                         \
    MISSING(name)                                                                                  \
    MISSING(name##_ptsz)
#include "tests/simgpu/runtime/base/calls.def"

/* SPDX-License-Identifier: MIT */
/*
 * Loading the driver: see driver.h. The first three look-ups go to the function dlsym found; the
 * later ones to what the driver answered for cuGetProcAddress itself, as the real runtime does, so
 * that an interposer which substitutes only there is asked about everything else.
 *
 * Threading: pthread_once around the opening and around cuInit; stand-ins report under an atomic.
 */
#include "tests/simgpu/runtime/base/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

struct driver_table driver_table;

static void *library; /* immutable after open_once */
static pthread_once_t open_once = PTHREAD_ONCE_INIT;
static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int open_status; /* immutable after open_once */
static int init_status; /* immutable after init_once */

static CUresult missing(const char *function, bool *said)
{
    if (!__atomic_exchange_n(said, true, __ATOMIC_RELAXED))
        fprintf(stderr, "simgpu runtime: the driver has no %s\n", function);
    return (CUresult)36; /* cudaErrorCallRequiresNewerDriver; the numbers are shared */
}

/* The caller's arguments are ignored, so one shape of stand-in serves every signature. */
#define DRIVER_MISSING(label, name)                                                                \
    static CUresult missing_##label(void)                                                          \
    {                                                                                              \
        static bool said;                                                                          \
        return missing(name, &said);                                                               \
    }
#undef DRIVER
#define DRIVER(slot, function, version) DRIVER_MISSING(slot##_slot, #function)
#define DRIVER_PER_THREAD(slot, function, version, suffix)                                         \
    DRIVER_MISSING(slot##_per_thread, #function "_" #suffix)
#define DRIVER_AS(function, version, typed) DRIVER_MISSING(function##_slot, #function)
#define DRIVER_UNUSED(function, version, flags)
#include "tests/simgpu/runtime/base/driver.def"
#undef DRIVER
#undef DRIVER_PER_THREAD
#undef DRIVER_AS
#undef DRIVER_UNUSED

/* How one row is asked for. */
struct look_up {
    const char *function;
    int version;
    cuuint64_t flags;
    void **slot; /* NULL: the answer is not kept */
    CUresult (*missing)(void);
};

/* clang-format off */
#define DRIVER(slot, function, version) \
    { #function, version, CU_GET_PROC_ADDRESS_DEFAULT, (void **)&driver_table.slot##_slot, missing_##slot##_slot },
#define DRIVER_PER_THREAD(slot, function, version, suffix) \
    { #function, version, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, (void **)&driver_table.slot##_per_thread, missing_##slot##_per_thread },
#define DRIVER_AS(function, version, typed) \
    { #function, version, CU_GET_PROC_ADDRESS_DEFAULT, (void **)&driver_table.function##_slot, missing_##function##_slot },
#define DRIVER_UNUSED(function, version, flags) { #function, version, flags, NULL, NULL },
static const struct look_up look_ups[] = {
#include "tests/simgpu/runtime/base/driver.def"
};
/* clang-format on */
#undef DRIVER
#undef DRIVER_PER_THREAD
#undef DRIVER_AS
#undef DRIVER_UNUSED

enum { LOOK_UPS = sizeof(look_ups) / sizeof(look_ups[0]), LOOK_UPS_BY_DLSYM = 3 };

static void look_up_all(PFN_cuGetProcAddress_v12000 by_dlsym)
{
    PFN_cuGetProcAddress_v12000 ask = by_dlsym;
    void *probe = NULL;

    ask("", &probe, 0, 0, NULL);
    for (int i = 0; i < LOOK_UPS; i++) {
        const struct look_up *row = &look_ups[i];
        void *found = NULL;

        if (i == LOOK_UPS_BY_DLSYM && driver_table.cuGetProcAddress_slot)
            ask = driver_table.cuGetProcAddress_slot;
        if (ask(row->function, &found, row->version, row->flags, NULL) != CUDA_SUCCESS || !found)
            found = (void *)row->missing;
        if (row->slot)
            *row->slot = found;
    }
}

static void open_driver(void)
{
    library = dlopen("libcuda.so.1", RTLD_NOW);
    void *by_dlsym = library ? dlsym(library, "cuGetProcAddress_v2") : NULL;

    if (!by_dlsym) {
        open_status = -ENOENT;
        return;
    }
    look_up_all((PFN_cuGetProcAddress_v12000)by_dlsym);
}

static void init_driver(void)
{
    init_status = driver_open();
    if (init_status == 0)
        init_status = driver_table.cuInit_slot(0);
}

int driver_open(void)
{
    pthread_once(&open_once, open_driver);
    return open_status;
}

int driver_load(void)
{
    pthread_once(&init_once, init_driver);
    return init_status;
}

bool driver_define_variable(CUlibrary module, const char *name, size_t bytes, bool managed)
{
    int (*define)(CUlibrary, const char *, size_t) = NULL;

    *(void **)&define = dlsym(library, managed ? "simgpu_define_managed" : "simgpu_define_global");
    return define && define(module, name, bytes) == CUDA_SUCCESS;
}

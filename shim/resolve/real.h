/* SPDX-License-Identifier: MIT */
/*
 * The real functions behind the hooks: the real dlsym, the driver's table, and a table for each
 * CUDA runtime library of the process.
 *
 * The driver is the one libcuda.so.1 of the process. There may be several runtime libraries (.12
 * and .13, copies of one), which may come and go with dlopen. A runtime identifies itself: it has a
 * runtime's SONAME and itself defines every function of the family. A module that merely defines
 * some of the names stands in for a runtime and is none. A library that provided functions is kept
 * loaded.
 *
 * Threading: every function from any thread. Inside a resolution on the same thread (the driver's
 * constructors may look symbols up) real_driver returns NULL instead of waiting for itself.
 */
#ifndef SHIM_RESOLVE_REAL_H
#define SHIM_RESOLVE_REAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "shim/resolve/hooks.h"

/** Most runtime libraries of a process that are known. */
#define REAL_LIBRARIES 16

/** The library of the runtime function that this thread entered last; REAL_LIBRARIES: none. The
 * entry points write it; read it before any other call. */
extern _Thread_local unsigned real_library __attribute__((visibility("hidden")));

typedef void *real_dlsym_function(void *handle, const char *name);
typedef void *real_dlvsym_function(void *handle, const char *name, const char *version);

/** Returns the dlsym that the program would call without us. NULL only in a process without
 * libc's. */
real_dlsym_function *real_dlsym_get(void);

real_dlvsym_function *real_dlvsym_get(void);

/**
 * Returns the dlsym behind ours in load order: one of another module that stands in for it, else
 * the real one.
 */
real_dlsym_function *real_dlsym_next(void);

/** Looks a symbol up with this library as the caller. */
void *real_dlsym(void *handle, const char *name);
void *real_dlvsym(void *handle, const char *name, const char *version);

/**
 * Looks a symbol up in the global scope from its beginning. RTLD_DEFAULT would begin with this
 * library, because its own references bind to itself.
 */
void *real_dlsym_global(const char *name);

/** True for an address inside this library. */
bool real_is_own(const void *address);

/** False for an address in a namespace of dlmopen: the CUDA there is not ours. */
bool real_is_in_our_namespace(const void *code);

/** Returns a further function of the driver, which real_driver() has found; NULL: it has none. */
void *real_driver_symbol(const char *name);

/** True when the code address lies in the driver library. */
bool real_is_driver_code(const void *code);

/** True for the driver's function of this name. */
bool real_is_driver_function(const struct hook *hook, const void *function);

extern _Atomic(const struct driver_functions *) real_driver_table;
const struct driver_functions *real_driver_resolve(bool may_load);

/** Returns the driver's functions, and loads libcuda.so.1 if nothing has yet. NULL when there is
 * none. */
static inline const struct driver_functions *real_driver(void)
{
    const struct driver_functions *driver = atomic_load_explicit(&real_driver_table,
                                                                 memory_order_acquire);

    return driver ? driver : real_driver_resolve(true);
}

/** True for errors after which the driver refuses everything in the context. */
static inline bool real_error_is_sticky(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_ASSERT: return true;
    default: return false;
    }
}

/**
 * The result of a driver call of our own, repeated once when it fails: a program must not suffer
 * from the failure of a call that it did not make. Do not use it for calls that take memory from
 * the driver. Permanent errors are not retried: the error may come from earlier work, and the call
 * may have freed its argument.
 */
#define REAL_ASK(call)                                                                             \
    ({                                                                                             \
        CUresult real_asked = (call);                                                              \
        real_is_asked_again(real_asked) ? (call) : real_asked;                                     \
    })

static inline bool real_is_asked_again(CUresult result)
{
    return result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY &&
           result != CUDA_ERROR_NOT_SUPPORTED && result != CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED &&
           result != CUDA_ERROR_STREAM_CAPTURE_IMPLICIT && !real_error_is_sticky(result);
}

/** The same without loading anything. */
static inline const struct driver_functions *real_driver_if_loaded(void)
{
    const struct driver_functions *driver = atomic_load_explicit(&real_driver_table,
                                                                 memory_order_acquire);

    return driver ? driver : real_driver_resolve(false);
}

/**
 * Returns the runtime library that this function belongs to, as an index below REAL_LIBRARIES.
 * Negative: it is not a runtime's function of that name, or there are too many libraries.
 */
int real_runtime_of(const struct hook *hook, void *function);

/** Returns the functions of a library; NULL for REAL_LIBRARIES. */
const struct runtime_functions *real_runtime_at(unsigned library);

/** CUDA version of a runtime library that this process uses, as 13000; 0 while it uses none. */
int real_runtime_version(void);

/**
 * Looks a symbol up in the module at a code address and its dependencies. NULL for the main
 * program, whose dependencies are the global scope.
 */
void *real_dlsym_near(const void *code, const char *name);

void *real_dlvsym_near(const void *code, const char *name, const char *version);

/** True for two addresses in one module. */
bool real_is_same_module(const void *a, const void *b);

/** In the child after fork. */
void real_fork_child(void);

#endif

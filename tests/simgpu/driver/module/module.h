/* SPDX-License-Identifier: MIT */
/*
 * Modules, libraries and kernels. The image is not executed: a kernel is known by its name, and
 * runs when a host twin of that name exists (twin.h).
 */
#ifndef SIMGPU_DRIVER_MODULE_MODULE_H
#define SIMGPU_DRIVER_MODULE_MODULE_H

#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/twin.h"

/** A kernel, as CUfunction of a module or CUkernel of a library; either can be launched. */
struct CUfunc_st {
    struct handle handle;
    LIST_ENTRY(CUfunc_st) link; /* in its image */
    struct image *image;
    char *name;
    const struct simgpu_twin *twin;
    int max_dynamic_shared_bytes;
};

struct global {
    LIST_ENTRY(global) link;
    char *name;
    struct allocation *memory;
    size_t bytes;
};

/** What modules and libraries have in common. */
struct image {
    LIST_HEAD(, CUfunc_st) functions;
    LIST_HEAD(, global) globals;
    void *data; /* a copy, where names can be looked up in it; else NULL */
    size_t bytes;
    CUmodule module; /* owner: one of the two */
    CUlibrary library;
};

struct CUmod_st {
    struct handle handle;
    LIST_ENTRY(CUmod_st) link; /* in its context */
    CUcontext ctx;
    struct image image;
    CUlibrary of_library; /* the library's in this context */
};

struct CUlib_st {
    struct handle handle;
    struct image image;
};

/** Keeps the needed parts of an image; INVALID_IMAGE if it is not one. */
CUresult image_open(struct image *image, const void *data);
void image_close(struct image *image);
/** The kernel of that name; the same handle each time. */
CUresult image_function(struct image *image, const char *name, CUfunction *ret);
CUresult image_global(struct image *image, const char *name, CUdeviceptr *ret, size_t *ret_bytes);
/** Likewise; not found when it is not a managed one. */
CUresult image_managed(struct image *image, const char *name, CUdeviceptr *ret, size_t *ret_bytes);

CUresult module_create(CUcontext ctx, const void *data, CUmodule *ret);
void module_destroy(CUmodule module);
void modules_drop(CUcontext ctx);

/** Loads the directory of twins, once. No lock: it calls the loader. */
void twins_open(void);
/** NULL if there is none. */
const struct simgpu_twin *twin_find(const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Makes one look-up for each row of driver_calls.def. The library stays loaded, because its
 * threads may be running.
 */
#include "kernels/device/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct row {
    const char *name;
    size_t offset;
    bool needed;
};

static const struct row rows[] = {
#define DRIVER_CALL(field, name, parameters) {name, offsetof(struct driver_table, field), true},
#define DRIVER_CALL_MAYBE(field, name, parameters)                                                 \
    {name, offsetof(struct driver_table, field), false},
#include "kernels/device/driver_calls.def"
};

static struct driver_table table;
static const char *missing;
static int result;

const char *driver_table_fill(struct driver_table *ret_table,
                              void *(*find)(void *state, const char *name), void *state)
{
    const char *lacking = NULL;

    for (size_t at = 0; at < sizeof(rows) / sizeof(*rows); at++) {
        void *function = find(state, rows[at].name);

        memcpy((char *)ret_table + rows[at].offset, &function, sizeof(function));
        if (!function && rows[at].needed && !lacking)
            lacking = rows[at].name;
    }
    return lacking;
}

static void *find_in(void *library, const char *name)
{
    return dlsym(library, name);
}

static void table_fill(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        result = -ENOENT;
        return;
    }
    missing = driver_table_fill(&table, find_in, library);
    if (missing)
        result = -ENOSYS;
}

int driver_open(const struct driver_table **ret_driver, const char **ret_missing)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, table_fill);
    *ret_missing = missing;
    if (result == 0)
        *ret_driver = &table;
    return result;
}

int driver_error(CUresult error)
{
    switch (error) {
    case CUDA_SUCCESS: return 0;
    case CUDA_ERROR_OUT_OF_MEMORY: return -ENOMEM;
    case CUDA_ERROR_INVALID_VALUE:
    case CUDA_ERROR_INVALID_HANDLE: return -EINVAL;
    case CUDA_ERROR_NO_DEVICE:
    case CUDA_ERROR_INVALID_DEVICE: return -ENODEV;
    case CUDA_ERROR_NOT_READY: return -EINPROGRESS;
    case CUDA_ERROR_NOT_SUPPORTED:
    case CUDA_ERROR_NOT_FOUND: return -ENOTSUP;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED:
    case CUDA_ERROR_STREAM_CAPTURE_INVALIDATED:
    case CUDA_ERROR_STREAM_CAPTURE_ISOLATION:
    case CUDA_ERROR_CAPTURED_EVENT:
    case CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: return -EBUSY;
    default: return -EIO;
    }
}

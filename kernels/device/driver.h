/* SPDX-License-Identifier: MIT */
/*
 * The driver for launchers and copies: a table of functions found at run time, so that nothing is
 * linked with libcuda. dlsym is the process's: under the preload it returns the hooks, so memory
 * allocated here is served and recorded like the program's own.
 *
 * Threading: the table is filled once and constant afterwards.
 */
#ifndef KERNELS_DEVICE_DRIVER_H
#define KERNELS_DEVICE_DRIVER_H

#include <cuda.h>

struct driver_table {
#define DRIVER_CALL(field, name, parameters) CUresult(*field) parameters;
#define DRIVER_CALL_MAYBE                    DRIVER_CALL
#include "kernels/device/driver_calls.def"
};

/**
 * Returns the table. -ENOENT: there is no libcuda.so.1; -ENOSYS: it lacks a function, named in
 * ret_missing.
 */
int driver_open(const struct driver_table **ret_driver, const char **ret_missing);

/** Fills a table through another look-up; returns the name of a missing required function, or
 * NULL. */
const char *driver_table_fill(struct driver_table *ret_table,
                              void *(*find)(void *state, const char *name), void *state);

/** A driver's answer as a negative errno. */
int driver_error(CUresult result);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The way down: libcuda.so.1, opened once, one dlsym, then cuGetProcAddress for every row of
 * driver.def. A library preloaded between the runtime and the driver sees the same questions in
 * the same order as from the real runtime, and may substitute any answer.
 *
 * A function the driver does not have leaves a stand-in in its slot that names it once on stderr
 * and returns cudaErrorCallRequiresNewerDriver, so a slot is never NULL once driver_load()
 * succeeded.
 *
 * Threading: driver_load() may be called from any thread; the table is immutable afterwards.
 */
#ifndef SIMGPU_RUNTIME_DRIVER_H
#define SIMGPU_RUNTIME_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cudaTypedefs.h>
#include <cudaProfilerTypedefs.h>

/* The fields carry a suffix because cuda.h defines many of the plain names as macros. */
#define DRIVER(slot, function, version) PFN_##function##_v##version slot##_slot;
#define DRIVER_PER_THREAD(slot, function, version, suffix)                                         \
    PFN_##function##_v##version##_##suffix slot##_per_thread;
#define DRIVER_AS(function, version, typed) PFN_##function##_v##typed function##_slot;
#define DRIVER_UNUSED(function, version, flags)
struct driver_table {
#include "tests/simgpu/runtime/base/driver.def"
};
#undef DRIVER
#undef DRIVER_PER_THREAD
#undef DRIVER_AS
#undef DRIVER_UNUSED

extern struct driver_table driver_table;

/** The driver function in a slot of driver.def. */
#define DRIVER(slot) (driver_table.slot##_slot)

/**
 * Loads and initialises the driver, the first time; later calls return the same answer.
 * Returns 0, -ENOENT without a usable libcuda, or the positive CUresult of cuInit.
 */
int driver_load(void);

/** Loads the driver without initialising it: 0, or -ENOENT without a usable libcuda. */
int driver_open(void);

/**
 * Sets the size of a variable in the simulated driver, if the image lacks it (a compressed one).
 * The only other dlsym there ever is, and only for a variable the driver does not find: a control
 * of the simulated device has no place among the driver's functions. False with any other driver.
 */
bool driver_define_variable(CUlibrary library, const char *name, size_t bytes, bool managed);

#endif

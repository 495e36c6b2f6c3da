/* SPDX-License-Identifier: MIT */
/*
 * The controls of the simulated device, exported by its libcuda.so.1 beside the driver API. Tests
 * that must also run on hardware look them up with dlsym and skip what needs them.
 */
#ifndef SIMGPU_H
#define SIMGPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIMGPU_API __attribute__((visibility("default")))

struct CUstream_st;
struct CUmod_st;

/**
 * Keep a stream from starting work until it is released as often; what runs goes on. NULL is the
 * legacy default stream of the current context. Returns a CUresult. Synchronous calls that have to
 * wait for a held stream wait until another thread releases it.
 */
SIMGPU_API int simgpu_hold(struct CUstream_st *stream);
SIMGPU_API int simgpu_release(struct CUstream_st *stream);

/**
 * Set the size of a variable of a module or library, if its image lacks it: a runtime
 * knows it from the program's registration. The variable exists from then on. Returns a CUresult.
 */
SIMGPU_API int simgpu_define_global(struct CUmod_st *module, const char *name, size_t bytes);
/** Likewise for a __managed__ variable. */
SIMGPU_API int simgpu_define_managed(struct CUmod_st *module, const char *name, size_t bytes);

/** Virtual time that the calls of this process have cost, by the profile. */
SIMGPU_API uint64_t simgpu_virtual_ns(void);

/** How often the program called an exported function, e.g. "cuMemAlloc_v2"; 0 if unknown. */
SIMGPU_API uint64_t simgpu_calls(const char *name);

/** Launches of kernels that had no host twin. */
SIMGPU_API uint64_t simgpu_kernels_skipped(void);

/** Calls of math libraries that would have computed something. */
SIMGPU_API uint64_t simgpu_library_calls(void);

/**
 * Units of work that were submitted and not done when the mapping they use was taken away, or its
 * access: an error of the program. What a kernel uses is known by the pointers it was given.
 */
SIMGPU_API uint64_t simgpu_edits_under_work(void);

/** SYNC_MEMOPS of the memory mapped or allocated at an address, of whole allocations as the driver
 * keeps it; -1: there is none. */
SIMGPU_API int simgpu_sync_memops(uint64_t address);

#ifdef __cplusplus
}
#endif
#endif

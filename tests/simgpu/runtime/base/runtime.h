/* SPDX-License-Identifier: MIT */
/*
 * The simulated CUDA runtime, inside view.
 *
 * The runtime is a translation: it checks arguments as documented by the runtime API, turns them
 * into the driver's, calls the driver through driver.h and turns the answer back. It owns no memory
 * of the device and no stream; what it does own is the thread's current device and last error
 * (context.c, error.c) and the programs' registered images (image.c).
 *
 * Files named in meson's twin list are compiled twice, the second time with RUNTIME_PER_THREAD:
 * the toolkit's header then renames cudaMemcpy to cudaMemcpy_ptds and so on, and STREAM_DRIVER
 * picks the driver's twins. Every public function in such a file has a twin.
 *
 * Public functions never call each other, so that a preloaded library sees only the program's
 * calls.
 */
#ifndef SIMGPU_RUNTIME_RUNTIME_H
#define SIMGPU_RUNTIME_RUNTIME_H

#include "tests/simgpu/runtime/base/driver.h"
#ifdef RUNTIME_PER_THREAD
#define CUDA_API_PER_THREAD_DEFAULT_STREAM
#endif
#if RUNTIME_MAJOR <= 12
#include "tests/simgpu/runtime/abi/abi12_names.h"
#endif
/* Built with hidden visibility: only the declarations of the toolkit's header are public. */
#pragma GCC visibility push(default)
#include <cuda_runtime_api.h>
#pragma GCC visibility pop

/** A public function that the header does not declare. */
#define RUNTIME_PUBLIC __attribute__((visibility("default")))

/** Result of cudaRuntimeGetVersion: the release with the ABI of this build. */
#if RUNTIME_MAJOR == 11
#define RUNTIME_VERSION 11080
#elif RUNTIME_MAJOR == 12
#define RUNTIME_VERSION 12080
#else
#define RUNTIME_VERSION 13000
#endif

#ifdef RUNTIME_PER_THREAD
/** The driver's twin of `slot` for the default stream this file is compiled for. */
#define STREAM_DRIVER(slot) (driver_table.slot##_per_thread)
#else
#define STREAM_DRIVER(slot) (driver_table.slot##_slot)
#endif

/** An address of the runtime API as the driver wants it. */
#define DEVICE_ADDRESS(pointer) ((CUdeviceptr)(uintptr_t)(pointer))

/** The runtime's code for a driver's answer. */
cudaError_t error_from(CUresult result);

/** Keeps a failure as the thread's last error and returns it: the last thing a public call does. */
cudaError_t error_keep(cudaError_t status);

/** A driver's answer to a public call: translated and kept. */
cudaError_t error_keep_result(CUresult result);

/** Clears the thread's last error: cudaDeviceReset gives the thread a fresh start. */
void error_forget(void);

/** The driver is loaded and initialised; no context is needed. */
cudaError_t driver_ready(void);

/**
 * The driver is initialised and the thread has a current context: its own choice through the
 * driver API if it made one, else the primary context of the thread's device.
 */
cudaError_t context_ready(void);

/** The device the thread would use: its context's, else the one it last set, else 0. */
cudaError_t context_device(int *ret_device);

/** The primary context of a device, retained once for the whole runtime. */
cudaError_t context_primary(int device, CUcontext *ret_context);

#endif

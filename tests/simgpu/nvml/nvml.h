/* SPDX-License-Identifier: MIT */
/*
 * The interface of the management library as far as it is simulated. NVIDIA's nvml.h is in no
 * package that the build needs, so types and numbers are declared here; the test nvml compares them
 * with nvidia-ml-py.
 *
 * Handles are small numbers, so that they outlive nvmlShutdown as natively. Any function may be
 * called from any thread; between the last nvmlShutdown and the next nvmlInit all are refused.
 */
#ifndef SIMGPU_NVML_NVML_H
#define SIMGPU_NVML_NVML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/simgpu/driver/base/machine.h"

#define NVML_API __attribute__((visibility("default")))

enum nvml_result {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_ALREADY_INITIALIZED = 5,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_INSUFFICIENT_POWER = 8,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_TIMEOUT = 10,
    NVML_ERROR_IRQ_ISSUE = 11,
    NVML_ERROR_LIBRARY_NOT_FOUND = 12,
    NVML_ERROR_FUNCTION_NOT_FOUND = 13,
    NVML_ERROR_CORRUPTED_INFOROM = 14,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_UNKNOWN = 999,
};

typedef enum nvml_result nvml_result;
typedef struct nvml_device_none *nvml_device;

/** NVML_SUCCESS between nvmlInit and nvmlShutdown. */
nvml_result nvml_ready(void);
/** Never NULL after nvml_ready(). */
const struct machine_table *nvml_machine(void);
/** Properties of a device; an invalid handle is an invalid argument. */
nvml_result nvml_device_read(nvml_device device, struct machine_device *ret, unsigned *ret_index);
/** A text into a buffer of the caller. */
nvml_result nvml_text(const char *text, char *ret, unsigned bytes);

#endif

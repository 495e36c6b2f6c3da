/* SPDX-License-Identifier: MIT */
/*
 * The functions of nvml.def that no simulated board supports. One shape serves every signature,
 * because no argument is looked at.
 */
#include "tests/simgpu/nvml/nvml.h"

#define WRITTEN(name)
#define UNSUPPORTED(name)                                                                          \
    NVML_API nvml_result name(void);                                                               \
    nvml_result name(void)                                                                         \
    {                                                                                              \
        nvml_result result = nvml_ready();                                                         \
        return result ?: NVML_ERROR_NOT_SUPPORTED;                                                 \
    }
#include "tests/simgpu/nvml/nvml.def"

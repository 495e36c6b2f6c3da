/* SPDX-License-Identifier: MIT */
/*
 * Device code of driver_facts: a kernel to wait for.
 *
 * A chain of dependent steps in one thread, so that it takes as long on a large device as on a
 * small one. Also compiled as C++ for the simulated device.
 */
#ifndef GPU_FACTS_KERNELS_CUH
#define GPU_FACTS_KERNELS_CUH

#include "tests/simgpu/host_kernel.h"

__global__ void facts_spin(uint32_t *sink, uint32_t steps)
{
    uint32_t value = steps;
    for (uint32_t i = 0; i < steps; i++)
        value = value * 1664525u + 1013904223u;
    *sink = value;
}

HOST_TWIN(facts_spin);

#endif

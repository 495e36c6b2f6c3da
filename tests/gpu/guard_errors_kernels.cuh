/* SPDX-License-Identifier: MIT */
/*
 * Device code of guard_errors: writes and reads bytes at given addresses. Also compiled as
 * C++ for the simulated device.
 */
#ifndef GPU_GUARD_ERRORS_KERNELS_CUH
#define GPU_GUARD_ERRORS_KERNELS_CUH

#include <stdint.h>

#include "tests/simgpu/host_kernel.h"

__global__ void guard_write(unsigned char *at, uint64_t bytes, uint32_t value)
{
    for (uint64_t i = 0; i < bytes; i++)
        ((volatile unsigned char *)at)[i] = (unsigned char)value;
}

__global__ void guard_read(const unsigned char *at, uint64_t bytes, uint32_t *sum)
{
    uint32_t all = 0;
    for (uint64_t i = 0; i < bytes; i++)
        all += ((const volatile unsigned char *)at)[i];
    *sum = all;
}

HOST_TWIN(guard_write);
HOST_TWIN(guard_read);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Interface of the simulated driver for the simulated libraries beside it: the devices of the
 * machine for the management library (NVML), which sees all of them, even before cuInit and after
 * fork; and placeholder work for the math libraries. Accessed through a table of cuGetExportTable,
 * as observer.h.
 */
#ifndef SIMGPU_DRIVER_BASE_MACHINE_H
#define SIMGPU_DRIVER_BASE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda.h>

#define MACHINE_TABLE_ID "simgpu-machine01" /* 16 bytes, a CUuuid */

struct machine_device {
    char name[128];
    unsigned char uuid[16];
    char bus_id[32];
    unsigned bus;
    int compute_major, compute_minor;
    unsigned clock_mhz, memory_clock_mhz, memory_bus_bits;
    uint64_t total_bytes,
        used_bytes;         /* what cuMemGetInfo says; of this process and SIMGPU_OTHERS */
    uint64_t process_bytes; /* of this process */
};

struct machine_table {
    size_t bytes;
    int (*driver_version)(void);
    unsigned (*devices)(void);
    void (*device)(unsigned index, struct machine_device *ret);
    /** Work on a stream, instead of a library's computation. */
    CUresult (*skip)(CUstream stream, const char *function);
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The table of machine.h: what cuGetExportTable gives the simulated libraries.
 */
#ifndef SIMGPU_DRIVER_API_MACHINE_TABLE_H
#define SIMGPU_DRIVER_API_MACHINE_TABLE_H

#include "tests/simgpu/driver/base/driver.h"

/** CUDA_ERROR_NOT_SUPPORTED for any other id. No lock. */
CUresult machine_table(const void **ret, const CUuuid *id);

#endif

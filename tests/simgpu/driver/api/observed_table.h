/* SPDX-License-Identifier: MIT */
/*
 * The table that the simulated CUPTI asks for (observer.h).
 */
#ifndef SIMGPU_DRIVER_API_OBSERVED_TABLE_H
#define SIMGPU_DRIVER_API_OBSERVED_TABLE_H

#include "tests/simgpu/driver/base/driver.h"

/** The body of cuGetExportTable. No lock. */
CUresult observed_table(const void **ret, const CUuuid *id);

#endif

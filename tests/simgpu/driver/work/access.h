/* SPDX-License-Identifier: MIT */
/*
 * Whether a device may use the mappings that a unit of work touches (cuMemSetAccess is for each
 * device by itself).
 */
#ifndef SIMGPU_DRIVER_WORK_ACCESS_H
#define SIMGPU_DRIVER_WORK_ACCESS_H

#include "tests/simgpu/driver/work/work.h"

/** Takes the driver's lock. */
bool access_granted(const struct work *work, CUcontext ctx);

#endif

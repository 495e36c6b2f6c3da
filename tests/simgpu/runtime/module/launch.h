/* SPDX-License-Identifier: MIT */
/*
 * What launches share: the driver's form of a configuration, and the runtime's view of a refusal.
 * Thread-safe.
 */
#ifndef SIMGPU_RUNTIME_LAUNCH_H
#define SIMGPU_RUNTIME_LAUNCH_H

#include "tests/simgpu/runtime/module/image.h"

/** The driver's form of a launch configuration. */
CUlaunchConfig launch_config(const cudaLaunchConfig_t *config);

/**
 * The runtime's code for a launch the driver answered with `result`. Where the driver only says
 * "invalid value", the runtime tells a grid or block the device cannot run
 * (cudaErrorInvalidConfiguration) from other mistakes.
 */
cudaError_t launch_result(CUresult result, dim3 grid, dim3 block);

#endif

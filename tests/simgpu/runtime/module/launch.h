/* SPDX-License-Identifier: MIT */
/*
 * Shared by launches: conversion of a configuration to the driver's form, and of a refusal to the
 * runtime's error. Thread-safe.
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

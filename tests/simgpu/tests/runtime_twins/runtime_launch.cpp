/* SPDX-License-Identifier: MIT */
/* The kernels of runtime_launch.cu for the host: the same source, with the twins' compiler. */
#include "tests/simgpu/tests/runtime_launch.cu"

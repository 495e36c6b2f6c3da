/* SPDX-License-Identifier: MIT */
/* The kernels of launch_test.cu for the host: the same source, with the twins' compiler. */
#include "tests/simgpu/tests/runtime/launch_test.cu"

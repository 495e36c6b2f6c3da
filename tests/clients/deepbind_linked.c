/* SPDX-License-Identifier: MIT */
/*
 * A plugin that is linked with the runtime. Opened with RTLD_DEEPBIND its calls are bound to the
 * runtime it is linked with before anything that is preloaded.
 */
#include "tests/clients/exercise.h"

void deepbind_linked_run(void);

void deepbind_linked_run(void)
{
    const struct exercise_runtime runtime = {
        .malloc = cudaMalloc,
        .free = cudaFree,
        .memset = cudaMemset,
        .memcpy = cudaMemcpy,
        .device_synchronize = cudaDeviceSynchronize,
    };
    exercise(&runtime, "plugin linked with the runtime");
}

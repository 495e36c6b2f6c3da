/* SPDX-License-Identifier: MIT */
/*
 * A library with a copy of NVTX inside, as engines ship them.
 */
#include <nvtx3/nvToolsExt.h>

__attribute__((visibility("default"))) void nvtx_library_run(void);

void nvtx_library_run(void)
{
    nvtxRangePushA("inside a library");
    nvtxRangePop();
}

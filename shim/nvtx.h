/* SPDX-License-Identifier: MIT */
/*
 * What NVTX looks for in a tool. See nvtx.c.
 *
 * Threading: NVTX calls the function once for each copy of itself.
 */
#ifndef SHIM_NVTX_H
#define SHIM_NVTX_H

#define NVTX_NO_IMPL
#include <nvtx3/nvToolsExt.h>

/** 1: attached; 0: nothing is recorded, and NVTX makes its functions empty. */
__attribute__((visibility("default"))) int InitializeInjectionNvtx2(
    NvtxGetExportTableFunc_t get_table);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Functions of the 12 ABI that this toolkit's header declares with another signature, or not at
 * all: the OLD rows of abi12.def. Each has a C name of its own here and its exported name as the
 * assembler's label. Only in the 12 build.
 */
#include "tests/simgpu/runtime/base/runtime.h"

#include <stddef.h>

#define RENAMED(name, name12)
#define RENAMED_PTSZ(name, name12)
#define OLD(name, field, parameters, arguments)                                                    \
    RUNTIME_PUBLIC cudaError_t abi12_##name parameters __asm__(#name);                             \
    cudaError_t abi12_##name parameters                                                            \
    {                                                                                              \
        cudaError_t status = context_ready();                                                      \
                                                                                                   \
        return error_keep(status ?: error_from(driver_table.field arguments));                     \
    }
#include "tests/simgpu/runtime/abi/abi12.def"

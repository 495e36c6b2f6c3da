/* SPDX-License-Identifier: MIT */
/*
 * In the 12 build, gives functions of this toolkit's header the exported names 12 has for them:
 * the rows of abi12.def. Included before the header, so that every declaration follows.
 */
#ifndef SIMGPU_RUNTIME_ABI12_NAMES_H
#define SIMGPU_RUNTIME_ABI12_NAMES_H

#define ABI12_PRAGMA(text)    _Pragma(#text)
#define RENAMED(name, name12) ABI12_PRAGMA(redefine_extname name name12)
#define RENAMED_PTSZ(name, name12)                                                                 \
    RENAMED(name, name12)                                                                          \
    RENAMED(name##_ptsz, name12##_ptsz)
#define OLD(name, field, parameters, arguments)
#include "tests/simgpu/runtime/abi/abi12.def"
#undef RENAMED
#undef RENAMED_PTSZ
#undef OLD
#undef ABI12_PRAGMA

#endif

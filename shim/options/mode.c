/* SPDX-License-Identifier: MIT */
/*
 * A separate file because the look-up of symbols needs it before a sanitizer's runtime is ready.
 */
#include "shim/options/mode.h"

/* All zero, so it lies in anonymous memory (.bss), which can be wiped. */
_Alignas(SHIM_PAGE_BYTES) union shim_page shim_page;

struct options mode_options;

/* SPDX-License-Identifier: MIT */
/*
 * The look-up of symbols needs it before a sanitizer's runtime is ready.
 */
#include "shim/options/mode.h"

/* Zeros, so it lies behind what is mapped from the file, and anonymous memory can be wiped. */
_Alignas(SHIM_PAGE_BYTES) union shim_page shim_page;

struct options mode_options;

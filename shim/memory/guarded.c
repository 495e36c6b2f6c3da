/* SPDX-License-Identifier: MIT */
/*
 * See guarded.h.
 */
#include "shim/memory/guarded.h"

size_t guarded_zone_bytes;

/* SPDX-License-Identifier: MIT */
#include "shim/memory/guarded.h"

size_t guarded_zone_bytes, guarded_page_bytes;

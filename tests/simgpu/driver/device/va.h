/* SPDX-License-Identifier: MIT */
/*
 * Virtual addresses of the device: one region of the process, reserved at cuInit without access
 * and without memory, in pages of 2 MiB. A page descriptor says in constant time what lies at an
 * address. Free extents are kept by boundary tags in the descriptors and by size in bins.
 *
 * Everything here is guarded by driver_lock; va_contains alone may be called without.
 */
#ifndef SIMGPU_DRIVER_DEVICE_VA_H
#define SIMGPU_DRIVER_DEVICE_VA_H

#include "tests/simgpu/driver/base/driver.h"

struct allocation;
struct segment;
struct reservation;

struct page {
    struct allocation *allocation;   /* what is mapped here, unless a segment is */
    struct segment *segment;         /* small allocations share this page */
    struct reservation *reservation; /* cuMemAddressReserve holds it */
    uint32_t extent_pages;           /* at the first and last page of a free extent; else 0 */
    uint32_t next, prev;             /* at its first page: others of its bin, as index + 1 */
};

CUresult va_open(void);
bool va_contains(uintptr_t address);

/** The descriptor of the page at an address of the region, else NULL. */
struct page *va_page(uintptr_t address);

/** Reserve; 0 if there is no such extent. `wanted` (0: anywhere) is taken if it is free. */
uintptr_t va_take(size_t bytes, size_t align, uintptr_t wanted);
void va_give(uintptr_t address, size_t bytes);

#endif

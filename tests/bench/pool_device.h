/* SPDX-License-Identifier: MIT */
/*
 * A device that costs nothing, for benchmarks: addresses from a counter, fences passed at once.
 *
 * Freed segments are not handed out again, which a benchmark does not notice. Thread-safe.
 */
#ifndef TESTS_BENCH_POOL_DEVICE_H
#define TESTS_BENCH_POOL_DEVICE_H

#include "pool/pool.h"

struct pool_device {
    uint64_t capacity_bytes; /* 0: endless */
    _Atomic uint64_t next_address;
    _Atomic uint64_t used_bytes, peak_bytes;
    _Atomic uint64_t segment_calls; /* that allocate, map or free memory */
    _Atomic uint64_t fence_calls;
};

void pool_device_init(struct pool_device *device);
struct pool_backend pool_device_backend(struct pool_device *device);

#endif

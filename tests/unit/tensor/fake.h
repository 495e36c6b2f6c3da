/* SPDX-License-Identifier: MIT */
/*
 * Devices of the tensor cache's unit tests: memory of malloc, of a capacity that the test sets;
 * fences that pass when the test says so; calls that fail on demand.
 *
 * Threading: counters are atomic; a test that uses threads changes no setting meanwhile.
 */
#ifndef TESTS_UNIT_TENSOR_FAKE_H
#define TESTS_UNIT_TENSOR_FAKE_H

#include <stdatomic.h>

#include "pool/tensor/tensor.h"

#define FAKE_STREAM(number) ((cupool_stream)(uintptr_t)(number))

struct fake {
    _Atomic uint64_t capacity;       /* 0: any */
    _Atomic uint64_t plain_capacity; /* of plain_allocate, beyond the capacity */
    _Atomic uint64_t cached_bytes;   /* that relieve() adds to the capacity, once */
    uint64_t fail_at;                /* the call that fails; 0: none */
    int fail_error;
    uintptr_t captured;      /* stream with refused fences; 0: none */
    bool passed;             /* every fence has passed */
    bool host;               /* no fences */
    void (*meanwhile)(void); /* happens during the next allocation or fence */
    _Atomic uint64_t calls, bytes, plain_bytes, allocations, reliefs, waits;
    _Atomic int live, fences;
};

struct tensor_backend fake_backend(struct fake *fake);

#endif

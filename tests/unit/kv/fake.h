/* SPDX-License-Identifier: MIT */
/*
 * The device of the KV pool's unit tests: host memory, fences that pass when the test says so, a
 * clock that the test moves, and calls that fail on demand.
 *
 * A stream is a small number as a pointer. Work that was submitted before a fence has passed once
 * fake_pass() names its stream.
 */
#ifndef TESTS_UNIT_KV_FAKE_H
#define TESTS_UNIT_KV_FAKE_H

#include "pool/kv/kv.h"

#define FAKE_FENCES         4096
#define FAKE_STREAM(number) ((cupool_stream)(uintptr_t)(number))

struct fake {
    uint64_t clock_ns;
    uint64_t serial;              /* of the last fence */
    uint64_t passed[8];           /* per stream: fences up to here have passed */
    uint8_t streams[FAKE_FENCES]; /* of each fence, modulo */
    int live_fences, waits, fills, copies, pages, memory, errors;
    uint64_t calls, fail_at; /* the call that fails; 0: none */
    int fail_error;
    int captured;       /* stream that takes no work; 0: none */
    uint64_t waited[8]; /* per stream: the newest fence that it waits for */
    uint64_t filled[8]; /* per stream: what its newest zeroing waits for */
};

struct kv_backend fake_backend(struct fake *fake);

/** Everything submitted to the stream so far has run. */
void fake_pass(struct fake *fake, unsigned stream);

/** Fails the allocation of host memory number `at` (from 1) from now on; 0: none. Counts. */
void heap_fail_at(uint64_t at);
uint64_t heap_asked(void);

#endif

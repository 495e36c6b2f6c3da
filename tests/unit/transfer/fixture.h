/* SPDX-License-Identifier: MIT */
/*
 * Transfers over the fake device, and memory with content that identifies its origin.
 */
#ifndef TESTS_UNIT_TRANSFER_FIXTURE_H
#define TESTS_UNIT_TRANSFER_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/transfer/fake.h"

#define NONE   CUPOOL_STREAM_NONE
#define TO     CUPOOL_TO_DEVICE
#define FROM   CUPOOL_FROM_DEVICE
#define WITHIN CUPOOL_WITHIN_DEVICE

__attribute__((unused)) static struct fake fake;
__attribute__((unused)) static struct cupool_transfers *transfers;
__attribute__((unused)) static uint8_t pageable[1 << 20];

/** Small ones: 4 KiB pieces, kernel below 1 KiB from 4 on, batches from 3 on. */
__attribute__((unused)) static struct cupool_transfers_config config_small(void)
{
    static const struct cupool_transfer_thresholds thresholds = {1024, 4, 3};
    struct cupool_transfers_config config;

    cupool_transfers_config_init(&config);
    config.requests = 16;
    config.fragments = 512;
    config.depth = 2;
    config.pieces = 3;
    config.piece_bytes = 4096;
    config.thresholds = &thresholds;
    return config;
}

__attribute__((unused)) static void transfers_make(const struct cupool_transfers_config *config)
{
    const struct transfer_backend backend = fake_backend(&fake);

    cr_assert_eq(transfers_create(&backend, config, &transfers), 0);
}

__attribute__((unused)) static void check(void)
{
    char why[160] = "";

    cr_assert_eq(cupool_transfers_check(transfers, why, sizeof(why)), 0, "%s", why);
}

__attribute__((unused)) static void setup(void)
{
    const struct cupool_transfers_config config = config_small();

    fake_make(&fake);
    transfers_make(&config);
}

__attribute__((unused)) static void teardown(void)
{
    check();
    transfers_destroy(transfers);
    cr_assert_eq(fake.fences, 0, "%d events were kept", fake.fences);
    cr_assert_eq(fake.ring, 0, "page-locked memory was kept");
    cr_assert_eq(fake.broken, 0, "a stream ended with work");
    fake_end(&fake);
}

/** Fills memory with a sequence that no other seed has. */
__attribute__((unused)) static void fill(void *memory, size_t bytes, uint32_t seed)
{
    uint8_t *to = memory;

    for (size_t at = 0; at < bytes; at++) {
        seed = seed * 1664525 + 1013904223;
        to[at] = (uint8_t)(seed >> 24);
    }
}

__attribute__((unused)) static int submit(enum cupool_direction direction,
                                          const struct cupool_copy *copies, uint32_t count,
                                          cupool_transfer *ret_transfer)
{
    return cupool_transfers_submit(transfers, direction, copies, count, NULL, ret_transfer);
}

/** Submits one copy. */
__attribute__((unused)) static cupool_transfer copy_of(enum cupool_direction direction, void *to,
                                                       const void *from, size_t bytes)
{
    const struct cupool_copy copy = {to, from, bytes};
    cupool_transfer transfer = 0;

    cr_assert_eq(submit(direction, &copy, 1, &transfer), 0, "%s",
                 cupool_transfers_error(transfers));
    return transfer;
}

__attribute__((unused)) static struct cupool_transfer_statistics stats_of(
    enum cupool_direction direction)
{
    struct cupool_transfer_statistics stats;

    cr_assert_eq(cupool_transfers_stats(transfers, direction, &stats), 0);
    return stats;
}

__attribute__((unused)) static int wait_for(cupool_transfer transfer)
{
    return cupool_transfer_wait(transfers, transfer, CUPOOL_WAIT_FOREVER);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Copied bytes: every alignment, sizes from 0 to 64 KiB, every kind of memory, both directions;
 * neighbouring bytes stay unchanged.
 */
#include "tests/unit/transfer/fixture.h"

static uint8_t want_device[1 << 20], want_host[1 << 20];

static uint8_t *host_memory(unsigned kind)
{
    return kind == 0 ? pageable : kind == 1 ? fake.pinned : fake.second;
}

/* Copies, waits, and compares all of both memories. */
static void copied(enum cupool_direction direction, unsigned kind, const struct cupool_copy *copies,
                   unsigned count)
{
    uint8_t *host = host_memory(kind);
    cupool_transfer transfer;

    fill(fake.device, FAKE_DEVICE_BYTES, 1);
    fill(host, FAKE_PINNED_BYTES, 2);
    memcpy(want_device, fake.device, FAKE_DEVICE_BYTES);
    memcpy(want_host, host, FAKE_PINNED_BYTES);
    for (unsigned at = 0; at < count; at++) {
        size_t device = (size_t)((const uint8_t *)(direction == TO ? copies[at].to
                                                                   : copies[at].from) -
                                 fake.device);
        size_t inside =
            (size_t)((const uint8_t *)(direction == TO ? copies[at].from : copies[at].to) - host);

        if (direction == TO)
            memcpy(want_device + device, want_host + inside, copies[at].bytes);
        else
            memcpy(want_host + inside, want_device + device, copies[at].bytes);
    }
    cr_assert_eq(submit(direction, copies, count, &transfer), 0, "%s",
                 cupool_transfers_error(transfers));
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_eq(memcmp(fake.device, want_device, FAKE_DEVICE_BYTES), 0, "the device's memory");
    cr_assert_eq(memcmp(host, want_host, FAKE_PINNED_BYTES), 0, "the host's memory");
}

static struct cupool_copy pair(enum cupool_direction direction, unsigned kind, size_t device,
                               size_t host, size_t bytes)
{
    uint8_t *inside = host_memory(kind) + host, *outside = fake.device + device;

    return direction == TO ? (struct cupool_copy){outside, inside, bytes}
                           : (struct cupool_copy){inside, outside, bytes};
}

/* One copy for each pair of alignments, of a size that goes by the same way. */
static void alignments(enum cupool_direction direction, unsigned kind, size_t bytes)
{
    struct cupool_copy copies[256];

    for (unsigned at = 0; at < 256; at++)
        copies[at] = pair(direction, kind, at * 4096 + at / 16, at * 4096 + at % 16 + 64, bytes);
    copied(direction, kind, copies, 256);
}

Test(transfer_content, every_pair_of_alignments, .init = setup, .fini = teardown)
{
    static const size_t sizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1023, 1024, 3000};

    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned at = 0; at < sizeof(sizes) / sizeof(*sizes); at++) {
            alignments(TO, kind, sizes[at]);
            alignments(FROM, kind, sizes[at]);
            check();
        }
    cr_assert_gt(stats_of(TO).launches, 0);
    cr_assert_gt(stats_of(FROM).batches, 0);
}

Test(transfer_content, sizes_to_64_kib, .init = setup, .fini = teardown)
{
    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned direction = TO; direction <= FROM; direction++)
            for (size_t bytes = 0; bytes <= 65536; bytes = bytes < 40 ? bytes + 1 : bytes * 5 / 3) {
                struct cupool_copy copies[5];

                for (unsigned at = 0; at < 5; at++)
                    copies[at] = pair(direction, kind, at * 70000 + at * 3, at * 70000 + at, bytes);
                copied(direction, kind, copies, 1 + bytes % 5);
            }
    struct cupool_copy whole = pair(FROM, 0, 3, 5, 65536);
    copied(FROM, 0, &whole, 1);
    whole = pair(TO, 0, 3, 5, 65536);
    copied(TO, 0, &whole, 1);
}

Test(transfer_content, mixed_at_random, .init = setup, .fini = teardown)
{
    uint32_t random = 12345;

    for (unsigned round = 0; round < 150; round++) {
        struct cupool_copy copies[200];
        unsigned count = 0, kind = round % 3;
        size_t device = 0, host = 0;

        for (; count < 200; count++) {
            random = random * 1664525 + 1013904223;
            size_t bytes = random >> 28 == 0 ? random >> 8 & 0xffff : random >> 8 & 0x3ff;
            device += random >> 4 & 15;
            host += random >> 20 & 7;
            if (device + bytes > FAKE_DEVICE_BYTES || host + bytes > FAKE_PINNED_BYTES)
                break;
            copies[count] = pair(round & 1 ? TO : FROM, kind, device, host, bytes);
            device += bytes;
            host += bytes;
        }
        /* In no order. */
        for (unsigned at = count; at > 1; at--) {
            random = random * 1664525 + 1013904223;
            struct cupool_copy swapped = copies[at - 1];
            copies[at - 1] = copies[(random >> 8) % at];
            copies[(random >> 8) % at] = swapped;
        }
        copied(round & 1 ? TO : FROM, kind, copies, count);
        check();
    }
}

Test(transfer_content, within_the_device, .init = setup, .fini = teardown)
{
    struct cupool_copy copies[64];
    cupool_transfer transfer;

    fill(fake.device, FAKE_DEVICE_BYTES, 3);
    memcpy(want_device, fake.device, FAKE_DEVICE_BYTES);
    for (unsigned at = 0; at < 64; at++) {
        copies[at] = (struct cupool_copy){fake.device + 500000 + at * 111, fake.device + at * 100,
                                          at * 100 % 97};
        memcpy(want_device + 500000 + at * 111, want_device + at * 100, at * 100 % 97);
    }
    cr_assert_eq(submit(WITHIN, copies, 64, &transfer), 0);
    cr_assert_eq(wait_for(transfer), 0);
    cr_assert_eq(memcmp(fake.device, want_device, FAKE_DEVICE_BYTES), 0);
    cr_assert_eq(stats_of(WITHIN).launches, 1);
    cr_assert_eq(stats_of(WITHIN).staged_bytes, 0);
}

Test(transfer_content, registrations_are_not_spanned, .init = setup, .fini = teardown)
{
    /* From 128 KiB before the border of two registrations to 128 KiB behind it. */
    uint8_t *host = fake.second - 131072;
    struct cupool_transfer_statistics stats;

    for (unsigned at = 0; at < 2; at++) {
        fill(fake.device, 262144, 4 + at);
        fill(host, 262144, 6 + at);
        memcpy(want_host, host, 262144);
        cr_assert_eq(wait_for(at == 0 ? copy_of(TO, fake.device + 1, host, 262143)
                                      : copy_of(FROM, host, fake.device + 1, 262143)),
                     0);
        cr_assert_eq(memcmp(host, fake.device + 1, 262143), 0);
        stats = stats_of(at == 0 ? TO : FROM);
        cr_assert_eq(stats.copies, 2, "one to the border, one behind it");
        cr_assert_eq(stats.staged_bytes, 0);
    }
    /* A border too near for that goes through the ring. */
    fill(host, 262144, 9);
    cr_assert_eq(wait_for(copy_of(TO, fake.device, fake.second - 5, 10)), 0);
    cr_assert_eq(memcmp(fake.device, fake.second - 5, 10), 0);
    cr_assert_eq(stats_of(TO).staged_bytes, 10);
}

Test(transfer_content, host_memory_as_a_device)
{
    const struct cupool_transfers_config config = config_small();
    cupool_transfer transfer;

    fake_make(&fake);
    fake.host = 1;
    transfers_make(&config);
    fill(pageable, 4096, 1);
    transfer = copy_of(TO, pageable + 8192, pageable, 4096);
    cr_assert_eq(cupool_transfer_query(transfers, transfer), 1, "done when it was submitted");
    cr_assert_eq(memcmp(pageable, pageable + 8192, 4096), 0);
    cr_assert_eq(cupool_transfer_order(transfers, transfer, FAKE_STREAM(1)), 0);
    struct cupool_transfer_thresholds thresholds;
    cr_assert_eq(transfers_measure(transfers, &thresholds), -ENOTSUP);
    teardown();
}

/* SPDX-License-Identifier: MIT */
/*
 * Thresholds from costs that are known, and the file that they are kept in.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/transfer/fixture.h"

static char folder[64];

static void folder_make(void)
{
    strcpy(folder, "/tmp/cupool-transfer-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static const char *path_of(const char *name)
{
    static char path[200];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

Test(transfer_calibrate, the_ways_part_where_the_costs_cross, .init = setup, .fini = teardown)
{
    struct cupool_transfer_thresholds found;

    /* A copy 100 and 10 a KiB; a batch 500 at once; a kernel 1,000 and 4 a KiB. */
    fake.copy_ns = 100;
    fake.copy_kib_ns = 10;
    fake.batch_ns = 500;
    fake.batch_each_ns = 700;
    fake.kernel_ns = 1000;
    fake.kernel_kib_ns = 40;
    cr_assert_eq(transfers_measure(transfers, &found), 0);
    /* 64 fragments of s KiB: copies 64 (100 + 10 s), batch 500 + 64 * 700, kernel 1,000 + 64 * 40
     * s: the kernel is the faster one below 2.8 KiB. */
    cr_assert_eq(found.kernel_below, 2048);
    /* n of 1 KiB: 110 n against 1,000 + 40 n: from 14.3 on. */
    cr_assert_eq(found.kernel_from, 16);
    /* n of 64 KiB: 740 n against 500 + 700 n: from 12.5 on. */
    cr_assert_eq(found.batch_from, 16);
    cr_assert_eq(fake.ring, 3, "its memory went back");
    check();
}

Test(transfer_calibrate, a_way_that_is_never_faster_is_not_taken, .init = setup, .fini = teardown)
{
    struct cupool_transfer_thresholds found;
    cupool_transfer transfer;

    fake.copy_ns = 10;
    fake.batch_ns = 100000;
    fake.kernel_ns = 100000;
    cr_assert_eq(transfers_measure(transfers, &found), 0);
    cr_assert(found.kernel_below == 0 && found.batch_from == 0);
    transfers_thresholds_set(transfers, &found);
    struct cupool_copy copies[40];
    for (unsigned at = 0; at < 40; at++)
        copies[at] = (struct cupool_copy){fake.device + at * 100, fake.pinned + at * 99, 50};
    cr_assert_eq(submit(TO, copies, 40, &transfer), 0);
    cr_assert_eq(stats_of(TO).copies, 40);
}

Test(transfer_calibrate, not_beside_transfers_and_not_at_any_fault)
{
    struct cupool_transfer_thresholds found = {7, 7, 7};

    setup();
    fake.held = 1;
    cupool_transfer transfer = copy_of(TO, fake.device, fake.pinned, 10);
    cr_assert_eq(transfers_measure(transfers, &found), -EBUSY);
    cr_assert_eq(wait_for(transfer), 0);
    teardown();
    for (uint64_t fail = 1; fail < 400; fail += 13) {
        setup();
        fake.fail_at = fail;
        fake.fail_error = -EIO;
        cr_assert_eq(transfers_measure(transfers, &found), -EIO);
        cr_assert_eq(found.kernel_below, 7);
        fake.fail_at = 0;
        cr_assert_eq(wait_for(copy_of(TO, fake.device, pageable, 100)), 0);
        teardown();
    }
}

Test(transfer_calibrate, a_kernel_that_is_not_there)
{
    const struct cupool_transfers_config config = config_small();
    struct cupool_transfer_thresholds found;

    fake_make(&fake);
    fake.kernel_unsupported = 1;
    fake.copy_ns = 100;
    fake.batch_ns = 150;
    transfers_make(&config);
    cr_assert_eq(transfers_measure(transfers, &found), 0);
    cr_assert(found.kernel_below == 0 && found.batch_from == 2);
    teardown();
}

Test(transfer_calibrate, a_file_keeps_them_for_its_owner)
{
    const struct cupool_transfer_thresholds some = {28672, 16, 4};
    struct cupool_transfer_thresholds found = {0};
    struct stat stat_of_file;
    char below[160];

    folder_make();
    snprintf(below, sizeof(below), "%s/cupool", folder);
    cr_assert_eq(transfer_file_read(below, "gpu-1", &found), -ENOENT);
    cr_assert_eq(transfer_file_write(below, "gpu-1", &some), 0);
    cr_assert_eq(transfer_file_read(below, "gpu-1", &found), 0);
    cr_assert(found.kernel_below == 28672 && found.kernel_from == 16 && found.batch_from == 4);
    cr_assert_eq(stat(path_of("cupool/transfer-gpu-1.txt"), &stat_of_file), 0);
    cr_assert_eq(stat_of_file.st_mode & 0777, 0600);
    cr_assert_eq(stat(below, &stat_of_file), 0);
    cr_assert_eq(stat_of_file.st_mode & 0777, 0700);
    cr_assert_eq(transfer_file_write(below, "gpu-1", &some), 0, "it is replaced");
    cr_assert_eq(transfer_file_read(below, "gpu-2", &found), -ENOENT);
    cr_assert_eq(transfer_file_write(below, "../gpu", &some), -EINVAL);
    cr_assert_eq(transfer_file_write(below, "", &some), -EINVAL);
    cr_assert_eq(transfer_file_write("/nonexistent/below", "gpu-1", &some), -ENOENT);
    unlink(path_of("cupool/transfer-gpu-1.txt"));
    rmdir(below);
    rmdir(folder);
}

static void file_write(const char *text, size_t bytes, mode_t mode)
{
    const char *path = path_of("transfer-gpu-1.txt");

    unlink(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, bytes), (ssize_t)bytes);
    cr_assert_eq(fchmod(file, mode), 0);
    close(file);
}

Test(transfer_calibrate, what_others_could_have_written_is_not_believed)
{
    static const char good[] = "cupool transfer calibration 1\ndevice gpu-1\nkernel_below 1\n"
                               "kernel_from 2\nbatch_from 3\n";
    struct cupool_transfer_thresholds found = {0};

    folder_make();
    file_write(good, sizeof(good) - 1, 0600);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), 0);
    cr_assert_eq(found.batch_from, 3);
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0660};
    for (unsigned at = 0; at < 5; at++) {
        file_write(good, sizeof(good) - 1, open_modes[at]);
        cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EPERM, "%o", open_modes[at]);
    }
    file_write(good, sizeof(good) - 1, 0600);
    cr_assert_eq(link(path_of("transfer-gpu-1.txt"), "/tmp/cupool-transfer-link"), 0);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EPERM, "it has another name");
    unlink("/tmp/cupool-transfer-link");
    cr_assert_eq(rename(path_of("transfer-gpu-1.txt"), "/tmp/cupool-transfer-moved"), 0);
    cr_assert_eq(symlink("/tmp/cupool-transfer-moved", path_of("transfer-gpu-1.txt")), 0);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EPERM, "a link");
    unlink("/tmp/cupool-transfer-moved");
    unlink(path_of("transfer-gpu-1.txt"));
    cr_assert_eq(mkfifo(path_of("transfer-gpu-1.txt"), 0600), 0);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EPERM, "no regular file");
    file_write(good, sizeof(good) - 1, 0600);
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EPERM, "the folder is open");
    cr_assert_eq(chmod(folder, 0700), 0);
    unlink(path_of("transfer-gpu-1.txt"));
    rmdir(folder);
}

Test(transfer_calibrate, broken_files_are_refused)
{
    static const char good[] = "cupool transfer calibration 1\ndevice gpu-1\nkernel_below 1\n"
                               "kernel_from 2\nbatch_from 3\n";
    struct cupool_transfer_thresholds found = {.kernel_below = 9};
    char text[700];

    folder_make();
    for (size_t bytes = 0; bytes < sizeof(good) - 1; bytes++) {
        file_write(good, bytes, 0600);
        cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EINVAL, "%zu bytes", bytes);
    }
    memset(text, '\n', sizeof(text));
    memcpy(text, good, sizeof(good) - 1);
    file_write(text, sizeof(text), 0600);
    cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EINVAL, "too long");
    static const char *const broken[] = {
        "cupool transfer calibration 2\ndevice gpu-1\nkernel_below 1\nkernel_from 2\nbatch_from "
        "3\n",
        "cupool transfer calibration 1\ndevice gpu-2\nkernel_below 1\nkernel_from 2\nbatch_from "
        "3\n",
        "cupool transfer calibration 1\ndevice gpu-1\nkernel_below -1\nkernel_from 2\nbatch_from "
        "3\n",
        "cupool transfer calibration 1\ndevice gpu-1\nkernel_below 99999999999999999999\n"
        "kernel_from 2\nbatch_from 3\n",
        "cupool transfer calibration 1\ndevice gpu-1\nkernel_below 1x\nkernel_from 2\nbatch_from "
        "3\n",
        "cupool transfer calibration 1\ndevice gpu-1\nkernel_below 1\nkernel_from 2\nbatch_from "
        "3\n4",
    };
    for (unsigned at = 0; at < sizeof(broken) / sizeof(*broken); at++) {
        file_write(broken[at], strlen(broken[at]), 0600);
        cr_assert_eq(transfer_file_read(folder, "gpu-1", &found), -EINVAL, "case %u", at);
    }
    cr_assert_eq(found.kernel_below, 9, "written on success only");
    unlink(path_of("transfer-gpu-1.txt"));
    rmdir(folder);
}

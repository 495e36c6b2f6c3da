/* SPDX-License-Identifier: MIT */
/*
 * Files as a tier: entries that survive, refusals, links that are never followed. Killing is for
 * tests/engine/tier_killed.py.
 */
#include "tests/unit/tier/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "engine/tier/entry.h"

static char folder[64];

static void folder_make(void)
{
    strcpy(folder, "/tmp/cupool-tier-XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void folder_end(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

static void begin(void)
{
    setup();
    folder_make();
}

static void end(void)
{
    teardown();
    folder_end();
}

static int file_of(const char *identity, uint64_t bytes, uint32_t entries)
{
    struct cupool_tiers_config config = tiers_config();
    struct cupool_tier tier = {.name = "file", .bytes = bytes, .entries = entries};
    int error = cupool_tier_file(folder, &tier.store);

    if (error < 0)
        return error;
    config.identity = identity;
    tiers_make(&config, &tier, 1);
    return 0;
}

static void close_tiers(void)
{
    cupool_tiers_destroy(tiers);
    tiers = NULL;
}

static char *path_of(uint64_t number)
{
    static char path[256];
    struct cupool_kv_hash hash = hash_of(number);
    size_t length = (size_t)snprintf(path, sizeof(path), "%s/", folder);

    for (size_t at = 0; at < 32; at++)
        length += (size_t)snprintf(path + length, sizeof(path) - length, "%02x", hash.bytes[at]);
    strcpy(path + length, ".kv");
    return path;
}

static unsigned files(void)
{
    DIR *names = opendir(folder);
    unsigned count = 0;

    for (const struct dirent *name; (name = readdir(names)) != NULL;)
        count += strstr(name->d_name, ".kv") != NULL;
    closedir(names);
    return count;
}

static void spoil(uint64_t number, off_t at)
{
    int fd = open(path_of(number), O_RDWR);
    uint8_t byte;

    cr_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(file, entries_outlive_the_process_that_wrote_them, .init = begin, .fini = end)
{
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    away(1, 5);
    cr_assert_eq(files(), 5);
    close_tiers();
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    cr_assert_eq(tier_stats(0).entries, 5);
    cr_assert_eq(tier_stats(0).bytes, 5 * 20480);
    cr_assert_eq(back(1, 6), 5);
}

static unsigned quota; /* entries that fit; 0: any number */

/* In place of the library's, for the store under test. */
ssize_t write(int fd, const void *data, size_t bytes)
{
    if (quota > 0 && bytes > 4096 && files() >= quota) {
        errno = EDQUOT;
        return -1;
    }
    return syscall(SYS_write, fd, data, bytes);
}

Test(file, beyond_the_quota_an_entry_takes_the_place_of_the_oldest, .init = begin, .fini = end)
{
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    quota = 4;
    away(1, 4);
    away(5, 1);
    cr_assert_eq(files(), 4);
    cr_assert_eq(presence(1), CUPOOL_TIER_MISS);
    cr_assert_eq(back(2, 4), 4);
    cr_assert_eq(tier_stats(0).failures, 0);
}

Test(file, it_is_this_users_alone, .init = begin, .fini = end)
{
    struct stat status;
    char other[80];

    cr_assert_eq(chmod(folder, 0750), 0);
    cr_assert_eq(file_of("m", 1 << 20, 0), -EPERM);
    cr_assert_eq(chmod(folder, 0700), 0);
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    away(1, 1);
    cr_assert_eq(stat(path_of(1), &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0600);
    struct cupool_tier_store second;
    cr_assert_eq(cupool_tier_file(folder, &second), -EBUSY);
    snprintf(other, sizeof(other), "%s/link", folder);
    cr_assert_eq(symlink(folder, other), 0);
    cr_assert_eq(cupool_tier_file(other, &second), -ENOTDIR);
    cr_assert_eq(cupool_tier_file(path_of(1), &second), -ENOTDIR);
    cr_assert_eq(cupool_tier_file("", &second), -EINVAL);
    cr_assert_eq(cupool_tier_file("/nowhere/at/all", &second), -ENOENT);
}

Test(file, damaged_entries_are_refused_and_removed, .init = begin, .fini = end)
{
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    away(1, 6);
    spoil(1, 5000);
    spoil(2, 20);
    cr_assert_eq(truncate(path_of(3), 900), 0);
    cr_assert_eq(truncate(path_of(4), 40000), 0);
    cr_assert_eq(unlink(path_of(5)), 0);
    cr_assert_eq(back(1, 1), 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_PAYLOAD_CHECKSUM);
    cr_assert_eq(back(2, 1), 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_HEADER_CHECKSUM);
    cr_assert_eq(back(3, 1), 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_SHORT);
    cr_assert_eq(back(4, 1), 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_LONG);
    cr_assert_eq(back(5, 1), 0, "gone beneath us");
    cr_assert_eq(back(6, 1), 1);
    cr_assert_eq(tier_stats(0).corrupt, 4);
    cr_assert_eq(files(), 1);
    cr_assert_eq(tier_stats(0).entries, 1);
    away(21, 2); /* the keys are free again */
    cr_assert_eq(back(21, 2), 2);
}

Test(file, what_is_damaged_while_nobody_looks_is_not_taken_in, .init = begin, .fini = end)
{
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    away(1, 5);
    close_tiers();
    spoil(1, 20);
    cr_assert_eq(truncate(path_of(2), 900), 0);
    cr_assert_eq(truncate(path_of(3), 0), 0);
    char *from = strdup(path_of(4));
    cr_assert_eq(rename(from, path_of(9)), 0); /* an entry under another key's name */
    free(from);
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    cr_assert_eq(tier_stats(0).entries, 1);
    cr_assert_eq(presence(5), CUPOOL_TIER_HIT);
    cr_assert_eq(presence(9), CUPOOL_TIER_MISS);
    cr_assert_eq(files(), 1);
    close_tiers();
    cr_assert_eq(file_of("another model", 1 << 20, 0), 0);
    cr_assert_eq(tier_stats(0).entries, 0);
    cr_assert_eq(tier_stats(0).last_fault, CUPOOL_TIER_OTHER_IDENTITY);
}

Test(file, links_fifos_and_strangers_are_neither_read_nor_waited_for, .init = begin, .fini = end)
{
    char path[256], outside[] = "/tmp/cupool-outside-XXXXXX";

    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    away(1, 4);
    int fd = mkstemp(outside);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, "precious", 8), 8);
    close(fd);
    unlink(path_of(1));
    cr_assert_eq(symlink(outside, path_of(1)), 0);
    unlink(path_of(2));
    cr_assert_eq(mkfifo(path_of(2), 0600), 0);
    snprintf(path, sizeof(path), "%s/again", folder);
    cr_assert_eq(link(path_of(3), path), 0); /* somebody else holds the file by another name */
    cr_assert_eq(back(1, 1), 0);
    cr_assert_eq(back(2, 1), 0);
    cr_assert_eq(back(3, 1), 0);
    cr_assert_eq(back(4, 1), 1);
    cr_assert_eq(tier_stats(0).corrupt, 3);
    cr_assert_eq(access(outside, F_OK), 0);
    /* The same, found when the folder is opened. */
    close_tiers();
    cr_assert_eq(symlink(outside, path_of(1)), 0);
    snprintf(path, sizeof(path), "%s/notes.txt", folder);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    close(fd);
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    cr_assert_eq(tier_stats(0).entries, 1);
    cr_assert_eq(access(outside, F_OK), 0);
    cr_assert_eq(access(path, F_OK), 0, "what is none of ours is left alone");
    unlink(outside);
}

Test(file, the_budget_holds_also_for_what_is_found, .init = begin, .fini = end)
{
    cr_assert_eq(file_of("m", 3 * 20480, 0), 0);
    away(1, 3);
    away(4, 2);
    cr_assert_eq(files(), 3);
    cr_assert_eq(tier_stats(0).evictions, 2);
    cr_assert_eq(tier_stats(0).peak_bytes, 3 * 20480);
    close_tiers();
    cr_assert_eq(file_of("m", 2 * 20480 + 100, 0), 0);
    cr_assert_eq(files(), 2);
    cr_assert_eq(tier_stats(0).entries, 2);
    cr_assert_eq(presence(3), CUPOOL_TIER_MISS, "the oldest went");
    cr_assert_eq(back(4, 2), 2);
}

Test(file, leftovers_of_a_killed_process_go, .init = begin, .fini = end)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/tmp.17", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0);
    close(fd);
    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    cr_assert_eq(access(path, F_OK), -1);
    away(1, 2);
    cr_assert_eq(back(1, 2), 2);
}

Test(file, a_folder_that_cannot_be_written_fails_the_store, .init = begin, .fini = end)
{
    struct cupool_kv_hash hash = hash_of(1);
    cupool_kv_handle handles[1];
    uint32_t stored = 9;

    cr_assert_eq(file_of("m", 1 << 20, 0), 0);
    make(1, 1, handles);
    cr_assert_eq(chmod(folder, 0500), 0);
    int error = offload(handles, 1, &stored);
    if (geteuid() != 0) { /* root may do everything */
        cr_assert(error < 0);
        cr_assert_eq(stored, 0);
        cr_assert_eq(tier_stats(0).failures, 1);
    }
    cr_assert_eq(chmod(folder, 0700), 0);
    cr_assert_eq(cupool_tiers_forget(tiers, &hash, 1), 0);
    cr_assert_eq(offload(handles, 1, &stored), 0);
    give(handles, 1);
}

/* SPDX-License-Identifier: MIT */
/*
 * The inode of a PID namespace is unique within a machine only: the first namespace has the same
 * one everywhere. The boot id distinguishes machines. The trace holds a hash of both.
 */
#include "cupti/write/trace_origin.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/mix.h"

#define BOOT_ID_BYTES 36

uint64_t trace_origin(void)
{
    uint64_t boot[(BOOT_ID_BYTES + 7) / 8] = {0};
    struct mix mix = {0};
    struct stat status;
    int fd;

    if (stat("/proc/self/ns/pid", &status) < 0)
        return 0;
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, boot, BOOT_ID_BYTES) != BOOT_ID_BYTES)
            memset(boot, 0, sizeof boot);
        close(fd);
    }
    for (size_t i = 0; i < sizeof boot / sizeof *boot; i++)
        mix_add(&mix, boot[i]);
    mix_add(&mix, status.st_ino);
    return mix.a ? mix.a : 1;
}

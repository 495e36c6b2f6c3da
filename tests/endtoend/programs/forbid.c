/* SPDX-License-Identifier: MIT */
/*
 * Runs a program without some system calls, as under a container's seccomp profile: they fail with
 * EPERM. usage: forbid NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]
 *
 * Exit 77: the kernel permits no filter.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLS_MOST 16

int main(int argc, char **argv)
{
    struct sock_filter filter[2 * CALLS_MOST + 2];
    unsigned short used = 0;
    char *number = argc > 2 ? argv[1] : "";

    filter[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                  offsetof(struct seccomp_data, nr));
    while (*number && used + 2u < sizeof filter / sizeof *filter) {
        unsigned long call = strtoul(number, &number, 10);

        filter[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0,
                                                      1);
        filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
        number += *number == ',';
    }
    filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (used == 2)
        return 2;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){used, filter}) < 0)
        return 77;
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}

/* SPDX-License-Identifier: MIT */
/*
 * Starts a program with the preload library and waits for it as if it were not there: its exit
 * status, its signals.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_LAUNCH_LAUNCH_H
#define TOOLS_LAUNCH_LAUNCH_H

#include <sys/types.h>

/** Puts a library in front of LD_PRELOAD. Errors: -EINVAL for a path the loader cannot take. */
int launch_preload(const char *library);

struct launch {
    pid_t pid;
    int wait_status;
};

/**
 * Runs a program to its end; signals sent to this process go on to it. Errors: the negative errno
 * of fork or exec; -ENOENT: there is no such program.
 */
int launch_program(char *const *argv, struct launch *ret_launch);

/** An exit code as a shell gives it: 128+N for signal N. */
int launch_exit_code(int wait_status);

#endif

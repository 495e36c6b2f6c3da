/* SPDX-License-Identifier: MIT */
/*
 * Starts a program with the preload library and waits for it transparently: its exit status, its
 * signals.
 *
 * Threading: single-threaded; see stop.h.
 */
#ifndef TOOLS_LAUNCH_LAUNCH_H
#define TOOLS_LAUNCH_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** Prepends a library to LD_PRELOAD. Errors: -EINVAL for a path the loader cannot parse. */
int launch_preload(const char *library);

struct launch {
    pid_t pid;
    int wait_status;
    uint64_t signals; /* that this process got for the program: bit 0 is signal 1 */
};

/**
 * Runs a program to its end; forwards signals sent to this process. Errors: the negative errno of
 * fork or exec; -ENOENT: there is no such program.
 */
int launch_program(char *const *argv, struct launch *ret_launch);

/**
 * From now on messages that cannot be written end neither this process nor, before it began, the
 * program, which gets the signals (SIGPIPE, SIGXFSZ) as they were.
 */
void launch_output_ignore(void);

/** Ends launch_output_ignore(). */
void launch_output_restore(void);

/** In a child that keeps nothing open. */
void launch_close_all(void);

/** An exit code as a shell gives it: 128+N for signal N. */
int launch_exit_code(int wait_status);

/** Whether the program ended by a signal that this process got, too. */
bool launch_is_interrupted(const struct launch *launch);

#endif

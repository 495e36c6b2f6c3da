/* SPDX-License-Identifier: MIT */
/*
 * `cupool report --pid`: reports on a running program. Its trace is read as it stands; a program
 * without a trace has only its live page. A process may be named by its launcher, such as
 * 'cupool run', here and by 'top' and 'metrics'.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_REPORT_PID_H
#define TOOLS_CLI_REPORT_PID_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "tools/live/live_processes.h"

struct report_process {
    pid_t pid;
    char trace[PATH_MAX + 64];  /* empty: it writes none */
    bool is_removed;            /* it writes one that has no name any more */
    struct live_processes live; /* without a trace: its page, if it has one */
};

/**
 * Looks for a process. On failure `ret_why` says what is wrong and what to do; a process without a
 * trace and without a page is a failure.
 */
int report_process_find(pid_t pid, struct report_process *ret_process, char *ret_why,
                        size_t why_bytes);
void report_process_done(struct report_process *process);

/** Prints the page of a process without a trace. */
void report_process_print(const struct report_process *process, unsigned columns, FILE *out);

/**
 * live_processes_read(), but where `pid` has no page, of the only process with one below it.
 * Errors: as there.
 */
int live_program_read(const char *where, unsigned pid, struct live_processes *ret_processes);

#endif

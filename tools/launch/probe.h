/* SPDX-License-Identifier: MIT */
/*
 * Finds the CUDA libraries that the dynamic loader would give a program, and the driver's version.
 * A child process loads these foreign libraries, because they may crash, hang or never unload.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_LAUNCH_PROBE_H
#define TOOLS_LAUNCH_PROBE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PROBE_RUNTIMES 3

struct probe {
    char driver[PATH_MAX]; /* empty: not found */
    int driver_version;    /* 0: it does not say */
    int driver_error;      /* of cuInit */
    int devices;
    bool simulated;
    char runtime[PROBE_RUNTIMES][PATH_MAX];
    char cupti[PATH_MAX];
};

/** Sonames of the runtimes to look for, newest first. */
extern const char *const probe_runtime_name[PROBE_RUNTIMES];

/** Asks a child, for ten seconds at most. Errors: -errno; -EIO: the child crashed or hung. */
int probe_run(struct probe *ret_probe);

/** The child's part: probes and writes to standard output. Returns its exit code. */
int probe_child(void);

/** Whether a program starts with a library preloaded and nothing on stderr. Errors: as probe_run.
 */
int probe_preload(const char *library, char *ret_complaint, size_t complaint_bytes);

#endif

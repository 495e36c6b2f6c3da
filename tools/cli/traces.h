/* SPDX-License-Identifier: MIT */
/*
 * Finds the traces that a run wrote, by the pattern of their names and the contents of their
 * headers.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_CLI_TRACES_H
#define TOOLS_CLI_TRACES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct trace_file {
    char *path;
    uint64_t bytes;
    uint64_t start_realtime_ns;
    uint64_t origin; /* scope of the pid; 0: unknown */
    pid_t pid;
};

/** Traces in the order of their beginning. */
struct trace_files {
    struct trace_file *file;
    size_t count;
    size_t foreign; /* of other users, which are not among them */
};

/**
 * Reads the description in a trace, without its path. It must be a regular file of this user with
 * one name: where others can make files, a matching name proves nothing. Errors: -EBADMSG it is no
 * trace; -EACCES it is of another user, or has other names; -ENOLINK its path passes through
 * another user's symbolic link; others from the system.
 */
int traces_examine(const char *path, struct trace_file *ret_file);

/** Removes a trace of the user. Errors: as those of traces_examine(). */
int traces_remove(const char *path);

/**
 * Finds traces of the user that match the absolute `pattern` and began at or after a time. Errors:
 * -ENOMEM.
 */
int traces_find(const char *pattern, uint64_t since_realtime_ns, struct trace_files *ret_files);

/**
 * Returns the last trace of a process with a pid and an origin (trace_origin), or NULL. A trace of
 * unknown origin is used only if no other matches.
 */
const struct trace_file *traces_of(const struct trace_files *files, pid_t pid, uint64_t origin);

void traces_done(struct trace_files *files);

/** Puts the working directory, its percent signs doubled, before a relative pattern. free() it.
 * Errors: -ENOMEM; from the system: the directory is gone, or its path is too long. */
int traces_pattern_absolute(const char *pattern, char **ret_pattern);

#endif

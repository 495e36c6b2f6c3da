/* SPDX-License-Identifier: MIT */
/*
 * Finds running programs and the traces they write. A process maps the blocks of its trace, so the
 * kernel shows which file that is, in whatever namespaces both are: the program is neither asked
 * nor signalled.
 *
 * A trace belongs to a process if its header has the process's id, as that process sees it: a child
 * after fork has its parent's mappings.
 *
 * Threading: no shared state.
 */
#ifndef TOOLS_TRACE_RUNNING_H
#define TOOLS_TRACE_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** What is known of a process. */
struct running_process {
    pid_t own_pid;   /* in its own PID namespace */
    bool has_cupool; /* the preload library is in it */
    bool has_trace;
    bool is_removed; /* it writes a trace that no name leads to any more */
};

/**
 * Inspects a process. `ret_path` is a path to its trace for us, empty if there is none. Errors:
 * -ESRCH there is no such process, or it has ended; -EACCES it is another user's; -ENAMETOOLONG;
 * others from the system.
 */
int running_look(pid_t pid, struct running_process *ret_process, char *ret_path, size_t path_bytes);

/**
 * Finds the process with an id in a PID namespace, given by that namespace's inode (0: ours):
 * returns its id here. 0: none can be seen.
 */
pid_t running_find(pid_t own_pid, uint32_t namespace_inode);

/** The children of a process, the first `most`; their number. */
size_t running_children(pid_t pid, pid_t *ret_children, size_t most);

/** Whether the process that wrote an open trace, `own_pid` by its header, still does. */
bool running_writes(int fd, pid_t own_pid);

/**
 * A directory as a process sees it, and the value of a variable in its environment (`fallback` if
 * unset, or not a path): the place of its live page. Errors: -ENAMETOOLONG.
 */
int running_place(pid_t pid, const char *variable, const char *fallback, char *ret_path,
                  size_t path_bytes);

#endif

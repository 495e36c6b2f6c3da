/* SPDX-License-Identifier: MIT */
/*
 * Resolves an output path: a directory, held open, and a name in it.
 *
 * The path is walked here name by name, so that nothing can be replaced between the check of a link
 * and its use, and so that links of other users are not followed: none at the end of a path;
 * elsewhere none in a directory where everybody may make one, and none at all for root.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_OUTPLACE_H
#define TOOLS_BASE_OUTPLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

struct outplace {
    int directory;           /* O_PATH; close it */
    char name[NAME_MAX + 1]; /* of no link */
    bool exists;
    struct stat status; /* of the existing file */
    int descriptor;     /* of this process, which the path names (/dev/stdout); -1: none */
};

/** Errors: -ENOLINK a link of another user; -ELOOP too many links; others from the system. */
int outplace_find(const char *path, struct outplace *ret_place);

/** Whether everybody may create files in a directory and remove only their own. */
bool outplace_is_shared(int directory);

#endif

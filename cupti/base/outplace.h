/* SPDX-License-Identifier: MIT */
/*
 * Resolves an output path: a directory, held open, and a name in it. Used for the files of the
 * tool, and for traces.
 *
 * The path is walked here name by name, so that nothing can be replaced between the check of a link
 * and its use, and so that links of other users are not followed: none at the end of a path;
 * elsewhere none in a directory where everybody may make one, and none at all for root. In a user
 * namespace the owners outside of it cannot be told apart, and their links are those of another
 * user. Its root has no more rights over them than others, and follows them as others do, unless
 * their id is also that of a user of the namespace.
 *
 * Threading: any thread; no state.
 */
#ifndef CUPTI_BASE_OUTPLACE_H
#define CUPTI_BASE_OUTPLACE_H

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

/** Errors: -ENOLINK a link of another user; -EINVAL a file of /proc; -ELOOP too many links; others
 * from the system. */
int outplace_find(const char *path, struct outplace *ret_place);

/** The same for the name itself: a link at the end is not followed, but described. */
int outplace_find_itself(const char *path, struct outplace *ret_place);

/** Opens the file of that name, no link; closes on exec. Returns a descriptor. Errors: the same. */
int outplace_open(const char *path, int flags, mode_t mode);

/** Removes the file of that name. Errors: the same. */
int outplace_remove(const char *path);

/** Whether everybody may create files in a directory and remove only their own. */
bool outplace_is_shared(int directory);

#endif

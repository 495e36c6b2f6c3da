/* SPDX-License-Identifier: MIT */
/*
 * Files that count as long as the process that made them lives, in a directory of the user.
 *
 * The maker's mapping holds a lock on the file that the kernel drops with the process, however it
 * ends and whatever namespaces lie between it and a reader. Whoever meets a file without the lock
 * removes it. The maker's descriptor is closed at once: a program that closes every descriptor it
 * did not open can neither lose the file nor meet its number again. The mapping is not inherited by
 * a child, whose life must not lengthen the file's.
 *
 * Threading: no state of its own; every function from any thread. Nothing here calls malloc.
 */
#ifndef CUPTI_LIVE_LIVING_FILE_H
#define CUPTI_LIVE_LIVING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * Opens the directory WHERE/cupool-UID of the effective user; `create` makes it, mode 0700. Where
 * that name is taken by what is not this user's alone, another place is used: the same name in
 * XDG_RUNTIME_DIR or /run/user/UID, then WHERE/cupool-UID.1 to .8. Returns a descriptor.
 * Errors: -EACCES all of them are taken; others as the system said of WHERE.
 */
int living_directory_open(const char *where, bool create);

/**
 * Every such directory there is, one after the other; `number` begins with 0. What one process made
 * in another place must be found by those that see the first name free. Errors: -ENOENT no more.
 */
int living_directory_next(const char *where, unsigned *number);

/** Whether WHERE/cupool-UID is not this user's alone; its path, and who owns it. */
bool living_directory_is_taken(const char *where, char *ret_path, size_t path_bytes,
                               uid_t *ret_owner);

/**
 * Makes a file of zeros and maps it, shared, for reading and writing. The file is allocated in
 * full, so a full file system refuses it here rather than kill the process later.
 * Errors: -EEXIST; -EAGAIN another process keeps removing it; others as the system said.
 */
int living_file_create(int directory, const char *name, size_t bytes, void **ret_map);

/**
 * Opens a file of a living process for reading. Returns a descriptor.
 * Errors: -ENOENT there is none, or its process is gone and the file removed; -EACCES it is not
 * this user's alone; others as the system said.
 */
int living_file_open(int directory, const char *name);

/** The same in whichever of the directories it is. */
int living_file_find(const char *where, const char *name);

/** Removes a file of this process from whichever of the directories it is in. */
void living_file_remove(const char *where, const char *name);

/**
 * Visits the files whose names begin with `prefix` and whose processes live, and removes the files
 * of those that do not. A NULL visit only removes. The file is closed after the visit.
 */
void living_files_visit(int directory, const char *prefix,
                        void (*visit)(void *state, int file, const char *name), void *state);

/**
 * Removes what is named with `prefix` beside files named with `of_prefix` that do not live any
 * more: what such a process left that holds no lock of its own.
 */
void living_companions_sweep(int directory, const char *prefix, const char *of_prefix);

#endif

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

/**
 * Opens the directory WHERE/cupool-UID of the effective user; `create` makes it, mode 0700.
 * Returns a descriptor. Errors: -EACCES it is not this user's alone; others as the system said.
 */
int living_directory_open(const char *where, bool create);

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

/**
 * Visits the files whose names begin with `prefix` and whose processes live, and removes the files
 * of those that do not. A NULL visit only removes. The file is closed after the visit.
 */
void living_files_visit(int directory, const char *prefix,
                        void (*visit)(void *state, int file, const char *name), void *state);

#endif

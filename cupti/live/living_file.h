/* SPDX-License-Identifier: MIT */
/*
 * Files in a directory of the user that are valid as long as the process that created them lives.
 *
 * The creator's mapping holds a lock on the file. The kernel drops the lock with the process,
 * however it ends and whatever namespaces separate it from a reader. Anyone who finds a file
 * without the lock removes it. The creator closes its descriptor at once: a program that closes
 * every descriptor it did not open can neither lose the file nor reuse its number. A child does not
 * inherit the mapping, so it cannot prolong the file's life.
 *
 * Threading: no shared state; every function from any thread. Nothing here calls malloc.
 */
#ifndef CUPTI_LIVE_LIVING_FILE_H
#define CUPTI_LIVE_LIVING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * Opens the directory WHERE/cupool-UID of the effective user; `create` makes it, mode 0700. If
 * that name belongs to anybody else, the next place is used: the same name in XDG_RUNTIME_DIR or
 * /run/user/UID, then WHERE/cupool-UID.1 to .8. Returns a descriptor. Errors: -EACCES all of them
 * are taken; others from the system for WHERE.
 */
int living_directory_open(const char *where, bool create);

/**
 * Opens all such directories one after another; `number` begins with 0. Processes that find the
 * first name free must also find the files in other places. Errors: -ENOENT no more.
 */
int living_directory_next(const char *where, unsigned *number);

/** Whether WHERE/cupool-UID does not belong to this user alone; its path, and its owner. */
bool living_directory_is_taken(const char *where, char *ret_path, size_t path_bytes,
                               uid_t *ret_owner);

/**
 * Creates a file of zeros and maps it, shared, for reading and writing. The file is allocated in
 * full: a full file system refuses it here rather than kill the process later. Errors: -EEXIST;
 * -EAGAIN another process keeps removing it; others from the system.
 */
int living_file_create(int directory, const char *name, size_t bytes, void **ret_map);

/**
 * Opens a file of a living process for reading. Returns a descriptor. Errors: -ENOENT there is
 * none, or its process has ended and the file was removed; -EACCES it is not this user's alone;
 * others from the system.
 */
int living_file_open(int directory, const char *name);

/** The same in whichever of the directories it is. */
int living_file_find(const char *where, const char *name);

/** Removes a file of this process from any of the directories. */
void living_file_remove(const char *where, const char *name);

/**
 * Visits the files of living processes with names that begin with `prefix`, and removes the files
 * of ended ones. A NULL visit only removes. The file is closed after the visit.
 */
void living_files_visit(int directory, const char *prefix,
                        void (*visit)(void *state, int file, const char *name), void *state);

/**
 * Removes the files named `prefix`... that belong to files named `of_prefix`... which no longer
 * live: leftovers of a process without a lock of their own.
 */
void living_companions_sweep(int directory, const char *prefix, const char *of_prefix);

#endif

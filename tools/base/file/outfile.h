/* SPDX-License-Identifier: MIT */
/*
 * Writes an output file: used for every file that the tool makes.
 *
 * A regular file appears whole or not at all: it is written without a name, or where that cannot be
 * beside its destination, and moved there at the end; of a process that is killed nothing is left.
 * A new file never replaces one that appeared meanwhile. An earlier file is replaced, not written
 * into, because others may have it open; its mode and access control list are kept if it is the
 * user's own, without setuid, setgid and sticky bit. Pipes and character devices are written into;
 * anything else is refused. Links are followed one by one, and only those made by the user or root.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_OUTFILE_H
#define TOOLS_BASE_OUTFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "tools/base/file/outdraft.h"

/** Treatment of an existing regular file. */
enum outfile_way { OUTFILE_NEW, OUTFILE_REPLACE };

struct outfile {
    FILE *stream;            /* to be written to */
    bool replace;            /* a file that is there gives way */
    char name[NAME_MAX + 1]; /* in the directory */
    struct outdraft draft;   /* its directory is -1: the file is written into */
};

/**
 * Opens a file for writing; `mode` applies to a new one, less the umask. Errors: -EEXIST there is
 * a regular file already and `way` is OUTFILE_NEW; -ENOLINK a link of another user; -EACCES a pipe
 * of another user where everybody may make one; -ENXIO nobody reads the pipe; -EINVAL something
 * that cannot be written; others from the system. outfile_reason() has messages for them.
 */
int outfile_open(const char *path, enum outfile_way way, mode_t mode, struct outfile *ret_file);

/**
 * Finishes outfile_open(): with `error` 0 the file is moved to its destination, otherwise nothing
 * remains. Errors: `error`; -EEXIST a file appeared meanwhile; others from the system.
 */
int outfile_close(struct outfile *file, int error);

/** Opens, writes a text and closes, replacing an earlier file. Errors: those of both. */
int outfile_write(const char *path, const char *text, size_t bytes);

/** Why, and what to do: "exists: overwrite it with --force". */
const char *outfile_reason(int error);

#endif

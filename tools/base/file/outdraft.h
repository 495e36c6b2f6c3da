/* SPDX-License-Identifier: MIT */
/*
 * A regular file while it is written: beside its destination, and moved there when it is whole.
 *
 * It has no name, so nothing is left of it if the process is killed. Where the file system has no
 * such files, or the system does not allow to name one later, it has a name that nobody can guess.
 * The copy that the latter needs is made when the refusal occurs.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_BASE_OUTDRAFT_H
#define TOOLS_BASE_OUTDRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define OUTDRAFT_ACL_BYTES 4096

/** The rights of an earlier file, for its replacement. */
struct outrights {
    bool given; /* otherwise the directory and the umask decide */
    mode_t mode;
    gid_t group;
    size_t acl_bytes; /* 0: it has no access control list */
    char acl[OUTDRAFT_ACL_BYTES];
};

struct outdraft {
    int directory; /* O_PATH; the caller's */
    int fd;        /* of the stream that writes the draft, which closes it */
    mode_t mode;   /* as created */
    char name[40]; /* empty: it has none */
    struct outrights rights;
};

/** Errors: from the system. */
int outdraft_begin(int directory, mode_t mode, struct outdraft *ret_draft);

/**
 * Takes over the rights of the user's own regular file `name`, without setuid, setgid and sticky
 * bit. Rights that cannot be kept in full are narrowed, and of a file with several names those
 * beyond the draft's own are not kept: another user may have made the name. Does nothing if there
 * is no such file.
 */
void outdraft_rights_keep(struct outdraft *draft, const char *name);

/**
 * Writes the draft to the disk and moves it to `name`. Errors: -EEXIST there is a file and
 * `replace` is false; others from the system. The draft is then still there: outdraft_remove().
 */
int outdraft_place(struct outdraft *draft, const char *name, bool replace);

/** Removes the name of a draft that was not placed. */
void outdraft_remove(struct outdraft *draft);

#endif

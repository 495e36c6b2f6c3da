/* SPDX-License-Identifier: MIT */
/*
 * Most names differ from a glob in its first letters. A glob with stars alone is a sequence of
 * texts: each is looked for behind the one before, so that no place is tried twice.
 */
#include "tools/base/glob.h"

#include <fnmatch.h>
#include <string.h>

bool glob_work_take(struct glob_work *work, uint64_t units)
{
    if (!work)
        return true;
    work->spent |= units > work->left;
    work->left -= work->spent ? work->left : units;
    return !work->spent;
}

/** `glob` begins with a star, and has stars and letters only. */
static bool stars_fit(const char *glob, const char *text)
{
    size_t rest = strlen(text), length;

    while (*glob) {
        const char *found;

        glob += strspn(glob, "*");
        length = strcspn(glob, "*");
        if (!glob[length]) /* the last one is at the end */
            return length <= rest && !memcmp(text + rest - length, glob, length);
        found = memmem(text, rest, glob, length);
        if (!found)
            return false;
        rest -= (size_t)(found - text) + length;
        text = found + length;
        glob += length;
    }
    return true;
}

bool glob_fits(const char *glob, const char *text, struct glob_work *work)
{
    size_t prefix = strcspn(glob, "*?[\\"), product;
    bool plain;

    if (!glob_work_take(work, 1 + prefix / 16) || strncmp(glob, text, prefix) != 0)
        return false;
    glob += prefix;
    text += prefix;
    if (!*glob)
        return !*text;
    product = strlen(glob) * strlen(text);
    plain = !strpbrk(glob, "?[\\");
    if (!glob_work_take(work, plain ? strlen(text) / 16 + product / 512 : product / 8))
        return false;
    return plain ? stars_fit(glob, text) : fnmatch(glob, text, 0) == 0;
}

char *glob_literal(char *ret_glob, const char *text, size_t bytes)
{
    for (const char *end = text + bytes; text < end; text++) {
        if (strchr("*?[\\{,}", *text))
            *ret_glob++ = '\\';
        *ret_glob++ = *text;
    }
    return ret_glob;
}

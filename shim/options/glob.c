/* SPDX-License-Identifier: MIT */
/*
 * Tries the pattern after a star at each place of the name in turn. A later star makes the places
 * of an earlier one final, so there is one place to return to and no recursion.
 */
#include "shim/options/glob.h"

/** Returns the end of a set that begins after its bracket; NULL: it is not closed, so it is no
 * set. */
static const char *set_end(const char *set, const char *end)
{
    const char *at = set;

    if (at < end && (*at == '!' || *at == '^'))
        at++;
    for (bool first = true; at < end; first = false, at++) {
        if (*at == ']' && !first)
            return at;
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return NULL;
}

static bool set_has(const char *set, const char *end, unsigned char letter)
{
    bool negated = *set == '!' || *set == '^', found = false;

    for (const char *at = set + negated; at < end; at++) {
        unsigned char low, high;

        at += *at == '\\' && at + 1 < end;
        low = high = (unsigned char)*at;
        if (at + 2 < end && at[1] == '-') {
            at += 2;
            at += *at == '\\' && at + 1 < end;
            high = (unsigned char)*at;
        }
        found |= letter >= low && letter <= high;
    }
    return found != negated;
}

/** Matches one character with one element of the pattern. Returns the rest of the pattern; NULL:
 * no match. */
static const char *one_match(const char *pattern, const char *end, char letter)
{
    const char *closed;

    switch (*pattern) {
    case '?': return pattern + 1;
    case '[':
        closed = set_end(pattern + 1, end);
        if (closed)
            return set_has(pattern + 1, closed, (unsigned char)letter) ? closed + 1 : NULL;
        break;
    case '\\':
        if (pattern + 1 < end)
            pattern++;
        break;
    }
    return *pattern == letter ? pattern + 1 : NULL;
}

bool glob_match(const char *pattern, size_t pattern_bytes, const char *name)
{
    const char *end = pattern + pattern_bytes, *star = NULL, *place = NULL;

    while (*name || pattern < end) {
        const char *next = NULL;

        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            place = name;
            continue;
        }
        if (pattern < end && *name)
            next = one_match(pattern, end, *name);
        if (next) {
            pattern = next;
            name++;
        } else if (star && *place) {
            pattern = star;
            name = ++place;
        } else {
            return false;
        }
    }
    return true;
}

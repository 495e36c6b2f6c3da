/* SPDX-License-Identifier: MIT */
/*
 * The first broken invariant of a walk, in words. Later ones are often consequences, so only the
 * first is kept.
 */
#ifndef POOL_BASE_WHY_H
#define POOL_BASE_WHY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct why {
    char *text; /* `bytes` long, the caller's; 0: nothing is written */
    size_t bytes;
    bool broken;
};

/** Notes what is broken unless the condition holds; returns the condition. */
__attribute__((format(printf, 3, 4), unused)) static bool holds(struct why *why, bool condition,
                                                                const char *format, ...)
{
    va_list arguments;

    if (condition || why->broken)
        return condition;
    why->broken = true;
    va_start(arguments, format);
    if (why->bytes > 0)
        vsnprintf(why->text, why->bytes, format, arguments);
    va_end(arguments);
    return false;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Writes to the program's standard error the few lines that the user asked for: a bad option, a
 * trace that cannot be written, a post-mortem.
 *
 * Threading: from any thread.
 */
#ifndef SHIM_OPTIONS_SAY_H
#define SHIM_OPTIONS_SAY_H

/** Writes text if possible: it does not block on a slow reader, and a lost reader does not end
 * the program. */
void say(const char *text);

/**
 * Writes "cupool: TEXT" as one line. Escapes text that came from the environment, a file or the
 * driver (cupti/base/safe_text.h); cuts it at 1 KiB.
 */
void say_line(const char *text);

#endif

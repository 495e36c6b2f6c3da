/* SPDX-License-Identifier: MIT */
/*
 * The few lines that the user asked for in the program's standard error: a bad option, a trace that
 * cannot be written, a post-mortem.
 *
 * Threading: from any thread.
 */
#ifndef SHIM_OPTIONS_SAY_H
#define SHIM_OPTIONS_SAY_H

/** Writes text, or does not: it neither waits for a reader nor lets a lost one end the program. */
void say(const char *text);

/**
 * Says "cupool: TEXT" as one line. What the environment, a file or the driver brought into the text
 * is escaped (cupti/base/safe_text.h); it is cut at 1 KiB.
 */
void say_line(const char *text);

#endif

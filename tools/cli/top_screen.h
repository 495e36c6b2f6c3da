/* SPDX-License-Identifier: MIT */
/*
 * The terminal of `cupool top`: a full screen if the terminal can, restored however the command
 * ends, except by SIGKILL.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_TOP_SCREEN_H
#define TOOLS_CLI_TOP_SCREEN_H

#include <stdbool.h>

/** What a key asks for. */
enum top_key {
    TOP_KEY_NONE, /* the time is over */
    TOP_KEY_SIZE, /* none, but the size has changed */
    TOP_KEY_QUIT,
    TOP_KEY_HELP,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_ENTER,
    TOP_KEY_BACK,
    TOP_KEY_SORT /* the first of enum live_sort, the others behind it */
};

/** Notes signals that end the command from now on: see top_signal(). */
void top_signals_take(void);

/** The signal that came; 0: none. */
int top_signal(void);

/** Can be read once one has come, so that who waits misses none; -1: there is no such descriptor.
 */
int top_signal_descriptor(void);

/** Waits so long, or for a signal. */
void top_pause(double seconds);

/** Takes over the terminal. False: not possible; nothing has changed. */
bool top_screen_begin(void);
void top_screen_end(void);

unsigned top_screen_columns(void);
unsigned top_screen_lines(void);

/** Whether signs beyond ASCII can be shown. */
bool top_screen_is_plain(void);

/** Shows a text, and a line at the bottom. */
void top_screen_print(const char *text, const char *bottom);

/** Waits for a key, at most so long. */
int top_screen_key(double seconds);

#endif

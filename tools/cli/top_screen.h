/* SPDX-License-Identifier: MIT */
/*
 * The terminal of `cupool top`: full-screen if possible, and restored however the command ends,
 * except by SIGKILL.
 *
 * Threading: single-threaded.
 */
#ifndef TOOLS_CLI_TOP_SCREEN_H
#define TOOLS_CLI_TOP_SCREEN_H

#include <stdbool.h>

/** Commands of the keys. */
enum top_key {
    TOP_KEY_NONE, /* time-out */
    TOP_KEY_SIZE, /* no key: the size has changed */
    TOP_KEY_QUIT,
    TOP_KEY_HELP,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_ENTER,
    TOP_KEY_BACK,
    TOP_KEY_SORT /* the first of enum live_sort, the others behind it */
};

/** Begins to catch the signals that end the command: see top_signal(). */
void top_signals_take(void);

/** Returns the signal that was caught; 0: none. */
int top_signal(void);

/** Returns a descriptor that is readable once a signal was caught, for poll(); -1: none. */
int top_signal_descriptor(void);

/** Sleeps; a signal ends it early. */
void top_pause(double seconds);

/** Takes over the terminal. False: not possible, and nothing has changed. */
bool top_screen_begin(void);
void top_screen_end(void);

unsigned top_screen_columns(void);
unsigned top_screen_lines(void);

/** True if the terminal can show only ASCII. */
bool top_screen_is_plain(void);

/** Shows a text, and a line at the bottom. */
void top_screen_print(const char *text, const char *bottom);

/** Waits for a key, for a limited time. */
int top_screen_key(double seconds);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Whether memory or descriptors ran out in this run. Much of a report is made by functions that
 * leave out what there was no memory for, or the names of a file that could not be opened, and a
 * replay takes a lack of memory for a device that is full. So an output is not complete, and a
 * verdict not sound, once it did.
 *
 * Threading: any thread.
 */
#ifndef TOOLS_BASE_SHORTAGE_H
#define TOOLS_BASE_SHORTAGE_H

/** Notes what ran out: -ENOMEM, -EMFILE or -ENFILE; other errors are none. */
void shortage_note(int error);

/** The first that ran out; 0: nothing did. */
int shortage_error(void);

#endif

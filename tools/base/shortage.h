/* SPDX-License-Identifier: MIT */
/*
 * Whether memory ran out in this run. Much of a report is made by functions that leave out what
 * there was no memory for, and a replay takes it for a device that is full. So an output is not
 * complete, and a verdict not sound, once it did.
 *
 * Threading: any thread.
 */
#ifndef TOOLS_BASE_SHORTAGE_H
#define TOOLS_BASE_SHORTAGE_H

#include <stdbool.h>

void shortage_note(void);

bool shortage_is_noted(void);

#endif

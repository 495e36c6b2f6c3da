/* SPDX-License-Identifier: MIT */
/*
 * The test programs. Each prints its observations, deterministically, and returns 0 when it got to
 * its end. None knows of cupool.
 */
#ifndef CONFORMANCE_PROGRAM_H
#define CONFORMANCE_PROGRAM_H

/* `self` and `route` are for programs that start themselves again, with `argument` for the child.
 */
#define PROGRAM(folder, name)                                                                      \
    int program_##name(const char *self, const char *route, const char *argument);
#include "programs.def"
#undef PROGRAM

#endif

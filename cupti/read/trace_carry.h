/* SPDX-License-Identifier: MIT */
/*
 * A carry as read from a trace. Its rows lie within the file and have valid numbers; the reader
 * must verify their contents.
 *
 * Threading: immutable.
 */
#ifndef CUPTI_READ_TRACE_CARRY_H
#define CUPTI_READ_TRACE_CARRY_H

#include "cupti/replay/trace_fold.h"

struct trace_carry {
    const struct trace_carry_header *header;
    const void *rows[TRACE_CARRY_SECTION_COUNT];
    unsigned char *bytes; /* owns what the others point to */
};

#endif

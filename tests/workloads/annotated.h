/* SPDX-License-Identifier: MIT */
/*
 * The parts of the workload `annotated`. One thread each.
 */
#ifndef WORKLOADS_ANNOTATED_H
#define WORKLOADS_ANNOTATED_H

#include <cuda.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/check.h"

#define MIB ((size_t)1 << 20)

/** Makes the device run out in the way that is named; prints the result of the last request. */
int annotated_oom(const char *way);

#endif

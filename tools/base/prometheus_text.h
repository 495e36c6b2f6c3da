/* SPDX-License-Identifier: MIT */
/*
 * Converts OpenMetrics text to Prometheus' older text format 0.0.4, which node_exporter's textfile
 * collector reads: counters are declared with _total, an info is a gauge, units and the end are
 * omitted.
 *
 * Threading: pure functions.
 */
#ifndef TOOLS_BASE_PROMETHEUS_TEXT_H
#define TOOLS_BASE_PROMETHEUS_TEXT_H

#include <stdio.h>

#define PROMETHEUS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/** Writes OpenMetrics text, as cupool produces it, in the older format. */
void prometheus_text(const char *openmetrics, FILE *out);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the preload library in tests of `cupool run` and `cupool doctor`: writes the sample
 * when it is loaded, where CUPOOL_TRACE says. CUPOOL_TEST_SILENT: writes nothing.
 * CUPOOL_TEST_ABANDON: leaves the trace open, as a killed process does.
 *
 * Threading: runs before main.
 */
#include <limits.h>
#include <stdlib.h>

#include "tests/unit/tools/sample.h"

__attribute__((constructor)) static void begin(void)
{
    const char *pattern = getenv("CUPOOL_TRACE");
    struct trace_writer *writer;
    char path[PATH_MAX];

    if (!pattern || getenv("CUPOOL_TEST_SILENT") ||
        trace_path_expand(pattern, path, sizeof path) < 0 || trace_writer_open(path, &writer) < 0)
        return;
    sample_emit(writer);
    if (!getenv("CUPOOL_TEST_ABANDON"))
        trace_writer_close(writer);
}

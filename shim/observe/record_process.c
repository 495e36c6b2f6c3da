/* SPDX-License-Identifier: MIT */
/*
 * Writes the first records of a trace: the process, and its rank if a launcher sets one. At the
 * end, it counts what a simulated device did not compute.
 */
#include "shim/observe/record_process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cupti/base/pages.h"
#include "cupti/base/safe_text.h"
#include "cupti/write/trace_writer.h"
#include "shim/options/mode.h"
#include "shim/options/options_pool.h"
#include "shim/resolve/real.h"

/* Variables of launchers, the most specific first: torchrun, Open MPI, MPICH, Slurm. */
static const struct {
    const char *rank, *ranks;
} launchers[] = {
    {"RANK", "WORLD_SIZE"},
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI_RANK", "PMI_SIZE"},
    {"SLURM_PROCID", "SLURM_NTASKS"},
    {"LOCAL_RANK", "LOCAL_WORLD_SIZE"},
};

void record_command_line(char *text, size_t text_bytes)
{
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, text_bytes - 1);

    if (file >= 0)
        close(file);
    if (length < 0)
        length = 0;
    while (length > 0 && text[length - 1] == 0)
        length--;
    for (ssize_t i = 0; i < length; i++)
        if (text[i] == 0)
            text[i] = ' ';
    text[length] = 0;
    safe_text_end(text, text_bytes);
}

/* A decimal number and nothing else. */
static bool number_of(const char *variable, uint64_t *ret_number)
{
    const char *text = getenv(variable);
    char *end;

    if (!text || *text < '0' || *text > '9')
        return false;
    *ret_number = strtoull(text, &end, 10);
    return !*end;
}

static void record_rank(struct trace_writer *writer)
{
    uint64_t rank, ranks;

    for (size_t i = 0; i < sizeof(launchers) / sizeof(launchers[0]); i++) {
        if (!number_of(launchers[i].rank, &rank))
            continue;
        if (!number_of(launchers[i].ranks, &ranks))
            ranks = 0;
        trace_writer_emit(writer, &(struct trace_record){
                                      .kind = TRACE_EVENT_RANK,
                                      .value = rank,
                                      .size = ranks,
                                      .address = trace_writer_string(writer, launchers[i].rank),
                                  });
        return;
    }
}

/* With these a replay can do what this process did. */
static void record_options(struct trace_writer *writer)
{
    char *text = pages_map(OPTIONS_LINE_BYTES);

    if (text)
        options_pool_format(shim_options(), text, OPTIONS_LINE_BYTES);
    if (text && text[0])
        trace_writer_emit(writer, &(struct trace_record){
                                      .kind = TRACE_EVENT_OPTIONS,
                                      .value = trace_writer_string(writer, text),
                                  });
    pages_unmap(text, OPTIONS_LINE_BYTES);
}

void record_process(struct trace_writer *writer, const char *command)
{
    char identity[64];

    snprintf(identity, sizeof(identity), "cupool %s %s", CUPOOL_VERSION,
             mode_now() == SHIM_POOL ? "pool" : "observe");
    trace_writer_emit(writer, &(struct trace_record){
                                  .kind = TRACE_EVENT_PROCESS,
                                  .value = trace_writer_string(writer, command),
                                  .size = (uint64_t)getpid(),
                                  .address = trace_writer_string(writer, identity),
                              });
    record_options(writer);
    record_rank(writer);
}

void record_skipped(struct trace_writer *writer)
{
    static const struct {
        const char *control, *name; /* of the driver; of the counter */
    } counts[] = {
        {"simgpu_kernels_skipped", "skipped_kernels"},
        {"simgpu_library_calls", "skipped_library_calls"},
    };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t (*count)(void) = NULL, skipped;

        *(void **)&count = real_driver_symbol(counts[i].control);
        skipped = count ? count() : 0;
        if (skipped)
            trace_writer_emit(writer,
                              &(struct trace_record){
                                  .kind = TRACE_EVENT_COUNTER,
                                  .api = trace_api_id(trace_writer_string(writer, counts[i].name)),
                                  .size = skipped,
                                  .address = skipped,
                              });
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The call log: formatted on the caller's stack and written at once to a file opened for append,
 * without a lock. The sequence number is taken just before, so order in the file can differ from
 * it by lines that were written at the same time.
 */
#include "tests/simgpu/driver/base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/simgpu/driver/base/fault.h"
#include "tests/simgpu/driver/base/thread.h"

bool log_enabled;
bool log_resolver;

static int log_fd = -1;
static pid_t log_pid;
static _Atomic uint64_t log_sequence;
static _Atomic uint64_t kernels_skipped, library_calls;

void log_kernel_skip(void)
{
    kernels_skipped++;
}

void log_library_call(void)
{
    library_calls++;
}

uint64_t log_library_calls(void)
{
    return library_calls;
}

uint64_t log_kernels_skipped(void)
{
    return kernels_skipped;
}

static void log_close(void)
{
    if (getpid() != log_pid)
        return;
    log_note("kernels skipped: %llu", (unsigned long long)log_kernels_skipped());
    if (library_calls)
        log_note("library calls skipped: %llu", (unsigned long long)library_calls);
    log_note("virtual_ns: %llu", (unsigned long long)threads_virtual_ns());
}

/* "%p" in the name is the process. */
static void path_expand(const char *pattern, char *ret, size_t bytes)
{
    size_t at = 0;

    for (; *pattern && at + 16 < bytes; pattern++)
        if (pattern[0] == '%' && pattern[1] == 'p') {
            at += (size_t)snprintf(ret + at, bytes - at, "%d", (int)getpid());
            pattern++;
        } else {
            ret[at++] = *pattern;
        }
    ret[at] = 0;
}

void log_open(void)
{
    const char *pattern = getenv("SIMGPU_LOG");
    const char *resolver = getenv("SIMGPU_LOG_RESOLVE");
    static char path[4096]; /* once, perhaps on a small stack */

    if (!pattern || !*pattern)
        return;
    path_expand(pattern, path, sizeof path);
    log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd < 0) {
        fprintf(stderr, "simgpu: SIMGPU_LOG: cannot open %s\n", path);
        return;
    }
    log_pid = getpid();
    log_enabled = true;
    log_resolver = resolver && *resolver == '1';
    atexit(log_close);
}

static void line_write(char *line, size_t at)
{
    line[at++] = '\n';
    ssize_t written = write(log_fd, line, at);
    (void)written;
}

void log_call(enum call_id id, CUresult result, const char *format, ...)
{
    char line[1024];
    const char *name = result_name(result);

    if (!log_enabled || (!log_resolver && strstr(call_name(id), "cuGetProcAddress")))
        return;
    size_t at = (size_t)snprintf(line, sizeof line, "%llu\t%d\t%llu\t%s\t%s",
                                 (unsigned long long)++log_sequence, (int)gettid(),
                                 (unsigned long long)threads_virtual_ns(), call_name(id),
                                 name ? name : "CUDA_ERROR_UNKNOWN");
    if (*format) {
        va_list arguments;

        line[at++] = '\t';
        va_start(arguments, format);
        int more = vsnprintf(line + at, sizeof line - at - 1, format, arguments);
        va_end(arguments);
        at += (size_t)more < sizeof line - at - 1 ? (size_t)more : sizeof line - at - 2;
    }
    line_write(line, at);
}

void log_note(const char *format, ...)
{
    char line[1024] = "simgpu: ";
    va_list arguments;

    if (!log_enabled)
        return;
    size_t at = strlen(line);
    va_start(arguments, format);
    int more = vsnprintf(line + at, sizeof line - at - 1, format, arguments);
    va_end(arguments);
    at += (size_t)more < sizeof line - at - 1 ? (size_t)more : sizeof line - at - 2;
    line_write(line, at);
}

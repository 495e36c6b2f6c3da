/* SPDX-License-Identifier: MIT */
/*
 * Feeds traces to the replay: the pool and every model run what they say, with the recorded answers
 * of the driver. For any input the result is a line of error or an outcome.
 *
 * The checksums are made right first. The pool checks itself where assertions are on.
 *
 * Threading: single-threaded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/squeezed.h"
#include "tools/replay/input.h"
#include "tools/replay/replay.h"

#define CALLS_MOST 20000 /* in a pass */
#define ERRNO_END  4096

static void policy_run(const struct replay_trace *trace, size_t number, uint64_t capacity_bytes)
{
    struct device_profile profile;
    const struct replay_settings settings = {.profile = &profile,
                                             .capacity_bytes = capacity_bytes,
                                             .most_calls = CALLS_MOST,
                                             .quiet = true};
    struct replay_outcome outcome;
    struct policy policy;
    char why[512];
    int error;

    device_profile_init(&profile);
    if (policy_parse(policy_name(number), &trace->options, &policy, why, sizeof why) < 0)
        abort();
    policy.as_recorded = policy.ops == &policy_cupool;
    error = replay_run(trace, &policy, &settings, &outcome);
    if (error > 0 || error <= -ERRNO_END)
        abort();
    if (error == 0 && (outcome.repeated || outcome.stopped) && outcome.completed == outcome.stopped)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct input_request request = {.device = -1};
    struct replay_trace trace;
    char path[40], why[1024];
    unsigned char *file;
    int fd;

    if (!bytes)
        return 0;
    file = trace_spread(data, bytes, &bytes);
    trace_checksums_mend(file, bytes);
    fd = memfd_create("trace", MFD_CLOEXEC);
    if (fd < 0 || write(fd, file, bytes) != (ssize_t)bytes)
        abort();
    free(file);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (input_read(path, &request, &trace, why, sizeof why) == 0) {
        for (size_t i = 0; i < policy_count(); i++)
            policy_run(&trace, i, 0);
        policy_run(&trace, 0, trace.peak_requested_bytes + 1);
        replay_trace_done(&trace);
    } else if (!*why || strchr(why, '\n')) {
        abort();
    }
    close(fd);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * annotated: marks its phases, by cupool.h or by NVTX, and runs the same where nobody listens. It
 * loads 8 MiB, then every step takes two blocks and gives them back; with "leak" the second one
 * stays.
 *
 *     annotated steps N [leak]   cupool.h: phases load and decode, a step each
 *     annotated plain N [leak]   the same, and says nothing
 *     annotated nvtx N           NVTX: ranges of the default domain and of the domain "engine"
 *     annotated library PATH     the NVTX copy of a library that is loaded
 *     annotated signal           SIGUSR2 to itself, with a handler of its own from the start
 *     annotated oom WAY          see annotated_oom.c
 *
 * One thread.
 */
#include "tests/workloads/annotated.h"

#include <dlfcn.h>
#include <nvtx3/nvToolsExt.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "include/cupool.h"

static CUdeviceptr take(size_t bytes)
{
    CUdeviceptr address;

    OK(cuMemAlloc(&address, bytes));
    return address;
}

static CUdeviceptr leaky(size_t bytes)
{
    return take(bytes);
}

static void step(bool leaks)
{
    CUdeviceptr a = take(100000), b = leaky(5000);

    OK(cuMemFree(a));
    if (!leaks)
        OK(cuMemFree(b));
}

static void steps_run(int steps, bool leaks, bool told)
{
    CUdeviceptr weights;

    if (told)
        cupool_phase_begin("load");
    weights = take(8 * MIB);
    if (told) {
        cupool_phase_end("load");
        cupool_mark("loaded");
        cupool_phase_begin("decode");
    }
    for (int i = 0; i < steps; i++) {
        if (told)
            cupool_step((unsigned long long)i);
        step(leaks);
    }
    if (told)
        cupool_phase_end("decode");
    OK(cuMemFree(weights));
}

static void nvtx_run(int steps)
{
    nvtxDomainHandle_t domain = nvtxDomainCreateA("engine");
    nvtxStringHandle_t decode = nvtxDomainRegisterStringA(domain, "decode");
    const nvtxEventAttributes_t event = {.version = NVTX_VERSION,
                                         .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
                                         .messageType = NVTX_MESSAGE_TYPE_REGISTERED,
                                         .message.registered = decode};
    nvtxRangeId_t whole = nvtxRangeStartA("whole");
    CUdeviceptr weights;

    nvtxRangePushA("load");
    nvtxRangePushW(L"weights");
    weights = take(8 * MIB);
    nvtxRangePop();
    nvtxRangePop();
    nvtxMarkA("loaded");
    for (int i = 0; i < steps; i++) {
        nvtxDomainRangePushEx(domain, &event);
        step(false);
        nvtxDomainRangePop(domain);
    }
    nvtxRangeEnd(whole);
    OK(cuMemFree(weights));
}

static int library_run(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void (*const run)(void) = library ? (void (*)(void))dlsym(library, "nvtx_library_run") : NULL;

    if (!run) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    OK(cuMemFree(take(MIB)));
    run();
    return 0;
}

static volatile sig_atomic_t signals;

static void count(int number)
{
    (void)number;
    signals = signals + 1;
}

static void signal_run(void)
{
    signal(SIGUSR2, count);
    OK(cuMemFree(take(MIB)));
    raise(SIGUSR2);
    OK(cuMemFree(take(MIB)));
    raise(SIGUSR2);
    printf("signals: %d\n", (int)signals);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : "0";
    bool leaks = argc > 3 && !strcmp(argv[3], "leak");
    CUcontext context;
    CUdevice device;

    OK(cuInit(0));
    OK(cuDeviceGet(&device, 0));
    OK(cuDevicePrimaryCtxRetain(&context, device));
    OK(cuCtxSetCurrent(context));
    if (!strcmp(what, "steps") || !strcmp(what, "plain"))
        steps_run(atoi(argument), leaks, *what == 's');
    else if (!strcmp(what, "nvtx"))
        nvtx_run(atoi(argument));
    else if (!strcmp(what, "library"))
        return library_run(argument);
    else if (!strcmp(what, "signal"))
        signal_run();
    else if (!strcmp(what, "oom"))
        return annotated_oom(argument);
    else
        return 2;
    puts("done");
    return 0;
}

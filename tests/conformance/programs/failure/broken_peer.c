/* SPDX-License-Identifier: MIT */
/*
 * A broken context does not keep another one from reusing its memory. With an argument it breaks
 * while the other one's freed memory waits for it; the driver's own free would wait there for ever.
 */
#include <stdio.h>

#include "route.h"
#include "fault.h"
#include "program.h"

#define BLOCK ((size_t)5 << 20)

static int churn(int rounds)
{
    void *block = NULL;
    int errors = 0;

    for (int i = 0; i < rounds; i++) {
        errors += route_allocate(&block, BLOCK) != 0;
        errors += route_free(block) != 0;
    }
    return errors;
}

int program_broken_peer(const char *self, const char *route, const char *argument)
{
    CUcontext stays, breaks;
    void *block = NULL;
    CUstream stream;
    int errors;

    if (argument && !route_can_hold())
        route_skip("the device cannot hold a stream");
    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&stays);
    if (route_context_create(&breaks, 0))
        route_skip("the device has no second context");
    route_report("allocate in the other", route_allocate(&block, 10000));
    route_report("stream in the other", route_stream_create(&stream));
    if (argument)
        route_hold(stream);
    route_report("work in the other", route_fill_async(block, 1, 10000, stream));
    DRIVER(cuCtxSetCurrent)(stays);
    errors = churn(2); /* little enough to grow by, while what is freed waits for that work */
    DRIVER(cuCtxSetCurrent)(breaks);
    if (argument)
        route_unhold(stream);
    route_report("fault in the other", route_fault());
    route_report("wait in the other", route_synchronize());
    DRIVER(cuCtxSetCurrent)(stays);
    errors += churn(1000);
    printf("errors: %d\n", errors);
    return errors != 0;
}

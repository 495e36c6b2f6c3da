/* SPDX-License-Identifier: MIT */
/*
 * Green contexts: memory belongs to the primary context, whichever is current; it outlives the
 * green context, and work of both can access it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BYTES  40000
#define BLOCKS 12

static void make_current(CUcontext context)
{
    int error = (int)DRIVER(cuCtxSetCurrent)(context);

    if (error)
        route_report("make current", error);
}

static CUgreenCtx green_create(CUdevResource *all)
{
    CUdevResource share[2], rest;
    CUdevResourceDesc desc;
    unsigned groups = 2;
    CUgreenCtx green = NULL;

    if (DRIVER(cuDevSmResourceSplitByCount)(share, &groups, all, &rest, 0, 16) || !groups ||
        DRIVER(cuDevResourceGenerateDesc)(&desc, share, 1) ||
        DRIVER(cuGreenCtxCreate)(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM))
        return NULL;
    return green;
}

static void round_of(CUdevResource *all, CUcontext primary)
{
    void *in_primary[BLOCKS], *in_green[BLOCKS];
    CUcontext context = NULL;
    CUstream stream;
    int wrong = 0;
    CUgreenCtx green = green_create(all);

    printf("green context: %d\n", green != NULL);
    route_report("as a context", (int)DRIVER(cuCtxFromGreenCtx)(&context, green));
    route_report("stream",
                 (int)DRIVER(cuGreenCtxStreamCreate)(&stream, green, CU_STREAM_NON_BLOCKING, 0));
    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate(&in_primary[i], BYTES));
        make_current(context);
        route_report("allocate in green", route_allocate(&in_green[i], BYTES));
        make_current(primary);
    }
    for (int i = 0; i < BLOCKS; i++) {
        route_report("fill in green", route_fill_async(in_primary[i], i, BYTES, stream));
        route_report("fill", route_fill(in_green[i], 100 + i, BYTES));
    }
    route_report("wait", route_stream_synchronize(stream));
    make_current(context);
    route_report("free the primary's in green", route_free(in_primary[0]));
    make_current(primary);
    route_report("free green's in the primary", route_free(in_green[0]));
    route_report("stream", route_stream_destroy(stream));
    route_report("end", (int)DRIVER(cuGreenCtxDestroy)(green));
    for (int i = 1; i < BLOCKS; i++) {
        wrong += route_wrong_bytes(in_primary[i], i, BYTES) +
                 route_wrong_bytes(in_green[i], 100 + i, BYTES);
        route_report("free", route_free(in_primary[i]));
        route_report("free green's", route_free(in_green[i]));
    }
    printf("wrong: %d\n", wrong);
    route_report("freed twice", route_free(in_green[1]));
}

#define MANY 300

/* However many there are. */
static void many(CUdevResource *all, CUcontext primary)
{
    static CUgreenCtx greens[MANY];
    CUcontext context = NULL;
    void *blocks[3];
    int made = 0, errors = 0;

    while (made < MANY && (greens[made] = green_create(all)) &&
           DRIVER(cuCtxFromGreenCtx)(&context, greens[made]) == CUDA_SUCCESS)
        made++;
    printf("green contexts: %d\n", made);
    if (made == 0)
        return;
    make_current(context);
    for (int i = 0; i < 3; i++)
        route_report("allocate in green", route_allocate(&blocks[i], BYTES));
    make_current(primary);
    if (DRIVER(cuGreenCtxDestroy)(greens[made - 1]) == CUDA_SUCCESS) {
        made--;
    } else { /* refused: all goes on, until it is not */
        make_current(context);
        for (int i = 0; i < 3; i++)
            route_report("free in green", route_free(blocks[i]));
        for (int i = 0; i < 3; i++)
            route_report("allocate in green", route_allocate(&blocks[i], BYTES));
        make_current(primary);
    }
    while (made > 0)
        errors += DRIVER(cuGreenCtxDestroy)(greens[--made]) != CUDA_SUCCESS;
    printf("not destroyed: %d\n", errors);
    route_report("free green's", route_free(blocks[2]));
    route_report("free green's", route_free(blocks[0])); /* where an allocation begins */
    route_report("fill", route_fill(blocks[1], 1, BYTES));
    route_report("free green's", route_free(blocks[1]));
}

int program_green(const char *self, const char *route, const char *argument)
{
    CUdevResource all;
    CUcontext primary = NULL;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&primary);
    if (!DRIVER(cuDeviceGetDevResource) || !DRIVER(cuCtxFromGreenCtx) ||
        !DRIVER(cuGreenCtxStreamCreate) ||
        DRIVER(cuDeviceGetDevResource)(0, &all, CU_DEV_RESOURCE_TYPE_SM))
        route_skip("no green contexts");
    for (int i = 0; i < 3; i++)
        round_of(&all, primary);
    many(&all, primary);
    route_report("last error", route_last_error());
    return 0;
}

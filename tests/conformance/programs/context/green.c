/* SPDX-License-Identifier: MIT */
/*
 * Green contexts: memory is of the device's primary context, whichever of them is current; it
 * outlives the green context, and work in one and in the other meets it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "door.h"
#include "program.h"

#define BYTES  40000
#define BLOCKS 12

static void make_current(CUcontext context)
{
    int error = (int)DRIVER(cuCtxSetCurrent)(context);
    if (error)
        door_report("make current", error);
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
    door_report("as a context", (int)DRIVER(cuCtxFromGreenCtx)(&context, green));
    door_report("stream",
                (int)DRIVER(cuGreenCtxStreamCreate)(&stream, green, CU_STREAM_NON_BLOCKING, 0));
    for (int i = 0; i < BLOCKS; i++) {
        door_report("allocate", door_allocate(&in_primary[i], BYTES));
        make_current(context);
        door_report("allocate in green", door_allocate(&in_green[i], BYTES));
        make_current(primary);
    }
    for (int i = 0; i < BLOCKS; i++) {
        door_report("fill in green", door_fill_async(in_primary[i], i, BYTES, stream));
        door_report("fill", door_fill(in_green[i], 100 + i, BYTES));
    }
    door_report("wait", door_stream_synchronize(stream));
    make_current(context);
    door_report("free the primary's in green", door_free(in_primary[0]));
    make_current(primary);
    door_report("free green's in the primary", door_free(in_green[0]));
    door_report("stream", door_stream_destroy(stream));
    door_report("end", (int)DRIVER(cuGreenCtxDestroy)(green));
    for (int i = 1; i < BLOCKS; i++) {
        wrong += door_wrong_bytes(in_primary[i], i, BYTES) +
                 door_wrong_bytes(in_green[i], 100 + i, BYTES);
        door_report("free", door_free(in_primary[i]));
        door_report("free green's", door_free(in_green[i]));
    }
    printf("wrong: %d\n", wrong);
    door_report("freed twice", door_free(in_green[1]));
}

int program_green(const char *self, const char *door, const char *argument)
{
    CUdevResource all;
    CUcontext primary = NULL;
    door_start();
    door_free(NULL);
    DRIVER(cuCtxGetCurrent)(&primary);
    if (!DRIVER(cuDeviceGetDevResource) || !DRIVER(cuCtxFromGreenCtx) ||
        !DRIVER(cuGreenCtxStreamCreate) ||
        DRIVER(cuDeviceGetDevResource)(0, &all, CU_DEV_RESOURCE_TYPE_SM))
        door_skip("no green contexts");
    for (int i = 0; i < 3; i++)
        round_of(&all, primary);
    door_report("last error", door_last_error());
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Access to the memory of another device after cuCtxEnablePeerAccess: memory allocated before and
 * after it, small, large and grown, until the link ends.
 */
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

#define MANY 16

static CUcontext own, peer;

static CUdeviceptr device_of(void *pointer)
{
    return (CUdeviceptr)(uintptr_t)pointer;
}

/* In the peer's context, done when it returns. */
static int set_by_peer(void *block, int value, size_t bytes)
{
    DRIVER(cuCtxSetCurrent)(peer);
    CUresult result = DRIVER(cuMemsetD8Async)(device_of(block), (unsigned char)value, bytes, NULL);
    CUresult waited = DRIVER(cuCtxSynchronize)();
    DRIVER(cuCtxSetCurrent)(own);
    return (int)(result ? result : waited);
}

static int copy_by_peer(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    DRIVER(cuCtxSetCurrent)(peer);
    CUresult result = DRIVER(cuMemcpyDtoDAsync)(to, from, bytes, NULL);
    CUresult waited = DRIVER(cuCtxSynchronize)();
    DRIVER(cuCtxSetCurrent)(own);
    return (int)(result ? result : waited);
}

static void visit(const char *name, void *block, size_t bytes)
{
    CUdeviceptr there = 0;

    printf("%s, %zu bytes: set %d", name, bytes, set_by_peer(block, 5, bytes));
    printf(", wrong %d", route_wrong_bytes(block, 5, bytes));
    DRIVER(cuCtxSetCurrent)(peer);
    printf(", allocate %d", (int)DRIVER(cuMemAlloc)(&there, bytes));
    DRIVER(cuCtxSetCurrent)(own);
    route_fill(block, 9, bytes);
    route_synchronize();
    printf(", out %d", copy_by_peer(there, device_of(block), bytes));
    route_fill(block, 0, bytes);
    route_synchronize();
    printf(", back %d", copy_by_peer(device_of(block), there, bytes));
    printf(", wrong %d\n", route_wrong_bytes(block, 9, bytes));
    DRIVER(cuCtxSetCurrent)(peer);
    DRIVER(cuMemFree)(there);
    DRIVER(cuCtxSetCurrent)(own);
}

/* More than there was, in an order that leaves holes. */
static void visit_many(const char *name)
{
    void *blocks[MANY] = {NULL};
    int wrong = 0, failed = 0;

    for (int i = 0; i < MANY; i++)
        failed += route_allocate(&blocks[i], (size_t)(i + 1) << 19) != 0;
    for (int i = 0; i < MANY; i += 2)
        route_free(blocks[i]);
    for (int i = 0; i < MANY; i += 4)
        failed += route_allocate(&blocks[i], (size_t)(MANY - i) << 19) != 0;
    for (int i = 2; i < MANY; i += 4)
        blocks[i] = NULL;
    for (int i = 0; i < MANY; i++)
        if (blocks[i]) {
            failed += set_by_peer(blocks[i], i + 1, 1 << 19) != 0;
            wrong += route_wrong_bytes(blocks[i], i + 1, 1 << 19);
            route_free(blocks[i]);
        }
    printf("%s: failed %d, wrong %d\n", name, failed, wrong);
}

static void link_report(const char *step, __typeof__(cuCtxEnablePeerAccess) *enable,
                        __typeof__(cuCtxDisablePeerAccess) *disable)
{
    DRIVER(cuCtxSetCurrent)(peer);
    CUresult result = enable ? enable(own, 0) : disable(own);
    DRIVER(cuCtxSetCurrent)(own);
    printf("%s: %d\n", step, (int)result);
}

/* A link, or its cut, that the driver refuses in the middle: whether the peer then has access to
 * the first and to the last byte. An access that is refused breaks its context. */
static int link_midway(const char *what, char *block, size_t bytes)
{
    link_report("link", DRIVER(cuCtxEnablePeerAccess), NULL);
    if (strstr(what, "cut"))
        link_report("cut", NULL, DRIVER(cuCtxDisablePeerAccess));
    printf("set: %d\n", set_by_peer(strstr(what, "last") ? block + bytes - 1 : block, 5, 1));
    return 0;
}

int program_peer_access(const char *self, const char *route, const char *argument)
{
    void *small, *large, *later;
    int devices = 0;

    route_start();
    route_free(NULL);
    DRIVER(cuCtxGetCurrent)(&own);
    if (DRIVER(cuDeviceGetCount)(&devices) || devices < 2 ||
        DRIVER(cuDevicePrimaryCtxRetain)(&peer, 1))
        route_skip("no second device");
    route_report("small", route_allocate(&small, 1000));
    route_report("large", route_allocate(&large, 6 << 20));
    if (argument)
        return link_midway(argument, large, 6 << 20);
    link_report("link", DRIVER(cuCtxEnablePeerAccess), NULL);
    link_report("again", DRIVER(cuCtxEnablePeerAccess), NULL);
    visit("small, before", small, 1000);
    visit("large, before", large, 6 << 20);
    route_report("later", route_allocate(&later, 20 << 20));
    visit("later", later, 20 << 20);
    visit_many("many");
    route_report("free", route_free(large));
    route_report("free", route_free(later));
    visit_many("many after frees");
    link_report("cut", NULL, DRIVER(cuCtxDisablePeerAccess));
    link_report("again", NULL, DRIVER(cuCtxDisablePeerAccess));
    printf("own: %d\n", route_wrong_bytes(small, 9, 1000));
    route_report("fill", route_fill(small, 3, 1000));
    route_synchronize();
    link_report("link", DRIVER(cuCtxEnablePeerAccess), NULL);
    visit("small, linked again", small, 1000);
    visit_many("many, linked again");
    route_report("free", route_free(small));
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Stream-ordered memory stays from its allocation to its free, also if its pool or its stream is
 * destroyed in between. A pool that is told to keep what was freed holds it until it is trimmed,
 * which a limit does not count: the program would get it before anything is refused.
 */
#include "held.h"

static void destroyed_in_between(CUstream stream)
{
    CUmemPoolProps properties = pool_of(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    CUmemoryPool pool = NULL;
    CUdeviceptr first = 0, second = 0;
    CUstream own = NULL;

    report("pool", DRIVER(cuMemPoolCreate)(&pool, &properties));
    held("an empty pool");
    route_report("stream", route_stream_create(&own));
    report("block", DRIVER(cuMemAllocFromPoolAsync)(&first, 2 * PAGE, pool, own));
    report("block", DRIVER(cuMemAllocFromPoolAsync)(&second, 3 * PAGE, pool, stream));
    report("destroy", DRIVER(cuMemPoolDestroy)(pool));
    route_report("destroy", route_stream_destroy(own));
    held("of no pool");
    report("free", DRIVER(cuMemFreeAsync)(first, stream));
    report("wait", DRIVER(cuStreamSynchronize)(stream));
    held("one freed");
    report("free", DRIVER(cuMemFree)(second));
    held("both freed");
}

static void of_the_default(CUstream stream)
{
    void *pointer = NULL;

    route_report("in order", route_allocate_async(&pointer, 4 * PAGE, stream));
    held("made");
    route_report("free", route_free_async(pointer, stream));
    route_report("wait", route_stream_synchronize(stream));
    held("freed");
    route_report("in order", route_allocate_async(&pointer, 4 * PAGE, NULL));
    route_report("free", route_free(pointer));
    held("freed at once");
}

static void kept(CUstream stream)
{
    CUmemPoolProps properties = pool_of(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    cuuint64_t all = UINT64_MAX;
    CUmemoryPool pool = NULL;
    CUdeviceptr pointer = 0;

    report("pool", DRIVER(cuMemPoolCreate)(&pool, &properties));
    report("keep", DRIVER(cuMemPoolSetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all));
    report("block", DRIVER(cuMemAllocFromPoolAsync)(&pointer, 5 * PAGE, pool, stream));
    report("free", DRIVER(cuMemFreeAsync)(pointer, stream));
    report("wait", DRIVER(cuStreamSynchronize)(stream));
    held("kept");
    report("trim", DRIVER(cuMemPoolTrimTo)(pool, 0));
    held("trimmed");
    report("destroy", DRIVER(cuMemPoolDestroy)(pool));
}

int program_held_pool(const char *self, const char *route, const char *argument)
{
    CUstream stream = NULL;

    held_start();
    route_report("stream", route_stream_create(&stream));
    destroyed_in_between(stream);
    of_the_default(stream);
    if (!argument)
        kept(stream);
    held("in the end");
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The destructor of an object runs when the last reference goes, on the thread that drops it and
 * without the lock: it belongs to the program.
 */
#include "tests/simgpu/driver/base/call.h"

#include <stdlib.h>

#include "tests/simgpu/driver/work/user_object.h"

struct CUuserObject_st {
    void *pointer;
    CUhostFn destroy;
    unsigned refs;
};

struct user_reference {
    struct user_reference *next;
    CUuserObject object;
    unsigned count;
};

static void object_release(CUuserObject object, unsigned count)
{
    object->refs -= count < object->refs ? count : object->refs;
    if (object->refs)
        return;
    pthread_mutex_unlock(&driver_lock);
    object->destroy(object->pointer);
    pthread_mutex_lock(&driver_lock);
    free(object);
}

void graph_drop_objects(CUgraph graph)
{
    while (graph->objects) {
        struct user_reference *first = graph->objects;

        graph->objects = first->next;
        object_release(first->object, first->count);
        free(first);
    }
}

bool graph_share_objects(CUgraph into, CUgraph from)
{
    for (struct user_reference *each = from->objects; each; each = each->next) {
        struct user_reference *made = malloc(sizeof *made);

        if (!made)
            return false;
        *made = (struct user_reference){into->objects, each->object, each->count};
        into->objects = made;
        each->object->refs += each->count;
    }
    return true;
}

static CUresult create(CUuserObject *ret, void *pointer, CUhostFn destroy, unsigned count,
                       unsigned flags)
{
    if (!ret || !destroy || !count || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    CUuserObject made = malloc(sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = (struct CUuserObject_st){pointer, destroy, count};
    *ret = made;
    return CUDA_SUCCESS;
}

static CUresult retain(CUuserObject object, unsigned count)
{
    if (!object || !count)
        return CUDA_ERROR_INVALID_VALUE;
    object->refs += count;
    return CUDA_SUCCESS;
}

static CUresult release(CUuserObject object, unsigned count)
{
    if (!object || !count)
        return CUDA_ERROR_INVALID_VALUE;
    object_release(object, count);
    return CUDA_SUCCESS;
}

static CUresult graph_retain(CUgraph graph, CUuserObject object, unsigned count, unsigned flags)
{
    if (!handle_is(graph, HANDLE_GRAPH) || !object || !count)
        return CUDA_ERROR_INVALID_VALUE;
    struct user_reference *made = malloc(sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = (struct user_reference){graph->objects, object, count};
    graph->objects = made;
    if (!(flags & CU_GRAPH_USER_OBJECT_MOVE))
        object->refs += count;
    return CUDA_SUCCESS;
}

static CUresult graph_release(CUgraph graph, CUuserObject object, unsigned count)
{
    if (!handle_is(graph, HANDLE_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    for (struct user_reference **at = &graph->objects; *at; at = &(*at)->next) {
        struct user_reference *found = *at;

        if (found->object != object || found->count < count)
            continue;
        found->count -= count;
        if (!found->count) {
            *at = found->next;
            free(found);
        }
        object_release(object, count);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuUserObjectCreate(CUuserObject *object_out, void *ptr, CUhostFn destroy,
                                    unsigned int initialRefcount, unsigned int flags)
{
    CALL(cuUserObjectCreate, create(object_out, ptr, destroy, initialRefcount, flags));
}

CUresult CUDAAPI cuUserObjectRetain(CUuserObject object, unsigned int count)
{
    CALL(cuUserObjectRetain, retain(object, count));
}

CUresult CUDAAPI cuUserObjectRelease(CUuserObject object, unsigned int count)
{
    CALL(cuUserObjectRelease, release(object, count));
}

CUresult CUDAAPI cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count,
                                         unsigned int flags)
{
    CALL(cuGraphRetainUserObject, graph_retain(graph, object, count, flags));
}

CUresult CUDAAPI cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count)
{
    CALL(cuGraphReleaseUserObject, graph_release(graph, object, count));
}

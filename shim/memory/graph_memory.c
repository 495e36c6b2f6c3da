/* SPDX-License-Identifier: MIT */
/*
 * Memory inside graphs. See graph_memory.h.
 *
 * Nodes are kept in the order in which they were added, which respects the captured dependencies.
 */
#include "shim/memory/graph_memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "shim/memory/ledger.h"
#include "shim/memory/limit.h"
#include "shim/memory/place.h"
#include "shim/memory/table.h"

#define CHILDREN_DEEP 16 /* graphs in graphs that are looked into */

struct exec {
    struct table_node node; /* key: the executable graph */
    struct graph_memory *body;
};

atomic_bool graph_memory_seen;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table execs = TABLE_OF(struct exec); /* guarded by lock */

void graph_memory_noticed(void)
{
    atomic_store_explicit(&graph_memory_seen, true, memory_order_release);
}

/* What a graph holds. */

static bool node_add(struct graph_memory *body, const struct graph_memory_node *node)
{
    if (body->count == body->room) {
        size_t room = body->room ? 2 * body->room : 16;
        struct graph_memory_node *grown = reallocarray(body->node, room, sizeof(*grown));

        if (!grown)
            return false;
        body->node = grown;
        body->room = room;
    }
    body->node[body->count++] = *node;
    return true;
}

static bool graph_read(const struct driver_functions *driver, CUgraph graph, int depth,
                       struct graph_memory *body);

static bool node_read(const struct driver_functions *driver, CUgraphNode node, int depth,
                      struct graph_memory *body)
{
    CUDA_MEM_ALLOC_NODE_PARAMS taken;
    CUgraphNodeType type;
    CUdeviceptr given;
    CUgraph child;

    if (REAL_ASK(driver->cuGraphNodeGetType(node, &type)) != CUDA_SUCCESS)
        return false;
    switch (type) {
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        return REAL_ASK(driver->cuGraphMemAllocNodeGetParams(node, &taken)) == CUDA_SUCCESS &&
               node_add(body, &(struct graph_memory_node){
                                  .address = taken.dptr,
                                  .bytes = taken.bytesize,
                                  .place = place_of((int)taken.poolProps.allocType,
                                                    (int)taken.poolProps.location.type,
                                                    taken.poolProps.location.id)});
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        return REAL_ASK(driver->cuGraphMemFreeNodeGetParams(node, &given)) == CUDA_SUCCESS &&
               node_add(body, &(struct graph_memory_node){.address = given});
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return REAL_ASK(driver->cuGraphChildGraphNodeGetGraph(node, &child)) == CUDA_SUCCESS &&
               graph_read(driver, child, depth + 1, body);
    default: return true;
    }
}

/* Reads the nodes of a graph. A node that the driver does not describe is skipped. */
static bool graph_read(const struct driver_functions *driver, CUgraph graph, int depth,
                       struct graph_memory *body)
{
    size_t count = 0;

    if (depth == CHILDREN_DEEP ||
        REAL_ASK(driver->cuGraphGetNodes(graph, NULL, &count)) != CUDA_SUCCESS)
        return false;
    CUgraphNode *nodes = calloc(count + 1, sizeof(*nodes));
    bool whole = nodes && REAL_ASK(driver->cuGraphGetNodes(graph, nodes, &count)) == CUDA_SUCCESS;
    for (size_t i = 0; whole && i < count; i++)
        node_read(driver, nodes[i], depth, body);
    free(nodes);
    return whole;
}

static bool driver_tells(const struct driver_functions *driver)
{
    return driver->cuGraphGetNodes && driver->cuGraphNodeGetType &&
           driver->cuGraphMemAllocNodeGetParams && driver->cuGraphMemFreeNodeGetParams &&
           driver->cuGraphChildGraphNodeGetGraph;
}

/* Bodies and the executable graphs that have them. */

static void body_drop_locked(struct graph_memory *body)
{
    if (--body->references)
        return;
    free(body->node);
    free(body);
}

static void exec_remove_locked(CUgraphExec handle)
{
    struct exec *exec = table_first(&execs, (uint64_t)(uintptr_t)handle);

    if (!exec)
        return;
    body_drop_locked(exec->body);
    table_remove(&execs, exec);
}

void graph_memory_exec_forget(CUgraphExec handle)
{
    pthread_mutex_lock(&lock);
    exec_remove_locked(handle);
    pthread_mutex_unlock(&lock);
}

void graph_memory_exec_made(const struct driver_functions *driver, CUgraphExec handle,
                            CUgraph graph)
{
    struct graph_memory *body = driver_tells(driver) ? calloc(1, sizeof(*body)) : NULL;

    if (!body)
        return;
    body->references = 1;
    graph_read(driver, graph, 0, body);
    pthread_mutex_lock(&lock);
    exec_remove_locked(handle);
    struct exec *exec = body->count ? table_add(&execs, (uint64_t)(uintptr_t)handle) : NULL;
    if (exec)
        exec->body = body;
    else
        body_drop_locked(body);
    pthread_mutex_unlock(&lock);
}

struct graph_memory *graph_memory_enter(CUgraphExec handle)
{
    pthread_mutex_lock(&lock);
    const struct exec *exec = table_first(&execs, (uint64_t)(uintptr_t)handle);
    struct graph_memory *body = exec ? exec->body : NULL;
    if (body)
        body->references++;
    pthread_mutex_unlock(&lock);
    return body;
}

void graph_memory_leave(struct graph_memory *body)
{
    pthread_mutex_lock(&lock);
    body_drop_locked(body);
    pthread_mutex_unlock(&lock);
}

/* A launch. */

/* The most bytes that a launch adds on a device, beyond what the previous launch left there. */
static size_t body_needs(const struct graph_memory *body, int device)
{
    struct ledger_entry left;
    int64_t now = 0, most = 0;

    for (size_t i = 0; i < body->count; i++) {
        const struct graph_memory_node *node = &body->node[i];

        if (node->bytes && place_device(node->place) != device)
            continue;
        if (!node->bytes)
            now -= ledger_look_up(TRACE_MEMORY_ASYNC, node->address, &left) && left.device == device
                       ? (int64_t)left.allocated_bytes
                       : 0;
        else if (!ledger_look_up(TRACE_MEMORY_ASYNC, node->address, &left))
            now += (int64_t)node->bytes;
        most = now > most ? now : most;
    }
    return (size_t)most;
}

bool graph_memory_is_refused(const struct driver_functions *driver, const struct graph_memory *body)
{
    uint64_t asked = 0; /* devices, one bit each: the room of each is held once */

    for (size_t i = 0; limit_is_set() && i < body->count; i++) {
        int device = body->node[i].bytes ? place_device(body->node[i].place) : LEDGER_HOST;

        if (device < 0 || device >= LEDGER_DEVICES || (asked >> device & 1))
            continue;
        if (!limit_hold(driver, device, body_needs(body, device)))
            return true;
        asked |= UINT64_C(1) << device;
    }
    return false;
}

void graph_memory_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    execs = (struct table)TABLE_OF(struct exec); /* not freed: a change may be incomplete */
}

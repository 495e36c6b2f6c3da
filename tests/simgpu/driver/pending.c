#include "tests/simgpu/driver/call.h"
#include "tests/simgpu/driver/capture.h"
#include "tests/simgpu/driver/graph.h"
#include "tests/simgpu/driver/mempool.h"
#include "tests/simgpu/driver/module.h"
#include "tests/simgpu/driver/ipc.h"
bool capture_any(void)
{
    return false;
}
CUresult capture_check_unsafe(void)
{
    return 0;
}
CUresult capture_check_context(CUcontext c)
{
    return 0;
}
CUresult capture_check_stream(CUstream s)
{
    return 0;
}
CUresult capture_check_event(CUevent e)
{
    return 0;
}
CUresult capture_check_event_query(CUevent e)
{
    return 0;
}
CUresult capture_refuse_legacy(CUcontext c)
{
    return 0;
}
CUresult capture_refuse(CUstream s, CUresult e)
{
    return e;
}
CUresult capture_add(CUstream s, struct work *w)
{
    work_destroy(w);
    return 801;
}
CUresult capture_record(CUstream s, CUevent e, bool x)
{
    return 801;
}
CUresult capture_wait(CUstream s, CUevent e, bool x)
{
    return 801;
}
void capture_stream_destroyed(CUstream s)
{
}
void captures_drop(CUcontext c)
{
}
CUgraph graph_clone(CUgraph g)
{
    return NULL;
}
void graph_destroy(CUgraph g)
{
}
void exec_unref(CUgraphExec e)
{
}
void exec_run(CUgraphExec e, CUcontext c)
{
}
uint64_t exec_virtual_ns(CUgraphExec e)
{
    return 0;
}
void graph_memory_ref(struct graph_memory *m)
{
}
void graph_memory_unref(struct graph_memory *m)
{
}
void graph_memory_map(struct graph_memory *m)
{
}
void graph_memory_unmap(struct graph_memory *m)
{
}
void pool_free(struct allocation *a)
{
}
void pools_trim_at_sync(struct device *d)
{
}
void pool_free_now(struct allocation *a)
{
}
uint64_t module_kernels_skipped(void)
{
    return 0;
}
void modules_drop(CUcontext c)
{
}
void launch_run(void *l)
{
}
bool launch_clone_arguments(struct launch *a, const struct launch *b)
{
    return true;
}
void ipc_forget(struct allocation *a)
{
}

/* SPDX-License-Identifier: MIT */
#include "shim/hooks/ending.h"

#include <errno.h>

#include "shim/backend/backend_vmm.h"
#include "shim/backend/free_wait.h"
#include "shim/context/capture.h"
#include "shim/context/gate.h"
#include "shim/guard/guard.h"
#include "shim/observe/record.h"
#include "shim/share/ipc_mapped.h"
#include "shim/shim.h"

/* Checks the redzones of a context a last time. */
static void guards_check(struct context *context)
{
    if (!guard_is_on() || thread_state.depth)
        return;
    thread_enter();
    gate_enter();
    guard_check(context, GUARD_END_WAIT_NS);
    gate_leave();
    guard_settle();
    thread_leave();
}

/* While a stream captures, a wait has no time limit, and a context that others go on using must not
 * be waited for like that. */
void ending_begin(struct context_end *end, CUcontext handle, bool certain)
{
    int saved_errno = errno;

    *end = (struct context_end){0};
    if (shim_mode() == SHIM_OFF || !handle)
        return;
    struct context *context = context_find(handle);
    if (context && (certain || !capture_is_active()))
        guards_check(context);
    context_end_begin(end, handle);
    if (end->context)
        free_wait_end(end->context);
    errno = saved_errno;
}

void ending_settle(void)
{
    backend_vmm_reclaim();
    ipc_mapped_reclaim();
    record_publish();
}

void ending_finish(struct context_end *end, bool ended)
{
    int saved_errno = errno;

    context_look_again();
    if (!end->handle)
        return;
    if (ended && end->context)
        capture_forget_context(end->handle);
    context_end_finish(end, ended);
    if (ended && end->context)
        ending_settle();
    errno = saved_errno;
}

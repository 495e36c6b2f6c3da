/* SPDX-License-Identifier: MIT */
#include "shim/share/share.h"

#include "shim/share/claims.h"
#include "shim/share/ipc_board.h"
#include "shim/share/ipc_export.h"
#include "shim/share/ipc_imports.h"
#include "shim/share/ipc_mapped.h"
#include "shim/share/page_server.h"
#include "shim/share/sync_memops.h"

void share_forget_context(uint32_t context)
{
    claims_forget(ipc_board_forget_context(context));
    ipc_imports_forget_context(context);
    ipc_mapped_forget_context(context);
    sync_memops_forget_context(context);
}

void share_fork_child(void)
{
    ipc_imports_fork_child();
    ipc_board_fork_child();
    sync_memops_fork_child();
    page_server_fork_child();
    ipc_mapped_fork_child();
    ipc_export_fork_child();
    claims_fork_child();
}

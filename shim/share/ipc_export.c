/* SPDX-License-Identifier: MIT */
/*
 * The program's own thread makes the descriptors, inside a call that calls the driver anyway, and
 * closes them in its own table at once.
 */
#include "shim/share/ipc_export.h"

#include <errno.h>
#include <pthread.h>

#include "shim/context/context.h"
#include "shim/context/gate.h"
#include "shim/memory/guarded.h"
#include "shim/memory/vmm.h"
#include "shim/share/claims.h"
#include "shim/share/ipc_board.h"
#include "shim/share/page_server.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held during an export */

/** A block to be exported. */
struct export
{
    uint64_t address, end;
    uint64_t first; /* address of its first page */
    uint32_t context;
    struct ipc_block block;
};

/* -ENOENT: no live block lies there. */
static int block_find(uint64_t address, struct export *ret_export)
{
    struct pool_block block = {0};
    struct pool *pool;

    gate_enter();
    int error = guarded_range_get(address, &block);
    if (error == 0)
        error = guarded_find(address, NULL, &pool);
    const struct context *context = error == 0 ? context_of_pool(pool) : NULL;
    gate_leave();
    if (error < 0)
        return -ENOENT;
    *ret_export = (struct export){
        .address = block.address,
        .end = block.address + block.requested_bytes,
        .context = context ? context->number : 0,
        .block.bytes = block.requested_bytes,
    };
    return 0;
}

/* Finds the first page and the number of pages. They stay, because the block is live. */
static int pages_count(struct export *export)
{
    struct ipc_pages pages = {0};
    struct vmm_page page;

    for (uint64_t at = export->address; at < export->end; at = page.address + page.bytes) {
        if (!vmm_page_get(at, &page) || pages.count == IPC_PAGES_MOST)
            return -ENOENT;
        if (!pages.count)
            export->first = page.address;
        pages.bytes += page.bytes;
        pages.count++;
    }
    export->block.offset = export->address - export->first;
    ipc_pages_make(&pages, &export->block.allocation);
    return 0;
}

/* Hands over up to PAGE_WIRE_MOST pages from *at on, and advances *at. */
static int pages_describe(const struct driver_functions *driver, const struct export *export,
                          uint64_t *at, struct page_wire *message, int descriptors[PAGE_WIRE_MOST])
{
    while (message->count < PAGE_WIRE_MOST && *at < export->end) {
        struct vmm_page page;
        int *descriptor = &descriptors[message->count];

        if (!vmm_page_get(*at, &page) ||
            REAL_ASK(driver->cuMemExportToShareableHandle(descriptor, page.handle,
                                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                                          0)) != CUDA_SUCCESS)
            return -EIO;
        message->pages[message->count].id = page.id;
        message->pages[message->count].bytes = page.bytes;
        message->count++;
        *at = page.address + page.bytes;
    }
    return 0;
}

static int pages_put(const struct driver_functions *driver, const struct export *export,
                     const struct ipc_token *token)
{
    uint32_t first = 0;

    for (uint64_t at = export->address; at < export->end;) {
        struct page_wire message = page_wire_make(PAGE_WIRE_PUT, token->slot, token->key);
        int descriptors[PAGE_WIRE_MOST];
        int error = pages_describe(driver, export, &at, &message, descriptors);

        if (error < 0)
            page_wire_close(descriptors, message.count);
        else
            error = page_server_put(&message, first, descriptors);
        if (error < 0)
            return error;
        first += message.count;
    }
    return 0;
}

/* The first export of a block. */
static int publish(const struct driver_functions *driver, struct export *export,
                   CUipcMemHandle *ret_token)
{
    CUipcMemHandle handle;
    struct ipc_token token;
    int error = pages_count(export);

    if (error == 0)
        error = ipc_board_publish(export->address, export->context, &export->block, &handle);
    if (error < 0)
        return error;
    error = ipc_token_parse(&handle, &token);
    if (error == 0)
        error = ipc_board_serve();
    if (error == 0)
        error = pages_put(driver, export, &token);
    if (error == 0)
        *ret_token = handle;
    else
        ipc_board_withdraw(export->address);
    return error;
}

static int export_locked(const struct driver_functions *driver, uint64_t address,
                         CUipcMemHandle *ret_token)
{
    struct export export;
    int error = block_find(address, &export);

    if (error < 0)
        return error;
    if (!claim_add(export.address, CLAIM_EXPORTED))
        return ipc_board_find(export.address, ret_token);
    error = publish(driver, &export, ret_token);
    if (error < 0)
        claim_drop(export.address, CLAIM_EXPORTED);
    return error;
}

CUresult ipc_export_mapped(const struct driver_functions *driver, uint64_t address,
                           CUipcMemHandle *ret_token)
{
    if (!driver->cuMemExportToShareableHandle || !vmm_may_export(address))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    int error = export_locked(driver, address, ret_token);
    pthread_mutex_unlock(&lock);
    return error < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

void ipc_export_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
}

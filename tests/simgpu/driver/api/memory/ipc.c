/* SPDX-License-Identifier: MIT */
/*
 * Legacy IPC. A memory handle names the exporter's file descriptor, which another process of the
 * same user opens through /proc, and a slot on the exporter's board: a shared page on which the
 * allocation's id stands as long as it may be opened. An interprocess event has its counters in a
 * shared page of its own.
 */
#include "tests/simgpu/driver/base/call.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/simgpu/driver/api/memory/ipc.h"
#include "tests/simgpu/driver/context/context.h"
#include "tests/simgpu/driver/work/capture.h"
#include "tests/simgpu/driver/work/event.h"

#define BOARD_SLOTS  65536
#define MEMORY_MAGIC 0x73696d6d
#define EVENT_MAGIC  0x73696d65

struct memory_handle {
    uint32_t magic;
    int32_t pid;
    int32_t fd;
    int32_t board_fd;
    uint32_t slot;
    uint32_t device; /* of the machine */
    uint64_t offset; /* of the physical memory in the file */
    uint64_t skip;   /* from there to the allocation's base */
    uint64_t bytes;
    uint64_t id;
    uint64_t seal; /* of all before: a driver opens only what a driver made */
};

struct event_handle {
    uint32_t magic;
    int32_t pid;
    int32_t fd;
};

static_assert(sizeof(struct memory_handle) <= CU_IPC_HANDLE_SIZE, "a handle is 64 bytes");

static struct {
    int fd;
    _Atomic uint64_t *ids; /* 0: free */
} board = {.fd = -1};

static uint64_t seal_of(const struct memory_handle *handle)
{
    const unsigned char *bytes = (const unsigned char *)handle;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < offsetof(struct memory_handle, seal); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool board_open(void)
{
    if (board.fd >= 0)
        return true;
    int fd = memfd_create("simgpu-board", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, BOARD_SLOTS * sizeof *board.ids))
        return false;
    board.ids = mmap(NULL, BOARD_SLOTS * sizeof *board.ids, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     0);
    board.fd = fd;
    return board.ids != MAP_FAILED;
}

static bool board_post(struct allocation *allocation)
{
    if (allocation->ipc_slot)
        return true;
    for (uint32_t i = 0; i < BOARD_SLOTS; i++)
        if (!board.ids[i]) {
            board.ids[i] = allocation->id;
            allocation->ipc_slot = i + 1;
            return true;
        }
    return false;
}

void ipc_forget(struct allocation *allocation)
{
    if (allocation->ipc_slot)
        board.ids[allocation->ipc_slot - 1] = 0;
    allocation->ipc_slot = 0;
}

/* Where the allocation's memory is: its own, or that of its segment. */
static struct physical *backing_of(const struct allocation *found, uint64_t *ret_skip)
{
    *ret_skip = found->segment ? found->base - segment_base(found->segment) : 0;
    return found->segment ? segment_physical(found->segment) : found->physical;
}

static CUresult memory_export(CUipcMemHandle *ret, CUdeviceptr address)
{
    CUcontext ctx;
    struct memory_handle handle;
    struct allocation *found = memory_find(address);
    CUresult result = context_current(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || !found || found->kind != MEMORY_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!board_open() || !board_post(found))
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(&handle, 0, sizeof handle);
    handle.magic = MEMORY_MAGIC;
    handle.pid = getpid();
    const struct physical *physical = backing_of(found, &handle.skip);
    handle.fd = physical->fd;
    handle.offset = physical->offset;
    handle.board_fd = board.fd;
    handle.slot = found->ipc_slot - 1;
    handle.device = found->device->physical;
    handle.bytes = found->bytes;
    handle.id = found->id;
    handle.seal = seal_of(&handle);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &handle, sizeof handle);
    return CUDA_SUCCESS;
}

static int foreign_fd(int pid, int fd)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

static bool still_posted(const struct memory_handle *handle)
{
    uint64_t id = 0;
    int fd = foreign_fd(handle->pid, handle->board_fd);

    if (fd < 0)
        return false;
    ssize_t got = pread(fd, &id, sizeof id, (off_t)(handle->slot * sizeof id));
    close(fd);
    return got == sizeof id && id == handle->id;
}

/* Ids are unique in a process, and with the process id everywhere. */
static uint64_t origin_of(const struct memory_handle *handle)
{
    return (uint64_t)handle->pid << 40 | handle->id;
}

static struct allocation *opened_before(CUcontext ctx, uint64_t origin)
{
    struct allocation *each;

    LIST_FOREACH(each, &ctx->allocations, link)
        if (each->kind == MEMORY_IMPORTED && each->origin == origin)
            return each;
    return NULL;
}

static CUresult map_foreign(CUcontext ctx, const struct memory_handle *handle,
                            struct allocation **ret)
{
    struct physical *physical;
    size_t bytes = ROUND_UP(handle->skip + handle->bytes, PAGE_BYTES);
    int fd = foreign_fd(handle->pid, handle->fd);

    if (fd < 0)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = physical_import(ctx->device, fd, handle->offset, bytes, &physical);
    close(fd);
    if (result != CUDA_SUCCESS)
        return result;
    result = memory_adopt(physical, context_memory(ctx), MEMORY_IMPORTED, handle->skip,
                          handle->bytes, ret);
    physical->handles--;
    physical_check(physical);
    return result;
}

static CUresult memory_open(CUdeviceptr *ret, const CUipcMemHandle *given, unsigned flags)
{
    CUcontext ctx;
    struct memory_handle handle;

    memcpy(&handle, given, sizeof handle);
    CUresult result = capture_enter_unsafe(&ctx);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS || handle.magic != MEMORY_MAGIC ||
        handle.seal != seal_of(&handle))
        return CUDA_ERROR_INVALID_VALUE;
    if (handle.pid == getpid())
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!still_posted(&handle))
        return CUDA_ERROR_INVALID_HANDLE;
    struct allocation *found = opened_before(ctx, origin_of(&handle));
    if (!found) {
        result = map_foreign(ctx, &handle, &found);
        if (result != CUDA_SUCCESS)
            return result;
        found->origin = origin_of(&handle);
    }
    found->opened++;
    *ret = found->base;
    return CUDA_SUCCESS;
}

static CUresult memory_close(CUdeviceptr address)
{
    CUcontext ctx;
    CUresult result = capture_enter_unsafe(&ctx);

    if (result != CUDA_SUCCESS)
        return result;
    struct allocation *found = memory_find(address);
    if (!found || found->kind != MEMORY_IMPORTED || found->base != address)
        return CUDA_ERROR_INVALID_VALUE;
    device_wait(ctx->device);
    if (!--found->opened)
        memory_give(found);
    return CUDA_SUCCESS;
}

static CUresult state_map(CUevent event, int fd)
{
    void *page = mmap(NULL, sizeof *event->state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (page == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    event->state = page;
    event->shared_fd = fd;
    event->remote = true;
    return CUDA_SUCCESS;
}

CUresult ipc_share_event(CUevent event)
{
    int fd = memfd_create("simgpu-event", MFD_CLOEXEC);

    if (fd < 0)
        return CUDA_ERROR_OPERATING_SYSTEM;
    CUresult result = ftruncate(fd, sizeof *event->state) ? CUDA_ERROR_OPERATING_SYSTEM
                                                          : state_map(event, fd);
    if (result != CUDA_SUCCESS)
        close(fd);
    return result;
}

static CUresult event_export(CUipcEventHandle *ret, CUevent event)
{
    if (!handle_is(event, HANDLE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || !(event->flags & CU_EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_VALUE;
    struct event_handle handle = {EVENT_MAGIC, getpid(), event->shared_fd};
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &handle, sizeof handle);
    return CUDA_SUCCESS;
}

static CUresult event_open(CUevent *ret, const CUipcEventHandle *given)
{
    CUcontext ctx;
    struct event_handle handle;
    CUevent made;

    memcpy(&handle, given, sizeof handle);
    CUresult result = context_current(&ctx);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ret || handle.magic != EVENT_MAGIC)
        return CUDA_ERROR_INVALID_VALUE;
    int fd = foreign_fd(handle.pid, handle.fd);
    if (fd < 0)
        return CUDA_ERROR_INVALID_HANDLE;
    result = event_create(ctx, CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS, &made);
    if (result == CUDA_SUCCESS)
        result = state_map(made, fd);
    if (result != CUDA_SUCCESS) {
        close(fd);
        return result;
    }
    *ret = made;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuIpcGetMemHandle(CUipcMemHandle *pHandle, CUdeviceptr dptr)
{
    CALL(cuIpcGetMemHandle, memory_export(pHandle, dptr), "ptr=0x%llx", dptr);
}

CUresult CUDAAPI cuIpcOpenMemHandle_v2(CUdeviceptr *pdptr, CUipcMemHandle handle,
                                       unsigned int Flags)
{
    CALL(cuIpcOpenMemHandle_v2, memory_open(pdptr, &handle, Flags), "ptr=0x%llx", OUT(pdptr));
}

CUresult CUDAAPI cuIpcOpenMemHandle(CUdeviceptr *pdptr, CUipcMemHandle handle, unsigned int Flags)
{
    CALL(cuIpcOpenMemHandle, memory_open(pdptr, &handle, Flags), "ptr=0x%llx", OUT(pdptr));
}

CUresult CUDAAPI cuIpcCloseMemHandle(CUdeviceptr dptr)
{
    CALL(cuIpcCloseMemHandle, memory_close(dptr), "ptr=0x%llx", dptr);
}

CUresult CUDAAPI cuIpcGetEventHandle(CUipcEventHandle *pHandle, CUevent event)
{
    CALL(cuIpcGetEventHandle, event_export(pHandle, event), "event=0x%llx", HEX(event));
}

CUresult CUDAAPI cuIpcOpenEventHandle(CUevent *phEvent, CUipcEventHandle handle)
{
    CALL(cuIpcOpenEventHandle, event_open(phEvent, &handle), "event=0x%llx", HEX(OUT(phEvent)));
}

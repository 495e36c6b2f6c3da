/* SPDX-License-Identifier: MIT */
/*
 * Memory shared between this process, which exports, and a child made by fork and exec, which
 * opens: by legacy IPC, and physical memory by a descriptor.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
    CUipcMemHandle base, inside, gone;
    CUipcEventHandle event;
};

#define PHYSICAL_BYTES ((size_t)4 << 20)

static const CUmemAllocationProp prop = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED,
    .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
    .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0},
};

static CUdeviceptr map(CUmemGenericAllocationHandle physical)
{
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUdeviceptr base;

    OK(cuMemAddressReserve(&base, PHYSICAL_BYTES, 0, 0, 0));
    OK(cuMemMap(base, PHYSICAL_BYTES, 0, physical, 0));
    OK(cuMemSetAccess(base, PHYSICAL_BYTES, &access, 1));
    return base;
}

static void unmap(CUdeviceptr base)
{
    OK(cuMemUnmap(base, PHYSICAL_BYTES));
    OK(cuMemAddressFree(base, PHYSICAL_BYTES));
}

/* A byte and a descriptor. */
union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

static void fd_send(int to, int fd)
{
    union rights rights = {0};
    struct iovec part = {(void *)(uintptr_t) "f", 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = rights.bytes,
        .msg_controllen = sizeof rights.bytes,
    };

    rights.header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&rights.header), &fd, sizeof fd);
    CHECK(sendmsg(to, &message, 0) == 1);
}

static int fd_receive(int from)
{
    union rights rights = {0};
    char byte;
    int fd;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = rights.bytes,
        .msg_controllen = sizeof rights.bytes,
    };

    CHECK(recvmsg(from, &message, 0) == 1 && CMSG_FIRSTHDR(&message));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* The parent's memory through a descriptor, also after the parent has released it. */
static void child_physical(void)
{
    CUmemGenericAllocationHandle physical;
    unsigned char data[2];
    size_t before = free_bytes();
    int fd = fd_receive(3);

    OK(cuMemImportFromShareableHandle(&physical, (void *)(intptr_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    close(fd);
    CUdeviceptr base = map(physical);
    OK(cuMemRelease(physical));
    OK(cuMemcpyDtoH(&data[0], base, 1));
    OK(cuMemcpyDtoH(&data[1], base + PHYSICAL_BYTES - 1, 1));
    CHECK(data[0] == 3 && data[1] == 4);
    OK(cuMemsetD8(base, 5, PHYSICAL_BYTES));
    OK(cuCtxSynchronize());
    CHECK(free_bytes() == before); /* the parent pays */
    CHECK(write(4, "x", 1) == 1);
    CHECK(read(3, data, 1) == 1); /* the parent has given it back */
    OK(cuMemcpyDtoH(&data[1], base + PHYSICAL_BYTES - 1, 1));
    CHECK(data[1] == 5);
    unmap(base);
}

static void parent_physical(int send, int receive)
{
    CUmemGenericAllocationHandle physical;
    unsigned char data;
    size_t before = free_bytes();
    int fd;

    OK(cuMemCreate(&physical, PHYSICAL_BYTES, &prop, 0));
    CUdeviceptr base = map(physical);
    OK(cuMemsetD8(base, 3, 1));
    OK(cuMemsetD8(base + PHYSICAL_BYTES - 1, 4, 1));
    OK(cuCtxSynchronize());
    OK(cuMemExportToShareableHandle(&fd, physical, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    fd_send(send, fd);
    close(fd);
    CHECK(read(receive, &data, 1) == 1);
    OK(cuMemcpyDtoH(&data, base, 1));
    CHECK(data == 5);
    OK(cuMemRelease(physical));
    unmap(base);
    CHECK(free_bytes() == before);
    CHECK(write(send, "x", 1) == 1);
}

/* Only handles as a driver made them open. */
static void forged_handles(const CUipcMemHandle *handle)
{
    for (size_t at = 0; at < sizeof handle->reserved; at++) {
        CUipcMemHandle forged = *handle;
        CUdeviceptr none;

        forged.reserved[at] ^= 1;
        EXPECT(CUDA_ERROR_INVALID_VALUE,
               cuIpcOpenMemHandle(&none, forged, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    }
}

/* Data comes on descriptor 3; 4 says that the work is done. */
static int child_main(void)
{
    struct message message;
    CUdeviceptr first, second, none;
    CUevent event;
    unsigned char data[1000];

    start();
    CHECK(read(3, &message, sizeof message) == sizeof message);
    forged_handles(&message.base);
    OK(cuIpcOpenMemHandle(&first, message.base, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    OK(cuIpcOpenMemHandle(&second, message.inside, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    CHECK(second == first); /* an interior pointer's handle is the allocation's */
    FAILS(cuIpcOpenMemHandle(&none, message.gone, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    OK(cuMemcpyDtoH(data, first, sizeof data));
    CHECK(data[0] == 7 && data[999] == 7);
    OK(cuMemsetD8(first, 9, sizeof data));
    OK(cuIpcOpenEventHandle(&event, message.event));
    OK(cuEventRecord(event, NULL));
    OK(cuCtxSynchronize());
    OK(cuIpcCloseMemHandle(second));
    OK(cuMemcpyDtoH(data, first, sizeof data)); /* opened twice, closed once */
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(first));
    OK(cuIpcCloseMemHandle(first));
    FAILS(cuMemcpyDtoH(data, first, sizeof data));
    CHECK(write(4, "x", 1) == 1);
    child_physical();
    return 0;
}

static pid_t child_start(const char *self, int *ret_send, int *ret_receive)
{
    int to[2], from[2];

    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, to) && !pipe(from));
    pid_t child = fork();
    if (!child) {
        int in = fcntl(to[0], F_DUPFD, 10), out = fcntl(from[1], F_DUPFD, 10);

        dup2(in, 3);
        dup2(out, 4);
        execl(self, self, "child", (char *)NULL);
        _exit(127);
    }
    close(to[0]); /* so that the end of the child is seen */
    close(from[1]);
    *ret_send = to[1];
    *ret_receive = from[0];
    return child;
}

int main(int argc, char **argv)
{
    struct message message;
    CUdeviceptr memory, other, none;
    CUevent event;
    int send, receive, status;
    char byte;
    unsigned char data[1000];

    if (argc > 1)
        return child_main();
    pid_t child = child_start("/proc/self/exe", &send, &receive);
    start();
    OK(cuMemAlloc(&memory, sizeof data));
    OK(cuMemAlloc(&other, sizeof data));
    OK(cuMemsetD8(memory, 7, sizeof data));
    OK(cuMemsetD8(other, 1, sizeof data));
    OK(cuCtxSynchronize());
    OK(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    OK(cuIpcGetMemHandle(&message.base, memory));
    OK(cuIpcGetMemHandle(&message.inside, memory + 512));
    OK(cuIpcGetMemHandle(&message.gone, other));
    OK(cuIpcGetEventHandle(&message.event, event));
    OK(cuMemFree(other));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT,
           cuIpcOpenMemHandle(&none, message.base, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    CHECK(write(send, &message, sizeof message) == sizeof message);
    CHECK(read(receive, &byte, 1) == 1);
    OK(cuEventSynchronize(event));
    OK(cuMemcpyDtoH(data, memory, sizeof data));
    CHECK(data[0] == 9 && data[999] == 9);
    parent_physical(send, receive);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(cuMemFree(memory));
    return 0;
}

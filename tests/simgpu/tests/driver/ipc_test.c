/* SPDX-License-Identifier: MIT */
/*
 * Legacy IPC between this process, which exports, and a child made by fork and exec, which opens.
 */
#include "tests/simgpu/tests/driver/support.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
    CUipcMemHandle base, inside, gone;
    CUipcEventHandle event;
};

/* Data comes on descriptor 3; 4 says that the work is done. */
static int child_main(void)
{
    struct message message;
    CUdeviceptr first, second, none;
    CUevent event;
    unsigned char data[1000];
    start();
    CHECK(read(3, &message, sizeof message) == sizeof message);
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
    return 0;
}

static pid_t child_start(const char *self, int *ret_send, int *ret_receive)
{
    int to[2], from[2];
    CHECK(!pipe(to) && !pipe(from));
    pid_t child = fork();
    if (!child) {
        int in = fcntl(to[0], F_DUPFD, 10), out = fcntl(from[1], F_DUPFD, 10);
        dup2(in, 3);
        dup2(out, 4);
        execl(self, self, "child", (char *)NULL);
        _exit(127);
    }
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
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(cuMemFree(memory));
    return 0;
}

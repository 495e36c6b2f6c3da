/* SPDX-License-Identifier: MIT */
/*
 * Memory shared between two processes through the runtime: this program starts itself with the
 * handle in hexadecimal as argument; the child reads the parent's bytes, and replies.
 */
#include "tests/simgpu/tests/runtime/support.h"

#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 2 << 20 };

static void to_hex(const cudaIpcMemHandle_t *handle, char *ret_text)
{
    for (size_t i = 0; i < sizeof(handle->reserved); i++)
        sprintf(ret_text + 2 * i, "%02x", (unsigned char)handle->reserved[i]);
}

static void from_hex(const char *text, cudaIpcMemHandle_t *ret_handle)
{
    for (size_t i = 0; i < sizeof(ret_handle->reserved); i++) {
        unsigned byte = 0;

        sscanf(text + 2 * i, "%2x", &byte);
        ret_handle->reserved[i] = (char)byte;
    }
}

static int child(const char *text)
{
    cudaIpcMemHandle_t handle;
    unsigned char byte = 0;
    void *pointer = NULL;

    from_hex(text, &handle);
    OK(cudaIpcOpenMemHandle(&pointer, handle, cudaIpcMemLazyEnablePeerAccess));
    OK(cudaMemcpy(&byte, (char *)pointer + BYTES - 1, 1, cudaMemcpyDeviceToHost));
    EQUAL(byte, 0x42);
    OK(cudaMemset(pointer, 0x43, BYTES));
    OK(cudaDeviceSynchronize());
    OK(cudaIpcCloseMemHandle(pointer));
    return check_done();
}

static int parent(const char *self)
{
    cudaIpcMemHandle_t handle;
    char text[2 * sizeof(handle.reserved) + 1];
    unsigned char byte = 0;
    int status = -1;
    void *pointer = NULL;

    OK(cudaMalloc(&pointer, BYTES));
    OK(cudaMemset(pointer, 0x42, BYTES));
    OK(cudaDeviceSynchronize());
    OK(cudaIpcGetMemHandle(&handle, pointer));
    to_hex(&handle, text);

    pid_t pid = vfork();
    if (pid == 0) {
        execl(self, self, text, (char *)NULL);
        _exit(126);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    EQUAL(status, 0);
    OK(cudaMemcpy(&byte, pointer, 1, cudaMemcpyDeviceToHost));
    EQUAL(byte, 0x43);
    OK(cudaFree(pointer));
    return check_done();
}

int main(int argc, char **argv)
{
    return argc > 1 ? child(argv[1]) : parent("/proc/self/exe");
}

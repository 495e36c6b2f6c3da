/* SPDX-License-Identifier: MIT */
/*
 * Memory shared with another process: a large block by its own pointer, small ones by the base of
 * their range and the offset, as libraries do; the range is the same on the other side.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"
#include "program.h"

#define BYTES 1000

static void to_text(const CUipcMemHandle *handle, size_t offset, char *text)
{
    for (size_t i = 0; i < sizeof(*handle); i++)
        text += sprintf(text, "%02x", (unsigned char)handle->reserved[i]);
    sprintf(text, "%zx", offset);
}

static size_t from_text(const char *text, CUipcMemHandle *ret_handle)
{
    for (size_t i = 0; i < sizeof(*ret_handle); i++, text += 2) {
        char digits[3] = {text[0], text[1], 0};

        ret_handle->reserved[i] = (char)strtoul(digits, NULL, 16);
    }
    return strtoul(text, NULL, 16);
}

static int child(const char *argument)
{
    CUipcMemHandle handle;
    unsigned char bytes[BYTES];
    char *base;
    size_t offset = from_text(argument, &handle);
    int error = route_ipc_open((void **)&base, handle);

    route_report("  open", error);
    if (error)
        return 0;
    CUdeviceptr begin = 0;
    size_t size = 0;
    route_report("  range", DRIVER(cuMemGetAddressRange)(&begin, &size,
                                                         (CUdeviceptr)(uintptr_t)base + offset));
    printf("  begins at %lld, %zu bytes, offset %zu\n",
           (long long)(begin - (CUdeviceptr)(uintptr_t)base), size, offset);
    route_report("  read", route_read(bytes, base + offset, BYTES));
    printf("  bytes: %d %d\n", bytes[0], bytes[BYTES - 1]);
    route_report("  write", route_fill(base + offset, bytes[0] + 1, BYTES));
    route_report("  wait", route_synchronize());
    route_report("  close", route_ipc_close(base));
    return 0;
}

static void share(const char *self, const char *route, char *pointer, char *export)
{
    CUipcMemHandle handle;
    char text[2 * sizeof(handle) + 20];
    unsigned char byte;
    unsigned char capable = 0;
    int error = (int)DRIVER(cuPointerGetAttribute)(
        &capable, CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, (CUdeviceptr)(uintptr_t) export);

    printf("capable: %d, %d\n", error, capable);
    error = route_ipc_export(&handle, export);
    route_report("export", error);
    route_report("last error", route_last_error());
    if (error)
        return;
    route_report("wait", route_synchronize());
    to_text(&handle, (size_t)(pointer - export), text);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, "ipc", route, text, NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    route_report("read", route_read(&byte, pointer, 1));
    printf("child: %d, byte now: %d\n", status, byte);
}

int program_ipc(const char *self, const char *route, const char *argument)
{
    char *large, *small[3];
    CUdeviceptr base;
    size_t size;

    route_start();
    if (argument)
        return child(argument);
    route_report("allocate", route_allocate((void **)&large, (size_t)8 << 20));
    route_report("fill", route_fill(large, 10, BYTES));
    share(self, route, large, large);
    for (int i = 0; i < 3; i++) {
        route_report("allocate", route_allocate((void **)&small[i], BYTES));
        route_report("fill", route_fill(small[i], 20 + 10 * i, BYTES));
    }
    for (int i = 0; i < 3; i++) {
        char *inside = small[i] + 700;

        DRIVER(cuMemGetAddressRange)(&base, &size, (CUdeviceptr)(uintptr_t)inside);
        printf("begins at %lld, %zu bytes\n", (long long)(base - (CUdeviceptr)(uintptr_t)small[i]),
               size);
        share(self, route, small[i], (char *)(uintptr_t)base);
    }
    for (int i = 0; i < 3; i++)
        route_report("free", route_free(small[i]));
    route_report("free", route_free(large));
    return 0;
}

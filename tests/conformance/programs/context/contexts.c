/* SPDX-License-Identifier: MIT */
/* Two contexts of one device: memory belongs to the one it was made in, also when one ends. */
#include <stdio.h>

#include "door.h"
#include "program.h"

#if CUDA_VERSION >= 13000
#define CREATE(context) DRIVER(cuCtxCreate)(context, NULL, 0, 0)
#else
#define CREATE(context) DRIVER(cuCtxCreate)(context, 0, 0)
#endif

int program_contexts(const char *self, const char *door, const char *argument)
{
    CUcontext first, second;
    void *in_first[10], *in_second[10], *pointer;
    unsigned char byte = 0;
    door_start();
    door_free(NULL);
    DRIVER(cuCtxGetCurrent)(&first);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            door_report("allocate", door_allocate(&in_first[i], (size_t)3000 << i));
        door_report("fill", door_fill(in_first[1], 11, 3000));
        int error = (int)CREATE(&second);
        door_report("second context", error);
        if (error)
            return 0;
        for (int i = 0; i < 10; i++)
            door_report("allocate", door_allocate(&in_second[i], (size_t)3000 << i));
        door_report("fill", door_fill(in_second[1], 22, 3000));
        door_report("free the other's", door_free(in_first[0]));
        door_report("free", door_free(in_second[0]));
        door_report("read", door_read(&byte, in_second[1], 1));
        printf("byte: %d\n", byte);
        door_report("destroy", DRIVER(cuCtxDestroy)(second));
        door_report("current", DRIVER(cuCtxSetCurrent)(first));
        door_report("stale", door_free(in_second[2]));
        door_report("read", door_read(&byte, in_first[1], 1));
        printf("byte: %d\n", byte);
        for (int i = 1; i < 10; i++)
            door_report("free", door_free(in_first[i]));
        door_report("allocate", door_allocate(&pointer, 3000));
        door_report("free", door_free(pointer));
    }
    door_report("last error", door_last_error());
    return 0;
}

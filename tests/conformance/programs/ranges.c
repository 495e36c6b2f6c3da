/* SPDX-License-Identifier: MIT */
/* What can be asked about an address agrees with itself. */
#include <stdint.h>
#include <stdio.h>

#include "door.h"
#include "program.h"

/* Of memory that holds at least `bytes`. */
static void ask(char *pointer, size_t bytes)
{
    CUdeviceptr base = 0, start = 0;
    size_t size = 0, range = 0;
    unsigned long long id = 0, id_of_base = 0;
    int type = 0;
    CUdeviceptr address = (CUdeviceptr)(uintptr_t)(pointer + bytes / 2);
    door_report("range", DRIVER(cuMemGetAddressRange)(&base, &size, address));
    DRIVER(cuPointerGetAttribute)(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address);
    DRIVER(cuPointerGetAttribute)(&range, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address);
    DRIVER(cuPointerGetAttribute)(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, address);
    DRIVER(cuPointerGetAttribute)(&id_of_base, CU_POINTER_ATTRIBUTE_BUFFER_ID, base);
    DRIVER(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);
    printf("%zu: inside %d, start agrees %d, size agrees %d, one buffer %d, type %d\n", bytes,
           base <= (CUdeviceptr)(uintptr_t)pointer &&
               (CUdeviceptr)(uintptr_t)pointer + bytes <= base + size,
           start == base, range == size, id == id_of_base, type);
    if (door_is_runtime) {
        struct cudaPointerAttributes attributes = {0};
        door_report("attributes",
                    (int)door_runtime.cudaPointerGetAttributes(&attributes, pointer + bytes / 2));
        printf("type %d, device %d, same pointer %d\n", attributes.type, attributes.device,
               attributes.devicePointer == pointer + bytes / 2);
    }
    door_report("free", door_free(pointer));
}

static void ask_ordinary(size_t bytes)
{
    char *pointer;
    door_report("allocate", door_allocate((void **)&pointer, bytes));
    ask(pointer, bytes);
}

static void ask_others(void)
{
    char *pointer;
    size_t pitch;
    CUstream stream;
    door_report("stream", door_stream_create(&stream));
    door_report("in order", door_allocate_async((void **)&pointer, 5000, stream));
    door_report("wait", door_stream_synchronize(stream));
    ask(pointer, 5000);
    door_report("managed", door_managed_allocate((void **)&pointer, 5000));
    ask(pointer, 5000);
    for (int i = 0; i < 2; i++) {
        int error = door_allocate_pitched((void **)&pointer, &pitch, 1000, 20);
        door_report("pitched", error);
        ask(pointer, pitch * 20);
    }
}

int program_ranges(const char *self, const char *door, const char *argument)
{
    door_start();
    ask_ordinary(100);
    ask_ordinary(50000);
    ask_ordinary((size_t)2 << 20);
    ask_ordinary(((size_t)30 << 20) + 100);
    ask_others();
    return 0;
}

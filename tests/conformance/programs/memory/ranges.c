/* SPDX-License-Identifier: MIT */
/*
 * Queries about an address: the range, the id and the attributes of each block are its own; outside
 * the requested size and after the free there is nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

#define BLOCKS 3

static CUdeviceptr number(const void *pointer)
{
    return (CUdeviceptr)(uintptr_t)pointer;
}

static int get(void *data, CUpointer_attribute attribute, CUdeviceptr address)
{
    return DRIVER(cuPointerGetAttribute)(data, attribute, address);
}

static unsigned long long id_of(const void *pointer)
{
    unsigned long long id = 0;

    route_report("id", get(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, number(pointer)));
    return id;
}

/* Every attribute of an address, as far as it is the same in every run. */
static void ask_attributes(const char *pointer, CUdeviceptr address)
{
    for (int attribute = 1; attribute <= 22; attribute++) {
        if (attribute == CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE)
            continue; /* ipc.c asks it */
        unsigned char data[16];
        CUdeviceptr value = 0;
        memset(data, 0xEE, sizeof(data));
        int error = get(data, (CUpointer_attribute)attribute, address);
        memcpy(&value, data, sizeof(value));
        printf("attribute %d: %s", attribute, route_error_name(error));
        switch (attribute) {
        case CU_POINTER_ATTRIBUTE_CONTEXT: printf(", one %d\n", !!value); break;
        case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
            printf(", at %lld\n", error ? 0 : (long long)(value - number(pointer)));
            break;
        case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
            printf(", written %d\n", data[7] != 0xEE && data[8] == 0xEE);
            break;
        default:
            for (size_t i = 0; i < sizeof(data); i++)
                printf("%s%02x", i ? "" : ", ", data[i]);
            printf("\n");
        }
    }
}

/* Several at once: no attribute is refused, unknown ones are zero. */
static void ask_together(const char *pointer, CUdeviceptr address)
{
    CUdeviceptr start = 1;
    size_t size = 1, again = 1;
    unsigned type = 9, synchronous = 9;
    unsigned long long id = 1, alone = 0;
    CUpointer_attribute wanted[] = {
        CU_POINTER_ATTRIBUTE_RANGE_SIZE,  CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_BUFFER_ID,
        CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, CU_POINTER_ATTRIBUTE_RANGE_SIZE,
    };
    void *data[] = {&size, &start, &type, &id, &synchronous, &again};

    route_report("together", DRIVER(cuPointerGetAttributes)(6, wanted, data, address));
    int error = get(&alone, CU_POINTER_ATTRIBUTE_BUFFER_ID, address);
    printf("size %zu, again %zu, at %lld, type %u, same id %d, synchronous %u\n", size, again,
           start ? (long long)(start - number(pointer)) : -1, type, error ? id == 0 : id == alone,
           synchronous);
}

static void ask_range(const char *pointer, CUdeviceptr address)
{
    CUdeviceptr base = number(pointer) - 1;
    size_t size = 77;

    route_report("range", DRIVER(cuMemGetAddressRange)(&base, &size, address));
    printf("at %lld, %zu bytes\n", (long long)(base - number(pointer)), size);
    route_report("base alone", DRIVER(cuMemGetAddressRange)(&base, NULL, address));
    route_report("size alone", DRIVER(cuMemGetAddressRange)(NULL, &size, address));
}

static void ask(const char *pointer, size_t offset)
{
    printf("offset %zu\n", offset);
    ask_range(pointer, number(pointer) + offset);
    ask_attributes(pointer, number(pointer) + offset);
    ask_together(pointer, number(pointer) + offset);
    if (!route_is_runtime)
        return;
    struct cudaPointerAttributes attributes = {0};
    route_report("attributes",
                 (int)route_runtime.cudaPointerGetAttributes(&attributes, pointer + offset));
    printf("type %d, device %d, same pointer %d\n", attributes.type, attributes.device,
           attributes.devicePointer == pointer + offset);
}

/* Blocks of one size beside each other, each through pointers into it and past its end. */
static void ask_ordinary(size_t bytes)
{
    char *blocks[BLOCKS];

    printf("%zu bytes\n", bytes);
    for (int i = 0; i < BLOCKS; i++)
        route_report("allocate", route_allocate((void **)&blocks[i], bytes));
    for (int i = 0; i < BLOCKS; i++) {
        ask(blocks[i], 0);
        ask(blocks[i], bytes / 2);
        ask(blocks[i], bytes - 1);
        if (bytes % 512) /* else there may be a neighbour */
            ask(blocks[i], bytes);
    }
    unsigned long long ids[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        ids[i] = id_of(blocks[i] + bytes / 3);
    printf("ids differ %d, stay %d\n", ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
           ids[1] == id_of(blocks[1]));
    route_report("free", route_free(blocks[1]));
    ask(blocks[1], 0);
    ask(blocks[1], bytes / 2);
    ask(blocks[0], 0);
    for (int i = 0; i < 100; i++) {
        unsigned long long other;

        route_report("allocate", route_allocate((void **)&blocks[1], bytes));
        other = id_of(blocks[1]);
        if (other == ids[0] || other == ids[1] || other == ids[2])
            printf("an id that was another block's: round %d\n", i);
        ids[1] = other;
        route_report("wait", route_synchronize());
        route_report("free", route_free(blocks[1]));
    }
    route_report("free", route_free(blocks[0]));
    route_report("free", route_free(blocks[2]));
}

/* A program that treats the range as its block harms no other block. */
static void clear_by_range(size_t bytes)
{
    char *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++) {
        route_report("allocate", route_allocate((void **)&blocks[i], bytes));
        route_report("fill", route_fill(blocks[i], 7, bytes));
    }
    CUdeviceptr base = 0;
    size_t size = 0;
    route_report("range", DRIVER(cuMemGetAddressRange)(&base, &size, number(blocks[1])));
    route_report("clear", route_fill((char *)(uintptr_t)base, 0, size));
    for (int i = 0; i < BLOCKS; i++) {
        printf("%d: %d bytes are not 7\n", i, route_wrong_bytes(blocks[i], 7, bytes));
        route_report("free", route_free(blocks[i]));
    }
}

static void set_synchronous(const char *pointer, unsigned value)
{
    route_report("set", DRIVER(cuPointerSetAttribute)(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS,
                                                      number(pointer)));
}

static void print_synchronous(char *const blocks[BLOCKS])
{
    for (int i = 0; i < BLOCKS; i++) {
        unsigned value = 9;
        int error = get(&value, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, number(blocks[i]) + 1);

        printf("%s %u%s", route_error_name(error), value, i + 1 < BLOCKS ? ", " : "\n");
    }
}

/* An attribute that is set stays with its block and ends with it. */
static void set_attributes(size_t bytes)
{
    char *blocks[BLOCKS];
    unsigned value = 1;

    printf("synchronous, %zu bytes\n", bytes);
    for (int i = 0; i < BLOCKS; i++)
        route_report("allocate", route_allocate((void **)&blocks[i], bytes));
    print_synchronous(blocks);
    set_synchronous(blocks[1] + bytes / 2, 1);
    print_synchronous(blocks);
    set_synchronous(blocks[0], 5);
    set_synchronous(blocks[0], 1);
    set_synchronous(blocks[2], 0);
    print_synchronous(blocks);
    set_synchronous(blocks[1], 0);
    print_synchronous(blocks);
    set_synchronous(blocks[1], 1);
    route_report("wait", route_synchronize());
    route_report("free", route_free(blocks[1]));
    print_synchronous(blocks);
    set_synchronous(blocks[1], 1);
    for (int i = 0; i < 50; i++) {
        route_report("allocate", route_allocate((void **)&blocks[1], bytes));
        print_synchronous(blocks);
        set_synchronous(blocks[1], 1);
        route_report("free", route_free(blocks[1]));
    }
    route_report("allocate", route_allocate((void **)&blocks[1], bytes));
    print_synchronous(blocks);
    route_report("nothing to set", DRIVER(cuPointerSetAttribute)(
                                       NULL, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, number(blocks[1])));
    route_report("not to be set", DRIVER(cuPointerSetAttribute)(
                                      &value, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, number(blocks[1])));
    for (int i = 0; i < BLOCKS; i++)
        route_report("free", route_free(blocks[i]));
}

static void ask_others(void)
{
    char *pointer;
    size_t pitch;
    CUstream stream;

    route_report("stream", route_stream_create(&stream));
    route_report("in order", route_allocate_async((void **)&pointer, 5000, stream));
    route_report("wait", route_stream_synchronize(stream));
    ask(pointer, 2500);
    route_report("free", route_free(pointer));
    route_report("managed", route_managed_allocate((void **)&pointer, 5000));
    ask(pointer, 2500);
    route_report("free", route_free(pointer));
    for (int i = 0; i < 2; i++) {
        route_report("pitched", route_allocate_pitched((void **)&pointer, &pitch, 1000, 20));
        ask(pointer, pitch * 20 - 1);
        route_report("free", route_free(pointer));
    }
    ask((char *)&pointer, 0);
    route_report("nothing", DRIVER(cuMemGetAddressRange)(NULL, NULL, 0));
}

int program_ranges(const char *self, const char *route, const char *argument)
{
    route_start();
    ask_ordinary(40);
    ask_ordinary(768); /* with guard:page the memory ends where the block does */
    ask_ordinary(50000);
    ask_ordinary((size_t)2 << 20);
    ask_ordinary(((size_t)30 << 20) + 100);
    clear_by_range(40);
    clear_by_range(100000);
    clear_by_range(3000000);
    set_attributes(100);
    set_attributes(70000);
    set_attributes(5000000);
    ask_others();
    return 0;
}

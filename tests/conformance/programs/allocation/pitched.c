/* SPDX-License-Identifier: MIT */
/*
 * Pitched memory by every function: the same widths with other heights, rows that keep their
 * contents, and refused requests.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

#define ROUNDS   3
#define ROWS_MAX 64

static const size_t widths[] = {1, 100, 512, 513, 1000, 5000, 70000};
#define WIDTHS (sizeof(widths) / sizeof(widths[0]))

/* Each row another value, in the middle and at its ends. */
static void fill_and_read(char *pointer, size_t pitch, size_t width, size_t rows)
{
    unsigned char first, last;
    int wrong = 0, errors = 0;

    for (size_t row = 0; row < rows; row++)
        errors += route_fill(pointer + row * pitch, (int)(row + width) % 251, width) != 0;
    for (size_t row = 0; row < rows; row++) {
        errors += route_read(&first, pointer + row * pitch, 1) != 0;
        errors += route_read(&last, pointer + row * pitch + width - 1, 1) != 0;
        wrong += first != (row + width) % 251 || last != first;
    }
    printf("  aligned %d, wrong rows %d, errors %d\n", (uintptr_t)pointer % 256 == 0, wrong,
           errors);
}

static void flat(size_t width, size_t rows)
{
    char *pointer = NULL;
    size_t pitch = 0;
    int error = route_allocate_pitched((void **)&pointer, &pitch, width, rows);

    printf("%zu x %zu: %s, pitch %zu\n", width, rows, route_error_name(error), pitch);
    if (error || !pointer)
        return;
    fill_and_read(pointer, pitch, width, rows);
    route_report("  free", route_free(pointer));
    route_report("  again", route_free(pointer));
}

static void deep(size_t width, size_t height, size_t depth)
{
    struct cudaPitchedPtr made = {0};
    struct cudaExtent extent = {width, height, depth};

    if (!route_is_runtime)
        return;
    int error = (int)route_runtime.cudaMalloc3D(&made, extent);
    printf("%zu x %zu x %zu: %s, pitch %zu, %zu x %zu\n", width, height, depth,
           route_error_name(error), made.pitch, made.xsize, made.ysize);
    if (error || !made.ptr)
        return;
    fill_and_read(made.ptr, made.pitch, width, height * depth);
    route_report("  free", route_free(made.ptr));
}

static void elements(void)
{
    CUdeviceptr pointer;
    const char *name = "?";

    for (int round = 0; round < 2; round++)
        for (unsigned bytes = 0; bytes <= 17; bytes++) {
            size_t pitch = 0;
            CUresult result = DRIVER(cuMemAllocPitch)(&pointer, &pitch, 600, 7, bytes);

            DRIVER(cuGetErrorName)(result, &name);
            printf("of %u bytes: %s, pitch %zu\n", bytes, name, pitch);
            if (result == CUDA_SUCCESS)
                DRIVER(cuMemFree)(pointer);
        }
}

static void refusals(void)
{
    void *pointer = (void *)1;
    size_t pitch = 7;

    route_report("no place", route_allocate_pitched(NULL, &pitch, 100, 10));
    route_report("no place", route_allocate_pitched(&pointer, NULL, 100, 10));
    route_report("no width", route_allocate_pitched(&pointer, &pitch, 0, 10));
    route_report("no rows", route_allocate_pitched(&pointer, &pitch, 100, 0));
    route_report("too much", route_allocate_pitched(&pointer, &pitch, 100, (size_t)1 << 50));
    route_report("overflow", route_allocate_pitched(&pointer, &pitch, 100, SIZE_MAX / 50));
    route_report("overflow", route_allocate_pitched(&pointer, &pitch, SIZE_MAX - 5, 1));
    printf("untouched %d\n", pitch == 7 || pitch == 0);
    route_report("last error", route_last_error());
    deep(100, SIZE_MAX / 2, 4);
    deep(0, 10, 10);
    deep(100, 10, 0);
    route_report("last error", route_last_error());
}

int program_pitched(const char *self, const char *route, const char *argument)
{
    route_start();
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < WIDTHS; i++) {
            flat(widths[i], (size_t)(5 + 13 * round) % ROWS_MAX);
            deep(widths[i], (size_t)(2 + round), 3);
        }
    elements();
    refusals();
    return 0;
}

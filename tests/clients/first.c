/* SPDX-License-Identifier: MIT */
/*
 * Allocates once and prints the result, from the runtime it is linked with (an RPATH names a
 * folder with a decoy), or from one that it opens:  first | first open NAME
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int cudaMalloc(void **pointer, size_t bytes);

int main(int argc, char **argv)
{
    int (*allocate)(void **, size_t) = cudaMalloc;
    void *library, *pointer = NULL;

    if (argc > 2 && !strcmp(argv[1], "open")) {
        library = dlopen(argv[2], RTLD_NOW);
        if (!library) {
            puts("none");
            return 0;
        }
        *(void **)&allocate = dlsym(library, "cudaMalloc");
    }
    printf("%d\n", allocate(&pointer, 1 << 20));
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Names and texts of all error codes, compared with the real runtime's. Arguments: the simulated
 * library, the real one. Needs no device; skipped where the real library is absent.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef const char *(*text_function)(int code);

static text_function find(void *library, const char *name)
{
    void *found = dlsym(library, name);

    if (!found)
        fprintf(stderr, "no %s\n", name);
    return (text_function)found;
}

static int compare(void *simulated, void *real, const char *name)
{
    text_function ours = find(simulated, name), theirs = find(real, name);
    int different = ours && theirs ? 0 : 1;

    for (int code = -1; different == 0 && code <= 1200; code++) {
        if (!strcmp(ours(code), theirs(code)))
            continue;
        fprintf(stderr, "%s(%d): \"%s\", really \"%s\"\n", name, code, ours(code), theirs(code));
        different = 1;
    }
    return different;
}

int main(int argc, char **argv)
{
    void *simulated = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *real = argc == 3 ? dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (!simulated) {
        fprintf(stderr, "usage: runtime_error_names SIMULATED REAL: %s\n", dlerror());
        return 1;
    }
    if (!real) {
        printf("skipped: no real runtime: %s\n", dlerror());
        return 77;
    }
    return compare(simulated, real, "cudaGetErrorName") |
           compare(simulated, real, "cudaGetErrorString");
}

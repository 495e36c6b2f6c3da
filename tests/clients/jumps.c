/* SPDX-License-Identifier: MIT */
/*
 * Allocates through a module that it loads; itself it is linked with nothing.
 *
 * usage: jumps MODULE
 */
#include <dlfcn.h>
#include <stdio.h>

#define BLOCKS 20

int main(int argc, char **argv)
{
    void *module = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL, *blocks[BLOCKS];
    int (*take)(void **, size_t), (*give)(void *), errors = 0;

    if (!module) {
        puts(dlerror());
        return 2;
    }
    *(void **)&take = dlsym(module, "jumping_malloc");
    *(void **)&give = dlsym(module, "jumping_free");
    if (!take || !give) /* it has done its work */
        return 0;
    for (int i = 0; i < BLOCKS; i++)
        errors += take(&blocks[i], (size_t)5000 << i % 4);
    for (int i = 0; i < BLOCKS; i++)
        errors += give(blocks[i]);
    printf("errors: %d\n", errors);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Allocates through a module that it loads; itself it is linked with nothing. Loads it again
 * and again, each time at another place.
 *
 * usage: jumps MODULE [TIMES]
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCKS 20
#define PAGE   4096
#define PAGES  256 /* more than a module takes */

static int use(void *module)
{
    int (*take)(void **, size_t), (*give)(void *), errors = 0;
    void *blocks[BLOCKS];

    *(void **)&take = dlsym(module, "jumping_malloc");
    *(void **)&give = dlsym(module, "jumping_free");
    if (!take || !give) /* it has done its work */
        return 0;
    for (int i = 0; i < BLOCKS; i++)
        errors += take(&blocks[i], (size_t)5000 << i % 4);
    for (int i = 0; i < BLOCKS; i++)
        errors += give(blocks[i]);
    return errors;
}

int main(int argc, char **argv)
{
    int times = argc > 2 ? atoi(argv[2]) : 1;

    for (int i = 0; i < times; i++) {
        void *module = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

        if (!module) {
            puts(dlerror());
            return 2;
        }
        printf("errors: %d\n", use(module));
        dlclose(module);
        for (int j = 0; j < PAGES; j++) /* page by page, so that they fill what it left */
            mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A preload library that interposes dlsym, as limiters and tracers of device memory do: it hands
 * every look-up on to the dlsym of libc, which it finds by its version.
 */
#include <dlfcn.h>
#include <stddef.h>

/* dlsym's first versions by architecture, after the one since it moved into libc.so.6. */
static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};

__attribute__((visibility("default"))) void *dlsym(void *restrict library,
                                                   const char *restrict name)
{
    void *(*real)(void *, const char *) = NULL;
    for (size_t i = 0; !real && i < sizeof versions / sizeof versions[0]; i++)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    return real ? real(library, name) : NULL;
}

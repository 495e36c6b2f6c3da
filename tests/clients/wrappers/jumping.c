/* SPDX-License-Identifier: MIT */
/*
 * Functions that end with a jump to those that the module is linked with. So the return address
 * that these see is their caller's, which knows nothing of them. Their type does not matter here.
 */
int cudaMalloc(void **pointer, unsigned long bytes);
int cudaFree(void *pointer);

#ifndef QUIET
int jumping_malloc(void **pointer, unsigned long bytes)
{
    return cudaMalloc(pointer, bytes);
}

int jumping_free(void *pointer)
{
    return cudaFree(pointer);
}
#endif

#ifdef QUIET /* a module that exports nothing works when it is loaded */
int printf(const char *format, ...);

__attribute__((constructor)) static void begin(void)
{
    void *blocks[20];
    int errors = 0;

    for (int i = 0; i < 20; i++)
        errors += cudaMalloc(&blocks[i], 5000UL << i % 4);
    for (int i = 0; i < 20; i++)
        errors += cudaFree(blocks[i]);
    printf("errors: %d\n", errors);
}
#endif

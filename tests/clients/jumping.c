/* SPDX-License-Identifier: MIT */
/*
 * Functions that end with a jump to those that the module is linked with. So the return address
 * that these see is their caller's, which knows nothing of them. Their type does not matter here.
 */
int cudaMalloc(void **pointer, unsigned long bytes);
int cudaFree(void *pointer);

int jumping_malloc(void **pointer, unsigned long bytes)
{
    return cudaMalloc(pointer, bytes);
}

int jumping_free(void *pointer)
{
    return cudaFree(pointer);
}

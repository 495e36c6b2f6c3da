/* SPDX-License-Identifier: MIT */
/*
 * CUDA calls on a thread with a small stack: the first ones of the process, or later ones.
 *
 * usage: small_stacks BYTES first|later
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 8

static void *work(void *unused)
{
    void *block[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        if (cudaMalloc(&block[i], (size_t)1 << (10 + i)) != cudaSuccess) {
            puts("malloc failed");
            return NULL;
        }
    for (int i = 0; i < BLOCKS; i++)
        if (cudaFree(block[i]) != cudaSuccess) {
            puts("free failed");
            return NULL;
        }
    puts("ok");
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (argc < 3)
        return 2;
    pthread_attr_init(&attributes);
    if (!strcmp(argv[2], "later"))
        work(NULL);
    if (pthread_attr_setstacksize(&attributes, strtoul(argv[1], NULL, 0)) != 0 ||
        pthread_create(&thread, &attributes, work, NULL) != 0)
        return 2;
    pthread_join(thread, NULL);
    return 0;
}

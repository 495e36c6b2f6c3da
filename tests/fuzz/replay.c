/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on the files of a corpus, with any compiler: what once failed is tried again
 * in every test run. usage: TARGET_corpus FILE|FOLDER...
 *
 * Threading: single-threaded.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static unsigned long files;

static int file_run(const char *path, const struct stat *status, int type, struct FTW *place)
{
    size_t bytes = (size_t)status->st_size;
    unsigned char *data;
    FILE *file;

    if (type != FTW_F)
        return 0;
    fprintf(stderr, "%s\n", path); /* the last one is the one that failed */
    file = fopen(path, "rb");
    data = malloc(bytes + 1);
    if (!file || !data || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    files++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (nftw(argv[i], file_run, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    fprintf(stderr, "%lu files\n", files);
    return files ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on mutated files of a corpus, with any compiler: bytes exchanged, set to
 * special numbers, moved, cut off. The inputs are the same in each run; CUPOOL_TEST_SEED draws
 * others. usage: TARGET_mutate INPUTS FILE|FOLDER...
 *
 * Threading: single-threaded.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define FILES_MOST    256
#define INPUT_SECONDS 60 /* beyond this one hangs */
#define CHANGES_MOST  12

struct seed_file {
    unsigned char *data;
    size_t bytes;
};

static struct seed_file corpus[FILES_MOST];
static size_t files;
static unsigned long long state, seed = 1, input;

static void failure_tell(int signal_number)
{
    char line[100];
    int length = snprintf(line, sizeof line, "fails with CUPOOL_TEST_SEED=%llu, input %llu\n", seed,
                          input);

    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static size_t draw(size_t below)
{
    unsigned long long mixed = state += 0x9e3779b97f4a7c15ull;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return below ? (mixed ^ mixed >> 31) % below : 0;
}

static int compare(const void *a, const void *b)
{
    const struct seed_file *left = a, *right = b;

    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? -1 : 1;
    return memcmp(left->data, right->data, left->bytes);
}

static int file_load(const char *path, const struct stat *status, int type, struct FTW *place)
{
    struct seed_file *loaded = &corpus[files];
    FILE *file;

    if (type != FTW_F || files == FILES_MOST || status->st_size == 0)
        return 0;
    file = fopen(path, "rb");
    loaded->bytes = (size_t)status->st_size;
    loaded->data = malloc(loaded->bytes);
    if (!file || !loaded->data || fread(loaded->data, 1, loaded->bytes, file) != loaded->bytes) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    fclose(file);
    files++;
    return 0;
}

static void change(unsigned char *data, size_t *bytes)
{
    static const unsigned long long numbers[] = {
        0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    unsigned long long number = numbers[draw(sizeof numbers / sizeof *numbers)];
    size_t at = draw(*bytes), from = draw(*bytes), length = 1 + draw(16), width = 1ul << draw(4);

    switch (draw(6)) {
    case 0: data[at] ^= (unsigned char)(1u << draw(8)); break;
    case 1: data[at] = (unsigned char)draw(256); break;
    case 2: memcpy(data + at, &number, width < *bytes - at ? width : *bytes - at); break;
    case 3:
        length = length < *bytes - at ? length : *bytes - at;
        length = length < *bytes - from ? length : *bytes - from;
        memmove(data + at, data + from, length);
        break;
    case 4: memset(data + at, (int)draw(256), length < *bytes - at ? length : *bytes - at); break;
    default:
        if (!draw(8))
            *bytes = 1 + draw(*bytes);
    }
}

static void input_run(unsigned char *data)
{
    const struct seed_file *file;
    size_t bytes;

    state = seed * 0x100000001b3ull + input;
    file = &corpus[draw(files)];
    bytes = file->bytes;
    memcpy(data, file->data, bytes);
    for (size_t changes = 1 + draw(CHANGES_MOST); changes--;)
        change(data, &bytes);
    alarm(INPUT_SECONDS);
    LLVMFuzzerTestOneInput(data, bytes);
    alarm(0);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    const char *given = getenv("CUPOOL_TEST_SEED");
    unsigned long long inputs = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    unsigned char *data;
    size_t most = 0;

    for (int i = 2; i < argc; i++)
        if (nftw(argv[i], file_load, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    qsort(corpus, files, sizeof *corpus, compare); /* folders have no order */
    for (size_t i = 0; i < files; i++)
        most = corpus[i].bytes > most ? corpus[i].bytes : most;
    data = malloc(most + 1);
    seed = given ? strtoull(given, NULL, 0) : seed;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], failure_tell);
    for (input = 0; data && files && input < inputs; input++)
        input_run(data);
    fprintf(stderr, "CUPOOL_TEST_SEED=%llu, %llu inputs of %zu files\n", seed, input, files);
    free(data);
    for (size_t i = 0; i < files; i++)
        free(corpus[i].data);
    return input ? 0 : 1;
}

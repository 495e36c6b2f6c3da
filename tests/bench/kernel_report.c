/* SPDX-License-Identifier: MIT */
#include "tests/bench/kernel_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNELS       64
#define ARCHITECTURES 16

struct kernel {
    char name[64];
    unsigned registers[ARCHITECTURES], shared, spilled;
};

static struct kernel kernels[KERNELS];
static unsigned kernel_count;
static unsigned architectures[ARCHITECTURES], architecture_count;

static unsigned architecture_of(unsigned number)
{
    for (unsigned at = 0; at < architecture_count; at++)
        if (architectures[at] == number)
            return at;
    if (architecture_count == ARCHITECTURES)
        return ARCHITECTURES - 1;
    architectures[architecture_count] = number;
    return architecture_count++;
}

static struct kernel *kernel_of(const char *name)
{
    for (unsigned at = 0; at < kernel_count; at++)
        if (strcmp(kernels[at].name, name) == 0)
            return &kernels[at];
    if (kernel_count == KERNELS)
        return NULL;
    snprintf(kernels[kernel_count].name, sizeof(kernels[0].name), "%s", name);
    return &kernels[kernel_count++];
}

/* The number in front of a word. */
static unsigned number_before(const char *line, const char *word)
{
    const char *at = strstr(line, word);

    while (at && at > line && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return at ? (unsigned)strtoul(at, NULL, 10) : 0;
}

static void report_read(FILE *file)
{
    char line[512], name[64];
    struct kernel *kernel = NULL;
    unsigned architecture = 0, at = 0;

    while (fgets(line, sizeof(line), file)) {
        const char *begin = strstr(line, "entry function '");

        if (begin &&
            sscanf(begin, "entry function '%63[^']' for 'sm_%u'", name, &architecture) == 2) {
            kernel = kernel_of(name);
            at = architecture_of(architecture);
        } else if (kernel && strstr(line, " bytes spill stores")) {
            unsigned spilled = number_before(line, " bytes spill stores");

            kernel->spilled = spilled > kernel->spilled ? spilled : kernel->spilled;
        } else if (kernel && strstr(line, "Used ")) {
            unsigned shared = number_before(line, " bytes smem");

            kernel->registers[at] = number_before(line, " registers");
            kernel->shared = shared > kernel->shared ? shared : kernel->shared;
        }
    }
}

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct kernel *)one)->name, ((const struct kernel *)other)->name);
}

static void kernel_print(const struct kernel *kernel, bool json, bool first)
{
    if (json) {
        printf("%s\n  {\"kernel\": \"%s\", \"registers\": {", first ? "" : ",", kernel->name);
        for (unsigned at = 0; at < architecture_count; at++)
            printf("%s\"sm_%u\": %u", at ? ", " : "", architectures[at], kernel->registers[at]);
        printf("}, \"shared_bytes\": %u, \"spill_bytes\": %u}", kernel->shared, kernel->spilled);
        return;
    }
    printf("%-24s", kernel->name);
    for (unsigned at = 0; at < architecture_count; at++)
        printf(" %6u", kernel->registers[at]);
    printf(" %7u %7u\n", kernel->shared, kernel->spilled);
}

void kernel_report_print(const char *path, bool json)
{
    FILE *file = fopen(path, "r");

    if (file) {
        report_read(file);
        fclose(file);
    }
    qsort(kernels, kernel_count, sizeof(*kernels), by_name);
    if (!json && kernel_count > 0) {
        printf("\n%-24s", "kernel: registers");
        for (unsigned at = 0; at < architecture_count; at++)
            printf(" %3s%03u", "sm_", architectures[at]);
        printf(" %7s %7s\n", "shared", "spilled");
    }
    for (unsigned at = 0; at < kernel_count; at++)
        kernel_print(&kernels[at], json, at == 0);
}

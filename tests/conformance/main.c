/* SPDX-License-Identifier: MIT */
/*
 * conformance PROGRAM ROUTE [ARGUMENT]: runs one program of programs.def through one route.
 */
#include <stdio.h>
#include <string.h>

#include "route.h"
#include "program.h"

static const struct {
    const char *name;
    int (*run)(const char *self, const char *route, const char *argument);
} programs[] = {
#define PROGRAM(folder, name) {#name, program_##name},
#include "programs.def"
#undef PROGRAM
};

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s PROGRAM ROUTE [ARGUMENT]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (strcmp(programs[i].name, argv[1]) != 0)
            continue;
        if (!route_open(argv[2])) {
            fprintf(stderr, "%s: no route %s\n", argv[0], argv[2]);
            return 2;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        return programs[i].run(argv[0], argv[2], argc > 3 ? argv[3] : NULL);
    }
    fprintf(stderr, "%s: no program %s\n", argv[0], argv[1]);
    return 2;
}

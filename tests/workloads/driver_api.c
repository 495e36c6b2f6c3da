/* SPDX-License-Identifier: MIT */
/*
 * driver_api: a program linked with -lcuda, which uses the driver's functions directly.
 *
 * The table of the exercise holds the linked functions, so that each call goes through the
 * program's own import of libcuda.so.1. One thread.
 */
#include "tests/workloads/driver_exercise.h"

int main(void)
{
    const struct driver driver = {.route = "linked",
#define DRIVER_LINKED(name, version) .name##_pfn = name,
                                  DRIVER_FUNCTIONS(DRIVER_LINKED)
#undef DRIVER_LINKED
    };
    exercise_driver(&driver);
    return 0;
}

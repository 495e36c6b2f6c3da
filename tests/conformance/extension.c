/* SPDX-License-Identifier: MIT */
/*
 * A library linked with the runtime, to be loaded by a program that is not: its references are
 * resolved in its own scope, or, with RTLD_DEEPBIND, there before anywhere else.
 */
#include "door.h"

__attribute__((visibility("default"))) void extension_fill(struct door_runtime *ret_functions);

void extension_fill(struct door_runtime *ret_functions)
{
#define X(name) ret_functions->name = name;
    DOOR_RUNTIME_FUNCTIONS(X)
#undef X
}

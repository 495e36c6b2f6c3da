/* SPDX-License-Identifier: MIT */
/*
 * The search for hooks by name.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "shim/resolve/hooks.h"

Test(hooks, every_row_is_found)
{
    for (int id = 0; id < HOOK_COUNT; id++)
        cr_assert_eq(hook_find(hooks[id].name), &hooks[id], "%s", hooks[id].name);
}

Test(hooks, each_has_its_own_place)
{
    for (int a = 0; a < HOOK_COUNT; a++)
        for (int b = 0; b < a; b++)
            cr_expect(hooks[a].family != hooks[b].family || hooks[a].real != hooks[b].real, "%s",
                      hooks[a].name);
}

Test(hooks, other_names_pass)
{
    static const char *const names[] = {
        "",
        "c",
        "cu",
        "cuda",
        "cud",
        "cublasCreate_v2",
        "cufftExecC2C",
        "cudnnCreate",
        "cudaMalloc_",
        "cuMemAlloc",
        "malloc",
        "cuMemAlloc_v",
        "cuMemAlloc_v2_",
        "Malloc",
        "cuda\xff",
        "cuptiSubscribe",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_expect_null(hook_find(names[i]), "%s", names[i]);
}

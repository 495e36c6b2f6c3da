/* SPDX-License-Identifier: MIT */
#include "tools/base/shortage.h"

#include <errno.h>
#include <stdatomic.h>

static atomic_int first;

void shortage_note(int error)
{
    int none = 0;

    if (error == -ENOMEM || error == -EMFILE || error == -ENFILE)
        atomic_compare_exchange_strong(&first, &none, error);
}

int shortage_error(void)
{
    return atomic_load(&first);
}

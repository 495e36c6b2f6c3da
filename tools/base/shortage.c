/* SPDX-License-Identifier: MIT */
#include "tools/base/shortage.h"

#include <stdatomic.h>

static atomic_bool noted;

void shortage_note(void)
{
    atomic_store(&noted, true);
}

bool shortage_is_noted(void)
{
    return atomic_load(&noted);
}

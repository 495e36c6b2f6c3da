/* SPDX-License-Identifier: MIT */
/*
 * Replaces debug_info.c if libdw is missing: functions have names, but no lines.
 */
#include "tools/symbols/debug_info.h"

#include <errno.h>

int debug_info_open(Elf *elf, struct debug_info **ret_info)
{
    return -ENOSYS;
}

void debug_info_close(struct debug_info *info)
{
}

const char *debug_info_directory(struct debug_info *info, uint64_t address)
{
    return NULL;
}

void debug_info_frames(struct debug_info *info, uint64_t address, debug_info_frame *give,
                       void *state)
{
}

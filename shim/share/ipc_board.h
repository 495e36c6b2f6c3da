/* SPDX-License-Identifier: MIT */
/*
 * Where the offset of an exported block is left for the process that opens it.
 *
 * A driver's handle names a whole driver allocation, and it has no room for the place of a block in
 * it. For such a block the program is given a token of the same size instead: the name of a file,
 * a slot in it and the slot's key. The file is this process's board, in a directory of the user
 * (mode 0700) below the one the option `ipc` names; a slot holds the driver's handle, the offset
 * and the size. Without the shim a token is no handle the driver knows, so it is refused there.
 *
 * A board counts as long as its process lives (cupti/live/living_file.h). A slot counts until its
 * block is freed; keys are never used again.
 *
 * Threading: every function from any thread; one lock, on paths that call the driver or the system
 * anyway. ipc_board_withdraw is one load while nothing is exported.
 */
#ifndef SHIM_SHARE_IPC_BOARD_H
#define SHIM_SHARE_IPC_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/resolve/cuda_abi.h"

#define IPC_BOARD_SLOTS 2048

/** A block inside a driver allocation, as the board tells it. */
struct ipc_block {
    CUipcMemHandle allocation; /* the driver's handle of the whole allocation */
    uint64_t offset;           /* of the block in it, never 0 */
    uint64_t bytes;
};

/**
 * Puts a live block on the board, or finds it there.
 * Errors: -ENOTSUP by option; -ENOSPC no slot is free; others as the system said.
 */
int ipc_board_publish(uint64_t address, uint32_t context, const struct ipc_block *block,
                      CUipcMemHandle *ret_token);

extern atomic_uint ipc_board_count;
void ipc_board_withdraw_slow(uint64_t address);

/** Takes a block off the board; before it is freed. */
static inline void ipc_board_withdraw(uint64_t address)
{
    if (__builtin_expect(atomic_load_explicit(&ipc_board_count, memory_order_relaxed), 0))
        ipc_board_withdraw_slow(address);
}

/** Takes every block of a context off the board. */
void ipc_board_forget_context(uint32_t context);

/** True for what ipc_board_publish once made, whether or not it stands for anything. */
bool ipc_board_is_token(const CUipcMemHandle *handle);

/**
 * What a token stands for, from the board of a living process of this user.
 * Errors: -EINVAL not a token; -ENOENT nothing, or nothing any more; others as the system said.
 */
int ipc_board_look_up(const CUipcMemHandle *token, struct ipc_block *ret_block);

/** At the end of the process: removes the board. */
void ipc_board_close(void);

/** In the child after fork: the parent's board is none of its business. */
void ipc_board_fork_child(void);

#endif

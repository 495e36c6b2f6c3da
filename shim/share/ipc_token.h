/* SPDX-License-Identifier: MIT */
/*
 * Layout of a token and of a slot of the board, and their verification.
 *
 * Tokens come from other processes, and any process of the user may have written a board. Every
 * byte of a token is checked, unused bytes must be zero, and the content of a slot is used only
 * within the bounds of the allocation that it names.
 *
 * Threading: pure functions, except for reading the given file.
 */
#ifndef SHIM_SHARE_IPC_TOKEN_H
#define SHIM_SHARE_IPC_TOKEN_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/resolve/cuda_abi.h"

/* First the slots of blocks inside their segment, which tokens name; then those of blocks that
 * begin one, which are found by the driver's handle. */
#define IPC_BOARD_TOKENS 2048u
#define IPC_BOARD_WHOLES 1024u
#define IPC_BOARD_SLOTS  (IPC_BOARD_TOKENS + IPC_BOARD_WHOLES)

/* Slots in which a handle may stand. */
#define IPC_BOARD_WINDOW 8u

/* Most pages of a block, and the unit of their sizes. */
#define IPC_PAGES_MOST      65536u
#define IPC_PAGE_UNIT_BYTES (UINT64_C(2) << 20)

/** A block in a driver allocation, as the board describes it. */
struct ipc_block {
    CUipcMemHandle allocation; /* the driver's handle of the whole allocation, or its pages */
    uint64_t offset;           /* of the block in it; never 0 for a token of an allocation */
    uint64_t bytes;            /* as requested */
};

/** Takes the place of the driver's handle for a block on mapped pages. */
struct ipc_pages {
    uint64_t bytes; /* sum */
    uint32_t count;
};

struct ipc_slot {
    struct ipc_block block;
    uint8_t zero[40];
    _Atomic uint64_t key; /* never used again; 0: not in use */
};

static_assert(sizeof(struct ipc_slot) == 128, "slots do not straddle pages");

/** A token in parts. */
struct ipc_token {
    uint8_t board[16];
    uint64_t key;
    uint32_t slot;
};

void ipc_token_make(const struct ipc_token *token, CUipcMemHandle *ret_handle);

/** True for anything that ipc_token_make() may have made, intact or damaged. */
bool ipc_token_is(const CUipcMemHandle *handle);

/** -EINVAL: not a result of ipc_token_make(). */
int ipc_token_parse(const CUipcMemHandle *handle, struct ipc_token *ret_token);

void ipc_pages_make(const struct ipc_pages *pages, CUipcMemHandle *ret_allocation);

/** Whether a block lies on mapped pages; false also for invalid content. */
bool ipc_pages_parse(const CUipcMemHandle *allocation, struct ipc_pages *ret_pages);

/** Whether a block needs a token, because no driver handle opens at its beginning. */
bool ipc_block_has_token(const struct ipc_block *block);

/** Reads the block of a token from the board in a file. -ENOENT: none. */
int ipc_token_look_up(int file, const struct ipc_token *token, struct ipc_block *ret_block);

/** Returns the first of the slots in which a handle may stand. */
uint32_t ipc_whole_window(const CUipcMemHandle *handle);

/** Finds the entry of an allocation's handle on the board in a file. -ENOENT: none. */
int ipc_whole_look_up(int file, const CUipcMemHandle *handle, struct ipc_block *ret_block);

/** Whether a block fits an allocation of this many bytes. */
bool ipc_block_fits(const struct ipc_block *block, uint64_t allocation_bytes);

#endif

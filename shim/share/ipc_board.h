/* SPDX-License-Identifier: MIT */
/*
 * Publishes the locations of exported blocks for the processes that open them.
 *
 * A driver handle names a whole driver allocation, and has no room for the offset of a block in it.
 * For a block elsewhere in its allocation the program gets a token of the same size instead: the
 * name of a file, a slot in it and the slot's key. The file is this process's board, in a directory
 * of the user (mode 0700) below the one that the option `ipc` names. A slot holds the driver's
 * handle, the offset and the size. Without the shim a token is no handle that the driver knows, so
 * it is refused. A block that begins its allocation is exported by the driver's own handle; the
 * board then holds only its size, for importers that look up that handle.
 *
 * A board is valid as long as its process lives (cupti/live/living_file.h). A slot is valid until
 * its block is freed; keys are never reused.
 *
 * Threading: every function from any thread; one lock, on paths that call the driver or the system
 * anyway.
 */
#ifndef SHIM_SHARE_IPC_BOARD_H
#define SHIM_SHARE_IPC_BOARD_H

#include <stdint.h>

#include "shim/share/ipc_token.h"

/**
 * Puts a live block on the board, or finds it there. Writes *ret_token for a block with an offset.
 * Errors: -ENOTSUP by option; -ENOSPC no slot is free; others from the system.
 */
int ipc_board_publish(uint64_t address, uint32_t context, const struct ipc_block *block,
                      CUipcMemHandle *ret_token);

/** Returns the token of a published block. Errors: -ENOENT it was not published. */
int ipc_board_find(uint64_t address, CUipcMemHandle *ret_token);

/** Whether the option `ipc` allows tokens. */
bool ipc_board_is_on(void);

/** Starts to serve the pages of blocks on a socket beside the board (page_server.h); requires a
 * published block. Errors: from the system. */
int ipc_board_serve(void);

/** Whether this process made a token. */
bool ipc_board_is_own(const struct ipc_token *token);

/** Connects to the socket beside a token's board. Errors: page_wire_connect(). */
int ipc_board_connect(const struct ipc_token *token, uint64_t end_ns);

/** Takes a block off the board; before it is freed. */
void ipc_board_withdraw(uint64_t address);

/** Removes every block of a context from the board; returns how many. */
unsigned ipc_board_forget_context(uint32_t context);

/**
 * Resolves a token by the board of a living process of this user. Errors: -EINVAL not a token;
 * -ENOENT no such block, or no longer; others from the system.
 */
int ipc_board_look_up(const CUipcMemHandle *token, struct ipc_block *ret_block);

/**
 * Finds the block that begins the allocation of a driver handle, on any board. Errors: -ENOENT on
 * none; others from the system.
 */
int ipc_board_look_up_whole(const CUipcMemHandle *handle, struct ipc_block *ret_block);

/** At the end of the process: removes the board. */
void ipc_board_close(void);

/** In the child after fork: drops the parent's board. */
void ipc_board_fork_child(void);

#endif

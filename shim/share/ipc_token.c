/* SPDX-License-Identifier: MIT */
/*
 * Reading what others wrote. See ipc_token.h.
 */
#include "shim/share/ipc_token.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define MAGIC       "cupool block 2\n"
#define PAGES_MAGIC "cupool pages 1\n"

/* As it takes a handle's place. */
struct token_bytes {
    char magic[16];
    uint8_t board[16];
    uint64_t key;
    uint32_t slot;
    uint8_t zero[20];
};

/* The layout of struct ipc_pages in a slot. */
struct pages_bytes {
    char magic[16];
    uint64_t bytes;
    uint32_t count;
    uint8_t zero[36];
};

static_assert(sizeof(struct token_bytes) == sizeof(CUipcMemHandle), "in the place of a handle");
static_assert(sizeof(struct pages_bytes) == sizeof(CUipcMemHandle), "in the place of a handle");

static bool all_zero(const uint8_t *bytes, size_t count)
{
    while (count && !*bytes) {
        bytes++;
        count--;
    }
    return !count;
}

void ipc_token_make(const struct ipc_token *token, CUipcMemHandle *ret_handle)
{
    struct token_bytes bytes = {.magic = MAGIC, .key = token->key, .slot = token->slot};

    memcpy(bytes.board, token->board, sizeof(bytes.board));
    memcpy(ret_handle, &bytes, sizeof(bytes));
}

bool ipc_token_is(const CUipcMemHandle *handle)
{
    return memcmp(handle, MAGIC, sizeof(MAGIC)) == 0;
}

int ipc_token_parse(const CUipcMemHandle *handle, struct ipc_token *ret_token)
{
    struct token_bytes bytes;

    memcpy(&bytes, handle, sizeof(bytes));
    if (!ipc_token_is(handle) || !bytes.key || bytes.slot >= IPC_BOARD_TOKENS ||
        !all_zero(bytes.zero, sizeof(bytes.zero)))
        return -EINVAL;
    *ret_token = (struct ipc_token){.key = bytes.key, .slot = bytes.slot};
    memcpy(ret_token->board, bytes.board, sizeof(bytes.board));
    return 0;
}

void ipc_pages_make(const struct ipc_pages *pages, CUipcMemHandle *ret_allocation)
{
    struct pages_bytes bytes = {.magic = PAGES_MAGIC, .bytes = pages->bytes, .count = pages->count};

    memcpy(ret_allocation, &bytes, sizeof(bytes));
}

static bool is_pages(const CUipcMemHandle *allocation)
{
    return memcmp(allocation, PAGES_MAGIC, sizeof(PAGES_MAGIC)) == 0;
}

bool ipc_pages_parse(const CUipcMemHandle *allocation, struct ipc_pages *ret_pages)
{
    struct pages_bytes bytes;

    memcpy(&bytes, allocation, sizeof(bytes));
    if (!is_pages(allocation) || !bytes.count || bytes.count > IPC_PAGES_MOST ||
        bytes.bytes % IPC_PAGE_UNIT_BYTES || bytes.bytes / IPC_PAGE_UNIT_BYTES < bytes.count ||
        !all_zero(bytes.zero, sizeof(bytes.zero)))
        return false;
    *ret_pages = (struct ipc_pages){.bytes = bytes.bytes, .count = bytes.count};
    return true;
}

bool ipc_block_has_token(const struct ipc_block *block)
{
    return block->offset || is_pages(&block->allocation);
}

/* -ENOENT: nothing that a board of ours would say. */
static int slot_read(int file, uint32_t index, struct ipc_slot *ret_slot)
{
    off_t at = (off_t)(index * sizeof(*ret_slot));

    if (pread(file, ret_slot, sizeof(*ret_slot), at) != (ssize_t)sizeof(*ret_slot))
        return -ENOENT;
    return ret_slot->key && ret_slot->block.bytes &&
                   all_zero(ret_slot->zero, sizeof(ret_slot->zero))
               ? 0
               : -ENOENT;
}

int ipc_token_look_up(int file, const struct ipc_token *token, struct ipc_block *ret_block)
{
    struct ipc_slot slot;

    if (slot_read(file, token->slot, &slot) < 0 || slot.key != token->key ||
        !ipc_block_has_token(&slot.block) || ipc_token_is(&slot.block.allocation))
        return -ENOENT;
    *ret_block = slot.block;
    return 0;
}

uint32_t ipc_whole_window(const CUipcMemHandle *handle)
{
    const unsigned char *bytes = (const unsigned char *)handle;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof(*handle); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    uint64_t windows = IPC_BOARD_WHOLES / IPC_BOARD_WINDOW;
    return (uint32_t)(IPC_BOARD_TOKENS + (hash >> 32) % windows * IPC_BOARD_WINDOW);
}

int ipc_whole_look_up(int file, const CUipcMemHandle *handle, struct ipc_block *ret_block)
{
    struct ipc_slot slot;
    uint32_t first = ipc_whole_window(handle);

    for (uint32_t index = first; index < first + IPC_BOARD_WINDOW; index++) {
        if (slot_read(file, index, &slot) < 0 || slot.block.offset != 0 ||
            memcmp(&slot.block.allocation, handle, sizeof(*handle)) != 0)
            continue;
        *ret_block = slot.block;
        return 0;
    }
    return -ENOENT;
}

bool ipc_block_fits(const struct ipc_block *block, uint64_t allocation_bytes)
{
    return block->bytes > 0 && block->offset < allocation_bytes &&
           block->bytes <= allocation_bytes - block->offset;
}

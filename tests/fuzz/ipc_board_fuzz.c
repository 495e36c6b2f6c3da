/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the readers of other processes' tokens and boards: a token is refused or every
 * byte is accounted for; a slot lies inside the allocation or is refused.
 *
 * An input is a handle, the bytes of the allocation that it opens, and any number of slots, each
 * behind its number on the board.
 *
 * Threading: single-threaded.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/share/ipc_token.h"
#include "tests/fuzz/fuzz.h"

struct input {
    CUipcMemHandle handle;
    uint64_t allocation_bytes;
    int board;
};

static void expect(bool holds)
{
    if (!holds)
        abort();
}

/* False for an input that is too short. */
static bool input_read(const uint8_t *data, size_t bytes, struct input *ret_input)
{
    size_t head = sizeof(ret_input->handle) + sizeof(ret_input->allocation_bytes);
    uint16_t index;

    if (bytes < head)
        return false;
    memcpy(&ret_input->handle, data, sizeof(ret_input->handle));
    memcpy(&ret_input->allocation_bytes, data + sizeof(ret_input->handle),
           sizeof(ret_input->allocation_bytes));
    ret_input->board = memfd_create("board", MFD_CLOEXEC);
    expect(ret_input->board >= 0);
    for (size_t at = head; at + sizeof(index) < bytes;
         at += sizeof(index) + sizeof(struct ipc_slot)) {
        size_t left = bytes - at - sizeof(index);
        size_t part = left < sizeof(struct ipc_slot) ? left : sizeof(struct ipc_slot);
        memcpy(&index, data + at, sizeof(index));
        off_t place = (off_t)(index % (IPC_BOARD_SLOTS + 1) * sizeof(struct ipc_slot));
        expect(pwrite(ret_input->board, data + at + sizeof(index), part, place) == (ssize_t)part);
    }
    return true;
}

/* The importer's view of a block. */
static void block_check(const struct ipc_block *block, uint64_t allocation_bytes)
{
    if (!ipc_block_fits(block, allocation_bytes))
        return;
    expect(block->bytes > 0 && block->offset < allocation_bytes);
    expect(block->offset + block->bytes > block->offset);
    expect(block->offset + block->bytes <= allocation_bytes);
}

/* Pages are made as they are read, and hold the block or not. */
static void pages_check(const struct ipc_block *block)
{
    struct ipc_pages pages;
    CUipcMemHandle again;

    if (!ipc_pages_parse(&block->allocation, &pages))
        return;
    ipc_pages_make(&pages, &again);
    expect(memcmp(&again, &block->allocation, sizeof(again)) == 0);
    expect(pages.count > 0 && pages.count <= IPC_PAGES_MOST);
    expect(pages.bytes >= pages.count * IPC_PAGE_UNIT_BYTES);
    block_check(block, pages.bytes);
}

static void token_check(const struct input *input)
{
    struct ipc_token token;
    struct ipc_block block;
    CUipcMemHandle again;

    if (ipc_token_parse(&input->handle, &token) < 0)
        return;
    ipc_token_make(&token, &again);
    expect(memcmp(&again, &input->handle, sizeof(again)) == 0);
    if (ipc_token_look_up(input->board, &token, &block) < 0)
        return;
    expect(ipc_block_has_token(&block) && block.bytes > 0 && !ipc_token_is(&block.allocation));
    block_check(&block, input->allocation_bytes);
    pages_check(&block);
}

static void whole_check(const struct input *input)
{
    struct ipc_block block;
    uint32_t window = ipc_whole_window(&input->handle);

    expect(window >= IPC_BOARD_TOKENS && window + IPC_BOARD_WINDOW <= IPC_BOARD_SLOTS);
    if (ipc_whole_look_up(input->board, &input->handle, &block) < 0)
        return;
    expect(block.offset == 0 && block.bytes > 0);
    expect(memcmp(&block.allocation, &input->handle, sizeof(input->handle)) == 0);
    block_check(&block, input->allocation_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input;

    if (!input_read(data, bytes, &input))
        return 0;
    token_check(&input);
    whole_check(&input);
    close(input.board);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Tokens and boards as other processes may make them: complete ones are understood, and no change
 * of a byte goes unnoticed or leads outside the allocation.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/share/ipc_token.h"
#include "tests/random.h"

#define SEED             UINT64_C(20240611)
#define ROUNDS           200000
#define ALLOCATION_BYTES (UINT64_C(2) << 20)

static int board;
static const struct ipc_token token = {
    .board = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, .key = 77, .slot = 5};

static uint64_t draw(void)
{
    static uint64_t state = SEED;

    state = random_xorshift(state);
    return state;
}

static void put(uint32_t index, const void *slot)
{
    off_t at = (off_t)(index * sizeof(struct ipc_slot));

    cr_assert_eq(pwrite(board, slot, sizeof(struct ipc_slot), at),
                 (ssize_t)sizeof(struct ipc_slot));
}

static struct ipc_slot slot_of(uint64_t offset, uint64_t bytes)
{
    struct ipc_slot slot = {.block = {.offset = offset, .bytes = bytes}, .key = token.key};

    memset(&slot.block.allocation, 0x5A, sizeof(slot.block.allocation));
    return slot;
}

static void setup(void)
{
    board = memfd_create("board", MFD_CLOEXEC);
    cr_assert_geq(board, 0);
    cr_assert_eq(ftruncate(board, IPC_BOARD_SLOTS * sizeof(struct ipc_slot)), 0);
}

static void teardown(void)
{
    close(board);
}

/* 0 and a block inside the allocation, or an error. */
static int open_as_importer(const CUipcMemHandle *handle, struct ipc_block *ret_block)
{
    struct ipc_token parsed;
    int error = ipc_token_parse(handle, &parsed);

    if (error == 0)
        error = ipc_token_look_up(board, &parsed, ret_block);
    if (error == 0 && !ipc_block_fits(ret_block, ALLOCATION_BYTES))
        error = -ERANGE;
    return error;
}

Test(ipc_token, is_understood, .init = setup, .fini = teardown)
{
    CUipcMemHandle handle;
    struct ipc_block block;
    struct ipc_slot slot = slot_of(4096, 1000);

    ipc_token_make(&token, &handle);
    cr_assert(ipc_token_is(&handle));
    cr_assert_eq(open_as_importer(&handle, &block), -ENOENT, "an empty board");
    put(token.slot, &slot);
    cr_assert_eq(open_as_importer(&handle, &block), 0);
    cr_assert_eq(block.offset, 4096);
    cr_assert_eq(block.bytes, 1000);
    cr_assert_not(ipc_token_is(&block.allocation));
}

Test(ipc_token, every_bit_counts, .init = setup, .fini = teardown)
{
    CUipcMemHandle whole, damaged;
    struct ipc_block block;
    struct ipc_token parsed;
    struct ipc_slot slot = slot_of(4096, 1000);

    for (uint32_t index = 0; index < IPC_BOARD_TOKENS; index++)
        put(index, &slot);
    ipc_token_make(&token, &whole);
    for (size_t bit = 0; bit < 8 * sizeof(whole); bit++) {
        damaged = whole;
        ((unsigned char *)&damaged)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (open_as_importer(&damaged, &block) < 0)
            continue;
        /* The remaining case: another file and another place in it. */
        cr_assert_eq(ipc_token_parse(&damaged, &parsed), 0);
        cr_assert(parsed.slot != token.slot || memcmp(parsed.board, token.board, 16) != 0,
                  "bit %zu", bit);
    }
}

Test(ipc_token, nothing_leads_outside, .init = setup, .fini = teardown)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     512,
                                     ALLOCATION_BYTES - 1,
                                     ALLOCATION_BYTES,
                                     ALLOCATION_BYTES + 1,
                                     UINT64_MAX,
                                     UINT64_MAX - 511,
                                     UINT64_C(1) << 63};
    const size_t count = sizeof(edges) / sizeof(edges[0]);
    CUipcMemHandle handle;
    struct ipc_block block;
    unsigned opened = 0;

    ipc_token_make(&token, &handle);
    for (int round = 0; round < ROUNDS; round++) {
        struct ipc_slot slot = slot_of(edges[draw() % count] + draw() % 3,
                                       edges[draw() % count] + draw() % 3);

        if (draw() % 4 == 0)
            ((unsigned char *)&slot)[draw() % sizeof(slot)] ^= (unsigned char)draw();
        put(token.slot, &slot);
        if (open_as_importer(&handle, &block) < 0)
            continue;
        opened++;
        cr_assert_gt(block.offset, 0);
        cr_assert_gt(block.bytes, 0);
        cr_assert_lt(block.offset, ALLOCATION_BYTES);
        cr_assert_leq(block.bytes, ALLOCATION_BYTES - block.offset);
        for (size_t i = 0; i < sizeof(slot.zero); i++)
            cr_assert_eq(slot.zero[i], 0);
    }
    cr_assert_gt(opened, ROUNDS / 100, "seed %llu", (unsigned long long)SEED);
}

Test(ipc_token, a_short_board_says_nothing, .init = setup, .fini = teardown)
{
    CUipcMemHandle handle;
    struct ipc_block block;
    struct ipc_slot slot = slot_of(512, 512);

    ipc_token_make(&token, &handle);
    put(token.slot, &slot);
    cr_assert_eq(open_as_importer(&handle, &block), 0);
    cr_assert_eq(ftruncate(board, (token.slot + 1) * sizeof(slot) - 1), 0);
    cr_assert_eq(open_as_importer(&handle, &block), -ENOENT);
    cr_assert_eq(ipc_whole_look_up(board, &slot.block.allocation, &block), -ENOENT);
}

Test(ipc_whole, is_found_by_its_handle, .init = setup, .fini = teardown)
{
    struct ipc_block block;

    for (unsigned i = 1; i <= 200; i++) {
        struct ipc_slot slot = slot_of(0, i);

        memset(&slot.block.allocation, (int)i, sizeof(slot.block.allocation));
        uint32_t window = ipc_whole_window(&slot.block.allocation);
        cr_assert_geq(window, IPC_BOARD_TOKENS);
        cr_assert_leq(window + IPC_BOARD_WINDOW, IPC_BOARD_SLOTS);
        cr_assert_eq(ipc_whole_look_up(board, &slot.block.allocation, &block), -ENOENT);
        put(window + i % IPC_BOARD_WINDOW, &slot);
        cr_assert_eq(ipc_whole_look_up(board, &slot.block.allocation, &block), 0);
        cr_assert_eq(block.bytes, i);
        slot.block.offset = 512;
        put(window + i % IPC_BOARD_WINDOW, &slot);
        cr_assert_eq(ipc_whole_look_up(board, &slot.block.allocation, &block), -ENOENT);
        put(window + i % IPC_BOARD_WINDOW, &(struct ipc_slot){0});
    }
}

Test(ipc_token, of_mapped_pages, .init = setup, .fini = teardown)
{
    static const struct ipc_pages right[] = {
        {2 << 20, 1}, {64 << 20, 8}, {UINT64_C(1) << 40, 65536}};
    static const struct ipc_pages wrong[] = {
        {0, 0}, {2 << 20, 0}, {2 << 20, 2}, {(2 << 20) + 1, 1}, {UINT64_C(1) << 50, 65537}};
    CUipcMemHandle handle, damaged;
    struct ipc_pages pages;
    struct ipc_block block;

    for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
        ipc_pages_make(&right[i], &handle);
        cr_assert(ipc_pages_parse(&handle, &pages));
        cr_assert_eq(pages.bytes, right[i].bytes);
        cr_assert_eq(pages.count, right[i].count);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        ipc_pages_make(&wrong[i], &handle);
        cr_assert_not(ipc_pages_parse(&handle, &pages), "%zu", i);
    }
    ipc_pages_make(&right[1], &handle);
    for (size_t byte = 0; byte < sizeof(handle); byte++) {
        damaged = handle;
        ((unsigned char *)&damaged)[byte] ^= 0x80;
        cr_assert(byte >= 16 && byte < 28 ? true : !ipc_pages_parse(&damaged, &pages), "%zu", byte);
    }
    /* A block on pages may begin at offset 0. */
    struct ipc_slot slot = slot_of(0, 1000);
    ipc_token_make(&token, &damaged);
    put(token.slot, &slot);
    cr_assert_eq(open_as_importer(&damaged, &block), -ENOENT);
    slot.block.allocation = handle;
    put(token.slot, &slot);
    cr_assert_eq(open_as_importer(&damaged, &block), 0);
    cr_assert(ipc_block_has_token(&block));
}

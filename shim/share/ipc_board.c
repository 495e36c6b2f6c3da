/* SPDX-License-Identifier: MIT */
/*
 * A living file of slots, mapped by the one who writes and read by the others. See ipc_board.h.
 *
 * A slot's key is written last and cleared first. A reader copies the slot and then asks for the
 * key again, after it has opened what the slot names.
 */
#include "shim/share/ipc_board.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cupti/live/living_file.h"
#include "shim/shim.h"

#define BOARD_MAGIC  "cupool block 1\n"
#define BOARD_PREFIX "ipc."
#define NAME_BYTES   (sizeof(BOARD_PREFIX) + 32) /* 16 bytes in hexadecimal */

struct token {
    char magic[16];
    uint8_t board[16];
    uint64_t key;
    uint32_t slot;
    uint8_t zero[20];
};

struct slot {
    struct ipc_block block;
    uint8_t zero[40];
    _Atomic uint64_t key; /* 0: not in use */
};

_Static_assert(sizeof(struct token) == sizeof(CUipcMemHandle), "a token takes a handle's place");
_Static_assert(sizeof(struct slot) == 128, "slots do not straddle pages");

/** What this process knows of a slot of its own. */
struct entry {
    uint64_t address; /* of the block; 0: not in use */
    uint32_t context; /* number */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot *slots;                    /* guarded by lock, like all below; NULL: no board */
static struct entry entries[IPC_BOARD_SLOTS]; /* the first entries_end were ever in use */
static uint32_t entries_end;
static uint64_t last_key;
static uint8_t board_id[16];
atomic_uint ipc_board_count; /* written under lock */

static void name_of(const uint8_t id[16], char ret_name[NAME_BYTES])
{
    char *end = stpcpy(ret_name, BOARD_PREFIX);
    for (int i = 0; i < 16; i++, end += 2)
        snprintf(end, 3, "%02x", id[i]);
}

/* Where this user's directory is made; NULL: nowhere. */
static const char *where(void)
{
    const char *directory = shim_options()->ipc;
    return strcmp(directory, "off") == 0 ? NULL : directory;
}

static int board_create_locked(void)
{
    char name[NAME_BYTES];
    void *map;
    int directory = where() ? living_directory_open(where(), true) : -ENOTSUP;
    if (directory < 0)
        return directory;
    living_files_visit(directory, BOARD_PREFIX, NULL, NULL);
    int error = -EAGAIN;
    if (getrandom(board_id, sizeof(board_id), GRND_NONBLOCK) == sizeof(board_id)) {
        name_of(board_id, name);
        error = living_file_create(directory, name, IPC_BOARD_SLOTS * sizeof(struct slot), &map);
    }
    if (error == 0)
        slots = map;
    close(directory);
    return error;
}

/* ---- this process's blocks ---- */

static int find_locked(uint64_t address)
{
    for (uint32_t i = 0; i < entries_end; i++)
        if (entries[i].address == address)
            return (int)i;
    return -ENOENT;
}

static void token_of_locked(int slot, CUipcMemHandle *ret_token)
{
    struct token token = {.magic = BOARD_MAGIC, .key = slots[slot].key, .slot = (uint32_t)slot};
    memcpy(token.board, board_id, sizeof(token.board));
    memcpy(ret_token, &token, sizeof(token));
}

static void clear_locked(uint32_t slot)
{
    atomic_store(&slots[slot].key, 0);
    entries[slot].address = 0;
    atomic_fetch_sub(&ipc_board_count, 1);
}

/* The slot of a block, a new one if need be. */
static int slot_take_locked(uint64_t address, uint32_t context, const struct ipc_block *block)
{
    int slot = find_locked(address), error = 0;
    if (slot >= 0)
        return slot;
    if (!slots)
        error = board_create_locked();
    if (error < 0)
        return error;
    slot = find_locked(0);
    if (slot < 0 && entries_end == IPC_BOARD_SLOTS)
        return -ENOSPC;
    if (slot < 0)
        slot = (int)entries_end++;
    entries[slot] = (struct entry){.address = address, .context = context};
    slots[slot].block = *block;
    atomic_store(&slots[slot].key, ++last_key);
    atomic_fetch_add(&ipc_board_count, 1);
    return slot;
}

int ipc_board_publish(uint64_t address, uint32_t context, const struct ipc_block *block,
                      CUipcMemHandle *ret_token)
{
    pthread_mutex_lock(&lock);
    int slot = slot_take_locked(address, context, block);
    if (slot >= 0)
        token_of_locked(slot, ret_token);
    pthread_mutex_unlock(&lock);
    return slot < 0 ? slot : 0;
}

void ipc_board_withdraw_slow(uint64_t address)
{
    pthread_mutex_lock(&lock);
    int slot = find_locked(address);
    if (slot >= 0)
        clear_locked((uint32_t)slot);
    pthread_mutex_unlock(&lock);
}

void ipc_board_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < entries_end; i++)
        if (entries[i].address && entries[i].context == context)
            clear_locked(i);
    pthread_mutex_unlock(&lock);
}

/* ---- the blocks of others ---- */

static int slot_read(int file, const struct token *token, struct slot *ret_slot)
{
    off_t at = (off_t)(token->slot * sizeof(*ret_slot));
    if (pread(file, ret_slot, sizeof(*ret_slot), at) != (ssize_t)sizeof(*ret_slot))
        return -ENOENT;
    return ret_slot->key == token->key && ret_slot->block.offset ? 0 : -ENOENT;
}

bool ipc_board_is_token(const CUipcMemHandle *handle)
{
    return memcmp(handle, BOARD_MAGIC, sizeof(BOARD_MAGIC)) == 0;
}

int ipc_board_look_up(const CUipcMemHandle *given, struct ipc_block *ret_block)
{
    char name[NAME_BYTES];
    struct token token;
    struct slot slot;
    if (!ipc_board_is_token(given))
        return -EINVAL;
    memcpy(&token, given, sizeof(token));
    if (token.slot >= IPC_BOARD_SLOTS || !token.key)
        return -ENOENT;
    if (!where())
        return -ENOTSUP;
    name_of(token.board, name);
    int file = living_file_find(where(), name), error = file;
    if (file >= 0) {
        error = slot_read(file, &token, &slot);
        close(file);
    }
    if (error == 0)
        *ret_block = slot.block;
    return error;
}

void ipc_board_close(void)
{
    char name[NAME_BYTES];
    pthread_mutex_lock(&lock);
    if (slots && where()) {
        name_of(board_id, name);
        living_file_remove(where(), name);
    }
    pthread_mutex_unlock(&lock);
}

void ipc_board_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    slots = NULL; /* the mapping was not inherited */
    atomic_store(&ipc_board_count, 0);
}

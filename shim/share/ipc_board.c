/* SPDX-License-Identifier: MIT */
/*
 * A living file of slots, mapped by its writer and read by others. See ipc_board.h.
 *
 * A slot's key is written last and cleared first. A reader copies the slot, opens what it names,
 * and then checks the key again.
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
#include "shim/options/mode.h"
#include "shim/share/page_server.h"

#define BOARD_PREFIX "ipc."
#define PAGES_PREFIX "pages."                    /* of the socket beside it */
#define NAME_BYTES   (sizeof(PAGES_PREFIX) + 32) /* 16 bytes in hexadecimal */

/** What this process knows of a slot of its own. */
struct entry {
    uint64_t address; /* of the block; 0: not in use */
    uint32_t context; /* number */
    bool pages;       /* the block lies on mapped pages */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_slot *slots;                /* guarded by lock, like all below; NULL: no board */
static struct entry entries[IPC_BOARD_SLOTS]; /* one for each slot */
static uint32_t tokens_end;                   /* of the tokens' slots so many were ever in use */
static uint64_t last_key;
static uint8_t board_id[16];
static char socket_name[NAME_BYTES]; /* immutable while there is a board */

static void name_of(const char *prefix, const uint8_t id[16], char ret_name[NAME_BYTES])
{
    char *end = stpcpy(ret_name, prefix);

    for (int i = 0; i < 16; i++, end += 2)
        snprintf(end, 3, "%02x", id[i]);
}

/* Returns the path where this user's directory is made; NULL: nowhere. */
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
    living_companions_sweep(directory, PAGES_PREFIX, BOARD_PREFIX);
    int error = -EAGAIN;
    if (getrandom(board_id, sizeof(board_id), GRND_NONBLOCK) == sizeof(board_id)) {
        name_of(BOARD_PREFIX, board_id, name);
        name_of(PAGES_PREFIX, board_id, socket_name);
        error = living_file_create(directory, name, IPC_BOARD_SLOTS * sizeof(struct ipc_slot),
                                   &map);
    }
    if (error == 0)
        slots = map;
    close(directory);
    return error;
}

/* ---- this process's blocks ---- */

static int find_in_locked(uint32_t first, uint32_t end, uint64_t address)
{
    for (uint32_t i = first; i < end; i++)
        if (entries[i].address == address)
            return (int)i;
    return -ENOENT;
}

static int find_locked(uint64_t address)
{
    int slot = find_in_locked(0, tokens_end, address);

    return slot >= 0 ? slot : find_in_locked(IPC_BOARD_TOKENS, IPC_BOARD_SLOTS, address);
}

/* An unused one for a block. */
static int find_unused_locked(const struct ipc_block *block)
{
    uint32_t window = ipc_whole_window(&block->allocation);
    bool token = ipc_block_has_token(block);
    int slot = token ? find_in_locked(0, tokens_end, 0)
                     : find_in_locked(window, window + IPC_BOARD_WINDOW, 0);

    if (slot < 0 && token && tokens_end < IPC_BOARD_TOKENS)
        slot = (int)tokens_end++;
    return slot < 0 ? -ENOSPC : slot;
}

static void token_of_locked(int slot, CUipcMemHandle *ret_token)
{
    struct ipc_token token = {.key = slots[slot].key, .slot = (uint32_t)slot};

    memcpy(token.board, board_id, sizeof(token.board));
    ipc_token_make(&token, ret_token);
}

/* True: its pages are to be dropped, too. */
static bool clear_locked(uint32_t slot)
{
    uint64_t key = atomic_exchange(&slots[slot].key, 0);

    entries[slot].address = 0;
    if (entries[slot].pages)
        page_server_owe(slot, key);
    return entries[slot].pages;
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
    slot = find_unused_locked(block);
    if (slot < 0)
        return slot;
    struct ipc_pages pages;
    entries[slot] = (struct entry){
        .address = address,
        .context = context,
        .pages = ipc_pages_parse(&block->allocation, &pages),
    };
    slots[slot].block = *block;
    atomic_store(&slots[slot].key, ++last_key);
    return slot;
}

int ipc_board_publish(uint64_t address, uint32_t context, const struct ipc_block *block,
                      CUipcMemHandle *ret_token)
{
    pthread_mutex_lock(&lock);
    int slot = slot_take_locked(address, context, block);
    if (slot >= 0 && ipc_block_has_token(block))
        token_of_locked(slot, ret_token);
    pthread_mutex_unlock(&lock);
    return slot < 0 ? slot : 0;
}

int ipc_board_find(uint64_t address, CUipcMemHandle *ret_token)
{
    pthread_mutex_lock(&lock);
    int slot = slots ? find_in_locked(0, tokens_end, address) : -ENOENT;
    if (slot >= 0)
        token_of_locked(slot, ret_token);
    pthread_mutex_unlock(&lock);
    return slot < 0 ? slot : 0;
}

bool ipc_board_is_on(void)
{
    return where() != NULL;
}

int ipc_board_serve(void)
{
    return page_server_start(where(), socket_name);
}

bool ipc_board_is_own(const struct ipc_token *token)
{
    pthread_mutex_lock(&lock);
    bool own = slots && memcmp(token->board, board_id, sizeof(board_id)) == 0;
    pthread_mutex_unlock(&lock);
    return own;
}

void ipc_board_withdraw(uint64_t address)
{
    bool owes = false;

    pthread_mutex_lock(&lock);
    int slot = slots ? find_locked(address) : -ENOENT;
    if (slot >= 0)
        owes = clear_locked((uint32_t)slot);
    pthread_mutex_unlock(&lock);
    if (owes)
        page_server_settle();
}

unsigned ipc_board_forget_context(uint32_t context)
{
    unsigned cleared = 0;
    bool owes = false;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; slots && i < IPC_BOARD_SLOTS; i++) {
        if (!entries[i].address || entries[i].context != context)
            continue;
        owes |= clear_locked(i);
        cleared++;
    }
    pthread_mutex_unlock(&lock);
    if (owes)
        page_server_settle();
    return cleared;
}

/* ---- the blocks of others ---- */

int ipc_board_look_up(const CUipcMemHandle *given, struct ipc_block *ret_block)
{
    char name[NAME_BYTES];
    struct ipc_token token;

    if (!ipc_token_is(given))
        return -EINVAL;
    if (ipc_token_parse(given, &token) < 0)
        return -ENOENT;
    if (!where())
        return -ENOTSUP;
    name_of(BOARD_PREFIX, token.board, name);
    int file = living_file_find(where(), name), error = file;
    if (file >= 0) {
        error = ipc_token_look_up(file, &token, ret_block);
        close(file);
    }
    if (file == -ENOENT) { /* so no process listens beside it */
        name_of(PAGES_PREFIX, token.board, name);
        living_file_remove(where(), name);
    }
    return error;
}

int ipc_board_connect(const struct ipc_token *token, uint64_t end_ns)
{
    char name[NAME_BYTES];

    name_of(PAGES_PREFIX, token->board, name);
    return where() ? page_wire_connect(where(), name, end_ns) : -ENOTSUP;
}

/** A handle that is looked for on every board. */
struct quest {
    const CUipcMemHandle *handle;
    struct ipc_block block;
    bool found;
};

static void board_search(void *state, int file, const char *name)
{
    struct quest *quest = state;

    quest->found = quest->found || ipc_whole_look_up(file, quest->handle, &quest->block) == 0;
}

int ipc_board_look_up_whole(const CUipcMemHandle *handle, struct ipc_block *ret_block)
{
    struct quest quest = {.handle = handle};
    unsigned number = 0;
    int directory;

    while (where() && !quest.found && (directory = living_directory_next(where(), &number)) >= 0) {
        living_files_visit(directory, BOARD_PREFIX, board_search, &quest);
        close(directory);
    }
    if (!quest.found)
        return -ENOENT;
    *ret_block = quest.block;
    return 0;
}

void ipc_board_close(void)
{
    char name[NAME_BYTES];

    pthread_mutex_lock(&lock);
    if (slots && where()) {
        living_file_remove(where(), socket_name);
        name_of(BOARD_PREFIX, board_id, name);
        living_file_remove(where(), name);
    }
    pthread_mutex_unlock(&lock);
}

void ipc_board_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    slots = NULL; /* the mapping was not inherited */
}

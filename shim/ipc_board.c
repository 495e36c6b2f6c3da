/* SPDX-License-Identifier: MIT */
/*
 * A file of slots, mapped by the one who writes and read by the others. See ipc_board.h.
 *
 * The file is allocated in full before it is mapped, so a full file system refuses the board rather
 * than kill the process. Its descriptor is closed at once: a program that closes every descriptor
 * it did not open can neither lose the board nor meet its number again. The mapping is not
 * inherited by a child, whose life must not lengthen the board's.
 *
 * A slot's key is written last and cleared first. A reader copies the slot and then asks for the
 * key again, after it has opened what the slot names.
 */
#include "shim/ipc_board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/shim.h"

#define BOARD_MAGIC   "cupool block 1\n"
#define NAME_BYTES    33 /* 16 bytes in hexadecimal */
#define CREATE_TRIES  8
#define SWEEP_BYTES   4096
#define SWEEP_BUFFERS 64 /* of SWEEP_BYTES: directory entries looked at in one sweep */
#define PATH_BYTES    (OPTIONS_TEXT_BYTES + 64)

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
    for (int i = 0; i < 16; i++)
        snprintf(ret_name + 2 * i, 3, "%02x", id[i]);
}

/* ---- files ---- */

static bool is_private(const struct stat *status, mode_t type)
{
    return (status->st_mode & S_IFMT) == type && status->st_uid == geteuid() &&
           !(status->st_mode & 077);
}

/* The directory of this user. Negative errno when it is not his alone. */
static int directory_open(bool create)
{
    char path[PATH_BYTES];
    struct stat status;
    const char *where = shim_options()->ipc;
    if (strcmp(where, "off") == 0)
        return -ENOTSUP;
    snprintf(path, sizeof(path), "%s/cupool-%u", where, geteuid());
    if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    if (fstat(directory, &status) == 0 && is_private(&status, S_IFDIR))
        return directory;
    close(directory);
    return -EACCES;
}

/*
 * Opens a board of a living process; one whose process is gone is removed. -ENOENT then, and when
 * there is none of that name.
 */
static int board_open(int directory, const char *name)
{
    struct stat status;
    int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return -errno;
    int error = 0;
    if (fstat(file, &status) < 0 || !is_private(&status, S_IFREG))
        error = -EACCES;
    else if (flock(file, LOCK_SH | LOCK_NB) == 0) {
        unlinkat(directory, name, 0);
        error = -ENOENT;
    } else if (errno != EWOULDBLOCK) {
        error = -errno;
    }
    if (error == 0)
        return file;
    close(file);
    return error;
}

static void sweep_entries(int directory, const char *buffer, long bytes)
{
    /* As getdents64 fills it. */
    struct entry64 {
        uint64_t inode;
        int64_t offset;
        unsigned short bytes;
        unsigned char type;
        char name[];
    };
    for (long at = 0; at < bytes;) {
        const struct entry64 *each = (const struct entry64 *)(buffer + at);
        int file = strlen(each->name) == NAME_BYTES - 1 ? board_open(directory, each->name) : -1;
        if (file >= 0)
            close(file);
        at += each->bytes;
    }
}

/* Removes the boards of processes that are gone. Reads the directory without malloc. */
static void sweep(int directory)
{
    _Alignas(8) char buffer[SWEEP_BYTES];
    for (int i = 0; i < SWEEP_BUFFERS; i++) {
        long bytes = syscall(SYS_getdents64, directory, buffer, sizeof(buffer));
        if (bytes <= 0)
            return;
        sweep_entries(directory, buffer, bytes);
    }
}

/* A file with our lock on it that is still in the directory: a sweep may come in between. */
static int locked_file_create(int directory, uint8_t ret_id[16])
{
    char name[NAME_BYTES];
    struct stat status;
    for (int i = 0; i < CREATE_TRIES; i++) {
        if (getrandom(ret_id, 16, GRND_NONBLOCK) != 16)
            return -EAGAIN;
        name_of(ret_id, name);
        int file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0600);
        if (file < 0)
            return -errno;
        if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &status) == 0 && status.st_nlink)
            return file;
        close(file);
        unlinkat(directory, name, 0);
    }
    return -EAGAIN;
}

static int board_map(int file, struct slot **ret_slots)
{
    const size_t bytes = IPC_BOARD_SLOTS * sizeof(struct slot);
    if (fallocate(file, 0, 0, (off_t)bytes) < 0)
        return -errno;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        return -errno;
    if (madvise(map, bytes, MADV_DONTFORK) < 0) {
        int error = -errno;
        munmap(map, bytes);
        return error;
    }
    *ret_slots = map;
    return 0;
}

static int board_create_locked(void)
{
    char name[NAME_BYTES];
    int directory = directory_open(true);
    if (directory < 0)
        return directory;
    sweep(directory);
    int file = locked_file_create(directory, board_id), error = file;
    if (file >= 0) {
        error = board_map(file, &slots);
        name_of(board_id, name);
        if (error < 0)
            unlinkat(directory, name, 0);
        close(file);
    }
    close(directory);
    return error < 0 ? error : 0;
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

int ipc_board_find(uint64_t address, CUipcMemHandle *ret_token)
{
    pthread_mutex_lock(&lock);
    int slot = find_locked(address);
    if (slot >= 0)
        token_of_locked(slot, ret_token);
    pthread_mutex_unlock(&lock);
    return slot < 0 ? slot : 0;
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
    int directory = directory_open(false);
    if (directory < 0)
        return directory;
    name_of(token.board, name);
    int file = board_open(directory, name), error = file;
    if (file >= 0) {
        error = slot_read(file, &token, &slot);
        close(file);
    }
    close(directory);
    if (error == 0)
        *ret_block = slot.block;
    return error;
}

void ipc_board_close(void)
{
    char name[NAME_BYTES];
    pthread_mutex_lock(&lock);
    int directory = slots ? directory_open(false) : -1;
    if (directory >= 0) {
        name_of(board_id, name);
        unlinkat(directory, name, 0);
        close(directory);
    }
    pthread_mutex_unlock(&lock);
}

void ipc_board_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    slots = NULL; /* the mapping was not inherited */
    atomic_store(&ipc_board_count, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * The protocol of the socket beside a board: a process that exported blocks on mapped pages sends
 * descriptors of these pages to the processes that open the blocks.
 *
 * A message is a packet of fixed size with at most PAGE_WIRE_MOST descriptors. A packet of another
 * size, or with another number of descriptors than it states, is invalid, and its descriptors are
 * closed. Both ends are processes of one user: the socket lies in a directory that only this user
 * can enter, and each end gets the peer's user from the kernel.
 *
 * Threading: no state; every function from any thread. Nothing here calls malloc.
 */
#ifndef SHIM_SHARE_PAGE_WIRE_H
#define SHIM_SHARE_PAGE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_WIRE_MOST 16u

/* Longest wait for a connection and its answer. */
#define PAGE_WIRE_WAIT_NS UINT64_C(10000000000)

enum page_wire_kind {
    PAGE_WIRE_ASK = 1, /* requests the pages of a slot from `first` on */
    PAGE_WIRE_PUT,     /* from the exporter itself: adds pages to a slot, in order */
    PAGE_WIRE_DROP,    /* from the exporter itself: drops the marked pages */
    PAGE_WIRE_ANSWER,  /* answers any of these; count 0: none */
};

struct page_wire {
    char magic[8];
    uint32_t kind;
    uint32_t slot; /* on the board */
    uint64_t key;
    uint32_t first;
    uint32_t count; /* pages, and descriptors */
    struct {
        uint64_t id;    /* PAGE_WIRE_PUT: identifies the memory */
        uint64_t bytes; /* size of the memory */
    } pages[PAGE_WIRE_MOST];
};

/** Makes a message without pages. */
struct page_wire page_wire_make(enum page_wire_kind kind, uint32_t slot, uint64_t key);

/** Reads the monotonic clock. */
uint64_t page_wire_now_ns(void);

/** Creates a socket that listens under a name in a directory. Errors: from the system. */
int page_wire_listen(int directory, const char *name);

/**
 * Connects, until `end_ns`, to the socket of a name in whichever of the user's directories has it.
 * Errors: -ENOENT no process listens there; -EACCES another user's does; others from the system.
 */
int page_wire_connect(const char *where, const char *name, uint64_t end_ns);

/** Returns the peer's process and user; false when the kernel does not know them. */
bool page_wire_peer(int socket, pid_t *ret_process, uid_t *ret_user);

/** Sends a message with `count` descriptors, without waiting. Errors: from the system. */
int page_wire_send(int socket, const struct page_wire *message, const int *descriptors);

/**
 * Receives a message, without waiting. The caller owns its descriptors, `count` of them.
 * Errors: -EAGAIN none is there; -ECONNRESET the peer has closed; -EBADMSG an invalid packet.
 */
int page_wire_receive(int socket, struct page_wire *ret_message,
                      int ret_descriptors[PAGE_WIRE_MOST]);

/** Sends a request and waits for the answer until `end_ns`. Errors: -ETIMEDOUT, and as above. */
int page_wire_ask(int socket, const struct page_wire *question, const int *descriptors,
                  uint64_t end_ns, struct page_wire *ret_answer,
                  int ret_descriptors[PAGE_WIRE_MOST]);

void page_wire_close(const int *descriptors, unsigned count);

#endif

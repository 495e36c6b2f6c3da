/* SPDX-License-Identifier: MIT */
/*
 * What is said on the socket beside a board: a process that exported blocks on mapped pages gives
 * descriptors of these pages to the processes that open the blocks.
 *
 * One message is one packet of a fixed size with at most PAGE_WIRE_MOST descriptors. A message of
 * another size, with more descriptors or with other ones than it says, is none, and what came with
 * it is closed. Both ends are processes of one user: the socket lies in a directory that is this
 * user's alone, and each end asks the kernel who the other one is.
 *
 * Threading: no state; every function from any thread. Nothing here calls malloc.
 */
#ifndef SHIM_SHARE_PAGE_WIRE_H
#define SHIM_SHARE_PAGE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_WIRE_MOST 16u

/* How long an answer is waited for, the connection included. */
#define PAGE_WIRE_WAIT_NS UINT64_C(10000000000)

enum page_wire_kind {
    PAGE_WIRE_ASK = 1, /* for the pages of a slot from `first` on */
    PAGE_WIRE_PUT,     /* by the exporter itself: pages of a slot, in order */
    PAGE_WIRE_DROP,    /* by the exporter itself: what is to be dropped */
    PAGE_WIRE_ANSWER,  /* to each of them; count 0: nothing */
};

struct page_wire {
    char magic[8];
    uint32_t kind;
    uint32_t slot; /* on the board */
    uint64_t key;
    uint32_t first;
    uint32_t count; /* of pages, and of descriptors */
    struct {
        uint64_t id;    /* PAGE_WIRE_PUT: the same for the same memory */
        uint64_t bytes; /* of the memory */
    } pages[PAGE_WIRE_MOST];
};

/** A message without pages. */
struct page_wire page_wire_make(enum page_wire_kind kind, uint32_t slot, uint64_t key);

/** The monotonic clock. */
uint64_t page_wire_now_ns(void);

/**
 * A socket that listens under a name in a directory. Errors: as the system said.
 */
int page_wire_listen(int directory, const char *name);

/**
 * Connects to the socket of a name in whichever of the user's directories it is, by `end_ns`.
 * Errors: -ENOENT nobody listens there; -EACCES another user does; others as the system said.
 */
int page_wire_connect(const char *where, const char *name, uint64_t end_ns);

/** The process and the user at the other end; false when the kernel does not say. */
bool page_wire_peer(int socket, pid_t *ret_process, uid_t *ret_user);

/** Sends a message with `count` descriptors and does not wait. Errors: as the system said. */
int page_wire_send(int socket, const struct page_wire *message, const int *descriptors);

/**
 * Receives a message and does not wait. The descriptors, as many as `count` says, are the caller's.
 * Errors: -EAGAIN nothing is there; -ECONNRESET nobody is there any more; -EBADMSG it is none.
 */
int page_wire_receive(int socket, struct page_wire *ret_message,
                      int ret_descriptors[PAGE_WIRE_MOST]);

/** Asks and waits for the answer until `end_ns`. Errors: -ETIMEDOUT; the same. */
int page_wire_ask(int socket, const struct page_wire *question, const int *descriptors,
                  uint64_t end_ns, struct page_wire *ret_answer,
                  int ret_descriptors[PAGE_WIRE_MOST]);

void page_wire_close(const int *descriptors, unsigned count);

#endif

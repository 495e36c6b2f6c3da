/* SPDX-License-Identifier: MIT */
/*
 * Packets with descriptors (SOCK_SEQPACKET, SCM_RIGHTS).
 *
 * A socket's path goes through the descriptor of its directory (/proc/...), so that it fits into an
 * address.
 */
#include "shim/share/page_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cupti/base/clock.h"
#include "cupti/live/living_file.h"

#define MAGIC   "cupage1"
#define BACKLOG 64

/* Pause between attempts to connect while too many others wait. */
#define CONNECT_WAIT_MS 10

/** Room for the descriptors of a message. */
union control {
    char bytes[CMSG_SPACE(PAGE_WIRE_MOST * sizeof(int))];
    struct cmsghdr header;
};

struct page_wire page_wire_make(enum page_wire_kind kind, uint32_t slot, uint64_t key)
{
    return (struct page_wire){.magic = MAGIC, .kind = kind, .slot = slot, .key = key};
}

uint64_t page_wire_now_ns(void)
{
    return monotonic_ns();
}

/* ---- connections ---- */

/* Names the directory by thread, because the server thread has its own descriptor table. */
static bool address_of(int directory, const char *name, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(ret_address->sun_path, sizeof(ret_address->sun_path),
                          "/proc/thread-self/fd/%d/%s", directory, name);
    return length > 0 && (size_t)length < sizeof(ret_address->sun_path);
}

static int socket_make(void)
{
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return made < 0 ? -errno : made;
}

int page_wire_listen(int directory, const char *name)
{
    struct sockaddr_un address;

    if (!address_of(directory, name, &address))
        return -ENAMETOOLONG;
    int made = socket_make();
    if (made < 0)
        return made;
    /* The mode that the socket has before bind() is that of its name. */
    if (fchmod(made, 0600) == 0 &&
        bind(made, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(made, BACKLOG) == 0)
        return made;
    int error = -errno;
    close(made);
    return error;
}

bool page_wire_peer(int socket, pid_t *ret_process, uid_t *ret_user)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0 || bytes != sizeof(peer))
        return false;
    *ret_process = peer.pid;
    *ret_user = peer.uid;
    return true;
}

static int connect_in(int directory, const char *name)
{
    struct sockaddr_un address;
    pid_t process;
    uid_t user;

    if (!address_of(directory, name, &address))
        return -ENAMETOOLONG;
    int made = socket_make(), error = 0;
    if (made < 0)
        return made;
    if (connect(made, (const struct sockaddr *)&address, sizeof(address)) < 0)
        error = errno == ECONNREFUSED ? -ENOENT : -errno;
    else if (!page_wire_peer(made, &process, &user) || user != geteuid())
        error = -EACCES;
    if (error == 0)
        return made;
    close(made);
    return error;
}

static int connect_once(const char *where, const char *name)
{
    unsigned number = 0;
    int directory, made = -ENOENT;

    while (made == -ENOENT && (directory = living_directory_next(where, &number)) >= 0) {
        made = connect_in(directory, name);
        close(directory);
    }
    return made;
}

int page_wire_connect(const char *where, const char *name, uint64_t end_ns)
{
    int made;

    while ((made = connect_once(where, name)) == -EAGAIN || made == -EINTR) {
        if (page_wire_now_ns() >= end_ns)
            return -ETIMEDOUT;
        if (made == -EAGAIN)
            poll(NULL, 0, CONNECT_WAIT_MS);
    }
    return made;
}

/* ---- messages ---- */

int page_wire_send(int socket, const struct page_wire *message, const int *descriptors)
{
    union control control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    size_t bytes = message->count * sizeof(int);
    ssize_t sent;

    if (descriptors && message->count) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(rights), descriptors, bytes);
    }
    do
        sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent == (ssize_t)sizeof(*message) ? 0 : -EMSGSIZE;
}

void page_wire_close(const int *descriptors, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(descriptors[i]);
}

/* Takes the descriptors of a message; at most PAGE_WIRE_MOST fit into its buffer. */
static unsigned rights_take(struct msghdr *header, int ret_descriptors[PAGE_WIRE_MOST])
{
    unsigned count = 0;

    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each; each = CMSG_NXTHDR(header, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned more = (unsigned)((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(ret_descriptors + count, CMSG_DATA(each), more * sizeof(int));
        count += more;
    }
    return count;
}

/* Whether the places of pages that a message does not have are empty. */
static bool rest_is_empty(const struct page_wire *message)
{
    for (uint32_t i = message->count; i < PAGE_WIRE_MOST; i++)
        if (message->pages[i].id || message->pages[i].bytes)
            return false;
    return true;
}

static bool is_message(const struct page_wire *message, unsigned descriptors)
{
    bool carries = message->kind == PAGE_WIRE_PUT || message->kind == PAGE_WIRE_ANSWER;

    return memcmp(message->magic, MAGIC, sizeof(message->magic)) == 0 &&
           message->count <= PAGE_WIRE_MOST && message->count == descriptors &&
           (carries || !descriptors) && rest_is_empty(message);
}

/* An answer to a question about pages begins where the question does, and names no memory. */
static bool is_answer_to(const struct page_wire *answer, const struct page_wire *question)
{
    if (answer->kind != PAGE_WIRE_ANSWER || answer->slot != question->slot ||
        answer->key != question->key)
        return false;
    for (uint32_t i = 0; i < answer->count; i++)
        if (answer->pages[i].id)
            return false;
    return question->kind != PAGE_WIRE_ASK || answer->first == question->first;
}

int page_wire_receive(int socket, struct page_wire *ret_message,
                      int ret_descriptors[PAGE_WIRE_MOST])
{
    union control control;
    struct page_wire message;
    struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t got;

    do
        got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    unsigned count = rights_take(&header, ret_descriptors);
    if (got == (ssize_t)sizeof(message) && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
        is_message(&message, count)) {
        *ret_message = message;
        return 0;
    }
    page_wire_close(ret_descriptors, count);
    return got == 0 ? -ECONNRESET : -EBADMSG;
}

/* Waits until a socket can be read or written. */
static int wait_for(int socket, short events, uint64_t end_ns)
{
    struct pollfd wanted = {.fd = socket, .events = events};
    int ready = 0;

    while (ready <= 0) {
        uint64_t now_ns = page_wire_now_ns();

        if (now_ns >= end_ns)
            return -ETIMEDOUT;
        ready = poll(&wanted, 1, (int)((end_ns - now_ns) / 1000000 + 1));
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
    return 0;
}

int page_wire_ask(int socket, const struct page_wire *question, const int *descriptors,
                  uint64_t end_ns, struct page_wire *ret_answer,
                  int ret_descriptors[PAGE_WIRE_MOST])
{
    int error = page_wire_send(socket, question, descriptors);

    while (error == -EAGAIN && (error = wait_for(socket, POLLOUT, end_ns)) == 0)
        error = page_wire_send(socket, question, descriptors);
    if (error == 0)
        error = wait_for(socket, POLLIN, end_ns);
    if (error == 0)
        error = page_wire_receive(socket, ret_answer, ret_descriptors);
    if (error == 0 && !is_answer_to(ret_answer, question)) {
        page_wire_close(ret_descriptors, ret_answer->count);
        error = -EBADMSG;
    }
    return error;
}

/* SPDX-License-Identifier: MIT */
/*
 * The server thread. Its own process uses the same socket, because there is no other way to pass
 * descriptors from one table to another. Messages other than PAGE_WIRE_ASK are accepted only from
 * its own process. Keys to be dropped are stored in memory that both share, so they are dropped
 * even if the socket cannot be reached.
 *
 * A second thread waits for the end of the first. Once the program's threads are gone the server
 * ends, and then the second thread, as the last one of the process, which the C library ends by
 * exit(0) as it would without these threads. The second thread has the program's descriptor table,
 * so buffered output of stdio is written.
 */
#include "shim/share/page_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cupti/live/living_file.h"
#include "shim/context/own_thread.h"
#include "shim/share/ipc_token.h"
#include "shim/share/page_store.h"

#define CONNECTIONS 64u
#define STACK_BYTES (256u << 10)

/* Descriptors other than those of pages: the socket, connections, and messages under way. */
#define SPARE_DESCRIPTORS (CONNECTIONS + 2 * PAGE_WIRE_MOST + 8)

/* The pause when no descriptor is left for a connection. */
#define FULL_WAIT_MS 50

/* How often it looks whether it is still needed. */
#define LOOK_MS 1000

/* The threads that are left when it is not: the main one, which is dead, and those of this file. */
#define THREADS_LEFT 3

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1u << 1)
#endif

enum state { NOT_STARTED, STARTING, SERVES, FAILED };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum state state; /* guarded by lock, like the next one */
static int failure;
static const char *place, *socket_name; /* immutable once the thread runs */
static sigset_t signals;                /* likewise: signals that the program's thread blocked */

static _Atomic uint64_t owed[IPC_BOARD_TOKENS]; /* keys to be dropped, by slot; 0: none */
static atomic_bool owes;

struct server {
    int listener;
    bool full; /* no descriptor was left for a connection */
    struct page_store *store;
    struct pollfd polls[CONNECTIONS + 1]; /* the listener first */
    uint64_t since[CONNECTIONS + 1];      /* number of the connection */
    uint64_t connections;
    uint64_t look_ns; /* when it looks next */
    /* One message at a time. */
    struct page_wire message, answer;
    int descriptors[PAGE_WIRE_MOST];
    struct page_store_page pages[PAGE_WIRE_MOST];
};

static struct server server_here; /* the thread's own */

/* ---- messages ---- */

static uint32_t descriptors_most(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= SPARE_DESCRIPTORS)
        return 0;
    rlim_t most = limit.rlim_cur - SPARE_DESCRIPTORS;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

static void put(struct server *server)
{
    const struct page_wire *message = &server->message;
    uint32_t done = 0;
    int error = 0;

    while (done < message->count && error == 0) {
        struct page_store_page page = {
            .id = message->pages[done].id,
            .bytes = message->pages[done].bytes,
            .descriptor = server->descriptors[done],
        };

        error = page_store_put(server->store, message->slot, message->key, message->first + done,
                               &page, descriptors_most());
        done += error == 0;
    }
    page_wire_close(server->descriptors + done, message->count - done);
    server->answer.first = message->first + done;
}

static void give(struct server *server)
{
    struct page_wire *answer = &server->answer;

    answer->count = page_store_get(server->store, answer->slot, answer->key, answer->first,
                                   PAGE_WIRE_MOST, server->pages);
    for (uint32_t i = 0; i < answer->count; i++) {
        answer->pages[i].bytes = server->pages[i].bytes;
        server->descriptors[i] = server->pages[i].descriptor;
    }
}

static void settle(struct server *server)
{
    if (!atomic_exchange(&owes, false))
        return;
    for (uint32_t slot = 0; slot < IPC_BOARD_TOKENS; slot++) {
        uint64_t key = atomic_load(&owed[slot]) ? atomic_exchange(&owed[slot], 0) : 0;

        if (key)
            page_store_drop(server->store, slot, key);
    }
}

static bool is_own_process(int connection)
{
    pid_t process;
    uid_t user;

    return page_wire_peer(connection, &process, &user) && process == getpid();
}

/* Answers a message; false: the peer may not send it. */
static bool answer_make(struct server *server, int from)
{
    const struct page_wire *message = &server->message;
    bool may = message->kind == PAGE_WIRE_ASK || is_own_process(from);

    server->answer = page_wire_make(PAGE_WIRE_ANSWER, message->slot, message->key);
    server->answer.first = message->first;
    switch (may ? message->kind : 0) {
    case PAGE_WIRE_ASK: give(server); return true;
    case PAGE_WIRE_PUT: put(server); return true;
    case PAGE_WIRE_DROP: settle(server); return true;
    default: page_wire_close(server->descriptors, message->count); return false;
    }
}

/* False: the connection is over. */
static bool converse(struct server *server, int connection)
{
    int error = page_wire_receive(connection, &server->message, server->descriptors);

    if (error < 0)
        return error == -EAGAIN;
    return answer_make(server, connection) &&
           page_wire_send(connection, &server->answer, server->descriptors) == 0;
}

/* ---- connections ---- */

static void hang_up(struct server *server, unsigned at)
{
    close(server->polls[at].fd);
    server->polls[at] = (struct pollfd){.fd = -1};
    server->full = false;
}

/* Returns a place for a connection; the oldest gives way. */
static unsigned place_find(struct server *server)
{
    unsigned oldest = 1;

    for (unsigned at = 1; at <= CONNECTIONS; at++) {
        if (server->polls[at].fd < 0)
            return at;
        if (server->since[at] < server->since[oldest])
            oldest = at;
    }
    hang_up(server, oldest);
    return oldest;
}

static void connection_accept(struct server *server)
{
    pid_t process;
    uid_t user;
    int made = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (made < 0) {
        server->full = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
        return;
    }
    if (!page_wire_peer(made, &process, &user) || user != geteuid()) {
        close(made);
        return;
    }
    unsigned at = place_find(server);
    server->polls[at] = (struct pollfd){.fd = made, .events = POLLIN};
    server->since[at] = ++server->connections;
}

/* The kernel polls no more of them than the process may have descriptors. */
static nfds_t polls_count(const struct server *server)
{
    nfds_t count = CONNECTIONS + 1;

    while (count > 1 && server->polls[count - 1].fd < 0)
        count--;
    return count;
}

/* Fewer descriptors are allowed by now: gives up all connections. */
static void retreat(struct server *server)
{
    for (unsigned at = 1; at <= CONNECTIONS; at++)
        if (server->polls[at].fd >= 0)
            hang_up(server, at);
    poll(NULL, 0, FULL_WAIT_MS);
}

static void serve_once(struct server *server)
{
    server->polls[0] = (struct pollfd){.fd = server->full ? -1 : server->listener,
                                       .events = POLLIN};
    int ready = poll(server->polls, polls_count(server), server->full ? FULL_WAIT_MS : LOOK_MS);
    if (ready < 0 && errno != EINTR)
        retreat(server);
    server->full = false;
    settle(server);
    for (unsigned at = 1; ready > 0 && at <= CONNECTIONS; at++)
        if (server->polls[at].revents && !converse(server, server->polls[at].fd))
            hang_up(server, at);
    if (ready > 0 && server->polls[0].revents)
        connection_accept(server);
}

/* ---- its end ---- */

/* The state of the main thread and the number of threads, from what /proc says of a process. */
static bool stat_parse(const char *text, char *ret_leader, unsigned long *ret_threads)
{
    const char *at = strrchr(text, ')'); /* the name may hold anything */

    if (!at || at[1] != ' ')
        return false;
    *ret_leader = at[2];
    for (int field = 3; at && field <= 20; field++)
        at = strchr(at + 1, ' ');
    *ret_threads = at ? strtoul(at, NULL, 10) : 0;
    return at;
}

/* Whether the program has no thread any more. */
static bool is_alone(void)
{
    char text[512], leader; /* field 20 ends within */
    unsigned long threads;
    int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = file >= 0 ? read(file, text, sizeof(text) - 1) : -1;

    if (file >= 0)
        close(file);
    text[bytes > 0 ? bytes : 0] = 0;
    return stat_parse(text, &leader, &threads) && leader == 'Z' && threads == THREADS_LEFT;
}

static bool is_needed(struct server *server)
{
    uint64_t now_ns = page_wire_now_ns();

    if (now_ns < server->look_ns)
        return true;
    server->look_ns = now_ns + LOOK_MS * UINT64_C(1000000);
    return !is_alone();
}

/* ---- the threads ---- */

/* Gives the thread an empty descriptor table of its own. Some systems forbid one of the two ways.
 */
static int table_leave(void)
{
    if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE) == 0)
        return 0;
    struct rlimit limit;
    if (unshare(CLONE_FILES) < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (syscall(SYS_close_range, 0u, ~0u, 0u) == 0)
        return 0;
    for (rlim_t number = 0; number < limit.rlim_cur; number++)
        close((int)number);
    return 0;
}

static int listener_open(void)
{
    int directory = living_directory_open(place, true);

    if (directory < 0)
        return directory;
    int listener = page_wire_listen(directory, socket_name);
    close(directory);
    return listener;
}

static int server_begin(struct server *server)
{
    int error = table_leave();

    server->store = error == 0 ? page_store_create() : NULL;
    if (error == 0 && !server->store)
        error = -ENOMEM;
    if (error == 0)
        server->listener = listener_open();
    for (unsigned at = 0; at <= CONNECTIONS; at++)
        server->polls[at].fd = -1;
    return error < 0 ? error : server->listener < 0 ? server->listener : 0;
}

static void announce(int error)
{
    pthread_mutex_lock(&lock);
    failure = error;
    state = error < 0 ? FAILED : SERVES;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *serve(void *unused)
{
    (void)unused;
    struct server *server = &server_here;
    *server = (struct server){0};
    prctl(PR_SET_NAME, "cupool-ipc", 0, 0, 0);
    int error = server_begin(server);
    if (error < 0)
        page_store_destroy(server->store);
    announce(error); /* after a failure another one may begin at once */
    while (error == 0 && is_needed(server))
        serve_once(server);
    return NULL;
}

/* 0, or as pthread_create says. */
static int server_create(pthread_t *ret_thread)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(ret_thread, &attributes, serve, NULL);
    if (error == EINVAL) /* thread-local data of the modules need more */
        error = pthread_attr_setstacksize(&attributes, 16 * STACK_BYTES) == 0
                    ? pthread_create(ret_thread, &attributes, serve, NULL)
                    : error;
    pthread_attr_destroy(&attributes);
    return error;
}

/* The last thread of a process, if it comes to that. */
static void *outlast(void *unused)
{
    (void)unused;
    pthread_t server;
    sigset_t before = signals;
    prctl(PR_SET_NAME, "cupool-ipc-end", 0, 0, 0);
    int error = server_create(&server);
    if (error)
        announce(-error);
    else
        pthread_join(server, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return NULL;
}

int page_server_start(const char *where, const char *name)
{
    pthread_mutex_lock(&lock);
    if (state == NOT_STARTED || state == FAILED) {
        place = where;
        socket_name = name;
        failure = own_thread_start(outlast, NULL, &signals);
        state = failure < 0 ? FAILED : STARTING;
    }
    while (state == STARTING)
        pthread_cond_wait(&changed, &lock);
    int error = state == SERVES ? 0 : failure;
    pthread_mutex_unlock(&lock);
    return error;
}

/* ---- calls from this process ---- */

static bool is_serving(void)
{
    pthread_mutex_lock(&lock);
    bool serves = state == SERVES;
    pthread_mutex_unlock(&lock);
    return serves;
}

static int tell_once(const struct page_wire *message, const int *descriptors, uint64_t end_ns,
                     struct page_wire *ret_answer)
{
    int none[PAGE_WIRE_MOST];
    int connection = page_wire_connect(place, socket_name, end_ns);

    if (connection < 0)
        return connection;
    int error = page_wire_ask(connection, message, descriptors, end_ns, ret_answer, none);
    close(connection);
    if (error == 0)
        page_wire_close(none, ret_answer->count);
    return error;
}

/* A connection that many others have crowded out is made anew. */
static int tell(const struct page_wire *message, const int *descriptors,
                struct page_wire *ret_answer)
{
    uint64_t end_ns = page_wire_now_ns() + PAGE_WIRE_WAIT_NS;
    int error;

    do
        error = tell_once(message, descriptors, end_ns, ret_answer);
    while ((error == -ECONNRESET || error == -EPIPE) && page_wire_now_ns() < end_ns);
    return error;
}

int page_server_put(struct page_wire *message, uint32_t first, const int *descriptors)
{
    struct page_wire answer;

    message->first = first;
    int error = is_serving() ? tell(message, descriptors, &answer) : -ENOENT;
    page_wire_close(descriptors, message->count);
    return error < 0 ? error : answer.first == first + message->count ? 0 : -ENOSPC;
}

void page_server_owe(uint32_t slot, uint64_t key)
{
    atomic_store(&owed[slot], key);
    atomic_store(&owes, true);
}

void page_server_settle(void)
{
    struct page_wire message = page_wire_make(PAGE_WIRE_DROP, 0, 0), answer;

    if (is_serving() && atomic_load(&owes))
        (void)tell(&message, NULL, &answer);
}

void page_server_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&changed, NULL);
    state = NOT_STARTED;
}

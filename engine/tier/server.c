/* SPDX-License-Identifier: MIT */
/*
 * A Valkey or Redis server as a store, by hiredis: one connection, commands of a batch in one go.
 *
 * Each call has one deadline, however slowly the server answers, and receives a bounded number of
 * bytes. After a failure the connection is closed and the server is not asked for a while, twice as
 * long after each failure; requests continue without it. The client remembers nothing of the
 * server's content, so a server that comes back empty, or with other content, is simply asked
 * again.
 *
 * Threading: any thread; the connection's lock is held during a call. SIGPIPE, raised by writing to
 * a closed connection, is blocked and consumed.
 */
#include <errno.h>
#include <stdlib.h>

#include "include/cupool/tier.h"

#ifndef HAVE_HIREDIS

int cupool_tier_server(const struct cupool_tier_server_config *config,
                       struct cupool_tier_store *ret_store)
{
    return -ENOTSUP;
}

#else

#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/tier/resolve.h"
#include "engine/tier/tiers.h"

#define RETRY_DOUBLINGS 5
#define REPLY_SLACK     4096u /* bytes around what was asked for */
#define PREFIX_BYTES    128u

struct server {
    char *address, *password;
    char prefix[PREFIX_BYTES];
    uint16_t port;
    uint32_t timeout_ms, retry_ms, expire_s;

    pthread_mutex_t lock;
    redisContext *connection;          /* guarded by lock */
    redisReplyObjectFunctions replies; /* of the connection's reader */
    struct resolve *resolve;           /* of the address, under way; guarded by lock */
    uint32_t failures;                 /* in a row; guarded by lock */
    _Atomic uint64_t asleep_ns;        /* not asked before */
};

static int remaining_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = tiers_clock();

    return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns) / 1000000u + 1);
}

static void disconnect(struct server *server)
{
    if (server->connection)
        redisFree(server->connection);
    server->connection = NULL;
}

/* Sends what was appended. */
static int commands_send(redisContext *connection, uint64_t deadline_ns)
{
    int done = 0;

    while (!done) {
        if (remaining_ms(deadline_ns) == 0 || redisBufferWrite(connection, &done) != REDIS_OK)
            return -EHOSTUNREACH;
    }
    return 0;
}

/* Reads one answer. Takes at most `room` bytes from the network. */
static int reply_take(redisContext *connection, size_t room, uint64_t deadline_ns,
                      redisReply **ret_reply)
{
    void *reply = NULL;

    for (;;) {
        struct pollfd poller = {.fd = connection->fd, .events = POLLIN};

        if (redisGetReplyFromReader(connection, &reply) != REDIS_OK)
            return -EPROTO;
        if (reply)
            break;
        if (connection->reader->len - connection->reader->pos > room)
            return -EMSGSIZE;
        if (poll(&poller, 1, remaining_ms(deadline_ns)) <= 0)
            return -ETIMEDOUT;
        if (redisBufferRead(connection) != REDIS_OK)
            return -EHOSTUNREACH;
    }
    *ret_reply = reply;
    return 0;
}

static int reply_await(struct server *server, size_t room, uint64_t deadline_ns, int type,
                       redisReply **ret_reply)
{
    redisReply *reply = NULL;
    int error = reply_take(server->connection, room, deadline_ns, &reply);

    if (error < 0)
        return error;
    if (reply->type != type) {
        freeReplyObject(reply);
        return -EPROTO;
    }
    *ret_reply = reply;
    return 0;
}

static int authenticate(struct server *server, uint64_t deadline_ns)
{
    redisReply *reply;

    if (!server->password)
        return 0;
    if (redisAppendCommand(server->connection, "AUTH %s", server->password) != REDIS_OK ||
        commands_send(server->connection, deadline_ns) < 0 ||
        reply_await(server, 0, deadline_ns, REDIS_REPLY_STATUS, &reply) < 0)
        return -EACCES;
    freeReplyObject(reply);
    return 0;
}

/* No command here is answered by an array. Its head alone would make the reader allocate for the
 * length that it claims, and its elements do not count as bytes that wait to be read. */
#if HIREDIS_MAJOR >= 1
static void *array_refuse(const redisReadTask *task, size_t elements)
#else
static void *array_refuse(const redisReadTask *task, int elements)
#endif
{
    return NULL;
}

static struct timeval timeval_of(uint32_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

/* The addresses of the server's name. A look-up that takes longer goes on for the next call. */
static int addresses_find(struct server *server, uint64_t deadline_ns,
                          struct resolve_addresses *ret_addresses)
{
    if (!server->resolve)
        server->resolve = resolve_begin(server->address);
    if (!server->resolve)
        return -ENOMEM;
    int error = resolve_await(server->resolve, deadline_ns, ret_addresses);
    if (error != -ETIMEDOUT) {
        resolve_end(server->resolve);
        server->resolve = NULL;
    }
    return error;
}

/* Tries one address after the other. */
static void connect_network(struct server *server, uint64_t deadline_ns)
{
    struct resolve_addresses addresses = {.count = 0};
    int left;

    if (resolve_is_number(server->address)) {
        addresses.count = 1;
        strcpy(addresses.texts[0], server->address);
    } else if (addresses_find(server, deadline_ns, &addresses) < 0) {
        return;
    }
    for (unsigned at = 0; at < addresses.count && (left = remaining_ms(deadline_ns)) > 0; at++) {
        disconnect(server);
        server->connection = redisConnectWithTimeout(addresses.texts[at], server->port,
                                                     timeval_of((uint32_t)left));
        if (server->connection && server->connection->err == 0)
            break;
    }
}

static int reach(struct server *server, uint64_t deadline_ns)
{
    const struct timeval timeout = timeval_of(server->timeout_ms);

    if (server->connection)
        return 0;
    if (server->address[0] == '/')
        server->connection = redisConnectUnixWithTimeout(server->address, timeout);
    else
        connect_network(server, deadline_ns);
    if (server->connection) {
        server->replies = *server->connection->reader->fn;
        server->replies.createArray = array_refuse;
        server->connection->reader->fn = &server->replies;
    }
    if (!server->connection || server->connection->err != 0 ||
        redisSetTimeout(server->connection, timeout) != REDIS_OK ||
        authenticate(server, deadline_ns) < 0) {
        disconnect(server);
        return -EHOSTUNREACH;
    }
    return 0;
}

/* Calls the server: holds its lock, blocks SIGPIPE, and notes success or failure. */
struct turn {
    uint64_t deadline_ns;
    sigset_t before;
    bool pending; /* a SIGPIPE was there before */
};

static int turn_begin(struct server *server, struct turn *turn)
{
    sigset_t pipe, pending;
    int error;

    pthread_mutex_lock(&server->lock);
    turn->deadline_ns = tiers_clock() + server->timeout_ms * UINT64_C(1000000);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    turn->pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &turn->before);
    error = tiers_clock() < atomic_load(&server->asleep_ns) ? -EHOSTDOWN
                                                            : reach(server, turn->deadline_ns);
    return error;
}

static int turn_end(struct server *server, struct turn *turn, int error)
{
    const struct timespec now = {0};
    sigset_t pipe;

    if (error == 0) {
        server->failures = 0;
    } else if (error != -EHOSTDOWN) {
        uint32_t doublings = server->failures < RETRY_DOUBLINGS ? server->failures
                                                                : RETRY_DOUBLINGS;

        server->failures++;
        disconnect(server);
        atomic_store(&server->asleep_ns,
                     tiers_clock() + ((uint64_t)server->retry_ms << doublings) * 1000000u);
    }
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!turn->pending && sigtimedwait(&pipe, NULL, &now) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, &turn->before, NULL);
    pthread_mutex_unlock(&server->lock);
    return error;
}

/* "PREFIX:" and the key in hexadecimal. */
static size_t name_of(const struct server *server, const struct cupool_kv_hash *key, char *ret_name)
{
    int length = snprintf(ret_name, PREFIX_BYTES + 66, "%s:", server->prefix);

    for (size_t at = 0; at < sizeof(key->bytes); at++)
        length += snprintf(ret_name + length, 3, "%02x", key->bytes[at]);
    return (size_t)length;
}

static int append(struct server *server, int count, const char **words, const size_t *lengths)
{
    return redisAppendCommandArgv(server->connection, count, words, lengths) == REDIS_OK ? 0
                                                                                         : -ENOMEM;
}

static int put_append(struct server *server, const struct cupool_tier_item *item)
{
    char name[PREFIX_BYTES + 66], expiry[16];
    const char *words[] = {"SET", name, item->data, "EX", expiry};
    size_t lengths[] = {3, name_of(server, &item->key, name), item->bytes, 2, 0};

    lengths[4] = (size_t)snprintf(expiry, sizeof(expiry), "%u", server->expire_s);
    return append(server, server->expire_s > 0 ? 5 : 3, words, lengths);
}

static int server_put(void *state, struct cupool_tier_item *items, uint32_t count)
{
    struct server *server = state;
    struct turn turn;
    int error = turn_begin(server, &turn);

    for (uint32_t at = 0; at < count && error == 0; at++)
        error = put_append(server, &items[at]);
    if (error == 0)
        error = commands_send(server->connection, turn.deadline_ns);
    for (uint32_t at = 0; at < count && error == 0; at++) {
        redisReply *reply = NULL;

        error = reply_take(server->connection, REPLY_SLACK, turn.deadline_ns, &reply);
        if (error < 0)
            break;
        /* An error is an answer, too: out of memory, read-only. */
        items[at].error = reply->type == REDIS_REPLY_STATUS ? 0
                          : reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "OOM", 3) == 0
                              ? -ENOSPC
                              : -EIO;
        freeReplyObject(reply);
    }
    return turn_end(server, &turn, error);
}

/* Asks for one byte more than there is room for, which detects longer values without
 * transferring them. */
static int get_append(struct server *server, const struct cupool_tier_item *item)
{
    char name[PREFIX_BYTES + 66], last[24];
    const char *words[] = {"GETRANGE", name, "0", last};
    size_t lengths[] = {8, name_of(server, &item->key, name), 1, 0};

    lengths[3] = (size_t)snprintf(last, sizeof(last), "%zu", item->bytes);
    return append(server, 4, words, lengths);
}

static void item_take(struct cupool_tier_item *item, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING) {
        item->error = reply->type == REDIS_REPLY_ERROR ? -EIO : -EBADMSG;
        return;
    }
    size_t bytes = (size_t)reply->len;
    item->error = bytes == 0 ? -ENOENT : bytes > item->bytes ? -ENOSPC : 0;
    if (item->error == 0)
        memcpy(item->data, reply->str, bytes);
    item->bytes = bytes;
}

static int server_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    struct server *server = state;
    struct turn turn;
    int error = turn_begin(server, &turn);

    for (uint32_t at = 0; at < count && error == 0; at++)
        error = get_append(server, &items[at]);
    if (error == 0)
        error = commands_send(server->connection, turn.deadline_ns);
    for (uint32_t at = 0; at < count && error == 0; at++) {
        redisReply *reply = NULL;

        error = reply_take(server->connection, count * items[at].bytes + REPLY_SLACK,
                           turn.deadline_ns, &reply);
        if (error < 0)
            break;
        item_take(&items[at], reply);
        freeReplyObject(reply);
    }
    return turn_end(server, &turn, error);
}

static int remove_append(struct server *server, const struct cupool_tier_item *item)
{
    char name[PREFIX_BYTES + 66];
    const char *words[] = {"DEL", name};
    size_t lengths[] = {3, name_of(server, &item->key, name)};

    return append(server, 2, words, lengths);
}

static void server_remove(void *state, const struct cupool_tier_item *items, uint32_t count)
{
    struct server *server = state;
    struct turn turn;
    int error = turn_begin(server, &turn);

    for (uint32_t at = 0; at < count && error == 0; at++)
        error = remove_append(server, &items[at]);
    if (error == 0)
        error = commands_send(server->connection, turn.deadline_ns);
    for (uint32_t at = 0; at < count && error == 0; at++) {
        redisReply *reply = NULL;

        error = reply_take(server->connection, REPLY_SLACK, turn.deadline_ns, &reply);
        if (error == 0)
            freeReplyObject(reply);
    }
    turn_end(server, &turn, error);
}

static int server_available(void *state)
{
    const struct server *server = state;

    return tiers_clock() >= atomic_load(&server->asleep_ns);
}

static void server_close(void *state)
{
    struct server *server = state;

    disconnect(server);
    resolve_end(server->resolve);
    pthread_mutex_destroy(&server->lock);
    free(server->address);
    free(server->password);
    free(server);
}

int cupool_tier_server(const struct cupool_tier_server_config *config,
                       struct cupool_tier_store *ret_store)
{
    struct server *server;
    const char *prefix;

    if (!config || !ret_store || !config->address || config->address[0] == '\0')
        return -EINVAL;
    prefix = config->prefix ? config->prefix : "cupool";
    if (strlen(prefix) >= PREFIX_BYTES)
        return -EINVAL;
    server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    strcpy(server->prefix, prefix);
    server->address = strdup(config->address);
    server->password = config->password ? strdup(config->password) : NULL;
    server->port = config->port != 0 ? config->port : 6379;
    server->timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : 1000;
    server->retry_ms = config->retry_ms != 0 ? config->retry_ms : 100;
    server->expire_s = config->expire_s;
    pthread_mutex_init(&server->lock, NULL);
    if (!server->address || (config->password && !server->password)) {
        server_close(server);
        return -ENOMEM;
    }
    *ret_store = (struct cupool_tier_store){.state = server,
                                            .shared = 1,
                                            .put = server_put,
                                            .get = server_get,
                                            .remove = server_remove,
                                            .available = server_available,
                                            .close = server_close};
    return 0;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Events for routers, by libzmq and msgpack.
 *
 * A batch is packed once and kept for replay. Sequence numbers count batches; lost events also use
 * one, so that subscribers see a gap.
 *
 * Threading: the lock guards everything; sockets are used under it alone.
 */
#include <errno.h>

#include "include/cupool/publisher.h"

void cupool_publisher_config_init(struct cupool_publisher_config *config)
{
    *config = (struct cupool_publisher_config){.batches = 10000, .high_water = 100000, .rank = -1};
}

#ifndef HAVE_ZMQ

int cupool_publisher_create(const struct cupool_publisher_config *config,
                            struct cupool_publisher **ret_publisher)
{
    return -ENOTSUP;
}

void cupool_publisher_destroy(struct cupool_publisher *publisher)
{
}

int cupool_publisher_poll(struct cupool_publisher *publisher, struct cupool_kv *pool,
                          const char *medium, uint32_t *ret_events)
{
    return -ENOTSUP;
}

int cupool_publisher_poll_tier(struct cupool_publisher *publisher, struct cupool_tiers *tiers,
                               uint32_t tier, const char *medium, uint32_t *ret_events)
{
    return -ENOTSUP;
}

int cupool_publisher_stats(struct cupool_publisher *publisher,
                           struct cupool_publisher_statistics *ret_stats)
{
    return -ENOTSUP;
}

#else

#include <msgpack.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define EVENTS_ONCE  64u
#define HASHES_ONCE  4096u
#define TOKENS_MOST  65536u
#define LINGER_MS    1000

/* The largest frame from a peer, a topic or a number; without a limit libzmq takes any size. */
#define PEER_BYTES   INT64_C(4096)

/* Requests read in one poll, so that a peer that never stops sending cannot hold the caller. */
#define REPLAYS_ONCE 16u

struct batch {
    uint64_t sequence;
    void *data;
    size_t bytes;
};

struct cupool_publisher {
    struct cupool_publisher_config config;
    char *topic, *adapter;
    pid_t pid;
    void *context, *pub, *replay;

    pthread_mutex_t lock;
    uint64_t sequence;     /* of the next batch */
    struct batch *batches; /* a ring */
    uint64_t kept;         /* batches ever kept */
    struct cupool_publisher_statistics counts;
    struct cupool_kv_event events[EVENTS_ONCE];
    struct cupool_kv_hash hashes[HASHES_ONCE];
    int32_t *tokens; /* [TOKENS_MOST] */
};

static void text_pack(msgpack_packer *packer, const char *text)
{
    if (!text) {
        msgpack_pack_nil(packer);
        return;
    }
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

/* Packs the name of the next field, where events are maps. */
static void field(const struct cupool_publisher *publisher, msgpack_packer *packer,
                  const char *name)
{
    if (publisher->config.maps)
        text_pack(packer, name);
}

static void object_begin(const struct cupool_publisher *publisher, msgpack_packer *packer,
                         size_t fields)
{
    if (publisher->config.maps)
        msgpack_pack_map(packer, fields);
    else
        msgpack_pack_array(packer, fields);
}

static void hash_pack(const struct cupool_publisher *publisher, msgpack_packer *packer,
                      const struct cupool_kv_hash *hash)
{
    uint64_t number = 0;

    if (!publisher->config.integers) {
        msgpack_pack_bin(packer, sizeof(hash->bytes));
        msgpack_pack_bin_body(packer, hash->bytes, sizeof(hash->bytes));
        return;
    }
    for (size_t at = sizeof(hash->bytes) - 8; at < sizeof(hash->bytes); at++)
        number = number << 8 | hash->bytes[at];
    msgpack_pack_uint64(packer, number);
}

static void hashes_pack(const struct cupool_publisher *publisher, msgpack_packer *packer,
                        const struct cupool_kv_event *event)
{
    field(publisher, packer, "block_hashes");
    msgpack_pack_array(packer, event->count);
    for (uint32_t at = 0; at < event->count; at++)
        hash_pack(publisher, packer, &publisher->hashes[event->first + at]);
}

/* Consumers divide the tokens by the block size. So one block without all of its tokens, or without
 * room for them, would move those of the others to the wrong hashes. A partial entry is alone. */
static void tokens_pack(struct cupool_publisher *publisher, msgpack_packer *packer,
                        const struct cupool_kv_event *event)
{
    uint32_t count = 0;
    bool whole = true;

    for (uint32_t at = 0; at < event->count && publisher->config.tokens && whole; at++) {
        uint32_t room = TOKENS_MOST - count;
        uint32_t got = publisher->config.tokens(publisher->config.tokens_state,
                                                &publisher->hashes[event->first + at],
                                                publisher->tokens + count, room);

        whole = got <= room && (event->count == 1 || got == event->block_tokens);
        count = whole ? count + got : 0;
    }
    field(publisher, packer, "token_ids");
    msgpack_pack_array(packer, count);
    for (uint32_t at = 0; at < count; at++)
        msgpack_pack_int32(packer, publisher->tokens[at]);
}

static void stored_pack(struct cupool_publisher *publisher, msgpack_packer *packer,
                        const struct cupool_kv_event *event, const char *medium)
{
    object_begin(publisher, packer, event->group != 0 ? 10 : 8);
    field(publisher, packer, "type");
    text_pack(packer, "BlockStored");
    hashes_pack(publisher, packer, event);
    field(publisher, packer, "parent_block_hash");
    if (event->has_parent)
        hash_pack(publisher, packer, &event->parent);
    else
        msgpack_pack_nil(packer);
    tokens_pack(publisher, packer, event);
    field(publisher, packer, "block_size");
    msgpack_pack_uint32(packer, event->block_tokens);
    field(publisher, packer, "lora_id");
    msgpack_pack_nil(packer);
    field(publisher, packer, "medium");
    text_pack(packer, medium);
    field(publisher, packer, "lora_name");
    text_pack(packer, publisher->adapter);
    if (event->group == 0)
        return;
    field(publisher, packer, "extra_keys");
    msgpack_pack_nil(packer);
    field(publisher, packer, "group_idx");
    msgpack_pack_uint32(packer, event->group);
}

static void removed_pack(const struct cupool_publisher *publisher, msgpack_packer *packer,
                         const struct cupool_kv_event *event, const char *medium)
{
    object_begin(publisher, packer, event->group != 0 ? 4 : 3);
    field(publisher, packer, "type");
    text_pack(packer, "BlockRemoved");
    hashes_pack(publisher, packer, event);
    field(publisher, packer, "medium");
    text_pack(packer, medium);
    if (event->group == 0)
        return;
    field(publisher, packer, "group_idx");
    msgpack_pack_uint32(packer, event->group);
}

static void event_pack(struct cupool_publisher *publisher, msgpack_packer *packer,
                       const struct cupool_kv_event *event, const char *medium)
{
    if (event->kind == CUPOOL_KV_STORED) {
        stored_pack(publisher, packer, event, medium);
    } else if (event->kind == CUPOOL_KV_REMOVED) {
        removed_pack(publisher, packer, event, medium);
    } else {
        object_begin(publisher, packer, 1);
        field(publisher, packer, "type");
        text_pack(packer, "AllBlocksCleared");
    }
}

static void batch_pack(struct cupool_publisher *publisher, msgpack_sbuffer *buffer, uint32_t count,
                       const char *medium)
{
    msgpack_packer packer;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    object_begin(publisher, &packer, publisher->config.rank >= 0 ? 3 : 2);
    field(publisher, &packer, "ts");
    msgpack_pack_double(&packer, (double)now.tv_sec + (double)now.tv_nsec * 1e-9);
    field(publisher, &packer, "events");
    msgpack_pack_array(&packer, count);
    for (uint32_t at = 0; at < count; at++)
        event_pack(publisher, &packer, &publisher->events[at], medium);
    if (publisher->config.rank < 0)
        return;
    field(publisher, &packer, "data_parallel_rank");
    msgpack_pack_int32(&packer, publisher->config.rank);
}

static void number_write(uint64_t number, uint8_t *ret_bytes)
{
    for (int at = 0; at < 8; at++)
        ret_bytes[at] = (uint8_t)(number >> (56 - 8 * at));
}

/* Sends frames in order. On an error none remains: a message is sent as a whole. */
static int frames_send(void *socket, const void *const *frames, const size_t *bytes, int count)
{
    for (int at = 0; at < count; at++)
        if (zmq_send(socket, frames[at], bytes[at],
                     ZMQ_DONTWAIT | (at + 1 < count ? ZMQ_SNDMORE : 0)) < 0)
            return -zmq_errno();
    return 0;
}

/* Sends a batch and keeps it. Takes ownership of the buffer. */
static void batch_send(struct cupool_publisher *publisher, msgpack_sbuffer *buffer, uint32_t events)
{
    struct batch *batch = &publisher->batches[publisher->kept % publisher->config.batches];
    uint8_t number[8];
    const void *frames[] = {publisher->topic, number, buffer->data};
    const size_t bytes[] = {strlen(publisher->topic), sizeof(number), buffer->size};

    number_write(publisher->sequence, number);
    if (frames_send(publisher->pub, frames, bytes, 3) < 0)
        publisher->counts.failures++;
    publisher->counts.batches++;
    publisher->counts.events += events;
    publisher->counts.bytes += buffer->size;
    free(batch->data);
    batch->sequence = publisher->sequence++;
    batch->bytes = buffer->size;
    batch->data = msgpack_sbuffer_release(buffer);
    publisher->kept++;
}

/* Receives one frame of at most `room` bytes; returns its full length, or -1. */
static int frame_take(void *socket, void *frame, size_t room, int *ret_more)
{
    size_t size = sizeof(*ret_more);
    int bytes = zmq_recv(socket, frame, room, ZMQ_DONTWAIT);

    *ret_more = 0;
    if (bytes >= 0)
        zmq_getsockopt(socket, ZMQ_RCVMORE, ret_more, &size);
    return bytes;
}

static void replay_send(struct cupool_publisher *publisher, const uint8_t *client,
                        size_t client_bytes, uint64_t first)
{
    const uint64_t oldest = publisher->kept > publisher->config.batches
                                ? publisher->kept - publisher->config.batches
                                : 0;
    uint8_t number[8];

    publisher->counts.replays++;
    for (uint64_t at = oldest; at < publisher->kept; at++) {
        const struct batch *batch = &publisher->batches[at % publisher->config.batches];

        if (batch->sequence < first)
            continue;
        const void *frames[] = {client, "", number, batch->data};
        const size_t bytes[] = {client_bytes, 0, sizeof(number), batch->bytes};
        number_write(batch->sequence, number);
        if (frames_send(publisher->replay, frames, bytes, 4) < 0)
            break;
        publisher->counts.replayed++;
    }
    const void *frames[] = {client, "", number, ""};
    const size_t bytes[] = {client_bytes, 0, sizeof(number), 0};
    number_write(UINT64_MAX, number);
    frames_send(publisher->replay, frames, bytes, 4);
}

/* Reads requests: the requester, an empty frame, the first number. Drops malformed ones; requests
 * beyond the limit wait for the next poll. */
static void replays_serve(struct cupool_publisher *publisher)
{
    if (!publisher->replay)
        return;
    for (unsigned served = 0; served < REPLAYS_ONCE; served++) {
        uint8_t client[256], delimiter[8], number[8], rest[8];
        int more, client_bytes = frame_take(publisher->replay, client, sizeof(client), &more);

        if (client_bytes < 0)
            return;
        int middle = more ? frame_take(publisher->replay, delimiter, sizeof(delimiter), &more) : -1;
        int last = more ? frame_take(publisher->replay, number, sizeof(number), &more) : -1;
        bool right = client_bytes <= (int)sizeof(client) && middle == 0 &&
                     last == (int)sizeof(number) && !more;
        while (more)
            if (frame_take(publisher->replay, rest, sizeof(rest), &more) < 0)
                break;
        uint64_t first = 0;
        for (int at = 0; at < 8 && right; at++)
            first = first << 8 | number[at];
        if (right)
            replay_send(publisher, client, (size_t)client_bytes, first);
    }
}

struct source {
    struct cupool_kv *pool;
    struct cupool_tiers *tiers;
    uint32_t tier;
};

static int events_take(struct cupool_publisher *publisher, const struct source *source,
                       uint32_t *ret_count, uint64_t *ret_lost)
{
    if (source->pool)
        return cupool_kv_events_poll(source->pool, publisher->events, EVENTS_ONCE,
                                     publisher->hashes, HASHES_ONCE, ret_count, ret_lost);
    return cupool_tiers_events_poll(source->tiers, source->tier, publisher->events, EVENTS_ONCE,
                                    publisher->hashes, HASHES_ONCE, ret_count, ret_lost);
}

static int publish(struct cupool_publisher *publisher, const struct source *source,
                   const char *medium, uint32_t *ret_events)
{
    uint32_t count, all = 0;
    uint64_t lost;
    int error;

    if (publisher->pid != getpid())
        return -ECHILD;
    pthread_mutex_lock(&publisher->lock);
    while ((error = events_take(publisher, source, &count, &lost)) == 0) {
        msgpack_sbuffer buffer;

        publisher->counts.lost += lost;
        publisher->sequence += lost > 0;
        if (count == 0)
            break;
        msgpack_sbuffer_init(&buffer);
        batch_pack(publisher, &buffer, count, medium);
        batch_send(publisher, &buffer, count);
        all += count;
    }
    replays_serve(publisher);
    pthread_mutex_unlock(&publisher->lock);
    if (error == 0 && ret_events)
        *ret_events = all;
    return error;
}

int cupool_publisher_poll(struct cupool_publisher *publisher, struct cupool_kv *pool,
                          const char *medium, uint32_t *ret_events)
{
    const struct source source = {.pool = pool};

    return !pool ? -EINVAL : publish(publisher, &source, medium, ret_events);
}

int cupool_publisher_poll_tier(struct cupool_publisher *publisher, struct cupool_tiers *tiers,
                               uint32_t tier, const char *medium, uint32_t *ret_events)
{
    const struct source source = {.tiers = tiers, .tier = tier};

    return !tiers ? -EINVAL : publish(publisher, &source, medium, ret_events);
}

int cupool_publisher_stats(struct cupool_publisher *publisher,
                           struct cupool_publisher_statistics *ret_stats)
{
    if (publisher->pid != getpid())
        return -ECHILD;
    pthread_mutex_lock(&publisher->lock);
    *ret_stats = publisher->counts;
    pthread_mutex_unlock(&publisher->lock);
    return 0;
}

static int socket_open(struct cupool_publisher *publisher, int kind, const char *endpoint,
                       bool connect, int high_water, void **ret_socket)
{
    const int linger = LINGER_MS, mandatory = 1; /* a reply that has no room is an error */
    const int64_t most = PEER_BYTES;
    void *socket = zmq_socket(publisher->context, kind);

    if (!socket)
        return -ENOMEM;
    *ret_socket = socket;
    if (zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger)) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof(most)) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof(high_water)) != 0 ||
        (kind == ZMQ_ROUTER &&
         zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof(mandatory)) != 0) ||
        (connect ? zmq_connect(socket, endpoint) : zmq_bind(socket, endpoint)) != 0)
        return -zmq_errno();
    return 0;
}

static int publisher_open(struct cupool_publisher *publisher)
{
    const struct cupool_publisher_config *config = &publisher->config;
    int error;

    publisher->topic = strdup(config->topic ? config->topic : "");
    publisher->adapter = config->adapter ? strdup(config->adapter) : NULL;
    publisher->batches = calloc(config->batches, sizeof(*publisher->batches));
    publisher->tokens = calloc(TOKENS_MOST, sizeof(*publisher->tokens));
    publisher->context = zmq_ctx_new();
    if (!publisher->topic || !publisher->batches || !publisher->tokens || !publisher->context ||
        (config->adapter && !publisher->adapter))
        return -ENOMEM;
    error = socket_open(publisher, ZMQ_PUB, config->endpoint, config->connect != 0,
                        (int)config->high_water, &publisher->pub);
    /* libzmq learns late what a peer has read, after up to half of the high-water mark. So twice
     * the batches, and their end, leave room for all answers to one that has read those before. */
    if (error == 0 && config->replay_endpoint)
        error = socket_open(publisher, ZMQ_ROUTER, config->replay_endpoint, false,
                            2 * ((int)config->batches + 1), &publisher->replay);
    return error;
}

int cupool_publisher_create(const struct cupool_publisher_config *config,
                            struct cupool_publisher **ret_publisher)
{
    struct cupool_publisher *publisher;
    int error;

    if (!config || !ret_publisher || !config->endpoint || config->batches == 0 ||
        config->batches > 1u << 24 || config->high_water > 1u << 30)
        return -EINVAL;
    publisher = calloc(1, sizeof(*publisher));
    if (!publisher)
        return -ENOMEM;
    publisher->config = *config;
    publisher->pid = getpid();
    pthread_mutex_init(&publisher->lock, NULL);
    error = publisher_open(publisher);
    if (error < 0) {
        cupool_publisher_destroy(publisher);
        return error;
    }
    *ret_publisher = publisher;
    return 0;
}

void cupool_publisher_destroy(struct cupool_publisher *publisher)
{
    /* In a child libzmq's threads do not exist: its objects cannot be closed there. */
    if (!publisher || publisher->pid != getpid())
        return;
    if (publisher->pub)
        zmq_close(publisher->pub);
    if (publisher->replay)
        zmq_close(publisher->replay);
    if (publisher->context)
        zmq_ctx_term(publisher->context);
    for (uint32_t at = 0; publisher->batches && at < publisher->config.batches; at++)
        free(publisher->batches[at].data);
    free(publisher->batches);
    free(publisher->tokens);
    free(publisher->topic);
    free(publisher->adapter);
    pthread_mutex_destroy(&publisher->lock);
    free(publisher);
}

#endif

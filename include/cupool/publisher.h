/* SPDX-License-Identifier: MIT */
/*
 * Publishes KV cache events of pools and tiers to routers, by ZeroMQ in vLLM's schema.
 *
 *     config.endpoint = "tcp://0.0.0.0:5557", config.replay_endpoint = "tcp://0.0.0.0:5558";
 *     cupool_publisher_create(&config, &publisher);
 *     ...
 *     cupool_publisher_poll(publisher, pool, "GPU", &events);      once a step
 *     cupool_publisher_poll_tier(publisher, tiers, 0, "CPU", &events);
 *
 * A message has three frames: topic, sequence number (8 bytes, big-endian), and a batch in
 * MessagePack: [time, [event, ...], rank]. Events are ["BlockStored", hashes, parent, token_ids,
 * block_size, lora_id, medium, lora_name], ["BlockRemoved", hashes, medium] and
 * ["AllBlocksCleared"]. A subscriber that sees a gap sends the first number it lacks to the replay
 * socket. It gets [number, batch] for each batch kept, then [-1, ""], and may ask again when it has
 * read them. A pool that is polled too seldom drops events; that gap cannot be replayed.
 *
 * Threading: every function from any thread, except create and destroy. The only threads are those
 * of libzmq; the next poll answers requests for replay. In a child after fork every function
 * returns -ECHILD.
 */
#ifndef CUPOOL_PUBLISHER_H
#define CUPOOL_PUBLISHER_H

#include "tier.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cupool_publisher;

struct cupool_publisher_config {
    const char *endpoint;        /* of a PUB socket, such as "tcp://0.0.0.0:5557" */
    int connect;                 /* 1: it is connected to, not bound */
    const char *replay_endpoint; /* of a ROUTER socket, bound; NULL: no replay */
    const char *topic;           /* NULL: "" */
    uint32_t batches;            /* kept for replay; default 10,000 */
    uint32_t high_water;         /* messages that wait for a slow subscriber; default 100,000 */
    int32_t rank;                /* data parallel; -1 (default): none */
    int maps;                    /* 1: batches and events as maps with names, as newer vLLM has */
    int integers;                /* 1: hashes as integers, their last 8 bytes; 0: as 32 bytes */
    const char *adapter;         /* lora_name of stored blocks; NULL: none */
    /** Provides the tokens of a stored block, for routers that hash them themselves: writes at
     * most `room`, returns how many. NULL: token_ids stay empty, as do those of an event of
     * several blocks with one whose tokens are not block_tokens. Runs under the publisher's lock,
     * and must not call it. */
    uint32_t (*tokens)(void *state, const struct cupool_kv_hash *hash, int32_t *tokens,
                       uint32_t room);
    void *tokens_state;
};

struct cupool_publisher_statistics {
    uint64_t batches, events, bytes; /* sent */
    uint64_t lost;                   /* events that were dropped before they were polled */
    uint64_t replays, replayed;      /* requests, batches sent for them */
    uint64_t failures;               /* batches that could not be sent: a gap */
};

CUPOOL_API void cupool_publisher_config_init(struct cupool_publisher_config *config);

/**
 * Opens the sockets.
 * Errors: -ENOTSUP built without libzmq and msgpack; -EINVAL no endpoint; -EADDRINUSE and others of
 * the socket; -ENOMEM.
 */
CUPOOL_API int cupool_publisher_create(const struct cupool_publisher_config *config,
                                       struct cupool_publisher **ret_publisher);

/** Closes them; what was sent has a second to leave. */
CUPOOL_API void cupool_publisher_destroy(struct cupool_publisher *publisher);

/** Publishes the events of a pool since the last poll, and answers requests for replay. The pool
 * keeps as many events as its configuration says. `medium` may be NULL. */
CUPOOL_API int cupool_publisher_poll(struct cupool_publisher *publisher, struct cupool_kv *pool,
                                     const char *medium, uint32_t *ret_events);

/** The same for one of the tiers below a pool. */
CUPOOL_API int cupool_publisher_poll_tier(struct cupool_publisher *publisher,
                                          struct cupool_tiers *tiers, uint32_t tier,
                                          const char *medium, uint32_t *ret_events);

CUPOOL_API int cupool_publisher_stats(struct cupool_publisher *publisher,
                                      struct cupool_publisher_statistics *ret_stats);

#ifdef __cplusplus
}
#endif

#endif

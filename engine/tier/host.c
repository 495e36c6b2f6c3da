/* SPDX-License-Identifier: MIT */
/*
 * The cold store as a store of entries.
 */
#include <errno.h>
#include <stdlib.h>

#include "include/cupool/tier.h"
#include "pool/tier/cold.h"

static int host_put(void *state, struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        items[at].error = cold_put(state, items[at].data, items[at].bytes, &items[at].token);
    return 0;
}

static int host_get(void *state, struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        struct cupool_tier_item *item = &items[at];

        item->error = cold_get(state, item->token, item->data, item->bytes, &item->bytes);
    }
    return 0;
}

static void host_remove(void *state, const struct cupool_tier_item *items, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        cold_free(state, items[at].token);
}

static uint64_t host_charge(void *state, size_t bytes)
{
    return cold_charge(bytes);
}

static void host_close(void *state)
{
    cold_done(state);
    free(state);
}

int cupool_tier_host(uint64_t bytes, struct cupool_tier_store *ret_store)
{
    struct cold *cold = calloc(1, sizeof(*cold));
    int error;

    if (!cold)
        return -ENOMEM;
    error = cold_init(cold,
                      (bytes + COLD_SEGMENT_BYTES - 1) / COLD_SEGMENT_BYTES * COLD_SEGMENT_BYTES);
    if (error < 0) {
        free(cold);
        return error;
    }
    *ret_store = (struct cupool_tier_store){.state = cold,
                                            .put = host_put,
                                            .get = host_get,
                                            .remove = host_remove,
                                            .charge = host_charge,
                                            .close = host_close};
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The addresses of a host name, found beside the caller: the system's resolver has no deadline, and
 * may take half a minute.
 *
 * Threading: a look-up is its caller's; one thread of its own works for it, and may outlive it.
 */
#ifndef ENGINE_TIER_RESOLVE_H
#define ENGINE_TIER_RESOLVE_H

#include <stdint.h>

#define RESOLVE_MOST       8
#define RESOLVE_TEXT_BYTES 64

struct resolve;

/** As numbers, those of IPv4 first. */
struct resolve_addresses {
    unsigned count;
    char texts[RESOLVE_MOST][RESOLVE_TEXT_BYTES];
};

/** True if a text is an address already. */
int resolve_is_number(const char *host);

/** Begins to look a name up. NULL: no memory or no thread. */
struct resolve *resolve_begin(const char *host);

/** Waits until a time of tiers_clock(). -ETIMEDOUT: not found yet, ask again; -EHOSTUNREACH: there
 * is none. */
int resolve_await(struct resolve *resolve, uint64_t deadline_ns,
                  struct resolve_addresses *ret_addresses);

/** Forgets the look-up, also one under way; NULL is accepted. */
void resolve_end(struct resolve *resolve);

#endif

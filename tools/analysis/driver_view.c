/* SPDX-License-Identifier: MIT */
/*
 * First matches every allocation of CUPTI with its call, then replays levels.
 */
#include "tools/analysis/driver_view.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analysis/analysis.h"
#include "tools/base/bound.h"
#include "tools/base/grow.h"

#define LATE_NS       UINT64_C(1000000000)
#define BYTES_MOST    (UINT64_C(1) << 56)
#define ARRAY_ADDRESS 0 /* all arrays are looked for under one address */

struct driver_event {
    uint64_t time_ns, address, bytes, site;
    size_t serial; /* order of reading, for events of one time */
    uint32_t context;
    uint16_t kind; /* enum trace_event */
    uint8_t memory;
    bool unaccounted;
};

/** A call by which the program or the pool took memory from the driver. */
struct driver_seen {
    uint64_t address, begin_ns, end_ns;
    size_t unused; /* this call when it is not used up yet, else one behind it to look on from */
};

static int event_keep(struct driver_view *view, const struct trace_record *record)
{
    if (ARRAY_GROW(view->event, view->events, view->events_room, 256) < 0)
        return -ENOMEM;
    view->event[view->events] = (struct driver_event){
        .time_ns = record->time_ns,
        .address = record->address,
        .bytes = record->size < BYTES_MOST ? record->size : BYTES_MOST,
        .site = record->site,
        .serial = view->events,
        .context = record->context,
        .kind = record->kind,
        .memory = record->memory,
    };
    view->events++;
    return 0;
}

static int seen_keep(struct driver_view *view, const struct trace_record *record)
{
    uint64_t latency_ns = record->latency == TRACE_LATENCY_CUT ? record->time_ns
                                                               : trace_latency_ns(record->latency);

    if (!view->was_on)
        return 0; /* CUPTI begins before the first call */
    if (ARRAY_GROW(view->seen, view->seens, view->seens_room, 256) < 0)
        return -ENOMEM;
    view->seen[view->seens++] = (struct driver_seen){
        .address = record->memory == TRACE_MEMORY_ARRAY ? ARRAY_ADDRESS : record->address,
        .begin_ns = record->time_ns > latency_ns ? record->time_ns - latency_ns : 0,
        .end_ns = record->time_ns,
    };
    return 0;
}

static void pool_note(struct driver_view *view, const struct trace_record *record)
{
    struct driver_pool *pool = view->pool;
    size_t i = 0;

    while (i < view->pools && (pool[i].address != record->address || pool[i].destroyed))
        i++;
    if (i == DRIVER_VIEW_POOLS)
        return;
    if (i == view->pools)
        pool[view->pools++] = (struct driver_pool){.address = record->address,
                                                   .device = record->device};
    pool[i].bytes = record->size;
    pool[i].used_bytes = record->value;
    if (record->size > pool[i].peak_bytes)
        pool[i].peak_bytes = record->size;
    if (record->value > pool[i].peak_used_bytes)
        pool[i].peak_used_bytes = record->value;
    pool[i].trims += record->latency == 1;
    pool[i].destroyed = record->latency == 2;
}

static void state_note(struct analysis *analysis, const struct trace_record *record)
{
    struct driver_view *view = &analysis->driver_view;

    switch ((enum trace_cupti)record->value) {
    case TRACE_CUPTI_FLUSHED: view->is_whole = view->dropped == 0; return;
    case TRACE_CUPTI_UNFLUSHED: view->is_whole = false; return;
    case TRACE_CUPTI_DROPPED:
        view->dropped += record->size;
        view->is_whole = false;
        return;
    case TRACE_CUPTI_ON:
        view->was_on = true;
        view->clock_error_ns = trace_latency_ns(record->latency);
        break;
    case TRACE_CUPTI_NO_LIBRARY:
    case TRACE_CUPTI_VERSION:
    case TRACE_CUPTI_TAKEN:
    case TRACE_CUPTI_DENIED:
    case TRACE_CUPTI_FAILED:
    case TRACE_CUPTI_FOREIGN:
    case TRACE_CUPTI_GAVE_WAY: break;
    default: return;
    }
    view->state = (unsigned)record->value;
    view->result = record->size;
    view->version = record->address;
    view->library = trace_reader_string(analysis->reader, record->api);
}

int driver_view_add(struct analysis *analysis, const struct trace_record *record)
{
    struct driver_view *view = &analysis->driver_view;

    switch ((enum trace_event)record->kind) {
    case TRACE_EVENT_ALLOCATE:
        return record->outcome == TRACE_OUTCOME_PASSED ? seen_keep(view, record) : 0;
    case TRACE_EVENT_SEGMENT_ALLOCATE: return record->value ? 0 : seen_keep(view, record);
    case TRACE_EVENT_DRIVER_ALLOCATE:
    case TRACE_EVENT_DRIVER_FREE:
    case TRACE_EVENT_DRIVER_CONTEXT: return event_keep(view, record);
    case TRACE_EVENT_DRIVER_POOL: pool_note(view, record); return 0;
    case TRACE_EVENT_CUPTI_STATE: state_note(analysis, record); return 0;
    default: return 0;
    }
}

/* Joining. */

static int event_compare(const void *a, const void *b)
{
    const struct driver_event *left = a, *right = b;

    if (left->time_ns != right->time_ns)
        return left->time_ns < right->time_ns ? -1 : 1;
    return left->serial < right->serial ? -1 : left->serial > right->serial;
}

static int seen_compare(const void *a, const void *b)
{
    const struct driver_seen *left = a, *right = b;

    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return left->end_ns < right->end_ns ? -1 : left->end_ns > right->end_ns;
}

/** Returns the first call for an address that ended at or after a moment. */
static size_t seen_from(const struct driver_view *view, uint64_t address, uint64_t time_ns)
{
    size_t low = 0, high = view->seens;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct driver_seen *seen = &view->seen[middle];

        if (seen->address < address || (seen->address == address && seen->end_ns < time_ns))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/** Returns the first unused call at or after a place; shortens the path to it. */
static size_t seen_unused(struct driver_view *view, size_t place)
{
    size_t found = place;

    while (found < view->seens && view->seen[found].unused != found)
        found = view->seen[found].unused;
    while (place < found) {
        size_t next = view->seen[place].unused;

        view->seen[place].unused = found;
        place = next;
    }
    return found;
}

/** Uses up the call that made an allocation, with times that may differ by `slack_ns`. */
static bool seen_take(struct driver_view *view, const struct driver_event *event, uint64_t slack_ns)
{
    bool is_array = event->memory == TRACE_MEMORY_ARRAY;
    uint64_t address = is_array ? ARRAY_ADDRESS : event->address;
    uint64_t earliest = event->time_ns > slack_ns ? event->time_ns - slack_ns : 0;

    size_t i = seen_from(view, address, earliest);

    if (!is_array) /* one call makes all levels of a mipmapped array */
        i = seen_unused(view, i);
    if (i == view->seens || view->seen[i].address != address ||
        view->seen[i].begin_ns > event->time_ns + slack_ns)
        return false;
    if (view->seen[i].unused == i)
        view->seen[i].unused = i + 1;
    return true;
}

/**
 * The best matches first, so that an unseen allocation does not take the call of a later one at
 * the same address. Then clocks that drifted, then one that was set.
 */
static void calls_join(struct driver_view *view)
{
    static const uint64_t slack_ns[] = {2000, 50000, LATE_NS};
    uint64_t error_ns = view->clock_error_ns < LATE_NS ? view->clock_error_ns : LATE_NS;

    for (size_t i = 0; i < view->seens; i++)
        view->seen[i].unused = i;
    for (size_t i = 0; i < view->events; i++)
        view->event[i].unaccounted = view->event[i].kind == TRACE_EVENT_DRIVER_ALLOCATE;
    for (size_t round = 0; round < sizeof slack_ns / sizeof *slack_ns; round++)
        for (size_t i = 0; i < view->events; i++)
            if (view->event[i].unaccounted)
                view->event[i].unaccounted = !seen_take(view, &view->event[i],
                                                        error_ns + slack_ns[round]);
}

/* Replaying. */

/** What is live while the events are replayed. */
struct driver_replay {
    struct analysis *analysis;
    struct block_table live;
    struct level total, unaccounted, host;
};

static bool is_on_device(unsigned memory)
{
    const struct memory_kind *kind = memory_kind(memory);

    return memory == TRACE_MEMORY_STATIC || (kind && kind->on_device);
}

static int step_add(struct driver_replay *replay, uint64_t time_ns)
{
    struct driver_view *view = &replay->analysis->driver_view;

    if (ARRAY_GROW(view->step, view->steps, view->steps_room, 256) < 0)
        return -ENOMEM;
    view->step[view->steps++] = (struct driver_step){time_ns, replay->total.current,
                                                     replay->unaccounted.current};
    return 0;
}

static struct tally *library_row(struct driver_replay *replay, uint64_t site)
{
    struct trace_site place;
    bool known = trace_reader_site(replay->analysis->reader, site, &place) == 0 && place.module;

    return tallies_get(replay->analysis->driver_view.libraries,
                       known ? (uint64_t)(uintptr_t)place.module : 0);
}

/** Counts a block that becomes (+1) or ceases to be (-1) live. `passed` of a block: it is
 * accounted for. */
static int block_count(struct driver_replay *replay, const struct replay_block *block, int sign,
                       uint64_t time_ns)
{
    int64_t bytes = sign * (int64_t)block->allocated_bytes;

    if (block->memory == TRACE_MEMORY_PINNED || block->memory == TRACE_MEMORY_HOST_ASYNC)
        level_add(&replay->host, bytes, 0);
    if (!is_on_device(block->memory))
        return 0;
    level_add(&replay->total, bytes, 0);
    if (!block->passed) {
        struct tally *row = library_row(replay, block->site);

        if (!row)
            return -ENOMEM;
        level_add(&replay->unaccounted, bytes, 0);
        level_add(&row->live_bytes, bytes, 0);
        row->allocations += sign > 0;
        row->requested_bytes += sign > 0 ? block->allocated_bytes : 0;
    }
    return step_add(replay, time_ns);
}

static int block_end(struct driver_replay *replay, struct replay_block *block, uint64_t time_ns)
{
    struct replay_block ended = *block;

    block_table_remove(&replay->live, block);
    return block_count(replay, &ended, -1, time_ns);
}

static int allocate_replay(struct driver_replay *replay, const struct driver_event *event)
{
    struct driver_view *view = &replay->analysis->driver_view;
    struct replay_block *old = block_table_find(&replay->live, BLOCK_SPACE_ADDRESS, event->address);
    struct replay_block block = {.address = event->address,
                                 .allocated_bytes = event->bytes,
                                 .site = (uint32_t)event->site,
                                 .context = event->context,
                                 .memory = event->memory,
                                 .space = BLOCK_SPACE_ADDRESS,
                                 .passed = !event->unaccounted};
    int error = old ? block_end(replay, old, event->time_ns) : 0;

    view->allocations++;
    view->unaccounted_allocations += event->unaccounted && is_on_device(event->memory);
    if (error == 0)
        error = block_count(replay, &block, 1, event->time_ns);
    return error < 0 ? error : block_table_add(&replay->live, &block);
}

/** Memory of a context ends with it, without a separate event; memory of a pool does not. */
static int context_replay(struct driver_replay *replay, const struct driver_event *event)
{
    struct replay_block *block;
    int error = 0;

    while (error == 0 && (block = block_table_context_take(&replay->live, event->context)))
        if (block->memory != TRACE_MEMORY_ASYNC && block->memory != TRACE_MEMORY_HOST_ASYNC)
            error = block_end(replay, block, event->time_ns);
    return error;
}

static int event_replay(struct driver_replay *replay, const struct driver_event *event)
{
    struct replay_block *block;

    if (event->kind == TRACE_EVENT_DRIVER_ALLOCATE)
        return allocate_replay(replay, event);
    if (event->kind == TRACE_EVENT_DRIVER_CONTEXT)
        return event->bytes ? 0 : context_replay(replay, event);
    replay->analysis->driver_view.frees++;
    block = block_table_find(&replay->live, BLOCK_SPACE_ADDRESS, event->address);
    return block ? block_end(replay, block, event->time_ns) : 0;
}

int driver_view_finish(struct analysis *analysis)
{
    struct driver_view *view = &analysis->driver_view;
    struct driver_replay replay = {.analysis = analysis};
    int error = 0;

    view->libraries = calloc(1, sizeof *view->libraries);
    if (!view->libraries)
        return -ENOMEM;
    if (view->events)
        qsort(view->event, view->events, sizeof *view->event, event_compare);
    if (view->seens)
        qsort(view->seen, view->seens, sizeof *view->seen, seen_compare);
    calls_join(view);
    for (size_t i = 0; i < view->events && error == 0; i++)
        error = event_replay(&replay, &view->event[i]);
    view->total_peak_bytes = replay.total.peak;
    view->host_peak_bytes = replay.host.peak;
    view->unaccounted_peak_bytes = replay.unaccounted.peak;
    view->unaccounted_end_bytes = replay.unaccounted.current;
    block_table_done(&replay.live);
    free(view->event);
    free(view->seen);
    view->event = NULL;
    view->seen = NULL;
    return error;
}

void driver_view_done(struct driver_view *view)
{
    if (view->libraries)
        tallies_done(view->libraries);
    free(view->libraries);
    free(view->step);
    free(view->event);
    free(view->seen);
}

bool driver_view_at(const struct driver_view *view, uint64_t time_ns, struct driver_step *ret_step)
{
    size_t at;

    if (!view->was_on)
        return false;
    at = UPPER_BOUND(view->step, view->steps, time_ns, time_ns);
    *ret_step = at ? view->step[at - 1] : (struct driver_step){.time_ns = time_ns};
    return true;
}

bool driver_view_unaccounted(const struct analysis *analysis, uint64_t *ret_bytes)
{
    const struct driver_view *view = &analysis->driver_view;

    if (!view->was_on && !analysis->has_memory_info)
        return false;
    *ret_bytes = view->was_on ? view->unaccounted_peak_bytes : analysis->unaccounted_bytes;
    return true;
}

static const struct {
    const char *name, *help;
} states[] = {
    {"none", "not used"},
#define TRACE_CUPTI(NAME, value, help) [value] = {#NAME, help},
#include "cupti/format/events.def"
};

static const char *state_help(unsigned state)
{
    return states[state < sizeof states / sizeof *states ? state : 0].help;
}

const char *driver_view_state_name(const struct driver_view *view)
{
    static char lower[sizeof states / sizeof *states][16];
    const char *name = states[view->state].name;

    for (size_t i = 0; i < sizeof *lower - 1 && name[i]; i++)
        lower[view->state][i] = (char)tolower((unsigned char)name[i]);
    return lower[view->state];
}

void driver_view_state_text(const struct driver_view *view, char *ret_text, size_t text_bytes)
{
    char more[96] = "";

    if (view->state == TRACE_CUPTI_FAILED || view->state == TRACE_CUPTI_DENIED)
        snprintf(more, sizeof more, " (CUPTI error %llu)", (unsigned long long)view->result);
    else if (view->state == TRACE_CUPTI_VERSION)
        snprintf(more, sizeof more, " (version %llu)", (unsigned long long)view->version);
    else if (view->dropped)
        snprintf(more, sizeof more, "; records dropped: %llu", (unsigned long long)view->dropped);
    else if (view->was_on && !view->is_whole)
        snprintf(more, sizeof more, "; %s", state_help(TRACE_CUPTI_UNFLUSHED));
    snprintf(ret_text, text_bytes, "%s%s", state_help(view->state), more);
}

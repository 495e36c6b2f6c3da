/* SPDX-License-Identifier: MIT */
/*
 * Block tables: one row a slot, maintained on the host, and on the device by one copy of the rows
 * from the first to the last that changed.
 *
 * The copy comes from page-locked staging. A staging buffer is reused only when its copy has
 * completed; there are several, so that steps may be submitted ahead. Kernels may read a row as it
 * was until the work has ended behind which its blocks were released: the copy comes after it.
 */
#include <errno.h>
#include <string.h>

#include "pool/base/stream.h"
#include "pool/kv/sequence_set.h"

static int32_t null_number(const struct set_member *member)
{
    return member->pool->first > 0 ? 0 : -1;
}

void set_table_write(struct cupool_sequences *set, const struct sequence_slot *slot,
                     uint32_t member, uint32_t from, uint32_t to)
{
    struct set_member *m = &set->members[member];
    const cupool_kv_handle *handles = set_handles(set, slot, member);
    uint32_t row = set_index(set, slot);
    int32_t *numbers = m->table + (size_t)row * m->row_blocks;

    if (from >= to)
        return;
    /* A copy for another sequence may include this row: it must not see it half written, nor before
     * the row's readers count. */
    pthread_mutex_lock(&set->lock);
    for (uint32_t at = from; at < to; at++)
        numbers[at] = handles[at] != 0 ? (int32_t)cupool_kv_id(handles[at]) : null_number(m);
    m->readers = kv_serials_join(m->pool, m->readers, m->row_readers[row]);
    m->row_readers[row] = 0;
    if (m->dirty_first == m->dirty_end) {
        m->dirty_first = row;
        m->dirty_end = row + 1;
    }
    m->dirty_first = row < m->dirty_first ? row : m->dirty_first;
    m->dirty_end = row + 1 > m->dirty_end ? row + 1 : m->dirty_end;
    pthread_mutex_unlock(&set->lock);
}

static size_t table_bytes(const struct cupool_sequences *set, const struct set_member *member)
{
    return (size_t)set->config.sequences * member->row_blocks * sizeof(*member->table);
}

int set_tables_init(struct cupool_sequences *set, struct set_member *member)
{
    struct kv_backend *backend = &member->pool->backend;
    size_t bytes = table_bytes(set, member);
    int error = backend->memory_allocate(backend->state, bytes, &member->device_table);

    if (error == 0)
        error = backend->memory_fill(backend->state, member->device_table, bytes, KV_STREAM_NONE);
    for (unsigned at = 0; at < SET_STAGING && error == 0; at++)
        error = backend->host_allocate(backend->state, bytes, (void **)&member->staging[at]);
    member->dirty_first = 0;
    member->dirty_end = set->config.sequences;
    return error;
}

void set_tables_done(struct cupool_sequences *set, struct set_member *member)
{
    if (!member->pool || member->pool->gone)
        return;
    struct kv_backend *backend = &member->pool->backend;
    for (unsigned at = 0; at < SET_STAGING; at++) {
        if (member->staging_fenced[at])
            backend->fence_release(backend->state, member->staging_fence[at]);
        if (member->staging[at])
            backend->host_free(backend->state, member->staging[at]);
    }
    if (member->device_table != 0)
        backend->memory_free(backend->state, member->device_table, table_bytes(set, member));
}

int cupool_sequence_table(struct cupool_sequences *set, cupool_sequence sequence, uint32_t member,
                          const int32_t **ret_table, uint32_t *ret_blocks)
{
    int error;
    const struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if (member >= set->member_count)
        return set_fail(set, -EINVAL, "no such pool in the set");
    *ret_table = set->members[member].table +
                 (size_t)set_index(set, slot) * set->members[member].row_blocks;
    *ret_blocks = slot->blocks[member];
    return 0;
}

int cupool_sequence_place(struct cupool_sequences *set, cupool_sequence sequence, uint32_t member,
                          uint32_t position, cupool_kv_handle *ret_handle, uint32_t *ret_offset)
{
    int error;
    const struct sequence_slot *slot = set_slot(set, sequence, &error);

    if (!slot)
        return error;
    if (member >= set->member_count || position >= slot->length)
        return set_fail(set, -EINVAL, "no such pool in the set, or no such token");
    *ret_handle = set_handles(set, slot, member)[position / set->members[member].block_tokens];
    *ret_offset = position % set->members[member].block_tokens;
    return 0;
}

/* Records the fence behind a copy; if that fails, a later call on the stream tries it again. */
static int staging_record(struct set_member *m, unsigned at)
{
    struct kv_backend *backend = &m->pool->backend;
    int error = backend->fence_record(backend->state, m->staging_stream[at], &m->staging_fence[at]);

    m->staging_fenced[at] = error == 0;
    return error;
}

/* A staging buffer whose copy has run. */
static int staging_take(struct set_member *member, unsigned *ret_at)
{
    struct kv_backend *backend = &member->pool->backend;

    for (unsigned at = 0; at < SET_STAGING; at++) {
        if (member->staging_fenced[at] &&
            backend->fence_query(backend->state, member->staging_fence[at]) == 1) {
            backend->fence_release(backend->state, member->staging_fence[at]);
            member->staging_busy[at] = member->staging_fenced[at] = false;
        }
        if (!member->staging_busy[at]) {
            *ret_at = at;
            return 0;
        }
    }
    return -EAGAIN;
}

static int table_copy(struct set_member *m, unsigned staging, cupool_stream stream)
{
    struct kv_backend *backend = &m->pool->backend;
    size_t offset = (size_t)m->dirty_first * m->row_blocks;
    size_t count = (size_t)(m->dirty_end - m->dirty_first) * m->row_blocks;

    memcpy(m->staging[staging], m->table + offset, count * sizeof(*m->table));
    int error = backend->memory_copy(backend->state, m->device_table + offset * sizeof(*m->table),
                                     (uintptr_t)m->staging[staging], count * sizeof(*m->table),
                                     stream);
    if (error == 0 && stream != CUPOOL_STREAM_NONE && backend->fence_record) {
        m->staging_stream[staging] = stream;
        m->staging_busy[staging] = true;
        error = staging_record(m, staging);
    }
    return error;
}

/* Orders a stream behind copies that another stream has begun: it reads what they write. */
static int copies_order(struct set_member *m, cupool_stream stream)
{
    struct kv_backend *backend = &m->pool->backend;
    int error = 0;

    for (unsigned at = 0; at < SET_STAGING && error == 0; at++) {
        bool own = stream_same(m->staging_stream[at], stream);

        if (m->staging_busy[at] && !m->staging_fenced[at] && own)
            error = staging_record(m, at);
        if (!m->staging_busy[at] || own ||
            (m->staging_fenced[at] &&
             backend->fence_query(backend->state, m->staging_fence[at]) == 1))
            continue;
        error = stream == CUPOOL_STREAM_NONE || !m->staging_fenced[at]
                    ? -EAGAIN
                    : backend->stream_wait(backend->state, stream, m->staging_fence[at]);
    }
    return error;
}

int cupool_sequences_tables(struct cupool_sequences *set, uint32_t member, cupool_stream stream,
                            const int32_t **ret_tables, uint32_t *ret_row_blocks)
{
    unsigned staging;
    int error = 0;

    if (member >= set->member_count)
        return set_fail(set, -EINVAL, "no such pool in the set");
    struct set_member *m = &set->members[member];
    pthread_mutex_lock(&set->lock);
    error = copies_order(m, stream);
    if (error == 0 && m->dirty_first < m->dirty_end) {
        error = kv_stream_usable(m->pool, stream);
        if (error == 0)
            error = staging_take(m, &staging);
        if (error == 0)
            error = kv_serial_order(m->pool, m->readers, stream);
        if (error == 0)
            error = table_copy(m, staging, stream);
        if (error == 0) {
            m->readers = 0;
            m->dirty_first = m->dirty_end = 0;
            set->stats.table_copies++;
        }
    }
    pthread_mutex_unlock(&set->lock);
    if (error < 0)
        return set_fail(set, error, "the tables could not be copied, or all copies are in flight");
    if (ret_tables)
        *ret_tables = (const int32_t *)(uintptr_t)m->device_table;
    if (ret_row_blocks)
        *ret_row_blocks = m->row_blocks;
    return 0;
}

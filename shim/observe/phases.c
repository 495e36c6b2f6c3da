/* SPDX-License-Identifier: MIT */
/*
 * Names of phases in the trace.
 *
 * Names go through a small table of their own: a program that numbers its names must not fill the
 * trace's string table, where only the first 65,535 strings can name a function. The table is
 * open-addressed by a 64-bit hash that stands for the name, and only grows.
 */
#include "shim/observe/phases.h"

#include <stdatomic.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "cupti/write/trace_writer.h"

#define NAMES     1024
#define NAME_ROOM 2048 /* power of two */

static struct {
    _Atomic uint64_t hash; /* 0: free */
    atomic_uint id;        /* 0: its owner is still asking */
} names[NAME_ROOM];
static atomic_uint names_used;

static uint64_t hash_of(const char *name, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    return hash ? hash : 1;
}

uint32_t phases_name(struct trace_writer *writer, const char *name)
{
    char text[PHASE_NAME_BYTES];
    size_t length = safe_text_cut(name, sizeof(text) - 1);
    uint64_t hash = hash_of(name, length);
    size_t place = hash % NAME_ROOM;

    for (;; place = (place + 1) % NAME_ROOM) {
        uint64_t found = atomic_load_explicit(&names[place].hash, memory_order_acquire);

        if (!found) {
            if (atomic_load_explicit(&names_used, memory_order_relaxed) >= NAMES)
                return 0;
            if (!atomic_compare_exchange_strong(&names[place].hash, &found, hash) && found != hash)
                continue; /* another name took the place: look on behind it */
            if (!found)
                atomic_fetch_add_explicit(&names_used, 1, memory_order_relaxed);
            found = hash;
        }
        if (found == hash)
            break;
    }
    uint32_t id = atomic_load_explicit(&names[place].id, memory_order_relaxed);
    if (!id && length) {
        memcpy(text, name, length);
        text[length] = 0;
        id = trace_writer_string(writer, text);
        atomic_store_explicit(&names[place].id, id, memory_order_relaxed);
    }
    return id;
}

void phases_emit(struct trace_writer *writer, enum trace_phase kind, enum trace_phase_source source,
                 uint32_t name, uint64_t time_ns)
{
    if (!name)
        return;
    trace_writer_emit(writer, &(struct trace_record){
                                  .kind = TRACE_EVENT_PHASE,
                                  .time_ns = time_ns,
                                  .size = kind,
                                  .address = source,
                                  .value = name,
                              });
}

void phases_fork_child(void)
{
    for (size_t i = 0; i < NAME_ROOM; i++) {
        atomic_store_explicit(&names[i].hash, 0, memory_order_relaxed);
        atomic_store_explicit(&names[i].id, 0, memory_order_relaxed);
    }
    atomic_store(&names_used, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * The table of callers: open addressing, entries are only added. When the neighbourhood of a slot
 * is full, the caller is examined anew at each call: slower but equally correct.
 */
#include "shim/resolve/caller.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "cupti/write/trace_writer.h"
#include "shim/options/glob.h"
#include "shim/options/mode.h"
#include "shim/resolve/modules.h"

#define CALLER_PROBES 16

struct caller caller_table[CALLER_SLOTS];

static pthread_mutex_t add_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct caller overflow;

/* True when one of the globs in the list, separated by colons, matches this file name. Without
 * strcspn: ThreadSanitizer would see that read of the options, but not the mode that publishes
 * them, because this file is not instrumented. */
static bool globs_match(const char *globs, const char *name)
{
    while (*globs) {
        size_t length = 0;

        while (globs[length] && globs[length] != ':')
            length++;
        if (length && glob_match(globs, length, name))
            return true;
        globs += length + (globs[length] == ':');
    }
    return false;
}

static bool name_is_exempt(const char *name)
{
    const char *slash = strrchr(name, '/');

    return globs_match(shim_options()->exempt, slash ? slash + 1 : name);
}

static bool code_is_exempt(const void *code)
{
    return shim_options()->exempt[0] && module_name_is(code, name_is_exempt);
}

static struct caller *probe(const void *code, const void *wanted)
{
    unsigned first = caller_slot(code);

    for (unsigned i = 0; i < CALLER_PROBES; i++) {
        struct caller *entry = &caller_table[(first + i) % CALLER_SLOTS];

        if (atomic_load_explicit(&entry->code, memory_order_acquire) == wanted)
            return entry;
    }
    return NULL;
}

struct caller *caller_add(const void *code)
{
    struct caller *entry = probe(code, code);

    if (entry)
        return entry;
    int saved_errno = errno;
    bool exempt = code_is_exempt(code);
    pthread_mutex_lock(&add_lock);
    entry = probe(code, code);
    if (!entry && (entry = probe(code, NULL))) {
        entry->exempt = exempt;
        atomic_store_explicit(&entry->code, code, memory_order_release);
    }
    pthread_mutex_unlock(&add_lock);
    if (!entry) {
        entry = &overflow;
        *entry = (struct caller){.code = code, .exempt = exempt};
    }
    errno = saved_errno;
    return entry;
}

void caller_route_set(struct caller *caller, uint32_t key, void *route)
{
    unsigned none = 0;

    if (atomic_compare_exchange_strong(&caller->route_key, &none, key))
        atomic_store_explicit(&caller->route, route, memory_order_release);
}

uint32_t caller_site_find(struct caller *caller, struct trace_writer *writer)
{
    /* One byte before the return address lies in the call. */
    uint32_t site = writer ? trace_writer_site(writer, (const char *)caller->code - 1) : 0;

    atomic_store_explicit(&caller->site, site, memory_order_relaxed);
    return site;
}

void caller_fork_child(void)
{
    pthread_mutex_init(&add_lock, NULL);
    for (int i = 0; i < CALLER_SLOTS; i++) /* the ids are of the parent's record */
        atomic_store_explicit(&caller_table[i].site, 0, memory_order_relaxed);
}

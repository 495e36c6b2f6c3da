/* SPDX-License-Identifier: MIT */
/*
 * An array ordered by address. See ipc_imports.h.
 *
 * Blocks do not overlap, but a whole mapping may contain blocks that were opened separately. Every
 * query looks only next to the position of the address in the array.
 */
#include "shim/share/ipc_imports.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_import *imports; /* guarded by lock, like all below */
static size_t count, room;
static uint64_t last_id;
static atomic_size_t count_now; /* count, for those without the lock */

/* How many begin at or before an address. */
static size_t rank_locked(uint64_t address)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (imports[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ipc_import *at_locked(uint64_t address)
{
    size_t rank = rank_locked(address);

    return rank && imports[rank - 1].address == address ? &imports[rank - 1] : NULL;
}

static bool make_room_locked(void)
{
    if (count < room)
        return true;
    size_t wanted = room ? 2 * room : 64;
    struct ipc_import *more = realloc(imports, wanted * sizeof(*more));
    if (!more)
        return false;
    imports = more;
    room = wanted;
    return true;
}

static void remove_locked(struct ipc_import *gone)
{
    size_t after = (size_t)(imports + count - (gone + 1));

    memmove(gone, gone + 1, after * sizeof(*gone));
    count--;
    atomic_store(&count_now, count);
}

static bool insert_locked(const struct ipc_import *opening)
{
    if (!make_room_locked())
        return false;
    size_t rank = rank_locked(opening->address);
    memmove(imports + rank + 1, imports + rank, (count - rank) * sizeof(*imports));
    imports[rank] = *opening;
    imports[rank].opened = 1;
    imports[rank].id = ++last_id;
    imports[rank].synchronous = false;
    count++;
    atomic_store(&count_now, count);
    return true;
}

bool ipc_import_add(const struct ipc_import *opening)
{
    pthread_mutex_lock(&lock);
    struct ipc_import *known = at_locked(opening->address);
    bool added = known || insert_locked(opening);
    if (known)
        known->opened++;
    pthread_mutex_unlock(&lock);
    return added;
}

static bool is_base_locked(uint64_t address)
{
    for (size_t i = rank_locked(address); i < count; i++)
        if (imports[i].base == address)
            return true;
        else if (imports[i].base > address)
            break;
    return false;
}

uint64_t ipc_import_base(uint64_t address)
{
    if (!atomic_load(&count_now))
        return address;
    pthread_mutex_lock(&lock);
    const struct ipc_import *known = at_locked(address);
    uint64_t base = known ? known->base : is_base_locked(address) ? address | 1 : address;
    pthread_mutex_unlock(&lock);
    return base;
}

bool ipc_import_closed(uint64_t address, struct ipc_import *ret_import)
{
    if (!atomic_load(&count_now))
        return false;
    pthread_mutex_lock(&lock);
    struct ipc_import *known = at_locked(address);
    bool last = known && --known->opened == 0;
    if (last) {
        *ret_import = *known;
        remove_locked(known);
    }
    pthread_mutex_unlock(&lock);
    return last;
}

bool ipc_import_mapped(uint64_t base)
{
    pthread_mutex_lock(&lock);
    bool mapped = is_base_locked(base) || (at_locked(base) && at_locked(base)->base == base);
    pthread_mutex_unlock(&lock);
    return mapped;
}

static bool maps(const struct ipc_import *import, uint64_t address)
{
    return address >= import->base && address - import->base < import->base_bytes;
}

static enum range_kind find_locked(uint64_t address, struct ipc_import *ret_import)
{
    size_t rank = rank_locked(address);
    const struct ipc_import *before = rank ? &imports[rank - 1] : NULL;
    const struct ipc_import *after = rank < count ? &imports[rank] : NULL;

    if (before && before->bytes && address - before->address < before->bytes) {
        *ret_import = *before;
        return RANGE_BLOCK;
    }
    const struct ipc_import *mapping = before && maps(before, address) ? before
                                       : after && maps(after, address) ? after
                                                                       : NULL;
    if (!mapping)
        return RANGE_DRIVER;
    const struct ipc_import *whole = at_locked(mapping->base);
    return whole && !whole->bytes ? RANGE_DRIVER : RANGE_HOLE;
}

enum range_kind ipc_import_find(uint64_t address, struct ipc_import *ret_import)
{
    if (!atomic_load(&count_now))
        return RANGE_DRIVER;
    pthread_mutex_lock(&lock);
    enum range_kind kind = find_locked(address, ret_import);
    pthread_mutex_unlock(&lock);
    return kind;
}

bool ipc_import_synchronous(uint64_t address, bool synchronous)
{
    bool before = false;

    pthread_mutex_lock(&lock);
    struct ipc_import *known = at_locked(address);
    if (known) {
        before = known->synchronous;
        known->synchronous = synchronous;
    }
    pthread_mutex_unlock(&lock);
    return before;
}

void ipc_imports_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (imports[i].context != context)
            imports[kept++] = imports[i];
    count = kept;
    atomic_store(&count_now, count);
    pthread_mutex_unlock(&lock);
}

void ipc_imports_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    count = 0;
    atomic_store(&count_now, 0);
}

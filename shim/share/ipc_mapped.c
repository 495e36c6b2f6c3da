/* SPDX-License-Identifier: MIT */
/*
 * The open mappings are a list, because few are open at once.
 *
 * The exporter's messages decide only how large a mapping is and where its pages lie, within the
 * limits on the board. Whether a descriptor has memory of that size is checked by the driver.
 */
#include "shim/share/ipc_mapped.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/share/ipc_board.h"
#include "shim/share/page_wire.h"

/* Connections to an exporter that one opening attempts. */
#define CONNECT_TRIES 16u

/** A piece of the exporter's memory, mapped behind the one before. */
struct page {
    uint64_t end;                        /* from the base of the mapping on */
    CUmemGenericAllocationHandle handle; /* 0: released, as it is as soon as it is mapped */
};

/** A block, however often it was opened. */
struct mapping {
    struct ipc_token token;
    uint64_t base, bytes;
    struct context *context;
    int home;        /* device that the memory is on; -1: unknown */
    uint32_t opened; /* how often; 0: its context has ended, or nobody got the address */
    bool unused;     /* nobody got the address */
    bool partial;    /* pages are missing: only to be closed */
    struct mapping *next;
    uint32_t count; /* mapped pages */
    uint32_t ends;  /* pages that are mapped, or whose handle the driver keeps */
    struct page pages[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings; /* guarded by lock */
static atomic_uint count_now;    /* their number, for readers without the lock */

/* ---- open mappings ---- */

static uint64_t mapped_bytes(const struct mapping *mapping)
{
    return mapping->count ? mapping->pages[mapping->count - 1].end : 0;
}

static bool is_token(const struct mapping *mapping, const struct ipc_token *token)
{
    return mapping->token.key == token->key && mapping->token.slot == token->slot &&
           memcmp(mapping->token.board, token->board, sizeof(token->board)) == 0;
}

static struct mapping *find_token_locked(const struct ipc_token *token,
                                         const struct context *context)
{
    struct mapping *each = mappings;

    while (each &&
           !(each->opened && !each->partial && each->context == context && is_token(each, token)))
        each = each->next;
    return each;
}

static struct mapping **link_of_locked(uint64_t base)
{
    struct mapping **link = &mappings;

    while (*link && !((*link)->opened && (*link)->base == base))
        link = &(*link)->next;
    return link;
}

static const struct mapping *find_locked(uint64_t address)
{
    const struct mapping *each = mappings;

    while (each && !(each->opened && address - each->base < mapped_bytes(each)))
        each = each->next;
    return each;
}

static void insert_locked(struct mapping *mapping)
{
    mapping->next = mappings;
    mappings = mapping;
    atomic_fetch_add(&count_now, 1);
}

static struct mapping *take_locked(struct mapping **link)
{
    struct mapping *taken = *link;

    *link = taken->next;
    atomic_fetch_sub(&count_now, 1);
    return taken;
}

uint64_t ipc_mapped_bytes(uint64_t base)
{
    if (!atomic_load(&count_now))
        return 0;
    pthread_mutex_lock(&lock);
    const struct mapping *mapping = *link_of_locked(base);
    uint64_t bytes = mapping ? mapping->bytes : 0;
    pthread_mutex_unlock(&lock);
    return bytes;
}

bool ipc_mapped_at(uint64_t address)
{
    uint64_t base, bytes;

    return ipc_mapped_page_at(address, &base, &bytes);
}

bool ipc_mapped_page_at(uint64_t address, uint64_t *ret_base, uint64_t *ret_bytes)
{
    if (!atomic_load(&count_now))
        return false;
    pthread_mutex_lock(&lock);
    const struct mapping *mapping = find_locked(address);
    if (mapping) {
        uint32_t page = 0;

        while (address - mapping->base >= mapping->pages[page].end)
            page++;
        uint64_t begin = page ? mapping->pages[page - 1].end : 0;
        *ret_base = mapping->base + begin;
        *ret_bytes = mapping->pages[page].end - begin;
    }
    pthread_mutex_unlock(&lock);
    return mapping;
}

/* ---- mapping and unmapping ---- */

static CUresult handle_drop(const struct driver_functions *driver, struct page *page)
{
    CUresult result = page->handle ? REAL_ASK(driver->cuMemRelease(page->handle)) : CUDA_SUCCESS;

    if (result == CUDA_SUCCESS)
        page->handle = 0;
    return result;
}

/* Of pages that are not mapped. */
static CUresult handles_drop(const struct driver_functions *driver, struct mapping *mapping)
{
    CUresult result = CUDA_SUCCESS;

    while (mapping->ends > mapping->count && result == CUDA_SUCCESS) {
        result = handle_drop(driver, &mapping->pages[mapping->ends - 1]);
        mapping->ends -= result == CUDA_SUCCESS;
    }
    return result;
}

/* Unmaps from the end, so that the rest stays contiguous after an error. */
static CUresult pages_unmap_singly(const struct driver_functions *driver, struct mapping *mapping)
{
    CUresult result = CUDA_SUCCESS;

    while (mapping->count && result == CUDA_SUCCESS) {
        uint64_t begin = mapping->count > 1 ? mapping->pages[mapping->count - 2].end : 0;

        result = REAL_ASK(driver->cuMemUnmap(mapping->base + begin, mapped_bytes(mapping) - begin));
        if (result == CUDA_SUCCESS) {
            mapping->count--;
            mapping->partial = true;
        }
    }
    return result;
}

/* By one call, which unmaps all pages or none, as a driver's own close does. That it may take
 * several mappings works in practice, but is not documented. */
static CUresult pages_unmap_all(const struct driver_functions *driver, struct mapping *mapping)
{
    CUresult result = CUDA_ERROR_INVALID_VALUE;

    if (mapping->count > 1)
        result = REAL_ASK(driver->cuMemUnmap(mapping->base, mapped_bytes(mapping)));
    if (result == CUDA_SUCCESS)
        mapping->count = 0;
    return result == CUDA_ERROR_INVALID_VALUE ? pages_unmap_singly(driver, mapping) : result;
}

static CUresult unmake(const struct driver_functions *driver, struct mapping *mapping)
{
    CUresult result = pages_unmap_all(driver, mapping);

    if (result == CUDA_SUCCESS)
        result = handles_drop(driver, mapping);
    if (result != CUDA_SUCCESS)
        return result;
    (void)REAL_ASK(driver->cuMemAddressFree(mapping->base, mapping->bytes));
    free(mapping);
    return CUDA_SUCCESS;
}

/* If the driver does not unmap it now, ipc_mapped_reclaim() tries again. */
static void discard(const struct driver_functions *driver, struct mapping *mapping)
{
    if (unmake(driver, mapping) == CUDA_SUCCESS)
        return;
    mapping->opened = 0;
    mapping->unused = true;
    pthread_mutex_lock(&lock);
    insert_locked(mapping);
    pthread_mutex_unlock(&lock);
}

static int home_of(const struct driver_functions *driver, CUmemGenericAllocationHandle handle)
{
    CUmemAllocationProp prop = {0};
    bool known = driver->cuMemGetAllocationPropertiesFromHandle &&
                 REAL_ASK(driver->cuMemGetAllocationPropertiesFromHandle(&prop, handle)) ==
                     CUDA_SUCCESS;

    return known && prop.location.type == CU_MEM_LOCATION_TYPE_DEVICE ? prop.location.id : -1;
}

/* Releases the handle: the mapping keeps the memory. A handle that the driver keeps is released
 * at the end of the mapping, whether the page was mapped or not. */
static CUresult page_add(const struct driver_functions *driver, struct mapping *mapping,
                         int descriptor, uint64_t bytes)
{
    CUmemGenericAllocationHandle handle;
    uint64_t at = mapped_bytes(mapping);

    if (!bytes || bytes % IPC_PAGE_UNIT_BYTES || bytes > mapping->bytes - at)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = REAL_ASK(driver->cuMemImportFromShareableHandle(
        &handle, (void *)(intptr_t)descriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    if (result != CUDA_SUCCESS)
        return result;
    if (!mapping->count)
        mapping->home = home_of(driver, handle);
    result = REAL_ASK(driver->cuMemMap(mapping->base + at, bytes, 0, handle, 0));
    struct page *page = &mapping->pages[mapping->count];
    *page = (struct page){at + bytes, handle};
    mapping->count += result == CUDA_SUCCESS;
    if (handle_drop(driver, page) != CUDA_SUCCESS || result == CUDA_SUCCESS)
        mapping->ends = (uint32_t)(page - mapping->pages) + 1;
    return result;
}

/** A connection to an exporter. */
struct talk {
    uint64_t end_ns;
    int connection;
    unsigned tries; /* connections left */
};

/* Connects again when the server dropped the connection in favour of others. */
static int talk_ask(struct talk *talk, const struct page_wire *question,
                    const struct ipc_token *token, struct page_wire *ret_answer,
                    int ret_descriptors[PAGE_WIRE_MOST])
{
    int error = -ECONNRESET;

    while (error == -ECONNRESET || error == -EPIPE) {
        if (talk->connection < 0 && talk->tries == 0)
            return error;
        if (talk->connection < 0) {
            talk->tries--;
            talk->connection = ipc_board_connect(token, talk->end_ns);
        }
        error = talk->connection;
        if (error >= 0)
            error = page_wire_ask(talk->connection, question, NULL, talk->end_ns, ret_answer,
                                  ret_descriptors);
        if (error < 0 && talk->connection >= 0) {
            close(talk->connection);
            talk->connection = -1;
        }
    }
    return error;
}

/* Gets up to PAGE_WIRE_MOST more pages. Not inlined, because messages are large for a stack. */
static __attribute__((noinline)) CUresult pages_fetch(const struct driver_functions *driver,
                                                      struct mapping *mapping, uint32_t wanted,
                                                      struct talk *talk)
{
    struct page_wire question = page_wire_make(PAGE_WIRE_ASK, mapping->token.slot,
                                               mapping->token.key);
    struct page_wire answer;
    int descriptors[PAGE_WIRE_MOST];

    question.first = mapping->count;
    if (talk_ask(talk, &question, &mapping->token, &answer, descriptors) < 0)
        return CUDA_ERROR_INVALID_HANDLE;
    bool fits = answer.count && answer.count <= wanted - mapping->count;
    CUresult result = fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    for (uint32_t i = 0; i < answer.count && result == CUDA_SUCCESS; i++)
        result = page_add(driver, mapping, descriptors[i], answer.pages[i].bytes);
    page_wire_close(descriptors, answer.count);
    return result;
}

static CUresult pages_map_all(const struct driver_functions *driver, struct mapping *mapping,
                              uint32_t wanted)
{
    struct talk talk = {page_wire_now_ns() + PAGE_WIRE_WAIT_NS, -1, CONNECT_TRIES};
    CUresult result = CUDA_SUCCESS;

    while (mapping->count < wanted && result == CUDA_SUCCESS)
        result = pages_fetch(driver, mapping, wanted, &talk);
    if (talk.connection >= 0)
        close(talk.connection);
    if (result == CUDA_SUCCESS && mapped_bytes(mapping) != mapping->bytes)
        result = CUDA_ERROR_INVALID_HANDLE;
    return result;
}

static CUresult access_set(const struct driver_functions *driver, const struct mapping *mapping,
                           int device, CUmemAccess_flags flags)
{
    CUmemAccessDesc access = {
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device},
        .flags = flags,
    };

    return REAL_ASK(driver->cuMemSetAccess(mapping->base, mapped_bytes(mapping), &access, 1));
}

/* Gives access to the context's device, its peers, and the memory's own device, which takes part in
 * copies to devices that are not linked with it. */
static CUresult access_set_all(const struct driver_functions *driver, const struct mapping *mapping)
{
    uint64_t peers = atomic_load(&mapping->context->peers);
    CUresult result = access_set(driver, mapping, mapping->context->device,
                                 CU_MEM_ACCESS_FLAGS_PROT_READWRITE);

    for (int device = 0; device < 64 && result == CUDA_SUCCESS; device++)
        if (peers >> device & 1 && device != mapping->context->device)
            result = access_set(driver, mapping, device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    if (mapping->home >= 0 && mapping->home != mapping->context->device)
        (void)access_set(driver, mapping, mapping->home, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    return result;
}

static CUresult make(const struct driver_functions *driver, const struct ipc_token *token,
                     const struct ipc_pages *pages, struct context *context,
                     struct mapping **ret_mapping)
{
    CUdeviceptr base;
    struct mapping *made = malloc(sizeof(*made) + pages->count * sizeof(*made->pages));

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = REAL_ASK(
        driver->cuMemAddressReserve(&base, pages->bytes, IPC_PAGE_UNIT_BYTES, 0, 0));
    if (result != CUDA_SUCCESS) {
        free(made);
        return result;
    }
    *made = (struct mapping){
        .token = *token,
        .base = base,
        .bytes = pages->bytes,
        .context = context,
        .home = -1,
        .opened = 1,
    };
    result = pages_map_all(driver, made, pages->count);
    if (result == CUDA_SUCCESS)
        result = access_set_all(driver, made);
    if (result == CUDA_SUCCESS)
        *ret_mapping = made;
    else
        discard(driver, made);
    return result;
}

/* ---- opening and closing ---- */

/* Counts another opening of an open mapping; returns its address, or 0. */
static uint64_t open_again(const struct ipc_token *token, const struct context *context)
{
    pthread_mutex_lock(&lock);
    struct mapping *known = find_token_locked(token, context);
    if (known)
        known->opened++;
    pthread_mutex_unlock(&lock);
    return known ? known->base : 0;
}

/* The second thread to map a block uses the mapping of the first. */
static uint64_t open_first(const struct driver_functions *driver, struct mapping *made)
{
    pthread_mutex_lock(&lock);
    struct mapping *known = find_token_locked(&made->token, made->context);
    if (known)
        known->opened++;
    else
        insert_locked(made);
    uint64_t base = known ? known->base : made->base;
    pthread_mutex_unlock(&lock);
    if (known)
        discard(driver, made);
    return base;
}

static bool has_functions(const struct driver_functions *driver)
{
    return driver->cuMemAddressReserve && driver->cuMemAddressFree && driver->cuMemMap &&
           driver->cuMemUnmap && driver->cuMemSetAccess && driver->cuMemRelease &&
           driver->cuMemImportFromShareableHandle;
}

CUresult ipc_mapped_open(const struct driver_functions *driver, const CUipcMemHandle *token,
                         CUdeviceptr *ret_base)
{
    struct ipc_token parts;
    struct ipc_block block;
    struct ipc_pages pages;
    struct mapping *made;

    if (!has_functions(driver) || ipc_token_parse(token, &parts) < 0 ||
        ipc_board_look_up(token, &block) < 0 || !ipc_pages_parse(&block.allocation, &pages) ||
        !ipc_block_fits(&block, pages.bytes))
        return CUDA_ERROR_INVALID_HANDLE;
    if (ipc_board_is_own(&parts))
        return CUDA_ERROR_INVALID_CONTEXT;
    struct context *context = context_current(driver);
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    ipc_mapped_reclaim();
    uint64_t base = open_again(&parts, context);
    CUresult result = base ? CUDA_SUCCESS : make(driver, &parts, &pages, context, &made);
    if (result == CUDA_SUCCESS)
        *ret_base = base ? base : open_first(driver, made);
    /* To the program, a handle without memory is one that opens nothing. */
    return result == CUDA_ERROR_INVALID_VALUE ? CUDA_ERROR_INVALID_HANDLE : result;
}

CUresult ipc_mapped_close(const struct driver_functions *driver, uint64_t base,
                          void (*wait)(struct context *context))
{
    struct mapping *last = NULL;

    pthread_mutex_lock(&lock);
    struct mapping **link = link_of_locked(base);
    bool known = *link;
    if (known && (*link)->opened == 1)
        last = take_locked(link);
    else if (known)
        (*link)->opened--;
    pthread_mutex_unlock(&lock);
    if (!last)
        return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    wait(last->context);
    CUresult result = unmake(driver, last);
    if (result == CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&lock);
    if (!last->count) { /* only a handle is left of it */
        last->unused = true;
        result = CUDA_SUCCESS;
    }
    if (last->unused || context_life(last->context) == CONTEXT_GONE)
        last->opened = 0; /* not found while it was not in the list */
    insert_locked(last);
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- contexts ---- */

void ipc_mapped_forget_context(uint32_t context)
{
    pthread_mutex_lock(&lock);
    for (struct mapping *each = mappings; each; each = each->next)
        if (each->context->number == context)
            each->opened = 0;
    pthread_mutex_unlock(&lock);
}

/* Of all open mappings. Enabling ends with the first error. */
static CUresult peer_set_locked(const struct driver_functions *driver, const struct context *owner,
                                int device, bool enabled)
{
    CUresult result = CUDA_SUCCESS;

    for (struct mapping *each = mappings; each && result == CUDA_SUCCESS; each = each->next)
        if (each->opened && each->context == owner && each->home != device) {
            CUresult one = access_set(driver, each, device,
                                      enabled ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                                              : CU_MEM_ACCESS_FLAGS_PROT_NONE);

            result = enabled ? one : CUDA_SUCCESS;
        }
    return result;
}

CUresult ipc_mapped_peer(const struct driver_functions *driver, struct context *owner, int device,
                         bool enabled)
{
    if (device < 0 || device >= 64 || device == owner->device)
        return CUDA_SUCCESS;
    uint64_t bit = UINT64_C(1) << device;
    uint64_t before = enabled ? atomic_fetch_or(&owner->peers, bit)
                              : atomic_fetch_and(&owner->peers, ~bit);
    if (!atomic_load(&count_now) || !(before & bit) != enabled)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    CUresult result = peer_set_locked(driver, owner, device, enabled);
    if (result != CUDA_SUCCESS) { /* enabled for some */
        atomic_fetch_and(&owner->peers, ~bit);
        (void)peer_set_locked(driver, owner, device, false);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* One that nobody uses: its context has ended, or it was never handed out. */
static struct mapping *take_over(void)
{
    pthread_mutex_lock(&lock);
    struct mapping **link = &mappings;
    while (*link && ((*link)->opened || !((*link)->unused || atomic_load(&(*link)->context->over))))
        link = &(*link)->next;
    struct mapping *taken = *link ? take_locked(link) : NULL;
    pthread_mutex_unlock(&lock);
    return taken;
}

void ipc_mapped_reclaim(void)
{
    const struct driver_functions *driver = real_driver_if_loaded();
    struct mapping *over, *refused = NULL;

    if (!driver || !atomic_load(&count_now))
        return;
    while ((over = take_over()))
        if (unmake(driver, over) != CUDA_SUCCESS) {
            over->next = refused;
            refused = over;
        }
    pthread_mutex_lock(&lock);
    while ((over = refused)) {
        refused = over->next;
        insert_locked(over);
    }
    pthread_mutex_unlock(&lock);
}

void ipc_mapped_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    mappings = NULL; /* not freed: fork may have interrupted a change of the heap */
    atomic_store(&count_now, 0);
}

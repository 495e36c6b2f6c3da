/* SPDX-License-Identifier: MIT */
/*
 * The mapped memory of a pool: its address range, its pages of physical memory, and where each is
 * mapped. Kept apart from the pool because it outlives it: the driver destroys a context without
 * its mapped memory, which is released afterwards.
 *
 *   a page is mapped at one place of the range or at none, always as a whole
 *   covering[i] is the page mapped over the i-th 2 MiB of the range
 *
 * Makes no driver calls. Once a pool uses it, the structure is never freed, like its context.
 *
 * Threading: `lock` guards all fields. Functions named _locked need it held; the others take it.
 */
#ifndef SHIM_MEMORY_VMM_H
#define SHIM_MEMORY_VMM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/context/context.h"

#define VMM_DEVICES_MAX 64

/** A piece of physical memory. */
struct vmm_page {
    CUmemGenericAllocationHandle handle;
    uint64_t id;      /* never reused in the process */
    uint64_t address; /* 0: not mapped */
    uint64_t bytes;
    struct vmm_page *next, **link; /* all pages of a context */
};

struct vmm {
    pthread_mutex_t lock;
    uint64_t address, bytes; /* the range; bytes 0: none */
    struct vmm_page **covering;
    struct vmm_page *pages;
    uint16_t peers[VMM_DEVICES_MAX]; /* contexts of the device that may use this memory */
    bool plain; /* memory for RDMA is not requested: not supported, or refused */
    bool own;   /* the same for memory that other processes can import */
};

/** NULL without host memory. */
struct vmm *vmm_create(void);

/** Gives the range to the context; false without host memory. */
bool vmm_range_set(struct vmm *vmm, uint64_t address, uint64_t bytes);
/** Removes the range. */
void vmm_range_clear(struct vmm *vmm);

/** Returns a page that is not mapped; NULL without host memory. */
struct vmm_page *vmm_page_add(struct vmm *vmm, CUmemGenericAllocationHandle handle, uint64_t bytes);
/** Forgets a page that is not mapped. */
void vmm_page_remove(struct vmm *vmm, struct vmm_page *page);

void vmm_page_mapped_locked(struct vmm *vmm, struct vmm_page *page, uint64_t address);
void vmm_page_unmapped_locked(struct vmm *vmm, struct vmm_page *page);

/** The page that is mapped over an address, or NULL. */
struct vmm_page *vmm_page_at_locked(const struct vmm *vmm, uint64_t address);

/** Finds the mapped memory around an address, and its context; NULL: none of ours. Takes no
 * lock. */
struct context *vmm_context_at(uint64_t address);

/** Copies the page that is mapped over an address. False: none of ours is mapped there. */
bool vmm_page_get(uint64_t address, struct vmm_page *ret_page);

/** Whether other processes can import new memory around an address. */
bool vmm_may_export(uint64_t address);

/** Returns the mapping around an address: one page. False: none of ours is mapped there. */
bool vmm_mapping_at(uint64_t address, uint64_t *ret_base, uint64_t *ret_bytes);

#endif

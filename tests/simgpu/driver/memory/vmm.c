/* SPDX-License-Identifier: MIT */
/*
 * Reservations and mappings, by mmap on the addresses themselves: aliases, holes and missing access
 * are real. To the host a mapping has the access that any device was given; what differs between
 * devices is remembered here and enforced where work is executed (work/access.c).
 */
#include "tests/simgpu/driver/memory/vmm.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/device/device.h"

static bool aligned(uint64_t value)
{
    return value % PAGE_BYTES == 0;
}

static LIST_HEAD(, reservation) reservations;
static uint64_t reserved_bytes;

/* Reservations. */

static void reservation_mark(const struct reservation *range, struct reservation *value)
{
    for (size_t at = 0; at < range->bytes; at += PAGE_BYTES)
        va_page(range->base + at)->reservation = value;
}

CUresult vmm_reserve(CUdeviceptr *ret, size_t bytes, size_t align, CUdeviceptr wanted,
                     unsigned long long flags)
{
    if (!ret || !bytes || !aligned(bytes) || flags || align & (align - 1) || wanted % 4096)
        return CUDA_ERROR_INVALID_VALUE;
    struct reservation *made = malloc(sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->bytes = bytes;
    made->base = profile.reserve_max && bytes > profile.reserve_max - reserved_bytes
                     ? 0
                     : va_take(bytes, align > PAGE_BYTES ? align : PAGE_BYTES, wanted);
    if (!made->base) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    reservation_mark(made, made);
    LIST_INSERT_HEAD(&reservations, made, link);
    reserved_bytes += made->bytes;
    *ret = made->base;
    return CUDA_SUCCESS;
}

static bool anything_mapped(const struct reservation *range)
{
    for (size_t at = 0; at < range->bytes; at += PAGE_BYTES)
        if (va_page(range->base + at)->allocation)
            return true;
    return false;
}

CUresult vmm_unreserve(CUdeviceptr address, size_t bytes)
{
    struct page *page = va_page(address);
    struct reservation *range = page ? page->reservation : NULL;

    if (!range || range->base != address || range->bytes != bytes || anything_mapped(range))
        return CUDA_ERROR_INVALID_VALUE;
    reservation_mark(range, NULL);
    va_give(range->base, range->bytes);
    reserved_bytes -= range->bytes;
    LIST_REMOVE(range, link);
    free(range);
    return CUDA_SUCCESS;
}

/* Mappings. */

static bool free_to_map(CUdeviceptr address, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PAGE_BYTES) {
        struct page *page = va_page(address + at);

        if (!page || !page->reservation || page->allocation)
            return false;
    }
    return true;
}

static void mapping_mark(const struct allocation *mapping, struct allocation *value)
{
    for (size_t at = 0; at < mapping->bytes; at += PAGE_BYTES)
        va_page(mapping->base + at)->allocation = value;
}

static struct allocation *mapping_create(struct physical *physical, uintptr_t base, size_t bytes,
                                         size_t offset)
{
    struct allocation *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    *made = (struct allocation){.kind = MEMORY_MAPPED,
                                .base = base,
                                .bytes = bytes,
                                .extent = bytes,
                                .device = physical->device,
                                .physical = physical,
                                .physical_offset = offset,
                                .id = memory_next_id()};
    mapping_mark(made, made);
    LIST_INSERT_HEAD(&memory_others, made, link);
    return made;
}

CUresult vmm_map(CUdeviceptr address, size_t bytes, size_t offset,
                 CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    struct physical *physical = (struct physical *)handle;

    if (!handle_is(physical, HANDLE_PHYSICAL) || !physical->handles || flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!bytes || !aligned(address) || !aligned(bytes) || !aligned(offset) ||
        (offset && !profile.map_offset))
        return CUDA_ERROR_INVALID_VALUE;
    if (offset > physical->bytes || bytes > physical->bytes - offset ||
        !free_to_map(address, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = physical_map(physical, address, offset, bytes, PROT_NONE);
    if (result != CUDA_SUCCESS)
        return result;
    if (mapping_create(physical, address, bytes, offset))
        return CUDA_SUCCESS;
    physical_unmap(physical, address, bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static struct allocation *mapping_at(uintptr_t address)
{
    struct allocation *found = memory_find(address);

    return found && found->kind == MEMORY_MAPPED ? found : NULL;
}

/* Is the range made of whole mappings? */
static bool whole_mappings(CUdeviceptr address, size_t bytes)
{
    uintptr_t at = address;

    while (at < address + bytes) {
        struct allocation *found = mapping_at(at);

        if (!found || found->base != at)
            return false;
        at += found->bytes;
    }
    return bytes && at == address + bytes;
}

static bool mapped_throughout(CUdeviceptr address, size_t bytes)
{
    for (uintptr_t at = address; at < address + bytes; at += PAGE_BYTES)
        if (!mapping_at(at))
            return false;
    return bytes && aligned(address) && aligned(bytes);
}

/* Profile key unmap_part: the rest of a mapping on one side of a hole. */
static bool mapping_keep(const struct allocation *was, uintptr_t base, size_t bytes)
{
    if (!bytes)
        return true;
    struct allocation *made = mapping_create(was->physical, base, bytes,
                                             was->physical_offset + (base - was->base));
    if (!made)
        return false;
    made->readers = was->readers;
    made->writers = was->writers;
    was->physical->mappings++;
    return true;
}

static void mapping_cut(struct allocation *mapping, uintptr_t from, uintptr_t to)
{
    uintptr_t end = mapping->base + mapping->bytes;

    from = from > mapping->base ? from : mapping->base;
    to = to < end ? to : end;
    mapping_mark(mapping, NULL);
    mapping_keep(mapping, mapping->base, from - mapping->base);
    mapping_keep(mapping, to, end - to);
    physical_unmap(mapping->physical, from, to - from);
    LIST_REMOVE(mapping, link);
    free(mapping);
}

bool vmm_may_unmap(CUdeviceptr address, size_t bytes)
{
    return profile.unmap_part ? mapped_throughout(address, bytes) : whole_mappings(address, bytes);
}

CUresult vmm_unmap(CUdeviceptr address, size_t bytes)
{
    if (!vmm_may_unmap(address, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    for (uintptr_t at = address; at < address + bytes;) {
        struct allocation *mapping = mapping_at(at);
        uintptr_t next = mapping->base + mapping->bytes;

        mapping_cut(mapping, address, address + bytes);
        at = next;
    }
    return CUDA_SUCCESS;
}

/* Access. */

CUmemAccess_flags mapping_access(const struct allocation *mapping, unsigned ordinal)
{
    return mapping->writers >> ordinal & 1   ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
           : mapping->readers >> ordinal & 1 ? CU_MEM_ACCESS_FLAGS_PROT_READ
                                             : CU_MEM_ACCESS_FLAGS_PROT_NONE;
}

#define HOST_BIT 31 /* in readers and writers, for host locations */

static int location_bit(const CUmemLocation *location)
{
    switch (location->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE: return device_get(location->id) ? location->id : -1;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return HOST_BIT;
    default: return -1;
    }
}

static void access_apply(struct allocation *mapping, const CUmemAccessDesc *desc)
{
    uint32_t bit = 1u << location_bit(&desc->location);

    mapping->readers &= ~bit;
    mapping->writers &= ~bit;
    if (desc->flags & CU_MEM_ACCESS_FLAGS_PROT_READ)
        mapping->readers |= bit;
    if (desc->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
        mapping->writers |= bit;
    int protection = mapping->writers   ? PROT_READ | PROT_WRITE
                     : mapping->readers ? PROT_READ
                                        : PROT_NONE;
    mprotect((void *)mapping->base, mapping->bytes, protection);
}

static bool access_valid(const CUmemAccessDesc *desc)
{
    return location_bit(&desc->location) >= 0 &&
           (desc->flags == CU_MEM_ACCESS_FLAGS_PROT_NONE ||
            desc->flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
            desc->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

bool vmm_may_set_access(CUdeviceptr address, size_t bytes)
{
    return whole_mappings(address, bytes);
}

CUresult vmm_access_set(CUdeviceptr address, size_t bytes, const CUmemAccessDesc *desc,
                        size_t count)
{
    if (!desc || !count || !whole_mappings(address, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++)
        if (!access_valid(&desc[i]))
            return desc[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
                           !device_get(desc[i].location.id)
                       ? CUDA_ERROR_INVALID_DEVICE
                       : CUDA_ERROR_INVALID_VALUE;
    for (uintptr_t at = address; at < address + bytes;) {
        struct allocation *mapping = mapping_at(at);

        for (size_t i = 0; i < count; i++)
            access_apply(mapping, &desc[i]);
        at = mapping->base + mapping->bytes;
    }
    return CUDA_SUCCESS;
}

CUresult vmm_access_get(unsigned long long *ret, const CUmemLocation *location, CUdeviceptr address)
{
    struct allocation *mapping = mapping_at(address);

    if (!ret || !location || !mapping || location_bit(location) < 0)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = mapping_access(mapping, (unsigned)location_bit(location));
    return CUDA_SUCCESS;
}

/* SPDX-License-Identifier: MIT */
/*
 * Compares every line of cupti/activity/activity_abi.h with the headers of CUDA 13. The comparison
 * happens at compile time; running the test only shows that it was built.
 */
#include "cupti/activity/activity_abi.h"

#include <assert.h>
#include <cupti.h>
#include <cupti_activity_deprecated.h>

#define SAME_VALUE(ours, theirs) static_assert((int)(ours) == (int)(theirs), #ours)
#define SAME_FIELD(type, ours, their_type, theirs)                                                 \
    static_assert(offsetof(struct type, ours) == offsetof(their_type, theirs) &&                   \
                      sizeof(((struct type *)0)->ours) == sizeof(((their_type *)0)->theirs),       \
                  #type "." #ours)
#define MEMORY_FIELD(ours, theirs)                                                                 \
    SAME_FIELD(cupti_abi_memory, ours, CUpti_ActivityMemory3, theirs);                             \
    SAME_FIELD(cupti_abi_memory, ours, CUpti_ActivityMemory4, theirs)
#define POOL_FIELD(ours, theirs)                                                                   \
    SAME_FIELD(cupti_abi_pool, ours, CUpti_ActivityMemoryPool2, theirs);                           \
    SAME_FIELD(cupti_abi_pool, ours, CUpti_ActivityMemoryPool3, theirs)

SAME_VALUE(CUPTI_ABI_SUCCESS, CUPTI_SUCCESS);
SAME_VALUE(CUPTI_ABI_ERROR_INSUFFICIENT_PRIVILEGES, CUPTI_ERROR_INSUFFICIENT_PRIVILEGES);
SAME_VALUE(CUPTI_ABI_ERROR_MULTIPLE_SUBSCRIBERS, CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED);
SAME_VALUE(CUPTI_ABI_ERROR_VIRTUALIZED_PRIVILEGES,
           CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES);
SAME_VALUE(CUPTI_ABI_ERROR_UNKNOWN, CUPTI_ERROR_UNKNOWN);
SAME_VALUE(CUPTI_ABI_KIND_MEMORY2, CUPTI_ACTIVITY_KIND_MEMORY2);
SAME_VALUE(CUPTI_ABI_KIND_MEMORY_POOL, CUPTI_ACTIVITY_KIND_MEMORY_POOL);
SAME_VALUE(CUPTI_ABI_FLUSH_FORCED, CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
SAME_VALUE(CUPTI_ABI_ATTR_PER_THREAD_BUFFER, CUPTI_ACTIVITY_ATTR_PER_THREAD_ACTIVITY_BUFFER);
SAME_VALUE(CUPTI_ABI_DOMAIN_RESOURCE, CUPTI_CB_DOMAIN_RESOURCE);
SAME_VALUE(CUPTI_ABI_CONTEXT_CREATED, CUPTI_CBID_RESOURCE_CONTEXT_CREATED);
SAME_VALUE(CUPTI_ABI_CONTEXT_DESTROY_STARTING, CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING);
SAME_VALUE(CUPTI_ABI_MEMORY_PINNED, CUPTI_ACTIVITY_MEMORY_KIND_PINNED);
SAME_VALUE(CUPTI_ABI_MEMORY_DEVICE, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE);
SAME_VALUE(CUPTI_ABI_MEMORY_ARRAY, CUPTI_ACTIVITY_MEMORY_KIND_ARRAY);
SAME_VALUE(CUPTI_ABI_MEMORY_MANAGED, CUPTI_ACTIVITY_MEMORY_KIND_MANAGED);
SAME_VALUE(CUPTI_ABI_MEMORY_DEVICE_STATIC, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE_STATIC);
SAME_VALUE(CUPTI_ABI_MEMORY_MANAGED_STATIC, CUPTI_ACTIVITY_MEMORY_KIND_MANAGED_STATIC);
SAME_VALUE(CUPTI_ABI_OPERATION_ALLOCATION, CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION);
SAME_VALUE(CUPTI_ABI_OPERATION_RELEASE, CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE);
SAME_VALUE(CUPTI_ABI_POOL_LOCAL, CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL);
SAME_VALUE(CUPTI_ABI_POOL_DESTROYED, CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_DESTROYED);
SAME_VALUE(CUPTI_ABI_POOL_TRIMMED, CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED);

SAME_FIELD(cupti_abi_record, kind, CUpti_Activity, kind);
MEMORY_FIELD(kind, kind);
MEMORY_FIELD(operation, memoryOperationType);
MEMORY_FIELD(memory_kind, memoryKind);
MEMORY_FIELD(correlation, correlationId);
MEMORY_FIELD(address, address);
MEMORY_FIELD(bytes, bytes);
MEMORY_FIELD(timestamp, timestamp);
MEMORY_FIELD(pc, PC);
MEMORY_FIELD(process, processId);
MEMORY_FIELD(device, deviceId);
MEMORY_FIELD(context, contextId);
MEMORY_FIELD(stream, streamId);
MEMORY_FIELD(name, name);
MEMORY_FIELD(is_async, isAsync);
MEMORY_FIELD(pool_type, memoryPoolConfig.memoryPoolType);
MEMORY_FIELD(pool_address, memoryPoolConfig.address);
MEMORY_FIELD(pool_threshold, memoryPoolConfig.releaseThreshold);
MEMORY_FIELD(pool_size, memoryPoolConfig.pool.size);
MEMORY_FIELD(pool_used, memoryPoolConfig.utilizedSize);
POOL_FIELD(operation, memoryPoolOperationType);
POOL_FIELD(type, memoryPoolType);
POOL_FIELD(device, deviceId);
POOL_FIELD(keep, minBytesToKeep);
POOL_FIELD(address, address);
POOL_FIELD(size, size);
POOL_FIELD(threshold, releaseThreshold);
POOL_FIELD(timestamp, timestamp);
POOL_FIELD(used, utilizedSize);
SAME_FIELD(cupti_abi_resource, context, CUpti_ResourceData, context);
SAME_FIELD(cupti_abi_resource, stream, CUpti_ResourceData, resourceHandle.stream);

int main(void)
{
    return CUPTI_API_VERSION >= CUPTI_ABI_VERSION_FIRST &&
                   CUPTI_API_VERSION < CUPTI_ABI_VERSION_PAST
               ? 0
               : 1;
}

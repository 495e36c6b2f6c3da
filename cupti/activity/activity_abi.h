/* SPDX-License-Identifier: MIT */
/*
 * The part of CUPTI's binary interface that the recorder uses, so that every build is the same,
 * whatever toolkit is installed. A unit test compares every line with the headers of CUDA 13.
 *
 * Records are read up to the last field named here. CUpti_ActivityMemory3 (CUDA 11.8, 12) is the
 * first part of CUpti_ActivityMemory4 (CUDA 13), and CUpti_ActivityMemoryPool2 is that of
 * MemoryPool3.
 */
#ifndef CUPTI_ACTIVITY_ACTIVITY_ABI_H
#define CUPTI_ACTIVITY_ACTIVITY_ABI_H

#include <stddef.h>
#include <stdint.h>

/** cuptiGetVersion: 11.8 is the first with these records; versions after 13 are unknown. */
#define CUPTI_ABI_VERSION_FIRST 18
#define CUPTI_ABI_VERSION_PAST  140000

/** CUptiResult. */
enum {
    CUPTI_ABI_SUCCESS = 0,
    CUPTI_ABI_ERROR_INSUFFICIENT_PRIVILEGES = 35,
    CUPTI_ABI_ERROR_MULTIPLE_SUBSCRIBERS = 39,
    CUPTI_ABI_ERROR_VIRTUALIZED_PRIVILEGES = 40,
    CUPTI_ABI_ERROR_UNKNOWN = 999,
};

/** CUpti_ActivityKind, CUpti_ActivityFlag, CUpti_ActivityAttribute. */
enum {
    CUPTI_ABI_KIND_MEMORY2 = 49,
    CUPTI_ABI_KIND_MEMORY_POOL = 50,
    CUPTI_ABI_FLUSH_FORCED = 1,
    CUPTI_ABI_ATTR_PER_THREAD_BUFFER = 9,
};

/** CUpti_CallbackDomain, CUpti_CallbackIdResource. */
enum {
    CUPTI_ABI_DOMAIN_RESOURCE = 3,
    CUPTI_ABI_CONTEXT_CREATED = 1,
    CUPTI_ABI_CONTEXT_DESTROY_STARTING = 2,
};

/** CUpti_ActivityMemoryKind, …OperationType, CUpti_ActivityMemoryPoolType, …OperationType. */
enum {
    CUPTI_ABI_MEMORY_PINNED = 2,
    CUPTI_ABI_MEMORY_DEVICE = 3,
    CUPTI_ABI_MEMORY_ARRAY = 4,
    CUPTI_ABI_MEMORY_MANAGED = 5,
    CUPTI_ABI_MEMORY_DEVICE_STATIC = 6,
    CUPTI_ABI_MEMORY_MANAGED_STATIC = 7,
    CUPTI_ABI_OPERATION_ALLOCATION = 1,
    CUPTI_ABI_OPERATION_RELEASE = 2,
    CUPTI_ABI_POOL_LOCAL = 1,
    CUPTI_ABI_POOL_DESTROYED = 2,
    CUPTI_ABI_POOL_TRIMMED = 3,
};

struct cupti_abi_record {
    uint32_t kind;
};

struct cupti_abi_memory {
    uint32_t kind, operation, memory_kind, correlation;
    uint64_t address, bytes, timestamp, pc;
    uint32_t process, device, context, stream;
    const char *name;
    uint32_t is_async, pad1;
    uint32_t pool_type, pad2;
    uint64_t pool_address, pool_threshold, pool_size, pool_used;
};

struct cupti_abi_pool {
    uint32_t kind, operation, type, correlation, process, device;
    size_t keep;
    uint64_t address, size, threshold, timestamp, used;
};

struct cupti_abi_resource {
    void *context;
    void *stream;
    void *descriptor;
};

typedef void cupti_abi_callback(void *userdata, int domain, uint32_t id, const void *data);
typedef void cupti_abi_request(uint8_t **buffer, size_t *bytes, size_t *records);
typedef void cupti_abi_complete(void *context, uint32_t stream, uint8_t *buffer, size_t bytes,
                                size_t valid_bytes);

/** X(name, parameters): required functions, and optional ones. */
#define CUPTI_ABI_REQUIRED(X)                                                                      \
    X(cuptiGetVersion, (uint32_t *))                                                               \
    X(cuptiSubscribe, (void **, cupti_abi_callback *, void *))                                     \
    X(cuptiUnsubscribe, (void *))                                                                  \
    X(cuptiEnableCallback, (uint32_t, void *, int, uint32_t))                                      \
    X(cuptiActivityRegisterCallbacks, (cupti_abi_request *, cupti_abi_complete *))                 \
    X(cuptiActivityEnable, (int))                                                                  \
    X(cuptiActivityDisable, (int))                                                                 \
    X(cuptiActivityFlushAll, (uint32_t))                                                           \
    X(cuptiActivityGetNextRecord, (uint8_t *, size_t, struct cupti_abi_record **))                 \
    X(cuptiActivityGetNumDroppedRecords, (void *, uint32_t, size_t *))                             \
    X(cuptiGetContextId, (void *, uint32_t *))                                                     \
    X(cuptiGetTimestamp, (uint64_t *))
#define CUPTI_ABI_OPTIONAL(X)                                                                      \
    X(cuptiActivityFlushPeriod, (uint32_t))                                                        \
    X(cuptiActivitySetAttribute, (int, size_t *, void *))

struct cupti_abi_functions {
#define CUPTI_ABI_MEMBER(name, parameters) int(*name) parameters;
    CUPTI_ABI_REQUIRED(CUPTI_ABI_MEMBER)
    CUPTI_ABI_OPTIONAL(CUPTI_ABI_MEMBER)
#undef CUPTI_ABI_MEMBER
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Set-up calls of profilers: names of callbacks, external ids around calls, a custom clock,
 * filters. They concern kinds of activity that are not simulated, so most are checked, kept and
 * have no effect.
 */
#include "tests/simgpu/cupti/state.h"

#include <time.h>

#define IDS_MAX 64 /* nested, of one kind in one thread */

struct ids {
    unsigned count;
    uint64_t id[IDS_MAX];
};

static _Thread_local struct ids external[CUPTI_EXTERNAL_CORRELATION_KIND_SIZE];
static CUpti_TimestampCallbackFunc _Atomic clock_of_client;

static bool is_external_kind(CUpti_ExternalCorrelationKind kind)
{
    return kind > CUPTI_EXTERNAL_CORRELATION_KIND_INVALID &&
           kind < CUPTI_EXTERNAL_CORRELATION_KIND_SIZE;
}

CUptiResult cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind kind, uint64_t id)
{
    CUptiResult result = state_enter("cuptiActivityPushExternalCorrelationId");

    if (result == CUPTI_SUCCESS && !is_external_kind(kind))
        result = CUPTI_ERROR_INVALID_PARAMETER;
    if (result == CUPTI_SUCCESS && external[kind].count == IDS_MAX)
        result = CUPTI_ERROR_OUT_OF_MEMORY;
    if (result == CUPTI_SUCCESS)
        external[kind].id[external[kind].count++] = id;
    return result;
}

CUptiResult cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind kind,
                                                  uint64_t *last)
{
    CUptiResult result = state_enter("cuptiActivityPopExternalCorrelationId");

    if (result == CUPTI_SUCCESS && !is_external_kind(kind))
        result = CUPTI_ERROR_INVALID_PARAMETER;
    if (result == CUPTI_SUCCESS && !external[kind].count)
        result = CUPTI_ERROR_QUEUE_EMPTY;
    if (result != CUPTI_SUCCESS)
        return result;
    external[kind].count--;
    if (last)
        *last = external[kind].id[external[kind].count];
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityRegisterTimestampCallback(CUpti_TimestampCallbackFunc function)
{
    CUptiResult result = state_enter("cuptiActivityRegisterTimestampCallback");

    if (result == CUPTI_SUCCESS && !function)
        result = CUPTI_ERROR_INVALID_PARAMETER;
    if (result == CUPTI_SUCCESS)
        clock_of_client = function;
    return result;
}

/* The clock of CLOCK_REALTIME, as the real library has it where no other was registered. */
CUptiResult cuptiGetTimestamp(uint64_t *timestamp)
{
    CUpti_TimestampCallbackFunc registered = clock_of_client;
    struct timespec now;

    if (!timestamp)
        return CUPTI_ERROR_INVALID_PARAMETER;
    clock_gettime(CLOCK_REALTIME, &now);
    *timestamp = registered ? registered()
                            : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return CUPTI_SUCCESS;
}

/* By the numbers of cupti_driver_cbid.h and cupti_runtime_cbid.h. */
static const char *const driver_names[] = {
#define DRIVER_CALLBACK(name, id) [id] = name,
#define RUNTIME_CALLBACK(name, id)
#include "cupti_callback_names.h"
#undef DRIVER_CALLBACK
#undef RUNTIME_CALLBACK
};
static const char *const runtime_names[] = {
#define DRIVER_CALLBACK(name, id)
#define RUNTIME_CALLBACK(name, id) [id] = name,
#include "cupti_callback_names.h"
#undef DRIVER_CALLBACK
#undef RUNTIME_CALLBACK
};

#define NAME(names, id) ((id) < sizeof(names) / sizeof *(names) ? (names)[id] : NULL)

CUptiResult cuptiGetCallbackName(CUpti_CallbackDomain domain, uint32_t id, const char **name)
{
    if (!name)
        return CUPTI_ERROR_INVALID_PARAMETER;
    *name = domain == CUPTI_CB_DOMAIN_DRIVER_API    ? NAME(driver_names, id)
            : domain == CUPTI_CB_DOMAIN_RUNTIME_API ? NAME(runtime_names, id)
                                                    : NULL;
    return *name ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_PARAMETER;
}

CUptiResult cuptiActivityEnableDriverApi(CUpti_CallbackId id, uint8_t enable)
{
    CUptiResult result = state_enter("cuptiActivityEnableDriverApi");

    (void)enable;
    return result == CUPTI_SUCCESS && !NAME(driver_names, id) ? CUPTI_ERROR_INVALID_PARAMETER
                                                              : result;
}

CUptiResult cuptiActivityEnableRuntimeApi(CUpti_CallbackId id, uint8_t enable)
{
    CUptiResult result = state_enter("cuptiActivityEnableRuntimeApi");

    (void)enable;
    return result == CUPTI_SUCCESS && !NAME(runtime_names, id) ? CUPTI_ERROR_INVALID_PARAMETER
                                                               : result;
}

CUptiResult cuptiActivityEnableCudaEventDeviceTimestamps(uint8_t enable)
{
    (void)enable;
    return state_enter("cuptiActivityEnableCudaEventDeviceTimestamps");
}

CUptiResult cuptiActivityEnableLatencyTimestamps(uint8_t enable)
{
    (void)enable;
    return state_enter("cuptiActivityEnableLatencyTimestamps");
}

/* Buffers are shared by all threads, for any request (docs/simgpu.md). */
static CUpti_ActivityThreadIdType thread_ids = CUPTI_ACTIVITY_THREAD_ID_TYPE_DEFAULT;

CUptiResult cuptiSetThreadIdType(CUpti_ActivityThreadIdType type)
{
    if (type > CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM)
        return CUPTI_ERROR_NOT_SUPPORTED;
    thread_ids = type;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiGetThreadIdType(CUpti_ActivityThreadIdType *type)
{
    if (!type)
        return CUPTI_ERROR_INVALID_PARAMETER;
    *type = thread_ids;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiSupportedDomains(size_t *count, CUpti_DomainTable *table)
{
    static CUpti_CallbackDomain domains[] = {CUPTI_CB_DOMAIN_RESOURCE};

    if (!count || !table)
        return CUPTI_ERROR_INVALID_PARAMETER;
    *count = sizeof domains / sizeof *domains;
    *table = domains;
    return CUPTI_SUCCESS;
}

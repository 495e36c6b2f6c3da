/* SPDX-License-Identifier: MIT */
/*
 * The one subscriber, and the callbacks of the resource domain: contexts and streams made, and
 * about to end. They run on the thread that calls the driver, without a lock, and may call it.
 */
#include "tests/simgpu/cupti/state.h"

#include <pthread.h>

struct CUpti_Subscriber_st {
    CUpti_CallbackFunc function;
    void *userdata;
    uint32_t resources; /* bit per enabled id */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct CUpti_Subscriber_st subscriber; /* guarded by lock */

CUptiResult cuptiGetVersion(uint32_t *ret)
{
    if (!ret)
        return CUPTI_ERROR_INVALID_PARAMETER;
    *ret = state_version();
    return CUPTI_SUCCESS;
}

CUptiResult cuptiSubscribe(CUpti_SubscriberHandle *ret, CUpti_CallbackFunc callback, void *userdata)
{
    CUptiResult result = state_enter("cuptiSubscribe");

    if (result == CUPTI_SUCCESS && !ret)
        result = CUPTI_ERROR_INVALID_PARAMETER;
    if (result == CUPTI_SUCCESS)
        result = state_attach();
    if (result != CUPTI_SUCCESS)
        return result;
    pthread_mutex_lock(&lock);
    if (subscriber.function) {
        result = CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
    } else {
        subscriber = (struct CUpti_Subscriber_st){callback, userdata, 0};
        *ret = &subscriber;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static bool is_subscribed(CUpti_SubscriberHandle handle)
{
    return handle == &subscriber && subscriber.function;
}

CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle handle)
{
    CUptiResult result = state_enter("cuptiUnsubscribe");

    if (result != CUPTI_SUCCESS)
        return result;
    pthread_mutex_lock(&lock);
    if (is_subscribed(handle))
        subscriber = (struct CUpti_Subscriber_st){NULL, NULL, 0};
    else
        result = CUPTI_ERROR_INVALID_PARAMETER;
    pthread_mutex_unlock(&lock);
    return result;
}

void callbacks_drop(void)
{
    pthread_mutex_lock(&lock);
    subscriber = (struct CUpti_Subscriber_st){NULL, NULL, 0};
    pthread_mutex_unlock(&lock);
}

#define RESOURCES_SIMULATED                                                                        \
    (1u << CUPTI_CBID_RESOURCE_CONTEXT_CREATED |                                                   \
     1u << CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING |                                          \
     1u << CUPTI_CBID_RESOURCE_STREAM_CREATED | 1u << CUPTI_CBID_RESOURCE_STREAM_DESTROY_STARTING)

static CUptiResult enable(const char *function, uint32_t on, CUpti_SubscriberHandle handle,
                          CUpti_CallbackDomain domain, uint32_t resources)
{
    CUptiResult result = state_enter(function);

    if (result != CUPTI_SUCCESS)
        return result;
    if (domain <= CUPTI_CB_DOMAIN_INVALID || domain >= CUPTI_CB_DOMAIN_SIZE)
        return CUPTI_ERROR_INVALID_PARAMETER;
    pthread_mutex_lock(&lock);
    if (!is_subscribed(handle))
        result = CUPTI_ERROR_INVALID_PARAMETER;
    else if (domain != CUPTI_CB_DOMAIN_RESOURCE || resources & ~RESOURCES_SIMULATED)
        result = CUPTI_ERROR_NOT_SUPPORTED; /* here; the real library has them all */
    else
        subscriber.resources = on ? subscriber.resources | resources
                                  : subscriber.resources & ~resources;
    pthread_mutex_unlock(&lock);
    return result;
}

CUptiResult cuptiEnableCallback(uint32_t on, CUpti_SubscriberHandle handle,
                                CUpti_CallbackDomain domain, CUpti_CallbackId id)
{
    if (id == CUPTI_CBID_RESOURCE_INVALID || id > CUPTI_CBID_RESOURCE_GRAPH_NODE_SET_PARAMS)
        return CUPTI_ERROR_INVALID_PARAMETER;
    return enable("cuptiEnableCallback", on, handle, domain, 1u << id);
}

CUptiResult cuptiEnableDomain(uint32_t on, CUpti_SubscriberHandle handle,
                              CUpti_CallbackDomain domain)
{
    return enable("cuptiEnableDomain", on, handle, domain, RESOURCES_SIMULATED);
}

CUptiResult cuptiEnableAllDomains(uint32_t on, CUpti_SubscriberHandle handle)
{
    return enable("cuptiEnableAllDomains", on, handle, CUPTI_CB_DOMAIN_RESOURCE,
                  RESOURCES_SIMULATED);
}

CUptiResult cuptiGetCallbackState(uint32_t *ret, CUpti_SubscriberHandle handle,
                                  CUpti_CallbackDomain domain, CUpti_CallbackId id)
{
    CUptiResult result = CUPTI_SUCCESS;

    pthread_mutex_lock(&lock);
    if (!ret || !is_subscribed(handle) || id > CUPTI_CBID_RESOURCE_GRAPH_NODE_SET_PARAMS)
        result = CUPTI_ERROR_INVALID_PARAMETER;
    else
        *ret = domain == CUPTI_CB_DOMAIN_RESOURCE && subscriber.resources >> id & 1;
    pthread_mutex_unlock(&lock);
    return result;
}

static CUpti_CallbackId id_of(enum observer_kind kind)
{
    switch (kind) {
    case OBSERVER_CONTEXT_CREATED: return CUPTI_CBID_RESOURCE_CONTEXT_CREATED;
    case OBSERVER_CONTEXT_ENDS: return CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING;
    case OBSERVER_STREAM_CREATED: return CUPTI_CBID_RESOURCE_STREAM_CREATED;
    default: return CUPTI_CBID_RESOURCE_STREAM_DESTROY_STARTING;
    }
}

void callbacks_tell(const struct observer_event *event)
{
    CUpti_CallbackId id = id_of(event->kind);
    CUpti_ResourceData data = {.context = event->context};
    struct CUpti_Subscriber_st now;

    pthread_mutex_lock(&lock);
    now = subscriber;
    pthread_mutex_unlock(&lock);
    data.resourceHandle.stream = event->stream;
    if (now.function && now.resources >> id & 1)
        now.function(now.userdata, CUPTI_CB_DOMAIN_RESOURCE, id, &data);
}

CUptiResult cuptiGetContextId(CUcontext context, uint32_t *ret)
{
    CUptiResult result = state_enter("cuptiGetContextId");

    if (result == CUPTI_SUCCESS)
        result = state_attach();
    if (result != CUPTI_SUCCESS)
        return result;
    if (!ret)
        return CUPTI_ERROR_INVALID_PARAMETER;
    uint32_t id = state_driver()->context_id(context);
    if (!id)
        return CUPTI_ERROR_INVALID_CONTEXT;
    *ret = id;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiGetStreamIdEx(CUcontext context, CUstream stream, uint8_t per_thread,
                               uint32_t *ret)
{
    CUptiResult result = state_enter("cuptiGetStreamIdEx");

    if (result == CUPTI_SUCCESS)
        result = state_attach();
    if (result != CUPTI_SUCCESS)
        return result;
    if (!ret)
        return CUPTI_ERROR_INVALID_PARAMETER;
    uint32_t id = state_driver()->stream_id(context, stream, per_thread);
    if (!id)
        return CUPTI_ERROR_INVALID_STREAM;
    *ret = id;
    return CUPTI_SUCCESS;
}

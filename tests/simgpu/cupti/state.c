/* SPDX-License-Identifier: MIT */
/*
 * Attaching to the simulated driver, and faults.
 *
 *   SIMGPU_CUPTI_VERSION  what cuptiGetVersion says; decides the layout of records
 *   SIMGPU_CUPTI_FAULT    function:n:RESULT,... fails the n-th call of a function; n 0: every call
 *
 * A child after fork has no driver (docs/simgpu.md): there every call is refused.
 */
#include "tests/simgpu/cupti/state.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 16

struct fault {
    char function[48];
    unsigned long at;
    _Atomic unsigned long seen;
    CUptiResult result;
};

__attribute__((visibility("default"))) const char simgpu_cupti = 1; /* export.map.in */

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static pid_t process;
static uint32_t version = CUPTI_MAJOR == 12 ? CUPTI_VERSION_12_8 : CUPTI_API_VERSION;
static struct fault faults[FAULTS_MAX];
static unsigned fault_count;

static pthread_mutex_t attach_lock = PTHREAD_MUTEX_INITIALIZER;
static const struct observer_table *_Atomic driver;

static const struct {
    CUptiResult result;
    const char *name;
} results[] = {
#define RESULT(name)                                                                               \
    {                                                                                              \
        name, #name                                                                                \
    }
    RESULT(CUPTI_SUCCESS),
    RESULT(CUPTI_ERROR_INVALID_PARAMETER),
    RESULT(CUPTI_ERROR_INVALID_CONTEXT),
    RESULT(CUPTI_ERROR_INVALID_OPERATION),
    RESULT(CUPTI_ERROR_OUT_OF_MEMORY),
    RESULT(CUPTI_ERROR_PARAMETER_SIZE_NOT_SUFFICIENT),
    RESULT(CUPTI_ERROR_MAX_LIMIT_REACHED),
    RESULT(CUPTI_ERROR_NOT_COMPATIBLE),
    RESULT(CUPTI_ERROR_NOT_INITIALIZED),
    RESULT(CUPTI_ERROR_INVALID_STREAM),
    RESULT(CUPTI_ERROR_INVALID_KIND),
    RESULT(CUPTI_ERROR_NOT_SUPPORTED),
    RESULT(CUPTI_ERROR_VIRTUALIZED_DEVICE_NOT_SUPPORTED),
    RESULT(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES),
    RESULT(CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED),
    RESULT(CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES),
    RESULT(CUPTI_ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED),
    RESULT(CUPTI_ERROR_QUEUE_EMPTY),
    RESULT(CUPTI_ERROR_UNKNOWN),
#undef RESULT
};

#define RESULTS (sizeof results / sizeof *results)

static bool fault_read(const char *text, struct fault *ret)
{
    char name[80];

    if (sscanf(text, "%47[^:]:%lu:%79s", ret->function, &ret->at, name) != 3)
        return false;
    for (size_t i = 0; i < RESULTS; i++)
        if (!strncmp(results[i].name, "CUPTI_ERROR_", 12) && !strcmp(results[i].name + 12, name)) {
            ret->result = results[i].result;
            return true;
        }
    return false;
}

static void load(void)
{
    const char *text = getenv("SIMGPU_CUPTI_VERSION"), *rules = getenv("SIMGPU_CUPTI_FAULT");
    char *copy = rules ? strdup(rules) : NULL, *rest;

    process = getpid();
    if (text && *text)
        version = (uint32_t)strtoul(text, NULL, 10);
    for (char *rule = copy ? strtok_r(copy, ",", &rest) : NULL; rule;
         rule = strtok_r(NULL, ",", &rest))
        if (fault_count == FAULTS_MAX || !fault_read(rule, &faults[fault_count]))
            fprintf(stderr,
                    "simgpu: SIMGPU_CUPTI_FAULT: cannot read \"%s\"; it is "
                    "function:n:RESULT\n",
                    rule);
        else
            fault_count++;
    free(copy);
}

CUptiResult state_enter(const char *function)
{
    pthread_once(&loaded, load);
    for (unsigned i = 0; i < fault_count; i++)
        if (!strcmp(faults[i].function, function) &&
            (!faults[i].at || ++faults[i].seen == faults[i].at))
            return faults[i].result;
    return getpid() == process ? CUPTI_SUCCESS : CUPTI_ERROR_NOT_INITIALIZED;
}

static void observer(const struct observer_event *event)
{
    if (event->kind < OBSERVER_CONTEXT_CREATED)
        records_add(event);
    else
        callbacks_tell(event);
}

static const struct observer_table *table_get(void)
{
    static const char id[] = OBSERVER_TABLE_ID;
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    CUresult (*get)(const void **, const CUuuid *);
    const void *table = NULL;

    static_assert(sizeof id == sizeof(CUuuid) + 1, "a UUID");
    if (!library)
        return NULL;
    *(void **)&get = dlsym(library, "cuGetExportTable");
    return get && get(&table, (const CUuuid *)id) == CUDA_SUCCESS ? table : NULL;
}

CUptiResult state_attach(void)
{
    pthread_mutex_lock(&attach_lock);
    if (!driver) {
        const struct observer_table *table = table_get();

        if (table && table->bytes == sizeof *table) {
            table->observe(observer);
            driver = table;
        }
    }
    pthread_mutex_unlock(&attach_lock);
    return driver ? CUPTI_SUCCESS : CUPTI_ERROR_UNKNOWN; /* what 13.0 says without a driver */
}

void state_detach(void)
{
    pthread_mutex_lock(&attach_lock);
    if (driver)
        driver->observe(NULL);
    driver = NULL;
    pthread_mutex_unlock(&attach_lock);
}

const struct observer_table *state_driver(void)
{
    return driver;
}

uint32_t state_version(void)
{
    pthread_once(&loaded, load);
    return version;
}

CUptiResult cuptiGetResultString(CUptiResult result, const char **str)
{
    if (!str)
        return CUPTI_ERROR_INVALID_PARAMETER;
    for (size_t i = 0; i < RESULTS; i++)
        if (results[i].result == result) {
            *str = results[i].name;
            return CUPTI_SUCCESS;
        }
    *str = NULL;
    return CUPTI_ERROR_INVALID_PARAMETER;
}

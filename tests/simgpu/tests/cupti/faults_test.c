/* SPDX-License-Identifier: MIT */
/*
 * SIMGPU_CUPTI_FAULT: the second subscription is refused for want of privileges, and every kind of
 * activity (meson.build). A child after fork is refused everything.
 */
#include <cupti.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void called(void *userdata, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                   const void *data)
{
}

int main(void)
{
    CUpti_SubscriberHandle subscriber;
    const char *name;
    int status;

    if (cuptiSubscribe(&subscriber, called, NULL) != CUPTI_SUCCESS ||
        cuptiUnsubscribe(subscriber) != CUPTI_SUCCESS ||
        cuptiSubscribe(&subscriber, called, NULL) != CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ||
        cuptiSubscribe(&subscriber, called, NULL) != CUPTI_SUCCESS)
        return 1;
    for (int i = 0; i < 3; i++)
        if (cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMORY2) != CUPTI_ERROR_NOT_COMPATIBLE)
            return 2;
    if (cuptiGetResultString(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES, &name) != CUPTI_SUCCESS ||
        strcmp(name, "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"))
        return 3;
    pid_t child = fork();
    if (child == 0)
        _exit(cuptiSubscribe(&subscriber, called, NULL) != CUPTI_ERROR_NOT_INITIALIZED);
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 4;
}

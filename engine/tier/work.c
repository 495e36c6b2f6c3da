/* SPDX-License-Identifier: MIT */
/*
 * The threads of the tiers. A thread takes a batch of one kind, loads before stores: somebody waits
 * for a load. Signals are blocked in them: they are the program's.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "engine/tier/tiers.h"

struct job *job_new(struct cupool_tiers *tiers)
{
    uint32_t at = tiers->job_free;

    if (at == TIER_NONE)
        return NULL;
    tiers->job_free = tiers->jobs[at].next;
    tiers->jobs_left--;
    tiers->jobs[at] = (struct job){.next = TIER_NONE, .tier = -1};
    return &tiers->jobs[at];
}

void job_free(struct cupool_tiers *tiers, struct job *job)
{
    job->next = tiers->job_free;
    tiers->job_free = (uint32_t)(job - tiers->jobs);
    tiers->jobs_left++;
}

void job_queue(struct cupool_tiers *tiers, struct job *job)
{
    struct job_list *list = job->kind == JOB_LOAD ? &tiers->loads : &tiers->stores;
    uint32_t at = (uint32_t)(job - tiers->jobs);

    job->next = TIER_NONE;
    if (list->last != TIER_NONE)
        tiers->jobs[list->last].next = at;
    else
        list->first = at;
    list->last = at;
    list->count++;
    pthread_cond_signal(&tiers->work);
}

static struct job *list_take(struct cupool_tiers *tiers, struct job_list *list)
{
    struct job *job = &tiers->jobs[list->first];

    list->first = job->next;
    if (list->first == TIER_NONE)
        list->last = TIER_NONE;
    list->count--;
    return job;
}

struct offload *offload_find(struct cupool_tiers *tiers, cupool_kv_ticket ticket)
{
    uint32_t at = (uint32_t)ticket;

    if (at >= tiers->config.requests || !tiers->offloads[at].used ||
        tiers->offloads[at].generation != ticket >> 32)
        return NULL;
    return &tiers->offloads[at];
}

void offload_free(struct cupool_tiers *tiers, struct offload *offload)
{
    offload->used = false;
    offload->generation++;
    offload->next = tiers->offload_free;
    tiers->offload_free = (uint32_t)(offload - tiers->offloads);
}

void tiers_idle_tell(struct cupool_tiers *tiers)
{
    if (tiers->stores.count + tiers->loads.count + tiers->storing + tiers->loading +
            tiers->callbacks + tiers->beginning ==
        0)
        pthread_cond_broadcast(&tiers->idle);
}

void offload_step(struct cupool_tiers *tiers, cupool_kv_ticket ticket, int result)
{
    struct offload *offload = offload_find(tiers, ticket);

    if (result == 0)
        offload->stored++;
    else if (result < 0 && offload->error == 0)
        offload->error = result;
    if (--offload->left > 0)
        return;
    struct offload ended = *offload;
    offload->ended = true;
    if (ended.callback)
        offload_free(tiers, offload);
    tiers->callbacks++;
    pthread_mutex_unlock(&tiers->lock);
    if (ended.fenced)
        stage_fence_end(tiers, ended.fence);
    if (ended.callback)
        ended.callback(ended.callback_state, ticket, ended.stored, ended.error);
    pthread_mutex_lock(&tiers->lock);
    tiers->callbacks--;
    tiers_idle_tell(tiers);
}

/* The end of stores: references go back first, so that a callback finds the pool as it will be. */
static void stores_end(struct cupool_tiers *tiers, struct job **jobs, uint32_t count)
{
    cupool_kv_handle handles[TIERS_BATCH_MAX];

    for (uint32_t at = 0; at < count; at++)
        handles[at] = jobs[at]->handle;
    cupool_kv_release(tiers->pool, handles, count, CUPOOL_STREAM_NONE);
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t at = 0; at < count; at++) {
        tiers->counts.stored += jobs[at]->result == 0;
        tiers->counts.store_failures += jobs[at]->result < 0;
        tiers->storing--;
        offload_step(tiers, jobs[at]->ticket, jobs[at]->result);
        job_free(tiers, jobs[at]);
    }
    pthread_mutex_unlock(&tiers->lock);
}

/* Fences of their requests; those that were cancelled, or come after the end, are given up. */
static void stores_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                       uint32_t count)
{
    uint64_t fences[TIERS_BATCH_MAX];
    uint32_t fence_count = 0;
    int error = 0;

    pthread_mutex_lock(&tiers->lock);
    for (uint32_t at = 0; at < count; at++) {
        const struct offload *offload = offload_find(tiers, jobs[at]->ticket);

        if (offload->cancelled || tiers->stop) {
            jobs[at]->result = -ECANCELED;
            store_abandon(tiers, jobs[at]);
        } else if (offload->fenced &&
                   (fence_count == 0 || fences[fence_count - 1] != offload->fence)) {
            fences[fence_count++] = offload->fence;
        }
    }
    pthread_mutex_unlock(&tiers->lock);
    for (uint32_t at = 0; at < fence_count && error == 0; at++)
        error = stage_order(tiers, bench, fences[at]);
    for (uint32_t at = 0; at < count && error < 0; at++)
        jobs[at]->result = error;
    store_run(tiers, bench, jobs, count);
    store_await(tiers, jobs, count);
    stores_end(tiers, jobs, count);
}

static void loads_run(struct cupool_tiers *tiers, const struct bench *bench, struct job **jobs,
                      uint32_t count)
{
    bool stopped;

    pthread_mutex_lock(&tiers->lock);
    stopped = tiers->stop;
    pthread_mutex_unlock(&tiers->lock);
    if (!stopped)
        load_run(tiers, bench, jobs, count);
    for (uint32_t at = 0; at < count; at++) {
        if (jobs[at]->fenced)
            stage_fence_end(tiers, jobs[at]->fence);
        cupool_kv_prefetch_loaded(tiers->pool, jobs[at]->ticket, jobs[at]->index,
                                  stopped ? -ECANCELED : jobs[at]->result);
    }
    if (!stopped)
        load_promote(tiers, bench, jobs, count);
    pthread_mutex_lock(&tiers->lock);
    for (uint32_t at = 0; at < count; at++) {
        tiers->loading--;
        job_free(tiers, jobs[at]);
    }
    pthread_mutex_unlock(&tiers->lock);
}

static void *worker_main(void *argument)
{
    struct worker worker = *(struct worker *)argument;
    struct cupool_tiers *tiers = worker.tiers;
    const struct bench *bench = &tiers->benches[worker.number];
    struct job *jobs[TIERS_BATCH_MAX];

    free(argument);
    pthread_mutex_lock(&tiers->lock);
    for (;;) {
        struct job_list *list = tiers->loads.count > 0 ? &tiers->loads : &tiers->stores;
        uint32_t count = 0;

        if (list->count == 0) {
            tiers_idle_tell(tiers);
            if (tiers->stop)
                break;
            pthread_cond_wait(&tiers->work, &tiers->lock);
            continue;
        }
        while (count < tiers->config.batch && list->count > 0)
            jobs[count++] = list_take(tiers, list);
        bool load = list == &tiers->loads;
        *(load ? &tiers->loading : &tiers->storing) += count;
        pthread_mutex_unlock(&tiers->lock);
        (load ? loads_run : stores_run)(tiers, bench, jobs, count);
        pthread_mutex_lock(&tiers->lock);
    }
    pthread_mutex_unlock(&tiers->lock);
    return NULL;
}

int tiers_threads_start(struct cupool_tiers *tiers)
{
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (tiers->started < tiers->config.threads && error == 0) {
        struct worker *worker = malloc(sizeof(*worker));

        if (!worker) {
            error = -ENOMEM;
            break;
        }
        *worker = (struct worker){tiers, tiers->started};
        error = -pthread_create(&tiers->threads[tiers->started], NULL, worker_main, worker);
        if (error < 0)
            free(worker);
        else
            tiers->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void tiers_threads_stop(struct cupool_tiers *tiers)
{
    pthread_mutex_lock(&tiers->lock);
    tiers->stop = true;
    pthread_cond_broadcast(&tiers->work);
    pthread_mutex_unlock(&tiers->lock);
    while (tiers->started > 0)
        pthread_join(tiers->threads[--tiers->started], NULL);
}

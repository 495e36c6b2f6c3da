/* SPDX-License-Identifier: MIT */
/*
 * churn: allocator stress that notices a block handed out too early, moved or overlapped.
 *
 * Each thread allocates blocks of random sizes, has each filled asynchronously with a pattern of
 * its own (by kernel, memset, or copies from host and device), has it verified by later device
 * work, and frees it at once, without synchronising, so that fill and verification are often still
 * in flight. Some frees are done by the next thread, which may use another device.
 *
 * Every block is verified exactly once, and sums do not depend on order or addresses, so the
 * output is the same in every run with the same options. Sizes are log-uniform in [least, most],
 * a share of them ("tail", in percent) log-uniform in [most, tail-most]. Exit 1 on a mismatch.
 *
 * Threads share the mailboxes, each under its own lock, and a count of blocks; a thread's blocks,
 * streams and tallies are its own.
 */
#include "tests/workloads/check.h"
#include "tests/workloads/churn_kernels.cuh"
#include "tests/workloads/options.h"

#include <math.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#define SOURCE_WORDS ((uint32_t)1 << 16) /* pinned words each thread copies from */
#define SPIN_STEPS   2000

/** Properties of a block, decided before its allocation. */
enum property { IN_TAIL, BYTES, KEY, STREAM, FILL, SOURCE, PROPERTIES };

struct settings {
    long long threads, streams, ops, seed, devices;
    long long max_live_bytes, least_bytes, most_bytes, tail_most_bytes;
    double tail_percent;
};

struct block {
    unsigned char *address;
    size_t bytes;
    struct churn_content content;
    size_t stream; /* that filled it */
};

/** Blocks that another thread has to free. */
struct mailbox {
    std::mutex lock;
    std::vector<void *> addresses; /* guarded by lock */
};

/** What all workers share. */
struct common {
    struct mailbox *mailboxes;   /* one a worker; immutable */
    size_t workers;              /* immutable */
    std::atomic<long long> held; /* blocks allocated or being allocated, and not yet freed */
};

struct lane {
    cudaStream_t stream;
    cudaEvent_t event;
    struct churn_tally *tallies; /* device, CHURN_MAX_THREADS */
    uint32_t *sink;              /* device, one word */
};

struct worker {
    const struct settings *settings;
    struct common *common;
    struct mailbox *own, *next;
    uint64_t index, draws;
    uint32_t *source; /* pinned, SOURCE_WORDS words of source_content */
    struct churn_content source_content;
    std::vector<struct lane> lanes;
    std::vector<struct block> live;
    long long live_bytes;
    uint64_t allocated_bytes, mismatches, sum; /* read after the thread has ended */
};

/** A value for a decision on frees: how many there have been may depend on a full device. */
static uint64_t worker_draw_below(struct worker *worker, uint64_t limit)
{
    return hash_at((uint64_t)worker->settings->seed, worker->index, worker->draws++) % limit;
}

/** A value for a property of block `number`: depends on nothing else, as the checksum must. */
static uint64_t worker_plan(const struct worker *worker, uint64_t number, enum property property)
{
    return hash_at((uint64_t)worker->settings->seed, ~worker->index,
                   number * PROPERTIES + (uint64_t)property);
}

static size_t worker_plan_bytes(const struct worker *worker, uint64_t number)
{
    const struct settings *s = worker->settings;
    bool tail = hash_unit(worker_plan(worker, number, IN_TAIL)) * 100 < s->tail_percent;
    double low = log((double)(tail ? s->most_bytes : s->least_bytes));
    double high = log((double)(tail ? s->tail_most_bytes : s->most_bytes));
    double place = hash_unit(worker_plan(worker, number, BYTES));
    double bytes = floor(exp(low + (high - low) * place));
    double budget = (double)(s->max_live_bytes / s->threads);
    return (size_t)fmax(1, fmin(bytes, budget));
}

/** Work on small blocks takes few threads, so that a simulated device is not kept busy by them. */
static unsigned grid_of(size_t bytes)
{
    size_t blocks = bytes / 64 / CHURN_THREADS + 1, most = CHURN_MAX_THREADS / CHURN_THREADS;
    return (unsigned)(blocks < most ? blocks : most);
}

static void lane_order(struct lane *earlier, struct lane *later)
{
    CUDA_CHECK(cudaEventRecord(earlier->event, earlier->stream));
    CUDA_CHECK(cudaStreamWaitEvent(later->stream, earlier->event, 0));
}

static void lane_spin(struct lane *lane)
{
    churn_spin<<<1, 1, 0, lane->stream>>>(lane->sink, SPIN_STEPS);
    CUDA_CHECK(cudaGetLastError());
}

static void lane_fill(struct lane *lane, unsigned char *address, size_t bytes,
                      struct churn_content content)
{
    churn_fill<<<grid_of(bytes), CHURN_THREADS, 0, lane->stream>>>(address, bytes, content);
    CUDA_CHECK(cudaGetLastError());
}

/** cudaMalloc, counted; anything but a full device ends the program. */
static cudaError_t block_allocate(struct common *common, size_t bytes, unsigned char **ret_address)
{
    common->held++;
    cudaError_t error = cudaMalloc(ret_address, bytes);
    if (error == cudaErrorMemoryAllocation) {
        common->held--;
        (void)cudaGetLastError();
        return error;
    }
    CUDA_CHECK(error);
    return error;
}

static void block_free(struct common *common, void *address)
{
    CUDA_CHECK(cudaFree(address));
    common->held--;
}

static void mailbox_drain(struct common *common, struct mailbox *mailbox)
{
    std::vector<void *> taken;
    {
        std::lock_guard<std::mutex> guard(mailbox->lock);
        taken.swap(mailbox->addresses);
    }
    for (void *address : taken)
        block_free(common, address);
}

/** Verifies a live block, on another stream as often as not, and frees it right away. */
static void worker_release(struct worker *worker, size_t at)
{
    struct block block = worker->live[at];
    worker->live[at] = worker->live.back();
    worker->live.pop_back();
    worker->live_bytes -= (long long)block.bytes;

    struct lane *lane = &worker->lanes[worker_draw_below(worker, worker->lanes.size())];
    if (lane != &worker->lanes[block.stream])
        lane_order(&worker->lanes[block.stream], lane);
    if (worker_draw_below(worker, 4) == 0)
        lane_spin(lane);
    churn_verify<<<grid_of(block.bytes), CHURN_THREADS, 0, lane->stream>>>(
        block.address, block.bytes, block.content, lane->tallies);
    CUDA_CHECK(cudaGetLastError());
    if (worker_draw_below(worker, 4) == 0) {
        std::lock_guard<std::mutex> guard(worker->next->lock);
        worker->next->addresses.push_back(block.address);
    } else {
        block_free(worker->common, block.address);
    }
}

static void worker_release_random(struct worker *worker)
{
    worker_release(worker, worker_draw_below(worker, worker->live.size()));
}

/** A full device is answered by freeing what this thread has, then by waiting for the others. */
static unsigned char *worker_allocate(struct worker *worker, size_t bytes)
{
    struct common *common = worker->common;
    unsigned char *address = NULL;
    for (;;) {
        bool room_may_come = common->held > 0;
        cudaError_t error = block_allocate(common, bytes, &address);
        if (error == cudaSuccess)
            return address;
        if (!room_may_come)
            CUDA_CHECK(error);
        for (size_t i = 0; i < common->workers; i++)
            mailbox_drain(common, &common->mailboxes[i]);
        if (!worker->live.empty())
            worker_release(worker, worker->live.size() - 1);
        else
            std::this_thread::yield();
    }
}

/** Fills a second block on another stream, copies from it and frees it while the copy waits. */
static void worker_fill_through_copy(struct worker *worker, const struct block *block)
{
    struct lane *lane = &worker->lanes[block->stream];
    struct lane *other = &worker->lanes[(block->stream + 1) % worker->lanes.size()];
    unsigned char *origin = NULL;
    if (block_allocate(worker->common, block->bytes, &origin) != cudaSuccess) {
        lane_fill(lane, block->address, block->bytes, block->content);
        return;
    }
    lane_fill(other, origin, block->bytes, block->content);
    if (other != lane)
        lane_order(other, lane);
    CUDA_CHECK(cudaMemcpyAsync(block->address, origin, block->bytes, cudaMemcpyDeviceToDevice,
                               lane->stream));
    block_free(worker->common, origin);
}

/** Fills from the pinned source, if the block fits into it. */
static bool worker_fill_from_host(struct worker *worker, struct block *block, uint64_t place)
{
    size_t source_bytes = SOURCE_WORDS * sizeof(uint32_t);
    if (block->bytes > source_bytes)
        return false;
    block->content = worker->source_content;
    block->content.first = (uint32_t)(place % ((source_bytes - block->bytes) / 4 + 1));
    CUDA_CHECK(cudaMemcpyAsync(block->address, worker->source + block->content.first, block->bytes,
                               cudaMemcpyHostToDevice, worker->lanes[block->stream].stream));
    return true;
}

static void worker_fill(struct worker *worker, struct block *block, uint64_t number)
{
    struct lane *lane = &worker->lanes[block->stream];
    uint64_t kind = worker_plan(worker, number, FILL) % 4;
    if (kind == 0) {
        block->content.uniform = 1;
        CUDA_CHECK(cudaMemsetAsync(block->address, (int)(block->content.key & 0xff), block->bytes,
                                   lane->stream));
    } else if (kind == 1) {
        worker_fill_through_copy(worker, block);
    } else if (kind == 2 ||
               !worker_fill_from_host(worker, block, worker_plan(worker, number, SOURCE))) {
        lane_fill(lane, block->address, block->bytes, block->content);
    }
}

/** One operation: make room, allocate, fill; sometimes free one more. */
static void worker_operate(struct worker *worker, uint64_t number)
{
    const struct settings *s = worker->settings;
    struct block block = {};
    mailbox_drain(worker->common, worker->own);
    block.bytes = worker_plan_bytes(worker, number);
    block.stream = worker_plan(worker, number, STREAM) % worker->lanes.size();
    block.content.key = worker_plan(worker, number, KEY);
    while (!worker->live.empty() &&
           worker->live_bytes + (long long)block.bytes > s->max_live_bytes / s->threads)
        worker_release_random(worker);
    block.address = worker_allocate(worker, block.bytes);
    worker_fill(worker, &block, number);
    worker->live.push_back(block);
    worker->live_bytes += (long long)block.bytes;
    worker->allocated_bytes += block.bytes;
    if (worker_draw_below(worker, 3) == 0)
        worker_release_random(worker);
}

static void worker_init_source(struct worker *worker)
{
    size_t bytes = SOURCE_WORDS * sizeof(uint32_t);
    worker->source_content.key = hash_at((uint64_t)worker->settings->seed, worker->index, ~0ull);
    CUDA_CHECK(cudaMallocHost((void **)&worker->source, bytes));
    for (uint32_t i = 0; i < SOURCE_WORDS; i++)
        worker->source[i] = churn_word(worker->source_content, i);
}

/** Memory for the whole run: nobody waits for its return, so it does not count as held. */
static unsigned char *lane_allocate(struct worker *worker, size_t bytes)
{
    unsigned char *address = worker_allocate(worker, bytes);
    worker->common->held--;
    return address;
}

static void lane_init(struct lane *lane, struct worker *worker)
{
    size_t bytes = CHURN_MAX_THREADS * sizeof(*lane->tallies);
    CUDA_CHECK(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreateWithFlags(&lane->event, cudaEventDisableTiming));
    lane->tallies = (struct churn_tally *)lane_allocate(worker, bytes);
    lane->sink = (uint32_t *)lane_allocate(worker, sizeof(*lane->sink));
    CUDA_CHECK(cudaMemsetAsync(lane->tallies, 0, bytes, lane->stream));
}

/** Adds the lane's tallies to the worker's results and gives everything back. */
static void lane_done(struct lane *lane, struct worker *worker)
{
    std::vector<struct churn_tally> tallies(CHURN_MAX_THREADS);
    CUDA_CHECK(cudaMemcpyAsync(tallies.data(), lane->tallies, tallies.size() * sizeof(tallies[0]),
                               cudaMemcpyDeviceToHost, lane->stream));
    CUDA_CHECK(cudaStreamSynchronize(lane->stream));
    for (const struct churn_tally &tally : tallies) {
        worker->mismatches += tally.mismatches;
        worker->sum += tally.sum;
    }
    CUDA_CHECK(cudaFree(lane->tallies));
    CUDA_CHECK(cudaFree(lane->sink));
    CUDA_CHECK(cudaEventDestroy(lane->event));
    CUDA_CHECK(cudaStreamDestroy(lane->stream));
}

static void worker_run(struct worker *worker)
{
    const struct settings *s = worker->settings;
    long long share = s->ops / s->threads + ((long long)worker->index < s->ops % s->threads);
    CUDA_CHECK(cudaSetDevice((int)((long long)worker->index % s->devices)));
    worker_init_source(worker);
    worker->lanes.resize((size_t)s->streams);
    for (struct lane &lane : worker->lanes)
        lane_init(&lane, worker);
    for (long long number = 0; number < share; number++)
        worker_operate(worker, (uint64_t)number);
    while (!worker->live.empty())
        worker_release_random(worker);
    for (struct lane &lane : worker->lanes)
        lane_done(&lane, worker);
    CUDA_CHECK(cudaFreeHost(worker->source));
}

static void settings_parse(struct settings *s, int argc, char **argv)
{
    *s = {2, 2, 300, 1, 1, 48ll << 20, 1, 8ll << 20, 64ll << 20, 1};
    const double most_bytes = (double)(1ll << 33);
    const struct option_row rows[] = {
        {"threads", OPTION_COUNT, &s->threads, 1, 256, "host threads"},
        {"streams", OPTION_COUNT, &s->streams, 1, 64, "streams of each thread"},
        {"ops", OPTION_COUNT, &s->ops, 1, 1e9, "blocks to allocate, all threads together"},
        {"seed", OPTION_COUNT, &s->seed, 0, 9e18, "of sizes, patterns and choices"},
        {"devices", OPTION_COUNT, &s->devices, 1, 64, "devices, taken in turn by the threads"},
        {"max-live", OPTION_BYTES, &s->max_live_bytes, 256, 1e15, "bytes kept, all threads"},
        {"least", OPTION_BYTES, &s->least_bytes, 1, most_bytes, "smallest block"},
        {"most", OPTION_BYTES, &s->most_bytes, 1, most_bytes, "largest block but for the tail"},
        {"tail", OPTION_REAL, &s->tail_percent, 0, 100, "percent of blocks in the tail"},
        {"tail-most", OPTION_BYTES, &s->tail_most_bytes, 1, most_bytes, "largest block"},
    };
    const struct option_table table = {
        "churn", "Allocates, fills, verifies and frees blocks; prints mismatches and a checksum.",
        rows, sizeof(rows) / sizeof(rows[0])};
    option_parse(&table, argc, argv);
    if (s->least_bytes > s->most_bytes || s->most_bytes > s->tail_most_bytes) {
        fprintf(stderr, "churn: sizes must rise from --least to --most to --tail-most\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct settings settings;
    settings_parse(&settings, argc, argv);
    size_t count = (size_t)settings.threads;
    std::unique_ptr<struct mailbox[]> mailboxes(new struct mailbox[count]);
    struct common common = {mailboxes.get(), count, {0}};
    std::vector<struct worker> workers(count);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; i++) {
        workers[i].settings = &settings;
        workers[i].index = i;
        workers[i].common = &common;
        workers[i].own = &mailboxes[i];
        workers[i].next = &mailboxes[(i + 1) % count];
    }
    for (struct worker &worker : workers)
        threads.emplace_back(worker_run, &worker);
    for (std::thread &thread : threads)
        thread.join();

    uint64_t bytes = 0, mismatches = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        mailbox_drain(&common, &mailboxes[i]);
        bytes += workers[i].allocated_bytes;
        mismatches += workers[i].mismatches;
        sum += workers[i].sum;
    }
    printf("seed %lld blocks %lld bytes %llu\n", settings.seed, settings.ops,
           (unsigned long long)bytes);
    printf("mismatches %llu\n", (unsigned long long)mismatches);
    printf("checksum %016llx\n", (unsigned long long)sum);
    return mismatches == 0 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
/*
 * Runs RMM's own pool_memory_resource over a counting upstream: the memory it takes for the
 * requests on standard input, and the smallest upstream that serves them all. Used by rmm_pool.py.
 *
 * Touches no memory and uses no device: addresses ascend, and the few runtime functions that the
 * pool calls are defined below.
 *
 *   a ID BYTES STREAM    an allocation
 *   f ID 0 0             its free, on the same stream
 */
#include <rmm/cuda_stream_view.hpp>
#include <rmm/mr/pool_memory_resource.hpp>

#include <cstdint>
#include <cstdio>
#include <unordered_map>
#include <vector>

extern "C" {
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    static std::uintptr_t last;
    *event = reinterpret_cast<cudaEvent_t>(last += 64); /* RMM asks other streams in this order */
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t)
{
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned)
{
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t)
{
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t)
{
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}
const char *cudaGetErrorName(cudaError_t)
{
    return "";
}
const char *cudaGetErrorString(cudaError_t)
{
    return "";
}
}

namespace
{

struct upstream : rmm::mr::device_memory_resource {
    std::size_t capacity, used = 0, peak = 0, calls = 0; /* capacity 0: endless */
    std::uintptr_t next = std::uintptr_t{1} << 40;

    explicit upstream(std::size_t bytes) : capacity(bytes)
    {
    }

    void *do_allocate(std::size_t bytes, rmm::cuda_stream_view) override
    {
        calls++;
        if (capacity && used + bytes > capacity)
            throw rmm::out_of_memory("full");
        used += bytes;
        peak = used > peak ? used : peak;
        std::uintptr_t address = next;
        next += bytes + (std::size_t{2} << 20);
        return reinterpret_cast<void *>(address);
    }

    void do_deallocate(void *, std::size_t bytes, rmm::cuda_stream_view) noexcept override
    {
        used -= bytes;
    }
};

struct event {
    bool allocates;
    std::uint64_t id;
    std::size_t bytes;
    std::uintptr_t stream;
};

struct block {
    void *pointer;
    std::size_t bytes;
    rmm::cuda_stream_view stream;
};

bool replay(const std::vector<event> &events, upstream *up)
{
    rmm::mr::pool_memory_resource<upstream> pool(up, 0);
    std::unordered_map<std::uint64_t, block> live;

    for (const event &event : events) {
        if (!event.allocates) {
            const block &gone = live.at(event.id);
            pool.deallocate(gone.stream, gone.pointer, gone.bytes);
            live.erase(event.id);
            continue;
        }
        rmm::cuda_stream_view stream{reinterpret_cast<cudaStream_t>(event.stream * 16 + 256)};
        try {
            live[event.id] = {pool.allocate(stream, event.bytes), event.bytes, stream};
        } catch (const std::exception &) {
            return false;
        }
    }
    return true;
}

} // namespace

int main()
{
    std::vector<event> events;
    std::unordered_map<std::uint64_t, std::size_t> sizes;
    std::size_t live = 0, requested = 0;
    unsigned long long id, bytes, stream;
    char what;

    while (scanf(" %c %llu %llu %llu", &what, &id, &bytes, &stream) == 4) {
        events.push_back({what == 'a', id, bytes, static_cast<std::uintptr_t>(stream)});
        if (what == 'a')
            sizes[id] = bytes;
        live += what == 'a' ? bytes : -sizes[id];
        requested = live > requested ? live : requested;
    }
    upstream endless(0);
    if (!replay(events, &endless))
        return 1;
    std::size_t low = requested - 1, high = endless.peak;
    while (high > low + low / 4096 + 1) {
        std::size_t middle = low + (high - low) / 2;
        upstream small(middle);
        (replay(events, &small) ? high : low) = middle;
    }
    printf("%zu %zu %zu %zu\n", requested, endless.peak, endless.calls, high);
    return 0;
}

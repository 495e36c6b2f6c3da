// SPDX-License-Identifier: MIT
//
// Programs of the usual kinds, each with one cause that a report must name:
//   usual KIND [more]
// Buffers come through wrappers, as in real programs; the functions that are the causes are never
// inlined, all else may be. The main function does nothing but choose.
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "usual.h"

#define CAUSE __attribute__((noinline))

namespace rt
{

inline void check(cudaError_t error)
{
    if (error != cudaSuccess) {
        std::fprintf(stderr, "usual: %s\n", cudaGetErrorString(error));
        std::exit(1);
    }
}

template <typename Value> class DeviceBuffer
{
  public:
    explicit DeviceBuffer(std::size_t count)
    {
        allocate(count);
    }
    DeviceBuffer(const DeviceBuffer &) = delete;
    DeviceBuffer &operator=(const DeviceBuffer &) = delete;
    DeviceBuffer(DeviceBuffer &&other) noexcept : data_(std::exchange(other.data_, nullptr))
    {
    }
    DeviceBuffer &operator=(DeviceBuffer &&other) noexcept
    {
        std::swap(data_, other.data_);
        return *this;
    }
    ~DeviceBuffer()
    {
        cudaFree(data_);
    }

  private:
    void allocate(std::size_t count)
    {
        check(cudaMalloc(reinterpret_cast<void **>(&data_), count * sizeof(Value)));
    }

    Value *data_ = nullptr;
};

// A class with its own operator new on the device, by a handle.
struct OnDevice {
    static void *operator new(std::size_t)
    {
        void *block = nullptr;
        check(cudaMalloc(&block, 300000));
        auto **handle = static_cast<void **>(std::malloc(sizeof(void *)));
        *handle = block;
        return handle;
    }
    static void operator delete(void *handle)
    {
        cudaFree(*static_cast<void **>(handle));
        std::free(handle);
    }
};

} // namespace rt

namespace
{

using Buffer = rt::DeviceBuffer<float>;

constexpr int kRequests = 300;

// With a second word everything that is kept is a twentieth larger.
bool more;

std::size_t kept_count(std::size_t count)
{
    return more ? count + count / 20 : count;
}

CAUSE void attention()
{
    Buffer scores(50000);
}

CAUSE void mlp()
{
    Buffer hidden(200000);
}

void layers()
{
    attention();
    mlp();
}

// --- leaks

std::vector<std::unique_ptr<Buffer>> &cache()
{
    static auto *kept = new std::vector<std::unique_ptr<Buffer>>;
    return *kept;
}

CAUSE void prefix_cache_insert()
{
    cache().push_back(std::make_unique<Buffer>(kept_count(100000)));
}

CAUSE void session_open()
{
    cache().emplace_back(new Buffer(150000));
}

void leak()
{
    Buffer weights(3000000);
    for (int i = 0; i < kRequests; i++) {
        layers();
        if (i % 3 == 0)
            prefix_cache_insert();
    }
}

void two_leaks()
{
    Buffer weights(3000000);
    for (int i = 0; i < kRequests; i++) {
        if (i % 2 == 0)
            prefix_cache_insert();
        if (i % 5 == 0)
            session_open();
    }
}

CAUSE void keep_forever(void *handle)
{
    static std::mutex lock;
    static auto *kept = new std::vector<void *>;

    std::lock_guard<std::mutex> held(lock);
    kept->push_back(handle);
}

CAUSE void open_stream()
{
    keep_forever(rt::OnDevice::operator new(1));
}

CAUSE void use_stream()
{
    rt::OnDevice::operator delete(rt::OnDevice::operator new(1));
}

void new_handler()
{
    for (int i = 0; i < kRequests; i++) {
        use_stream();
        if (i % 4 == 0)
            open_stream();
    }
}

CAUSE void worker_keeps()
{
    void *block = gpu_alloc(70000);
    keep_forever(block);
}

CAUSE void worker_uses()
{
    gpu_free(gpu_alloc(90000));
}

void library_and_threads()
{
    auto work = [] {
        for (int i = 0; i < kRequests; i++) {
            worker_uses();
            if (i % 6 == 0)
                worker_keeps();
        }
    };
    std::thread first(work), second(work);
    first.join();
    second.join();
}

// One function alone calls the library.
CAUSE void handle_open()
{
    void *block = gpu_alloc(60000);
    keep_forever(block);
}

void one_caller()
{
    for (int i = 0; i < kRequests; i++) {
        layers();
        if (i % 4 == 0)
            handle_open();
    }
}

struct DeviceFree {
    void operator()(void *block) const
    {
        cudaFree(block);
    }
};

// A function that makes memory for others, and one other alone.
std::unique_ptr<void, DeviceFree> make_device_ptr(std::size_t bytes)
{
    void *block = nullptr;
    rt::check(cudaMalloc(&block, bytes));
    return std::unique_ptr<void, DeviceFree>(block);
}

CAUSE void adapter_load()
{
    keep_forever(make_device_ptr(250000).release());
}

void one_maker()
{
    for (int i = 0; i < kRequests; i++) {
        layers();
        if (i % 3 == 0)
            adapter_load();
    }
}

// Rounds of unequal length, so that the leak is no straight line in time.
void unequal_loops()
{
    for (int round = 1; round < 9; round++)
        for (int i = 0; i < 10 * round * round; i++) {
            layers();
            if (i % 7 == 0)
                session_open();
        }
}

// --- growth

struct KvCache {
    std::size_t tokens = 0;
    Buffer keys{1};

    CAUSE void append(std::size_t added)
    {
        Buffer larger((tokens + added) * 4096);
        tokens += added;
        keys = std::move(larger);
    }
};

void kv_by_copying()
{
    KvCache cache;
    for (int i = 0; i < 60; i++) {
        cache.append(16);
        attention();
    }
}

using Entries = std::vector<std::unique_ptr<Buffer>>;

CAUSE void replace_entry(Entries &entries, unsigned number)
{
    entries[number % entries.size()] = std::make_unique<Buffer>(50000 + number * 7919 % 1009);
}

// Entries of about one size, the new one made before the old one goes.
void entries_replaced()
{
    Entries entries(8);
    for (unsigned i = 0; i < kRequests; i++)
        replace_entry(entries, i * 5);
}

CAUSE void append_block(std::vector<Buffer> &blocks)
{
    blocks.emplace_back(65536);
}

void vector_of_blocks()
{
    std::vector<Buffer> blocks;
    for (int i = 0; i < kRequests; i++) {
        layers();
        append_block(blocks);
    }
}

// --- others

CAUSE void decode_step()
{
    Buffer logits(32000), mask(4096), sampled(64);
}

void decode_loop()
{
    Buffer weights(30000000);
    for (int i = 0; i < kRequests; i++)
        decode_step();
}

CAUSE void keep_page(std::vector<Buffer> &pages)
{
    pages.emplace_back(130000);
}

void fragmentation()
{
    std::vector<Buffer> kept;
    std::vector<std::unique_ptr<Buffer>> gone;

    for (int i = 0; i < 96; i++) {
        keep_page(kept);
        for (int k = 0; k < 3; k++)
            gone.push_back(std::make_unique<Buffer>(130000));
    }
    gone.clear();
    Buffer large(60000000);
}

CAUSE std::unique_ptr<Buffer> load_weights()
{
    return std::make_unique<Buffer>(20000000);
}

CAUSE std::unique_ptr<Buffer> convert_to_half(std::unique_ptr<Buffer> whole)
{
    auto half = std::make_unique<Buffer>(10000000);
    return half;
}

void warm_up()
{
    auto weights = convert_to_half(load_weights());
    for (int i = 0; i < 40; i++)
        attention();
}

CAUSE std::vector<Buffer> make_small_tables()
{
    std::vector<Buffer> tables;
    for (int i = 0; i < 40; i++)
        tables.emplace_back((1 << 18) + 64);
    return tables;
}

void rounding()
{
    auto tables = make_small_tables();
    Buffer one(1024);
}

void burst()
{
    std::vector<Buffer> blocks;
    for (int i = 0; i < 8; i++)
        append_block(blocks);
    std::this_thread::sleep_for(std::chrono::milliseconds(2000));
}

void clean()
{
    std::vector<Buffer> weights;
    for (int i = 0; i < 12; i++)
        weights.emplace_back(1 << 20);
    Buffer scratch(1 << 18);
    for (int i = 0; i < 4; i++)
        attention();
}

} // namespace

int main(int argc, char **argv)
{
    const std::map<std::string, std::function<void()>> kinds = {
        {"leak", leak},
        {"two_leaks", two_leaks},
        {"new_handler", new_handler},
        {"library_and_threads", library_and_threads},
        {"one_caller", one_caller},
        {"one_maker", one_maker},
        {"unequal_loops", unequal_loops},
        {"kv_by_copying", kv_by_copying},
        {"entries_replaced", entries_replaced},
        {"vector_of_blocks", vector_of_blocks},
        {"decode_loop", decode_loop},
        {"fragmentation", fragmentation},
        {"warm_up", warm_up},
        {"rounding", rounding},
        {"burst", burst},
        {"clean", clean},
    };
    auto kind = kinds.find(argc > 1 ? argv[1] : "");

    if (kind == kinds.end())
        return 2;
    more = argc > 2;
    kind->second();
    return 0;
}

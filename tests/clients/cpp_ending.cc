// SPDX-License-Identifier: MIT
/*
 * Device memory owned by C++ objects: freed while an exception passes, when a thread's objects end,
 * and by static objects, one of which was there before the first CUDA call and so ends after what
 * the runtime registered for exit.
 */
#include <cuda_runtime_api.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace
{

class Block
{
  public:
    Block(const char *name, size_t bytes) : name_(name)
    {
        std::printf("%s: allocated %d\n", name_, (int)cudaMalloc(&address_, bytes));
    }
    ~Block()
    {
        std::printf("%s: freed %d\n", name_, (int)cudaFree(address_));
        std::fflush(stdout);
    }
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;

  private:
    const char *name_;
    void *address_ = nullptr;
};

struct Holder {
    std::unique_ptr<Block> block;
};

Holder before_the_first_call;
Holder &within_a_function()
{
    static Holder holder;
    return holder;
}

void unwind(int depth)
{
    Block block("unwound", 1000U << depth);
    if (depth == 4)
        throw std::runtime_error("enough");
    unwind(depth + 1);
}

void use_thread_local()
{
    thread_local Block block("of a thread", 3000);
    Block other("of its stack", 5000);
}

} // namespace

int main()
{
    before_the_first_call.block = std::make_unique<Block>("static, before the first call", 20000);
    within_a_function().block = std::make_unique<Block>("static, after it", 30000);
    for (int i = 0; i < 3; i++) {
        try {
            unwind(0);
        } catch (const std::runtime_error &error) {
            std::printf("caught: %s\n", error.what());
        }
        std::thread(use_thread_local).join();
    }
    static Block last("static, made last", 40000);
    return 0;
}

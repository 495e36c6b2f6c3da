/* SPDX-License-Identifier: MIT */
/*
 * host_kernel.h: one .cu source, two compilers.
 *
 * A workload writes its kernels in CUDA as usual, includes this header first instead of
 * cuda_runtime.h, keeps everything that launches under #ifdef __CUDACC__, and ends with one
 * HOST_TWIN(kernel); per kernel (HOST_TWIN((kernel<float, 4>)); for an instance of a template):
 *
 *     #include "tests/simgpu/host_kernel.h"
 *     __global__ void scale(float *x, float f, int n) { ... threadIdx, __syncthreads ... }
 *     HOST_TWIN(scale);
 *     #ifdef __CUDACC__
 *     int main() { scale<<<grid, block>>>(x, 2.0f, n); ... }
 *     #endif
 *
 * nvcc builds the program. For the simulated device the same file is built with
 *     g++ -x c++ -std=gnu++17 -O2 -fPIC -shared -U_FORTIFY_SOURCE -I. -isystem CUDA/include
 * into twins/NAME.so beside the simulated libcuda (twin.h). Kernels must have external linkage:
 * their mangled name is found through the dynamic symbol table, so neither static nor anonymous.
 * Shared memory: __shared__ as usual; dynamic shared memory is DYNAMIC_SHARED(type, name);
 *
 * How it runs: a grid runs on one worker thread, block after block, the threads of a block in
 * order of their index, each until it ends or has to wait for others (__syncthreads, a warp
 * primitive). So results do not depend on the scheduling of the machine, and __shared__ can be
 * static thread_local. A thread that waits keeps its stack (a fiber); one that never waits leaves
 * it to the next. Not emulated: cooperative groups, textures, __device__ variables that the host
 * sets, clusters.
 */
#ifndef SIMGPU_HOST_KERNEL_H
#define SIMGPU_HOST_KERNEL_H

#ifdef __CUDACC__

#include <cuda_runtime.h>

/* Tied to a declaration, so that the semicolon after it is legal everywhere. */
#define HOST_TWIN(...) static_assert(true, "")
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                                  \
    type *name = reinterpret_cast<type *>(name##_bytes)

#else

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector_functions.h>
#include <vector_types.h>

#include "tests/simgpu/twin.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __managed__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__ __attribute__((visibility("default")))
#define __device__
#define __host__
#define __shared__ static thread_local
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
/* libstdc++ writes __attribute__((__noinline__)), so the name has to stay an attribute's. */
#define __launch_bounds__(...)
#define __grid_constant__

/* Hidden: each shared object has its own registry and fibers. */
#pragma GCC visibility push(hidden)
namespace host_kernel
{

constexpr unsigned warp_threads = 32;
constexpr size_t stack_bytes = 128 * 1024;
constexpr size_t guard_bytes = 4096;

enum class state : uint8_t { fresh, ready, at_barrier, at_warp, done };

/** Input of a lane to a warp primitive; both pointers reach into its own waiting stack. */
struct exchange {
    uint32_t mask;
    uint32_t source_lane;
    const void *value;
    void *result;
    size_t bytes;
    bool predicate;
    uint32_t ballot;
};

struct fiber;

struct thread {
    uint3 index;
    unsigned linear;
    state status;
    fiber *on; /* the stack it waits on */
    exchange warp;
};

struct fiber {
    jmp_buf registers;
    ucontext_t start;
    void *stack;
    bool started;
};

/** All that a worker thread needs to run a grid; one per worker and shared object. */
struct runner {
    dim3 grid;
    dim3 block;
    uint3 block_index;
    void (*call)(void **arguments);
    void **arguments;
    std::vector<thread> threads;
    std::vector<fiber *> idle;
    std::vector<fiber *> all;
    std::vector<unsigned char> dynamic_shared;
    unsigned next_fresh; /* threads below it have started */
    unsigned done;
    unsigned at_barrier;
    bool barrier_any;
    bool barrier_all;
    int barrier_count;
    int barrier_result[3]; /* or, and, count of the last complete barrier */
    jmp_buf scheduler;
    ucontext_t scheduler_start;

    runner() = default;
    runner(const runner &) = delete;
    runner &operator=(const runner &) = delete;
    ~runner()
    {
        for (fiber *each : all) {
            munmap(each->stack, stack_bytes + guard_bytes);
            delete each;
        }
    }
};

inline thread_local runner *active_runner;
inline thread_local thread *active_thread;

[[noreturn]] inline void fail(const char *what)
{
    fprintf(stderr, "simgpu: kernel: %s\n", what);
    abort();
}

/** Runs fresh threads one after another on this stack, until one of them has waited and moved
 * on here, or none is left. Never returns: the scheduler takes over. */
inline void fiber_main()
{
    runner *run = active_runner;
    fiber *self = run->threads[run->next_fresh].on;
    while (run->next_fresh < run->threads.size()) {
        thread *mine = &run->threads[run->next_fresh++];
        mine->on = self;
        mine->status = state::ready;
        active_thread = mine;
        run->call(run->arguments);
        mine = active_thread;
        mine->status = state::done;
        run->done++;
    }
    run->idle.push_back(self);
    _longjmp(run->scheduler, 1);
}

inline fiber *fiber_take(runner *run)
{
    if (run->idle.empty()) {
        fiber *made = new fiber();
        made->stack = mmap(nullptr, stack_bytes + guard_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made->stack == MAP_FAILED)
            fail("no memory for the stack of a thread");
        mprotect(made->stack, guard_bytes, PROT_NONE);
        run->all.push_back(made);
        run->idle.push_back(made);
    }
    fiber *taken = run->idle.back();
    run->idle.pop_back();
    return taken;
}

inline void fiber_start(runner *run)
{
    fiber *taken = fiber_take(run);
    run->threads[run->next_fresh].on = taken;
    getcontext(&taken->start);
    taken->start.uc_stack.ss_sp = static_cast<char *>(taken->stack) + guard_bytes;
    taken->start.uc_stack.ss_size = stack_bytes;
    taken->start.uc_link = nullptr;
    makecontext(&taken->start, fiber_main, 0);
    if (_setjmp(run->scheduler) == 0)
        setcontext(&taken->start);
}

inline void fiber_resume(runner *run, thread *which)
{
    active_thread = which;
    if (_setjmp(run->scheduler) == 0)
        _longjmp(which->on->registers, 1);
}

/** Gives the processor away until the scheduler finds this thread ready again. */
inline void thread_wait()
{
    thread *self = active_thread;
    if (_setjmp(self->on->registers) == 0)
        _longjmp(active_runner->scheduler, 1);
}

inline bool barrier_complete(runner *run)
{
    if (!run->at_barrier || run->at_barrier + run->done < run->threads.size())
        return false;
    run->barrier_result[0] = run->barrier_any;
    run->barrier_result[1] = run->barrier_all;
    run->barrier_result[2] = run->barrier_count;
    for (thread &each : run->threads)
        if (each.status == state::at_barrier)
            each.status = state::ready;
    run->at_barrier = 0;
    run->barrier_any = false;
    run->barrier_all = true;
    run->barrier_count = 0;
    return true;
}

/** Starts and resumes threads in index order until the block is done. */
inline void block_run(runner *run)
{
    while (run->next_fresh < run->threads.size())
        fiber_start(run);
    while (run->done < run->threads.size()) {
        bool progress = barrier_complete(run);
        for (thread &each : run->threads) {
            if (each.status != state::ready)
                continue;
            fiber_resume(run, &each);
            progress = true;
        }
        if (!progress)
            fail("threads of a block wait for each other: divergent barrier or warp mask");
    }
}

inline void block_reset(runner *run, uint3 index)
{
    run->block_index = index;
    run->next_fresh = run->done = run->at_barrier = 0;
    run->barrier_any = false;
    run->barrier_all = true;
    run->barrier_count = 0;
    unsigned linear = 0;
    for (unsigned z = 0; z < run->block.z; z++)
        for (unsigned y = 0; y < run->block.y; y++)
            for (unsigned x = 0; x < run->block.x; x++, linear++) {
                thread &each = run->threads[linear];
                each.index = make_uint3(x, y, z);
                each.linear = linear;
                each.status = state::fresh;
                each.on = nullptr;
            }
}

inline runner *runner_mine()
{
    static thread_local runner mine;
    return &mine;
}

inline void grid_run(const simgpu_launch *launch, void (*call)(void **))
{
    runner *run = runner_mine();
    active_runner = run;
    run->grid = dim3(launch->grid[0], launch->grid[1], launch->grid[2]);
    run->block = dim3(launch->block[0], launch->block[1], launch->block[2]);
    run->call = call;
    run->arguments = launch->arguments;
    run->threads.resize(size_t(run->block.x) * run->block.y * run->block.z);
    run->dynamic_shared.resize(launch->shared_bytes + 16);
    run->idle = run->all; /* a launch that faulted left some of them taken */
    for (unsigned z = 0; z < run->grid.z; z++)
        for (unsigned y = 0; y < run->grid.y; y++)
            for (unsigned x = 0; x < run->grid.x; x++) {
                block_reset(run, make_uint3(x, y, z));
                block_run(run);
            }
}

inline void barrier_wait(bool predicate)
{
    runner *run = active_runner;
    run->at_barrier++;
    run->barrier_any |= predicate;
    run->barrier_all &= predicate;
    run->barrier_count += predicate;
    active_thread->status = state::at_barrier;
    thread_wait();
}

/** Lanes of the mask that exist and have not ended, as a range of the block's threads. */
template <typename Visit> inline void warp_each(runner *run, uint32_t mask, Visit visit)
{
    unsigned first = active_thread->linear / warp_threads * warp_threads;
    for (unsigned lane = 0; lane < warp_threads && first + lane < run->threads.size(); lane++)
        if (mask >> lane & 1 && run->threads[first + lane].status != state::done)
            visit(lane, run->threads[first + lane]);
}

inline bool warp_arrived(runner *run, uint32_t mask)
{
    bool all = true;
    warp_each(run, mask, [&](unsigned, thread &each) {
        all &= each.status == state::at_warp && each.warp.mask == mask;
    });
    return all;
}

/** Every lane of the mask is here: hand out the values, let them go. */
inline void warp_complete(runner *run, uint32_t mask)
{
    unsigned first = active_thread->linear / warp_threads * warp_threads;
    uint32_t ballot = 0;
    warp_each(run, mask, [&](unsigned lane, thread &each) {
        ballot |= uint32_t(each.warp.predicate) << lane;
    });
    warp_each(run, mask, [&](unsigned, thread &each) {
        each.warp.ballot = ballot;
        size_t source = first + each.warp.source_lane;
        bool valid = source < run->threads.size() && mask >> each.warp.source_lane & 1 &&
                     run->threads[source].status == state::at_warp;
        const void *value = valid ? run->threads[source].warp.value : each.warp.value;
        if (each.warp.bytes)
            memcpy(each.warp.result, value, each.warp.bytes);
    });
    warp_each(run, mask, [&](unsigned, thread &each) { each.status = state::ready; });
}

inline void warp_wait(exchange mine)
{
    runner *run = active_runner;
    active_thread->warp = mine;
    active_thread->status = state::at_warp;
    if (warp_arrived(run, mine.mask))
        warp_complete(run, mine.mask);
    else
        thread_wait();
}

inline unsigned lane()
{
    return active_thread->linear % warp_threads;
}

template <typename T> inline T shuffle(uint32_t mask, T value, unsigned source)
{
    static_assert(std::is_trivially_copyable<T>::value, "a register's value");
    T result = value;
    warp_wait({mask, source, &value, &result, sizeof(T), false, 0});
    return result;
}

inline uint32_t vote(uint32_t mask, bool predicate)
{
    uint32_t nothing = 0;
    warp_wait({mask, lane(), &nothing, &nothing, 0, predicate, 0});
    return active_thread->warp.ballot;
}

/* Registration. */

template <auto Kernel> struct twin;
template <typename... Arguments, void (*Kernel)(Arguments...)> struct twin<Kernel> {
    static constexpr uint32_t bytes[sizeof...(Arguments) + 1] = {sizeof(Arguments)..., 0};

    template <size_t... Index> static void unpack(void **values, std::index_sequence<Index...>)
    {
        (void)values;
        Kernel(*static_cast<std::remove_cv_t<Arguments> *>(values[Index])...);
    }
    static void call(void **values)
    {
        unpack(values, std::index_sequence_for<Arguments...>());
    }
    static void run(const simgpu_launch *launch)
    {
        grid_run(launch, call);
    }
    static simgpu_twin row()
    {
        Dl_info info;
        if (!dladdr(reinterpret_cast<void *>(Kernel), &info) || !info.dli_sname)
            fail("a kernel without external linkage has no twin");
        static_assert(sizeof...(Arguments) <= SIMGPU_TWIN_MAX_ARGUMENTS, "too many arguments");
        return {info.dli_sname, sizeof...(Arguments), bytes, run};
    }
};

inline std::vector<simgpu_twin (*)()> &registry()
{
    static auto &rows = *new std::vector<simgpu_twin (*)()>; /* not destroyed: see twins() */
    return rows;
}

inline bool add(simgpu_twin (*row)())
{
    registry().push_back(row);
    return true;
}

/* Not destroyed: a program may load a module and launch a kernel at its exit, after our
 * destructors. */
inline const std::vector<simgpu_twin> &twins()
{
    static const auto &rows = *[] {
        auto *made = new std::vector<simgpu_twin>;
        for (auto row : registry())
            made->push_back(row());
        return made;
    }();
    return rows;
}

} // namespace host_kernel
#pragma GCC visibility pop

extern "C" __attribute__((weak, visibility("default"))) const simgpu_twin *simgpu_twins(
    size_t *ret_count)
{
    const std::vector<simgpu_twin> &rows = host_kernel::twins();
    *ret_count = rows.size();
    return rows.data();
}

#define HOST_KERNEL_JOIN_(a, b) a##b
#define HOST_KERNEL_JOIN(a, b)  HOST_KERNEL_JOIN_(a, b)
#define HOST_TWIN(...)                                                                             \
    [[maybe_unused]] static const bool HOST_KERNEL_JOIN(                                           \
        host_kernel_twin_, __COUNTER__) = host_kernel::add(host_kernel::twin<__VA_ARGS__>::row)

#define DYNAMIC_SHARED(type, name)                                                                 \
    type *name = reinterpret_cast<type *>(                                                         \
        (reinterpret_cast<uintptr_t>(host_kernel::active_runner->dynamic_shared.data()) + 15) &    \
        ~uintptr_t(15))

#define threadIdx (host_kernel::active_thread->index)
#define blockIdx  (host_kernel::active_runner->block_index)
#define blockDim  (host_kernel::active_runner->block)
#define gridDim   (host_kernel::active_runner->grid)
#define warpSize  (int(host_kernel::warp_threads))

/* Barriers and warps. */

inline void __syncthreads()
{
    host_kernel::barrier_wait(true);
}
inline int __syncthreads_or(int predicate)
{
    host_kernel::barrier_wait(predicate != 0);
    return host_kernel::active_runner->barrier_result[0];
}
inline int __syncthreads_and(int predicate)
{
    host_kernel::barrier_wait(predicate != 0);
    return host_kernel::active_runner->barrier_result[1];
}
inline int __syncthreads_count(int predicate)
{
    host_kernel::barrier_wait(predicate != 0);
    return host_kernel::active_runner->barrier_result[2];
}
inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    host_kernel::vote(mask, true);
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return host_kernel::vote(mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate)
{
    return host_kernel::vote(mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate)
{
    return host_kernel::vote(mask, predicate == 0) == 0;
}
inline unsigned __activemask()
{
    return 0xffffffffu;
}

/* Shuffles: width splits the warp in segments; a source outside its segment is the lane itself. */
template <typename T> inline T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    unsigned base = host_kernel::lane() & ~unsigned(width - 1);
    return host_kernel::shuffle(mask, value, base + (unsigned(source) & unsigned(width - 1)));
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    unsigned lane = host_kernel::lane();
    bool inside = (lane & unsigned(width - 1)) + delta < unsigned(width);
    return host_kernel::shuffle(mask, value, inside ? lane + delta : lane);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    unsigned lane = host_kernel::lane();
    bool inside = (lane & unsigned(width - 1)) >= delta;
    return host_kernel::shuffle(mask, value, inside ? lane - delta : lane);
}
template <typename T> inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    unsigned lane = host_kernel::lane(), source = lane ^ unsigned(bits);
    bool inside = (source & ~unsigned(width - 1)) <= (lane & ~unsigned(width - 1));
    return host_kernel::shuffle(mask, value, inside ? source : lane);
}

inline void __threadfence()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_block()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
inline void __threadfence_system()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Atomics are real ones: kernels of several streams may run at once. */

#pragma GCC visibility push(hidden)
namespace host_kernel
{
template <typename T, typename Update> inline T atomic_update(T *address, Update update)
{
    T old, wanted;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do
        wanted = update(old);
    while (!__atomic_compare_exchange(address, &old, &wanted, true, __ATOMIC_SEQ_CST,
                                      __ATOMIC_RELAXED));
    return old;
}
} // namespace host_kernel
#pragma GCC visibility pop

template <typename T> inline T atomicAdd(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return T(old + value); });
}
template <typename T> inline T atomicSub(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return T(old - value); });
}
template <typename T> inline T atomicMax(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return old < value ? value : old; });
}
template <typename T> inline T atomicMin(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return value < old ? value : old; });
}
template <typename T> inline T atomicAnd(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return T(old & value); });
}
template <typename T> inline T atomicOr(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return T(old | value); });
}
template <typename T> inline T atomicXor(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T old) { return T(old ^ value); });
}
template <typename T> inline T atomicExch(T *address, std::common_type_t<T> value)
{
    return host_kernel::atomic_update(address, [=](T) { return value; });
}
template <typename T>
inline T atomicCAS(T *address, std::common_type_t<T> compare, std::common_type_t<T> value)
{
    __atomic_compare_exchange(address, &compare, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return compare;
}

/* Arithmetic that CUDA has built in and the host library has not. The fast forms are the exact
 * ones here. */

using std::max;
using std::min;

inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline double rsqrt(double x)
{
    return 1.0 / std::sqrt(x);
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __logf(float x)
{
    return logf(x);
}
inline float __fdividef(float x, float y)
{
    return x / y;
}
inline float __frcp_rn(float x)
{
    return 1.0f / x;
}
inline float __saturatef(float x)
{
    return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}
inline int __float2int_rn(float x)
{
    return int(nearbyintf(x));
}
inline int __float_as_int(float x)
{
    int bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline unsigned __float_as_uint(float x)
{
    return unsigned(__float_as_int(x));
}
inline float __int_as_float(int bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline float __uint_as_float(unsigned bits)
{
    return __int_as_float(int(bits));
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz(unsigned(x)) : 32;
}
inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y)
{
    return unsigned((uint64_t(x) * y) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}
template <typename T> inline T __ldg(const T *address)
{
    return *address;
}
template <typename T> inline T __ldcs(const T *address)
{
    return *address;
}
template <typename T> inline void __stcs(T *address, T value)
{
    *address = value;
}
inline long long clock64()
{
    return 0;
}
inline void __nanosleep(unsigned)
{
}
[[noreturn]] inline void __trap()
{
    host_kernel::fail("__trap");
}

#endif
#endif

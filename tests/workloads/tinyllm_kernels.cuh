/* SPDX-License-Identifier: MIT */
/*
 * The device code of tinyllm: one token for each of `rows` sequences goes through the model.
 *
 * Matrices are [outputs][inputs], row-major; activations are [rows][dim]. Every sum is taken in an
 * order fixed by the code (no atomics, no warp primitives), so that a run repeats bit for bit on
 * one device. The file is compiled a second time as C++ for the simulated device.
 */
#ifndef WORKLOADS_TINYLLM_KERNELS_CUH
#define WORKLOADS_TINYLLM_KERNELS_CUH

#include "tests/simgpu/host_kernel.h"

#define TINYLLM_THREADS 128 /* of every block; a power of two, for the tree sums */

/** Where one sequence's keys and values of one layer are: [capacity][dim] each. */
struct tinyllm_cache {
    const float *keys, *values;
    int length, dim, head_dim;
};

/** The same in blocks of a pool: block i of the sequence is number table[i], and its first key of
 * this layer is `stride` bytes times that behind `keys`. Inside, [tokens][dim]. */
struct tinyllm_pages {
    const char *keys, *values;
    const int *table;
    unsigned long long stride;
    int block_tokens, length, dim, head_dim;
};

__device__ static inline const float *tinyllm_page_row(const char *first,
                                                       const struct tinyllm_pages *pages, int t)
{
    const char *block = first +
                        (unsigned long long)pages->table[t / pages->block_tokens] * pages->stride;
    return (const float *)block + (size_t)(t % pages->block_tokens) * pages->dim;
}

__device__ static inline int tinyllm_thread()
{
    return (int)(blockIdx.x * blockDim.x + threadIdx.x);
}

/** out[row] = table[tokens[row]] */
__global__ void tinyllm_embed(float *out, const float *table, const int *tokens, int dim)
{
    int column = tinyllm_thread();
    int row = (int)blockIdx.y;
    if (column < dim)
        out[(size_t)row * dim + column] = table[(size_t)tokens[row] * dim + column];
}

/** RMSNorm (Zhang and Sennrich, 2019), epsilon 1e-5; one block a row. */
__global__ void tinyllm_rmsnorm(float *out, const float *in, const float *gain, int dim)
{
    __shared__ float partial[TINYLLM_THREADS];
    int self = (int)threadIdx.x;
    const float *x = in + (size_t)blockIdx.x * dim;
    float *y = out + (size_t)blockIdx.x * dim;

    float sum = 0;
    for (int i = self; i < dim; i += TINYLLM_THREADS)
        sum += x[i] * x[i];
    partial[self] = sum;
    __syncthreads();
    for (int width = TINYLLM_THREADS / 2; width > 0; width /= 2) {
        if (self < width)
            partial[self] += partial[self + width];
        __syncthreads();
    }
    float scale = 1.0f / sqrtf(partial[0] / (float)dim + 1e-5f);
    for (int i = self; i < dim; i += TINYLLM_THREADS)
        y[i] = x[i] * scale * gain[i];
}

/** out[row] = weight · in[row]; one thread an output, four partial sums. */
__global__ void tinyllm_matmul(float *out, const float *in, const float *weight, int inputs,
                               int outputs)
{
    int column = tinyllm_thread();
    int row = (int)blockIdx.y;
    if (column >= outputs)
        return;
    const float *x = in + (size_t)row * inputs;
    const float *w = weight + (size_t)column * inputs;
    float sum[4] = {0, 0, 0, 0};
    for (int i = 0; i < inputs; i += 4)
        for (int lane = 0; lane < 4; lane++)
            sum[lane] += w[i + lane] * x[i + lane];
    out[(size_t)row * outputs + column] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/** Rotary embedding (Su et al., 2021), base 10000, neighbouring pairs; in place. */
__global__ void tinyllm_rope(float *x, const int *positions, int dim, int head_dim)
{
    int pair = tinyllm_thread();
    int row = (int)blockIdx.y;
    if (2 * pair >= dim)
        return;
    float exponent = (float)(2 * pair % head_dim) / (float)head_dim;
    float angle = (float)positions[row] * powf(10000.0f, -exponent);
    float *p = x + (size_t)row * dim + 2 * pair;
    float a = p[0], b = p[1];
    p[0] = a * cosf(angle) - b * sinf(angle);
    p[1] = a * sinf(angle) + b * cosf(angle);
}

/** scores[head][t] = q · key(t) / sqrt(head_dim); one thread a score. */
__global__ void tinyllm_scores(float *scores, const float *query, struct tinyllm_cache cache)
{
    int t = tinyllm_thread();
    int head = (int)blockIdx.y;
    if (t >= cache.length)
        return;
    const float *q = query + (size_t)head * cache.head_dim;
    const float *k = cache.keys + (size_t)t * cache.dim + (size_t)head * cache.head_dim;
    float sum = 0;
    for (int i = 0; i < cache.head_dim; i++)
        sum += q[i] * k[i];
    scores[(size_t)head * cache.length + t] = sum / sqrtf((float)cache.head_dim);
}

/** Softmax of each row, in place; one block a row. */
__global__ void tinyllm_softmax(float *rows, int length)
{
    __shared__ float partial[TINYLLM_THREADS];
    int self = (int)threadIdx.x;
    float *x = rows + (size_t)blockIdx.x * length;

    float top = -INFINITY;
    for (int i = self; i < length; i += TINYLLM_THREADS)
        top = fmaxf(top, x[i]);
    partial[self] = top;
    __syncthreads();
    for (int width = TINYLLM_THREADS / 2; width > 0; width /= 2) {
        if (self < width)
            partial[self] = fmaxf(partial[self], partial[self + width]);
        __syncthreads();
    }
    top = partial[0];
    __syncthreads();

    float sum = 0;
    for (int i = self; i < length; i += TINYLLM_THREADS) {
        x[i] = expf(x[i] - top);
        sum += x[i];
    }
    partial[self] = sum;
    __syncthreads();
    for (int width = TINYLLM_THREADS / 2; width > 0; width /= 2) {
        if (self < width)
            partial[self] += partial[self + width];
        __syncthreads();
    }
    for (int i = self; i < length; i += TINYLLM_THREADS)
        x[i] /= partial[0];
}

/** out[column] = sum over t of scores[head(column)][t] * value(t)[column] */
__global__ void tinyllm_mix(float *out, const float *scores, struct tinyllm_cache cache)
{
    int column = tinyllm_thread();
    if (column >= cache.dim)
        return;
    const float *weight = scores + (size_t)(column / cache.head_dim) * cache.length;
    float sum = 0;
    for (int t = 0; t < cache.length; t++)
        sum += weight[t] * cache.values[(size_t)t * cache.dim + column];
    out[column] = sum;
}

/** tinyllm_scores() over pages; the same sums in the same order. */
__global__ void tinyllm_scores_paged(float *scores, const float *query, struct tinyllm_pages pages)
{
    int t = tinyllm_thread();
    int head = (int)blockIdx.y;
    if (t >= pages.length)
        return;
    const float *q = query + (size_t)head * pages.head_dim;
    const float *k = tinyllm_page_row(pages.keys, &pages, t) + (size_t)head * pages.head_dim;
    float sum = 0;
    for (int i = 0; i < pages.head_dim; i++)
        sum += q[i] * k[i];
    scores[(size_t)head * pages.length + t] = sum / sqrtf((float)pages.head_dim);
}

/** tinyllm_mix() over pages; the same sums in the same order. */
__global__ void tinyllm_mix_paged(float *out, const float *scores, struct tinyllm_pages pages)
{
    int column = tinyllm_thread();
    if (column >= pages.dim)
        return;
    const float *weight = scores + (size_t)(column / pages.head_dim) * pages.length;
    float sum = 0;
    for (int t = 0; t < pages.length; t++)
        sum += weight[t] * tinyllm_page_row(pages.values, &pages, t)[column];
    out[column] = sum;
}

/** gate = silu(gate) * up (Shazeer, 2020) */
__global__ void tinyllm_swiglu(float *gate, const float *up, int count)
{
    int i = tinyllm_thread();
    if (i < count)
        gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

/** x += y */
__global__ void tinyllm_add(float *x, const float *y, int count)
{
    int i = tinyllm_thread();
    if (i < count)
        x[i] += y[i];
}

HOST_TWIN(tinyllm_embed);
HOST_TWIN(tinyllm_rmsnorm);
HOST_TWIN(tinyllm_matmul);
HOST_TWIN(tinyllm_rope);
HOST_TWIN(tinyllm_scores);
HOST_TWIN(tinyllm_softmax);
HOST_TWIN(tinyllm_mix);
HOST_TWIN(tinyllm_scores_paged);
HOST_TWIN(tinyllm_mix_paged);
HOST_TWIN(tinyllm_swiglu);
HOST_TWIN(tinyllm_add);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The weights of tinyllm: what they are, where they come from, how they reach the device.
 *
 * One table names every tensor. Values come from the seed, each from the hash of (seed, tensor,
 * index), or from a file: "TINYLLM1", then five little-endian int32 (layers, dim, heads, vocab,
 * hidden), then the tensors as float32 in table order, the layer tensors once per layer. They go
 * through two pinned staging buffers and a copy stream, as an engine loads a model file.
 * One thread.
 */
#ifndef WORKLOADS_TINYLLM_MODEL_CUH
#define WORKLOADS_TINYLLM_MODEL_CUH

#include "tests/workloads/check.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <vector>

/** Shape of a model. hidden is the width of the SwiGLU layer. */
struct model_shape {
    int layers, dim, heads, vocab, hidden;
};

/* name, elements, inputs of a matrix (0: gains around one) */
// clang-format off
#define LAYER_TENSORS(X)                                    \
    X(attention_norm, s.dim,                     0) \
    X(query,          (size_t)s.dim * s.dim,     s.dim) \
    X(key,            (size_t)s.dim * s.dim,     s.dim) \
    X(value,          (size_t)s.dim * s.dim,     s.dim) \
    X(output,         (size_t)s.dim * s.dim,     s.dim) \
    X(feed_norm,      s.dim,                     0) \
    X(gate,           (size_t)s.hidden * s.dim,  s.dim) \
    X(up,             (size_t)s.hidden * s.dim,  s.dim) \
    X(down,           (size_t)s.dim * s.hidden,  s.hidden)

#define MODEL_TENSORS(X)                            \
    X(embedding,      (size_t)s.vocab * s.dim,   1) \
    X(final_norm,     s.dim,                     0) \
    X(head,           (size_t)s.vocab * s.dim,   s.dim)
// clang-format on

#define TENSOR_FIELD(name, elements, inputs) float *name;

struct layer_weights {
    LAYER_TENSORS(TENSOR_FIELD)
};

struct model {
    struct model_shape shape;
    MODEL_TENSORS(TENSOR_FIELD)
    std::vector<struct layer_weights> layers;
};

/** Where weights come from and, when save is set, where a copy goes. */
struct weight_source {
    uint64_t seed;
    FILE *load, *save;
    const char *load_name, *save_name;
};

#define STAGING_FLOATS ((size_t)1 << 18)

/** Double-buffered way to the device. */
struct staging {
    float *buffer[2];
    cudaEvent_t sent[2];
    cudaStream_t stream;
    int turn;
};

static const char MODEL_MAGIC[8] = {'T', 'I', 'N', 'Y', 'L', 'L', 'M', '1'};

[[noreturn]] static inline void model_file_fail(const char *name, const char *what)
{
    fprintf(stderr, "tinyllm: %s: %s\n", name, what);
    exit(1);
}

static inline void model_generate(float *values, uint64_t seed, int tensor, size_t first,
                                  size_t count, int inputs)
{
    const float scale = inputs > 0 ? sqrtf(3.0f / (float)inputs) : 0.1f;
    const float centre = inputs > 0 ? 0.0f : 1.0f;
    const uint64_t stream = hash_mix(hash_mix(seed) ^ (uint64_t)tensor);
    for (size_t i = 0; i < count; i++) {
        float unit = (float)(hash_mix(stream ^ (first + i)) >> 40) * (1.0f / 8388608.0f) - 1.0f;
        values[i] = centre + scale * unit;
    }
}

static inline void model_fetch(float *values, const struct weight_source *source, int tensor,
                               size_t first, size_t count, int inputs)
{
    if (!source->load)
        model_generate(values, source->seed, tensor, first, count, inputs);
    else if (fread(values, sizeof(float), count, source->load) != count)
        model_file_fail(source->load_name, "ends early");
    if (source->save && fwrite(values, sizeof(float), count, source->save) != count)
        model_file_fail(source->save_name, strerror(errno));
}

/** Allocates one tensor and sends its values in pieces; tensor counts up over the model. */
static inline float *model_load_tensor(struct staging *staging, const struct weight_source *source,
                                       int tensor, size_t count, int inputs)
{
    float *device = NULL;
    CUDA_CHECK(cudaMalloc(&device, count * sizeof(float)));
    for (size_t first = 0; first < count; first += STAGING_FLOATS) {
        size_t part = count - first < STAGING_FLOATS ? count - first : STAGING_FLOATS;
        int turn = staging->turn ^= 1;
        CUDA_CHECK(cudaEventSynchronize(staging->sent[turn]));
        model_fetch(staging->buffer[turn], source, tensor, first, part, inputs);
        CUDA_CHECK(cudaMemcpyAsync(device + first, staging->buffer[turn], part * sizeof(float),
                                   cudaMemcpyHostToDevice, staging->stream));
        CUDA_CHECK(cudaEventRecord(staging->sent[turn], staging->stream));
    }
    return device;
}

static inline void staging_init(struct staging *staging, cudaStream_t stream)
{
    staging->stream = stream;
    staging->turn = 0;
    for (int i = 0; i < 2; i++) {
        CUDA_CHECK(cudaMallocHost((void **)&staging->buffer[i], STAGING_FLOATS * sizeof(float)));
        CUDA_CHECK(cudaEventCreateWithFlags(&staging->sent[i], cudaEventDisableTiming));
    }
}

static inline void staging_done(struct staging *staging)
{
    for (int i = 0; i < 2; i++) {
        CUDA_CHECK(cudaEventSynchronize(staging->sent[i]));
        CUDA_CHECK(cudaEventDestroy(staging->sent[i]));
        CUDA_CHECK(cudaFreeHost(staging->buffer[i]));
    }
}

/** Takes the shape from the file's header; a file of another kind ends the program. */
static inline void model_read_shape(const struct weight_source *source, struct model_shape *shape)
{
    char magic[sizeof(MODEL_MAGIC)];
    if (fread(magic, sizeof(magic), 1, source->load) != 1 ||
        memcmp(magic, MODEL_MAGIC, sizeof(magic)) != 0 ||
        fread(shape, sizeof(*shape), 1, source->load) != 1)
        model_file_fail(source->load_name, "is not a tinyllm weights file");
    for (int field : {shape->layers, shape->dim, shape->heads, shape->vocab, shape->hidden})
        if (field < 1 || field > 1 << 20)
            model_file_fail(source->load_name, "has an impossible shape");
    if (shape->dim % 4 != 0 || shape->hidden % 4 != 0 || shape->dim % (2 * shape->heads) != 0)
        model_file_fail(source->load_name, "has an impossible shape");
}

/** Loads every tensor through `stream`, which holds the last copies when this returns. */
static inline void model_load(struct model *model, const struct weight_source *source,
                              cudaStream_t stream)
{
    const struct model_shape &s = model->shape;
    struct staging staging;
    int tensor = 0;
    staging_init(&staging, stream);
    if (source->save && (fwrite(MODEL_MAGIC, sizeof(MODEL_MAGIC), 1, source->save) != 1 ||
                                 fwrite(&s, sizeof(s), 1, source->save) != 1))
        model_file_fail(source->save_name, strerror(errno));
#define TENSOR_LOAD(name, elements, inputs)                                                        \
    owner.name = model_load_tensor(&staging, source, tensor++, (elements), (inputs));
    {
        struct model &owner = *model;
        MODEL_TENSORS(TENSOR_LOAD)
    }
    model->layers.resize((size_t)s.layers);
    for (struct layer_weights &owner : model->layers) {
        LAYER_TENSORS(TENSOR_LOAD)
    }
#undef TENSOR_LOAD
    staging_done(&staging);
}

static inline void model_free(struct model *model)
{
#define TENSOR_FREE(name, elements, inputs) CUDA_CHECK(cudaFree(owner.name));
    for (struct layer_weights &owner : model->layers) {
        LAYER_TENSORS(TENSOR_FREE)
    }
    struct model &owner = *model;
    MODEL_TENSORS(TENSOR_FREE)
#undef TENSOR_FREE
}

#endif

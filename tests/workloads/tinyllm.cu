/* SPDX-License-Identifier: MIT */
/*
 * tinyllm: a small decoder-only transformer that uses device memory as naive engines do.
 *
 * RMSNorm, rotary attention over a growing KV cache, SwiGLU, final norm, logits, sampling. A batch
 * of sequences of different lengths runs token by token; one that ends makes room for the next of
 * a queue. Temporaries are allocated and freed inside each layer while the kernels that use them
 * still run; a KV cache that is full is allocated anew, copied on a second stream and freed.
 *
 * stdout has the tokens of each sequence and a checksum of all logits, equal from run to run on
 * one device. Two streams, one thread.
 *
 *   tinyllm --tokens 64 --seed 7          a moment, a few MiB
 *   tinyllm --preset large                peak device memory above 256 MiB, few tokens
 *   tinyllm --paged                       keys and values in blocks of a KV pool, not in arrays
 * that grow: the same tokens and logits
 *   tinyllm --kv-offload 64 --kv-codec rice   first as --paged, then once more along the same
 * tokens with blocks that leave and come back; says how many of them it would have chosen, too
 */
#include "tests/workloads/check.h"
#include "tests/workloads/options.h"
#include "tests/workloads/tinyllm_kernels.cuh"
#include "tests/workloads/tinyllm_model.cuh"
#include "tests/workloads/tinyllm_paged.cuh"
#include "tests/workloads/tinyllm_sample.h"

#include <deque>

#define PROMPT_LENGTHS 8
#define KV_FIRST       8

/* Names of the random streams; tensors are counted from 0. */
enum { STREAM_LENGTH = 1 << 20, STREAM_PROMPT = 2 << 20, STREAM_DRAW = 3 << 20 };

struct settings {
    long long layers, dim, heads, vocab, batch, tokens, sequences, seed, top_k, top, paged, offload;
    double temperature;
    const char *preset, *load_name, *save_name, *codec;
};

struct sequence {
    int index, prompt_length, length; /* length counts the prompt too */
    std::vector<int> tokens;
    const std::vector<int> *along; /* tokens to take in place of those chosen; NULL: none */
    int chosen, agreed;            /* with those */
};

struct kv_cache {
    float *keys, *values; /* [capacity][dim] each */
    int length, capacity;
};

/** A place in the batch, and the sequence that has it. */
struct slot {
    struct sequence *sequence;
    int position;
    std::vector<struct kv_cache> caches; /* one a layer */
    struct paged_row paged;              /* with --paged, in their place */
};

struct engine {
    struct model model;
    cudaStream_t compute, copy;
    cudaEvent_t compute_done, copy_done;
    float *host_logits; /* pinned, [batch][vocab] */
    int *host_inputs;   /* pinned, tokens then positions */
    int *tokens, *positions;
    int rows;
    struct paged_cache *paged; /* NULL: a cache a sequence */
};

static float *floats_alloc(size_t count)
{
    float *device = NULL;
    CUDA_CHECK(cudaMalloc(&device, count * sizeof(float)));
    return device;
}

static unsigned blocks_of(size_t threads)
{
    return (unsigned)((threads + TINYLLM_THREADS - 1) / TINYLLM_THREADS);
}

/** Makes `later` wait for the work submitted to `earlier`. */
static void stream_order(cudaStream_t earlier, cudaStream_t later, cudaEvent_t event)
{
    CUDA_CHECK(cudaEventRecord(event, earlier));
    CUDA_CHECK(cudaStreamWaitEvent(later, event, 0));
}

/** Returns a new buffer with weight · x of every row. */
static float *engine_project(struct engine *engine, const float *x, const float *weight, int inputs,
                             int outputs)
{
    float *y = floats_alloc((size_t)engine->rows * outputs);
    dim3 grid(blocks_of(outputs), engine->rows);
    tinyllm_matmul<<<grid, TINYLLM_THREADS, 0, engine->compute>>>(y, x, weight, inputs, outputs);
    CUDA_CHECK(cudaGetLastError());
    return y;
}

static float *engine_normalise(struct engine *engine, const float *x, const float *gain)
{
    int dim = engine->model.shape.dim;
    float *y = floats_alloc((size_t)engine->rows * dim);
    tinyllm_rmsnorm<<<engine->rows, TINYLLM_THREADS, 0, engine->compute>>>(y, x, gain, dim);
    CUDA_CHECK(cudaGetLastError());
    return y;
}

static void engine_accumulate(struct engine *engine, float *x, const float *y)
{
    int count = engine->rows * engine->model.shape.dim;
    tinyllm_add<<<blocks_of(count), TINYLLM_THREADS, 0, engine->compute>>>(x, y, count);
    CUDA_CHECK(cudaGetLastError());
}

static void engine_rotate(struct engine *engine, float *x)
{
    const struct model_shape &s = engine->model.shape;
    dim3 grid(blocks_of(s.dim / 2), engine->rows);
    tinyllm_rope<<<grid, TINYLLM_THREADS, 0, engine->compute>>>(x, engine->positions, s.dim,
                                                                s.dim / s.heads);
    CUDA_CHECK(cudaGetLastError());
}

/** Gives one buffer of a cache its new size; the old one is freed while its copy is under way. */
static float *kv_move(struct engine *engine, float *old, size_t old_count, size_t new_count)
{
    float *bigger = floats_alloc(new_count);
    if (old_count > 0)
        CUDA_CHECK(cudaMemcpyAsync(bigger, old, old_count * sizeof(float), cudaMemcpyDeviceToDevice,
                                   engine->copy));
    CUDA_CHECK(cudaFree(old));
    return bigger;
}

static void kv_grow(struct engine *engine, struct kv_cache *cache)
{
    size_t dim = (size_t)engine->model.shape.dim;
    int capacity = cache->capacity == 0 ? KV_FIRST : cache->capacity * 3 / 2;
    stream_order(engine->compute, engine->copy, engine->compute_done);
    cache->keys = kv_move(engine, cache->keys, cache->length * dim, capacity * dim);
    cache->values = kv_move(engine, cache->values, cache->length * dim, capacity * dim);
    stream_order(engine->copy, engine->compute, engine->copy_done);
    cache->capacity = capacity;
}

static void kv_append(struct engine *engine, struct kv_cache *cache, const float *key,
                      const float *value)
{
    size_t dim = (size_t)engine->model.shape.dim;
    if (cache->length == cache->capacity)
        kv_grow(engine, cache);
    size_t at = cache->length * dim;
    CUDA_CHECK(cudaMemcpyAsync(cache->keys + at, key, dim * sizeof(float), cudaMemcpyDeviceToDevice,
                               engine->compute));
    CUDA_CHECK(cudaMemcpyAsync(cache->values + at, value, dim * sizeof(float),
                               cudaMemcpyDeviceToDevice, engine->compute));
    cache->length++;
}

/** Attention of one row over its own cache. */
static void engine_attend_row(struct engine *engine, float *out, const float *query,
                              const struct kv_cache *cache)
{
    const struct model_shape &s = engine->model.shape;
    struct tinyllm_cache view = {cache->keys, cache->values, cache->length, s.dim, s.dim / s.heads};
    float *scores = floats_alloc((size_t)s.heads * cache->length);
    dim3 grid(blocks_of(cache->length), s.heads);
    tinyllm_scores<<<grid, TINYLLM_THREADS, 0, engine->compute>>>(scores, query, view);
    tinyllm_softmax<<<s.heads, TINYLLM_THREADS, 0, engine->compute>>>(scores, cache->length);
    tinyllm_mix<<<blocks_of(s.dim), TINYLLM_THREADS, 0, engine->compute>>>(out, scores, view);
    CUDA_CHECK(cudaGetLastError());
    CUDA_CHECK(cudaFree(scores));
}

/** The same over the blocks of a pool. */
static void engine_attend_paged(struct engine *engine, float *out, const float *query,
                                const struct tinyllm_pages &pages)
{
    const struct model_shape &s = engine->model.shape;
    float *scores = floats_alloc((size_t)s.heads * pages.length);
    dim3 grid(blocks_of(pages.length), s.heads);
    tinyllm_scores_paged<<<grid, TINYLLM_THREADS, 0, engine->compute>>>(scores, query, pages);
    tinyllm_softmax<<<s.heads, TINYLLM_THREADS, 0, engine->compute>>>(scores, pages.length);
    tinyllm_mix_paged<<<blocks_of(s.dim), TINYLLM_THREADS, 0, engine->compute>>>(out, scores,
                                                                                 pages);
    CUDA_CHECK(cudaGetLastError());
    CUDA_CHECK(cudaFree(scores));
}

/** x += output · attention(norm(x)) */
static void engine_attend(struct engine *engine, float *x, const struct layer_weights *weights,
                          std::vector<struct slot> *slots, size_t layer)
{
    int dim = engine->model.shape.dim;
    float *norm = engine_normalise(engine, x, weights->attention_norm);
    float *query = engine_project(engine, norm, weights->query, dim, dim);
    float *key = engine_project(engine, norm, weights->key, dim, dim);
    float *value = engine_project(engine, norm, weights->value, dim, dim);
    CUDA_CHECK(cudaFree(norm));
    engine_rotate(engine, query);
    engine_rotate(engine, key);

    float *mixed = floats_alloc((size_t)engine->rows * dim);
    for (size_t row = 0; row < slots->size(); row++) {
        if (engine->paged) {
            struct tinyllm_pages pages = paged_append(engine->paged, &(*slots)[row].paged,
                                                      (int)layer, key + row * dim,
                                                      value + row * dim, engine->compute);
            engine_attend_paged(engine, mixed + row * dim, query + row * dim, pages);
            continue;
        }
        struct kv_cache *cache = &(*slots)[row].caches[layer];
        kv_append(engine, cache, key + row * dim, value + row * dim);
        engine_attend_row(engine, mixed + row * dim, query + row * dim, cache);
    }
    float *output = engine_project(engine, mixed, weights->output, dim, dim);
    engine_accumulate(engine, x, output);
    for (float *temporary : {query, key, value, mixed, output})
        CUDA_CHECK(cudaFree(temporary));
}

/** x += down · (silu(gate · norm(x)) * (up · norm(x))) */
static void engine_feed_forward(struct engine *engine, float *x,
                                const struct layer_weights *weights)
{
    const struct model_shape &s = engine->model.shape;
    float *norm = engine_normalise(engine, x, weights->feed_norm);
    float *gate = engine_project(engine, norm, weights->gate, s.dim, s.hidden);
    float *up = engine_project(engine, norm, weights->up, s.dim, s.hidden);
    CUDA_CHECK(cudaFree(norm));
    int count = engine->rows * s.hidden;
    tinyllm_swiglu<<<blocks_of(count), TINYLLM_THREADS, 0, engine->compute>>>(gate, up, count);
    CUDA_CHECK(cudaGetLastError());
    CUDA_CHECK(cudaFree(up));
    float *down = engine_project(engine, gate, weights->down, s.hidden, s.dim);
    CUDA_CHECK(cudaFree(gate));
    engine_accumulate(engine, x, down);
    CUDA_CHECK(cudaFree(down));
}

/** Sends each row's token and position; the device copies live for one step. */
static void engine_send_inputs(struct engine *engine, const std::vector<struct slot> *slots)
{
    size_t rows = slots->size();
    for (size_t row = 0; row < rows; row++) {
        const struct slot &slot = (*slots)[row];
        engine->host_inputs[row] = slot.sequence->tokens[(size_t)slot.position];
        engine->host_inputs[rows + row] = slot.position;
    }
    engine->rows = (int)rows;
    CUDA_CHECK(cudaMalloc(&engine->tokens, rows * sizeof(int)));
    CUDA_CHECK(cudaMalloc(&engine->positions, rows * sizeof(int)));
    CUDA_CHECK(cudaMemcpyAsync(engine->tokens, engine->host_inputs, rows * sizeof(int),
                               cudaMemcpyHostToDevice, engine->copy));
    CUDA_CHECK(cudaMemcpyAsync(engine->positions, engine->host_inputs + rows, rows * sizeof(int),
                               cudaMemcpyHostToDevice, engine->copy));
    stream_order(engine->copy, engine->compute, engine->copy_done);
}

/** One token of every sequence in the batch; host_logits holds the result when this returns. */
static void engine_step(struct engine *engine, std::vector<struct slot> *slots)
{
    struct model *model = &engine->model;
    const struct model_shape &s = model->shape;
    engine_send_inputs(engine, slots);
    if (engine->paged) {
        for (struct slot &slot : *slots) {
            paged_suspend(engine->paged, &slot.paged, &slot.sequence->tokens[0], engine->compute);
            paged_token(engine->paged, &slot.paged, slot.sequence->tokens[(size_t)slot.position],
                        engine->compute);
        }
        paged_tables(engine->paged, engine->compute);
    }
    float *x = floats_alloc((size_t)engine->rows * s.dim);
    dim3 grid(blocks_of(s.dim), engine->rows);
    tinyllm_embed<<<grid, TINYLLM_THREADS, 0, engine->compute>>>(x, model->embedding,
                                                                 engine->tokens, s.dim);
    CUDA_CHECK(cudaGetLastError());
    for (size_t layer = 0; layer < model->layers.size(); layer++) {
        engine_attend(engine, x, &model->layers[layer], slots, layer);
        engine_feed_forward(engine, x, &model->layers[layer]);
    }
    float *norm = engine_normalise(engine, x, model->final_norm);
    CUDA_CHECK(cudaFree(x));
    float *logits = engine_project(engine, norm, model->head, s.dim, s.vocab);
    CUDA_CHECK(cudaFree(norm));
    stream_order(engine->compute, engine->copy, engine->compute_done);
    CUDA_CHECK(cudaMemcpyAsync(engine->host_logits, logits,
                               (size_t)engine->rows * s.vocab * sizeof(float),
                               cudaMemcpyDeviceToHost, engine->copy));
    CUDA_CHECK(cudaEventRecord(engine->copy_done, engine->copy));
    CUDA_CHECK(cudaFree(logits));
    CUDA_CHECK(cudaFree(engine->tokens));
    CUDA_CHECK(cudaFree(engine->positions));
    CUDA_CHECK(cudaEventSynchronize(engine->copy_done));
}

static void print_top(const struct slot *slot, const float *logits, int vocab, int count)
{
    printf("top %d %d", slot->sequence->index, slot->position);
    for (int token : sample_top(logits, vocab, count))
        printf(" %d:%.6f", token, (double)logits[token]);
    printf("\n");
}

/** Moves a slot on by one token. Returns false when its sequence is complete. */
static bool slot_advance(struct slot *slot, const struct settings *settings, const float *logits,
                         uint64_t *checksum)
{
    const struct sampling sampling = {settings->temperature, (int)settings->top_k};
    struct sequence *sequence = slot->sequence;
    for (long long i = 0; i < settings->vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof(bits));
        *checksum = hash_mix(*checksum ^ bits);
    }
    if (settings->top > 0)
        print_top(slot, logits, (int)settings->vocab, (int)settings->top);
    slot->position++;
    if (slot->position >= sequence->prompt_length) {
        uint64_t hash = hash_at((uint64_t)settings->seed, STREAM_DRAW + sequence->index,
                                (uint64_t)slot->position);
        int token = sample_token(&sampling, logits, (int)settings->vocab, hash_unit(hash));
        if (sequence->along) {
            sequence->chosen++;
            sequence->agreed += token == (*sequence->along)[(size_t)slot->position];
            token = (*sequence->along)[(size_t)slot->position];
        }
        sequence->tokens.push_back(token);
    }
    return slot->position < sequence->length - 1;
}

static void slot_free(struct engine *engine, struct slot *slot)
{
    if (engine->paged)
        paged_end(engine->paged, &slot->paged, engine->compute);
    for (struct kv_cache &cache : slot->caches) {
        CUDA_CHECK(cudaFree(cache.keys));
        CUDA_CHECK(cudaFree(cache.values));
    }
}

/** Runs every sequence of the queue; returns the checksum of all logits. */
static uint64_t engine_run(struct engine *engine, const struct settings *settings,
                           std::vector<struct sequence> *sequences)
{
    std::vector<struct slot> slots;
    size_t next = 0;
    uint64_t checksum = 0;
    for (;;) {
        while (slots.size() < (size_t)settings->batch && next < sequences->size()) {
            slots.push_back({&(*sequences)[next++],
                             0,
                             std::vector<struct kv_cache>((size_t)settings->layers),
                             {}});
            if (engine->paged)
                paged_begin(engine->paged, &slots.back().paged);
        }
        if (slots.empty())
            return checksum;
        engine_step(engine, &slots);
        std::vector<struct slot> kept;
        for (size_t row = 0; row < slots.size(); row++) {
            const float *logits = engine->host_logits + row * (size_t)settings->vocab;
            if (slot_advance(&slots[row], settings, logits, &checksum))
                kept.push_back(std::move(slots[row]));
            else
                slot_free(engine, &slots[row]);
        }
        slots.swap(kept);
    }
}

/** Sequence lengths and prompts, all from the seed. */
static std::vector<struct sequence> sequences_plan(const struct settings *settings)
{
    std::vector<struct sequence> sequences;
    uint64_t seed = (uint64_t)settings->seed;
    for (long long i = 0; i < settings->sequences; i++) {
        uint64_t least = (uint64_t)(settings->tokens + 3) / 4;
        uint64_t spread = (uint64_t)settings->tokens - least + 1;
        struct sequence sequence = {};
        sequence.index = (int)i;
        sequence.prompt_length = 1 + (int)(hash_at(seed, STREAM_LENGTH, 2 * i) % PROMPT_LENGTHS);
        sequence.length = sequence.prompt_length +
                          (int)(least + hash_at(seed, STREAM_LENGTH, 2 * i + 1) % spread);
        for (int j = 0; j < sequence.prompt_length; j++)
            sequence.tokens.push_back(
                (int)(hash_at(seed, STREAM_PROMPT + i, j) % (uint64_t)settings->vocab));
        sequences.push_back(sequence);
    }
    return sequences;
}

static void engine_init(struct engine *engine, const struct weight_source *source,
                        const struct model_shape *shape, size_t batch)
{
    CUDA_CHECK(cudaSetDevice(0));
    CUDA_CHECK(cudaStreamCreateWithFlags(&engine->compute, cudaStreamNonBlocking));
    CUDA_CHECK(cudaStreamCreateWithFlags(&engine->copy, cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreateWithFlags(&engine->compute_done, cudaEventDisableTiming));
    CUDA_CHECK(cudaEventCreateWithFlags(&engine->copy_done, cudaEventDisableTiming));
    CUDA_CHECK(cudaMallocHost((void **)&engine->host_logits,
                              batch * (size_t)shape->vocab * sizeof(float)));
    CUDA_CHECK(cudaMallocHost((void **)&engine->host_inputs, 2 * batch * sizeof(int)));
    engine->model.shape = *shape;
    model_load(&engine->model, source, engine->copy);
    stream_order(engine->copy, engine->compute, engine->copy_done);
}

static void engine_done(struct engine *engine)
{
    model_free(&engine->model);
    CUDA_CHECK(cudaFreeHost(engine->host_logits));
    CUDA_CHECK(cudaFreeHost(engine->host_inputs));
    CUDA_CHECK(cudaEventDestroy(engine->compute_done));
    CUDA_CHECK(cudaEventDestroy(engine->copy_done));
    CUDA_CHECK(cudaStreamDestroy(engine->compute));
    CUDA_CHECK(cudaStreamDestroy(engine->copy));
}

/** Rows with targets in `settings`; presets are applied first. */
static void settings_parse(struct settings *settings, int argc, char **argv)
{
    *settings = {3, 128, 8, 1024, 4, 32, 0, 1, 40, 0, 0, 0, 0.8, "small", NULL, NULL, NULL};
    const struct option_row rows[] = {
        {"preset", OPTION_TEXT, &settings->preset, 0, 0,
         "small, or large: dim 1024, vocab 40000, batch 2, tokens 4"},
        {"tokens", OPTION_COUNT, &settings->tokens, 1, 65536, "tokens of the longest answer"},
        {"batch", OPTION_COUNT, &settings->batch, 1, 1024, "sequences at a time"},
        {"sequences", OPTION_COUNT, &settings->sequences, 0, 65536, "in all; 0: twice the batch"},
        {"layers", OPTION_COUNT, &settings->layers, 1, 256, "layers of the model"},
        {"dim", OPTION_COUNT, &settings->dim, 4, 65536, "width, a multiple of 4 and 2*heads"},
        {"heads", OPTION_COUNT, &settings->heads, 1, 1024, "attention heads"},
        {"vocab", OPTION_COUNT, &settings->vocab, 2, 1 << 20, "tokens known to the model"},
        {"temperature", OPTION_REAL, &settings->temperature, 0, 100, "of sampling; 0: greedy"},
        {"top-k", OPTION_COUNT, &settings->top_k, 1, 1 << 20, "tokens to choose from"},
        {"seed", OPTION_COUNT, &settings->seed, 0, 9e18, "of weights, prompts and choices"},
        {"weights", OPTION_TEXT, &settings->load_name, 0, 0, "file to read weights, shape from"},
        {"save-weights", OPTION_TEXT, &settings->save_name, 0, 0, "file to write weights to"},
        {"paged", OPTION_FLAG, &settings->paged, 0, 1, "keys and values in a pool of blocks"},
        {"kv-offload", OPTION_COUNT, &settings->offload, 0, 65536,
         "tokens, a multiple of 16, from one return from lower tiers to the next; 0: none"},
        {"kv-codec", OPTION_TEXT, &settings->codec, 0, 0, "of blocks in lower tiers"},
        {"top", OPTION_COUNT, &settings->top, 0, 1 << 20, "print this many best logits a step"},
    };
    const struct option_table table = {
        "tinyllm", "Generates tokens with a small transformer; prints them and a logits checksum.",
        rows, sizeof(rows) / sizeof(rows[0])};
    option_parse(&table, argc, argv);
    if (strcmp(settings->preset, "large") == 0) {
        settings->dim = 1024, settings->vocab = 40000;
        settings->batch = 2, settings->tokens = 4;
        option_parse(&table, argc, argv);
    } else if (strcmp(settings->preset, "small") != 0) {
        fprintf(stderr, "tinyllm: --preset: '%s' is not small or large (see --help)\n",
                settings->preset);
        exit(2);
    }
    if (settings->sequences == 0)
        settings->sequences = 2 * settings->batch;
    if (settings->codec && settings->offload == 0)
        settings->offload = 64;
    if (settings->offload % 16 != 0) {
        fprintf(stderr, "tinyllm: --kv-offload: %lld is not a multiple of 16\n", settings->offload);
        exit(2);
    }
}

static FILE *file_open(const char *name, const char *mode)
{
    FILE *file = !name ? NULL : fopen(name, mode);
    if (name && !file)
        model_file_fail(name, strerror(errno));
    return file;
}

/** The model's shape, from the weights file when there is one; refuses what cannot be computed. */
static struct model_shape settings_shape(struct settings *settings,
                                         const struct weight_source *source)
{
    struct model_shape shape = {(int)settings->layers, (int)settings->dim, (int)settings->heads,
                                (int)settings->vocab, 0};
    shape.hidden = (8 * shape.dim / 3 + 31) / 32 * 32;
    if (source->load)
        model_read_shape(source, &shape);
    settings->layers = shape.layers;
    settings->vocab = shape.vocab;
    if (shape.dim % 4 != 0 || shape.dim % (2 * shape.heads) != 0) {
        fprintf(stderr, "tinyllm: --dim: %d is not a multiple of 4 and of 2*heads = %d\n",
                shape.dim, 2 * shape.heads);
        exit(2);
    }
    return shape;
}

/** The same tokens once more, with blocks that leave for lower tiers and come back. */
static void offload_run(struct engine *engine, const struct settings *settings,
                        const std::vector<struct sequence> *first)
{
    std::vector<struct sequence> sequences = sequences_plan(settings);
    int longest = PROMPT_LENGTHS + (int)settings->tokens, chosen = 0, agreed = 0;

    engine->paged = paged_make(&engine->model.shape, (int)settings->batch, longest);
    paged_tiers(engine->paged, settings->codec, (int)settings->offload, (int)settings->sequences,
                longest);
    for (size_t at = 0; at < sequences.size(); at++)
        sequences[at].along = &(*first)[at].tokens;
    uint64_t checksum = engine_run(engine, settings, &sequences);
    for (const struct sequence &sequence : sequences) {
        chosen += sequence.chosen;
        agreed += sequence.agreed;
    }
    paged_report(engine->paged);
    printf("agreement %d of %d tokens\n", agreed, chosen);
    printf("logits offloaded %016llx\n", (unsigned long long)checksum);
    paged_done(engine->paged);
}

int main(int argc, char **argv)
{
    struct settings settings;
    settings_parse(&settings, argc, argv);
    struct weight_source source = {(uint64_t)settings.seed, file_open(settings.load_name, "rb"),
                                   file_open(settings.save_name, "wb"), settings.load_name,
                                   settings.save_name};
    struct model_shape shape = settings_shape(&settings, &source);
    struct engine engine = {};
    engine_init(&engine, &source, &shape, (size_t)settings.batch);
    if (source.save && fclose(source.save) != 0)
        model_file_fail(settings.save_name, strerror(errno));
    if (source.load)
        fclose(source.load);

    std::vector<struct sequence> sequences = sequences_plan(&settings);
    if (settings.paged || settings.offload > 0)
        engine.paged = paged_make(&shape, (int)settings.batch,
                                  PROMPT_LENGTHS + (int)settings.tokens);
    uint64_t checksum = engine_run(&engine, &settings, &sequences);
    for (const struct sequence &sequence : sequences) {
        printf("sequence %d prompt %d tokens", sequence.index, sequence.prompt_length);
        for (int token : sequence.tokens)
            printf(" %d", token);
        printf("\n");
    }
    printf("logits %016llx\n", (unsigned long long)checksum);
    paged_done(engine.paged);
    if (settings.offload > 0)
        offload_run(&engine, &settings, &sequences);
    engine_done(&engine);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * How tinyllm chooses a token from a row of logits, on the host.
 *
 * Temperature 0 is greedy; else the top-k logits are weighed with the temperature and one is drawn
 * with a value that depends on the seed, the sequence and the position only, so that the choice
 * does not depend on who else is in the batch. Equal logits: the lower token first. Stateless.
 */
#ifndef WORKLOADS_TINYLLM_SAMPLE_H
#define WORKLOADS_TINYLLM_SAMPLE_H

#include <math.h>

#include <algorithm>
#include <numeric>
#include <vector>

struct sampling {
    double temperature;
    int top_k;
};

/** The `count` tokens of the highest logits, highest first. */
static inline std::vector<int> sample_top(const float *logits, int vocab, int count)
{
    std::vector<int> tokens((size_t)vocab);
    std::iota(tokens.begin(), tokens.end(), 0);
    count = std::min(count, vocab);
    std::partial_sort(tokens.begin(), tokens.begin() + count, tokens.end(), [=](int a, int b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    tokens.resize((size_t)count);
    return tokens;
}

/** The next token; `draw` is uniform in [0, 1). */
static inline int sample_token(const struct sampling *sampling, const float *logits, int vocab,
                               double draw)
{
    if (sampling->temperature == 0)
        return sample_top(logits, vocab, 1)[0];
    std::vector<int> tokens = sample_top(logits, vocab, sampling->top_k);
    std::vector<double> weights;
    double sum = 0;
    for (int token : tokens) {
        double above = (double)logits[token] - (double)logits[tokens[0]];
        weights.push_back(exp(above / sampling->temperature));
        sum += weights.back();
    }
    double rest = draw * sum;
    for (size_t i = 0; i < tokens.size(); i++) {
        rest -= weights[i];
        if (rest < 0)
            return tokens[i];
    }
    return tokens.back();
}

#endif

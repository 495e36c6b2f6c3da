/* SPDX-License-Identifier: MIT */
/*
 * Explains why a request for device memory was refused: one function with stated rules, for the
 * preload and for the tools.
 *
 * Threading: pure functions.
 */
#ifndef CUPTI_FORMAT_VERDICT_H
#define CUPTI_FORMAT_VERDICT_H

#include <stdint.h>

/** The figures of postmortem.def, summed over the pools of the device; largest_free_bytes is
 * their maximum.
 */
struct verdict_facts {
    uint64_t request_bytes;
#define POSTMORTEM_POOL(name, help)   uint64_t name;
#define POSTMORTEM_DEVICE(name, help) uint64_t name;
#include "cupti/format/postmortem.def"
};

/*
 * VERDICT(NAME, name, sentence)
 */
/* clang-format off */
#define VERDICTS(VERDICT)                                                                          \
    VERDICT(GENUINE, "genuine", "the program needs more memory than the device has")                     \
    VERDICT(LIMIT, "limit", "the option limit is reached, the device has free memory")                           \
    VERDICT(HOARDING, "hoarding", "freed memory waits for device work or stays cached")          \
    VERDICT(FRAGMENTATION, "fragmentation", "enough memory is free, but no piece is large enough")              \
    VERDICT(OTHERS, "another process", "other processes hold the missing memory")
/* clang-format on */

enum verdict {
#define VERDICT(NAME, name, sentence) VERDICT_##NAME,
    VERDICTS(VERDICT)
#undef VERDICT
        VERDICT_COUNT
};

/**
 * The first rule that holds. `room` is what the driver has free, or what is left under the limit
 * if that is less; without the driver's account, 0.
 *   1. limit: the driver has the request free, and it does not fit under the limit;
 *   2. fragmentation: room and the pool's free memory are enough together, in no single piece;
 *   3. hoarding: they are enough together with the quarantine, or a single piece was large enough;
 *   4. another process: others hold at least what is missing, and an eighth of the device or more,
 *      which is beyond what contexts and code of this process take;
 *   5. genuine.
 */
enum verdict verdict_of(const struct verdict_facts *facts);

/** Bytes neither free nor of this process, by the driver's account; 0 when it was not asked. */
uint64_t verdict_others_bytes(const struct verdict_facts *facts);

const char *verdict_name(enum verdict verdict);
const char *verdict_sentence(enum verdict verdict);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Mutates budgets and baselines: for any input, the result is one line of error or a value, and no
 * crash. usage: budget_mutate INPUTS
 *
 * Every input has a seed of its own; the first is printed, and CUPOOL_TEST_SEED repeats it.
 *
 * Threading: single-threaded.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/budget_fuzz.h"

static const char budget[] =
    "[budget]\npeak_live = 14 GiB\nleaked_at_exit = 0 B\nalloc_failures = 0\n"
    "peak_live_growth = +3%, min 1 MiB\n\n[site model_load*]\npeak = 12 GiB\n\n"
    "[ignore]\nsite = libnccl*\n";
static const char baseline[] =
    "{\"device\": [{\"driver_version\": \"13.0\", \"name\": \"GPU\"}], \"ignored_sites\": "
    "[\"libnccl*\"], \"metrics\": {\"alloc_failures\": 0, \"allocations\": 100, "
    "\"driver_calls\": 0, \"fragmentation_overhead\": 0.0, \"invalid_frees\": 0, "
    "\"leaked_at_exit\": 17305476, \"peak_driver\": 0, \"peak_live\": 17305476, "
    "\"peak_reserved\": 0, \"pool_hits\": 89.0}, \"schema\": \"cupool.baseline/1\", \"sites\": "
    "[{\"allocations\": 2, \"at_peak_bytes\": 34150, \"function\": \"load\", \"leaked_bytes\": "
    "34150, \"module\": \"app\", \"peak_bytes\": 34150, \"requested_bytes\": 34150}], "
    "\"sites_left_out\": 0}";

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    uint64_t mixed = state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return (mixed ^ mixed >> 31) % below;
}

static void mutate(char *text, size_t bytes)
{
    static const char *const words[] = {
        "-1",     "99999999999999999999", "[", "{", "\"", "\n", "%", "=", "1e999", "]", "}", "*",
        "\\u0000"};
    const char *word = words[draw(sizeof words / sizeof *words)];
    size_t at = draw(bytes), length = strlen(word), from = draw(bytes), part = draw(40);

    switch (draw(4)) {
    case 0: text[at] = (char)draw(256); break;
    case 1: text[at] ^= (char)(1 << draw(8)); break;
    case 2: memcpy(text + at, word, length < bytes - at ? length : bytes - at); break;
    default:
        part = part < bytes - (at > from ? at : from) ? part : 0;
        memmove(text + at, text + from, part);
    }
}

/** True when the input was taken as sound. */
static bool input_run(bool is_budget, uint64_t changes, bool cut)
{
    char text[1024];
    const char *sample = is_budget ? budget : baseline;
    size_t bytes = is_budget ? sizeof budget - 1 : sizeof baseline - 1;

    memcpy(text, sample, bytes);
    while (changes--)
        mutate(text, bytes);
    return budget_inputs_fuzz(text, cut ? draw(bytes) : bytes);
}

int main(int argc, char **argv)
{
    const char *given = getenv("CUPOOL_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 1;
    unsigned long inputs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;

    fprintf(stderr, "CUPOOL_TEST_SEED=%llu, %lu inputs\n", (unsigned long long)seed, inputs);
    if (!input_run(true, 0, false) || !input_run(false, 0, false)) {
        fprintf(stderr, "a sample is not sound\n");
        return 1;
    }
    for (unsigned long i = 0; i < inputs; i++) {
        state = seed + i;
        input_run(draw(2), 1 + draw(4), !draw(4));
    }
    return 0;
}

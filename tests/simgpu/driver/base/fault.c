/* SPDX-License-Identifier: MIT */
/*
 * Fault injection, and the names it needs. Rules are read once; the counters of a rule are atomic,
 * so threads that race for the n-th call have one winner.
 */
#include "tests/simgpu/driver/base/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX 32

struct fault {
    enum call_id id;
    uint64_t at; /* counted from 1; 0: every call */
    CUresult result;
    _Atomic uint64_t seen;
};

bool fault_armed;

static struct fault faults[FAULTS_MAX];
static unsigned fault_count;
static uint64_t random_seed;
static double random_p;
static _Atomic uint64_t random_calls;

static const char *const call_names[] = {
#define CALL(name, base, since, per_thread) [CALL_##name] = #name,
#include "tests/simgpu/driver/base/calls.def"
};

static const struct {
    CUresult result;
    const char *name;
    const char *text;
} results[] = {
#define RESULT(name, text) {name, #name, text},
#include "tests/simgpu/driver/base/results.def"
};

const char *call_name(enum call_id id)
{
    return call_names[id];
}

enum call_id call_by_name(const char *name, size_t length)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (strlen(call_names[i]) == length && !memcmp(call_names[i], name, length))
            return i;
    return CALL_COUNT;
}

const char *result_name(CUresult result)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].result == result)
            return results[i].name;
    return NULL;
}

const char *result_description(CUresult result)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].result == result)
            return results[i].text;
    return NULL;
}

bool result_by_name(const char *name, CUresult *ret)
{
    static const char prefix[] = "CUDA_ERROR_";

    if (!strncmp(name, prefix, sizeof prefix - 1))
        name += sizeof prefix - 1;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (!strncmp(results[i].name, prefix, sizeof prefix - 1) &&
            !strcmp(results[i].name + sizeof prefix - 1, name)) {
            *ret = results[i].result;
            return true;
        }
    return false;
}

/* One "call:n:RESULT", "seed:n" or "p:x". */
static bool rule_parse(char *text)
{
    char *first = strchr(text, ':');

    if (!first)
        return false;
    *first++ = 0;
    if (!strcmp(text, "seed"))
        random_seed = strtoull(first, NULL, 0);
    else if (!strcmp(text, "p"))
        random_p = strtod(first, NULL);
    else {
        struct fault *fault = &faults[fault_count];
        char *second = strchr(first, ':');

        fault->id = call_by_name(text, strlen(text));
        if (fault->id == CALL_COUNT || !second || fault_count == FAULTS_MAX)
            return false;
        *second++ = 0;
        fault->at = strtoull(first, NULL, 0);
        if (!result_by_name(second, &fault->result))
            return false;
        fault_count++;
    }
    return true;
}

void fault_load(void)
{
    const char *text = getenv("SIMGPU_FAULT");
    char *copy = text ? strdup(text) : NULL;
    char *rest;

    for (char *rule = copy ? strtok_r(copy, ",", &rest) : NULL; rule;
         rule = strtok_r(NULL, ",", &rest)) {
        char shown[80];
        snprintf(shown, sizeof shown, "%s", rule);
        if (!rule_parse(rule))
            fprintf(stderr,
                    "simgpu: SIMGPU_FAULT: cannot read \"%s\"; it is call:n:RESULT, "
                    "seed:n or p:x\n",
                    shown);
    }
    free(copy);
    fault_armed = fault_count || random_p > 0;
}

/* splitmix64: one good number per call, without state. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Calls that can run out of something; queries and frees do not fail at random. */
static bool is_fallible(enum call_id id)
{
    static const char *const words[] = {"Alloc",    "Create", "Reserve", "cuMemMap",   "SetAccess",
                                        "Register", "Record", "Load",    "Instantiate"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(call_names[id], words[i]))
            return true;
    return false;
}

CUresult fault_check(enum call_id id)
{
    for (unsigned i = 0; i < fault_count; i++)
        if (faults[i].id == id && (!faults[i].at || ++faults[i].seen == faults[i].at))
            return faults[i].result;
    if (random_p <= 0 || !is_fallible(id))
        return CUDA_SUCCESS;
    uint64_t drawn = mix(random_seed * 0x100000001b3u + ++random_calls);
    return (double)drawn < random_p * 18446744073709551616.0 ? CUDA_ERROR_OUT_OF_MEMORY
                                                             : CUDA_SUCCESS;
}

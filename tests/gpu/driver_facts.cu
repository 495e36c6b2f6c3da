/* SPDX-License-Identifier: MIT */
/*
 * driver_facts: measures the behaviour of a driver where the documentation leaves it open, as JSON.
 *
 * The simulated device imitates these facts and an allocator in front of the driver relies on
 * them: alignment and rounding, sharing of segments, cost of each call and whether it waits,
 * mappings, calls forbidden in a capture, results of invalid calls. Needs one NVIDIA GPU:
 *
 *     nvcc -std=c++17 -O2 -I. tests/gpu/driver_facts.cu tests/gpu/facts_*.cu -lcuda
 *
 * This file: the JSON writer, the helpers of facts.h, and the parts, each in a separate process, so
 * that a context broken by one does not affect the others.
 */
#include "tests/gpu/facts.h"
#include "tests/gpu/facts_kernels.cuh"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>

#define BUSY_STEPS 400000u

static int json_depth;
static bool json_started; /* the innermost object or array has a member already */

static void json_name(const char *name)
{
    printf("%s\n%*s", json_started ? "," : "", 2 * json_depth, "");
    if (name)
        printf("\"%s\": ", name);
    json_started = true;
}

void json_open(const char *name, char bracket)
{
    if (json_depth > 0)
        json_name(name);
    putchar(bracket);
    json_depth++;
    json_started = false;
}

void json_close(char bracket)
{
    json_depth--;
    if (json_started)
        printf("\n%*s", 2 * json_depth, "");
    putchar(bracket);
    json_started = true;
}

void json_text(const char *name, const char *value)
{
    json_name(name);
    putchar('"');
    for (const char *c = value; *c != 0; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c >= 0x20)
            putchar(*c);
    putchar('"');
}

void json_number(const char *name, long long value)
{
    json_name(name);
    printf("%lld", value);
}

void json_flag(const char *name, bool value)
{
    json_name(name);
    printf("%s", value ? "true" : "false");
}

void json_null(const char *name)
{
    json_name(name);
    printf("null");
}

static void json_code(const char *name, int code, const char *text)
{
    json_name(name);
    printf("{\"code\": %d, \"name\": \"%s\"}", code, text);
}

void json_result(const char *name, CUresult result)
{
    const char *text = NULL;
    cuGetErrorName(result, &text);
    json_code(name, (int)result, text ? text : "?");
}

void json_error(const char *name, cudaError_t error)
{
    json_code(name, (int)error, cudaGetErrorName(error));
}

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t median(std::vector<uint64_t> *samples)
{
    if (samples->empty())
        return 0;
    auto middle = samples->begin() + (ptrdiff_t)(samples->size() / 2);
    std::nth_element(samples->begin(), middle, samples->end());
    return *middle;
}

void busy_start(cudaStream_t stream)
{
    static uint32_t *sink;
    if (!sink)
        FACT_EXPECT(cudaMalloc(&sink, sizeof(*sink)));
    facts_spin<<<1, 1, 0, stream>>>(sink, BUSY_STEPS);
    FACT_EXPECT(cudaGetLastError());
}

void *driver_find(const char *name, int version)
{
    void *found = NULL;
    CUdriverProcAddressQueryResult status;
    CUresult result = cuGetProcAddress(name, &found, version, CU_GET_PROC_ADDRESS_DEFAULT, &status);
    return result == CUDA_SUCCESS && status == CU_GET_PROC_ADDRESS_SUCCESS ? found : NULL;
}

/** Calls that failed unexpectedly, with counts. */
static std::map<std::string, int> unexpected;

void fact_expect(int error, const char *call, const char *file, int line)
{
    if (error == 0)
        return;
    char text[512];
    snprintf(text, sizeof(text), "%s:%d: %s: error %d", file, line, call, error);
    if (++unexpected[text] == 1)
        fprintf(stderr, "%s\n", text);
}

static void facts_machine(void)
{
    struct cudaDeviceProp properties;
    int driver = 0, runtime = 0;
    size_t free_bytes = 0, total_bytes = 0;
    char date[32];
    time_t now = time(NULL);
    FACT_EXPECT(cudaGetDeviceProperties(&properties, 0));
    FACT_EXPECT(cudaDriverGetVersion(&driver));
    FACT_EXPECT(cudaRuntimeGetVersion(&runtime));
    FACT_EXPECT(cudaMemGetInfo(&free_bytes, &total_bytes));
    strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
    json_text("device", properties.name);
    json_flag("simulated", strstr(properties.name, "simulated") != NULL);
    json_number("compute_capability", properties.major * 10 + properties.minor);
    json_number("driver_version", driver);
    json_number("runtime_version", runtime);
    json_text("date", date);
    json_number("total_bytes", (long long)total_bytes);
    json_number("free_bytes", (long long)free_bytes);
}

/** The parts of the result, each made by a separate process, because its context may end broken. */
static const struct part {
    const char *name;
    void (*write)(void);
} parts[] = {
    {"machine", facts_machine}, {"allocation", facts_allocation},
    {"cost", facts_cost},       {"vmm", facts_vmm},
    {"events", facts_events},   {"capture", facts_capture},
    {"invalid", facts_invalid}, {"ipc", facts_ipc},
};

#define EXIT_NO_DEVICE 77

static void unexpected_write(const char *part)
{
    char name[64];
    snprintf(name, sizeof(name), "%s_unexpected", part);
    json_open(name, '[');
    for (const auto &entry : unexpected) {
        json_open(NULL, '{');
        json_text("call", entry.first.c_str());
        json_number("times", entry.second);
        json_close('}');
    }
    json_close(']');
}

/** In the part's process: stdout is a file that the parent takes over when all went well. */
static int part_run(const struct part *part)
{
    cudaError_t error = cudaSetDevice(0);
    if (error != cudaSuccess) {
        fprintf(stderr, "driver_facts: no usable device: %s\n", cudaGetErrorString(error));
        return EXIT_NO_DEVICE;
    }
    FACT_EXPECT(cudaFree(NULL));
    part->write();
    if (!unexpected.empty())
        unexpected_write(part->name);
    return unexpected.empty() ? 0 : 1;
}

/** Copies what the part wrote; a part that crashed is null. */
static int part_collect(const struct part *part)
{
    FILE *output = tmpfile();
    int status = 0, byte;
    pid_t child = !output ? -1 : fork();
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        exit(part_run(part));
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("driver_facts");
        exit(1);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_DEVICE)
            exit(EXIT_NO_DEVICE);
        fprintf(stderr, "driver_facts: %s: ended with status %#x\n", part->name, (unsigned)status);
        json_null(part->name);
        fclose(output);
        return 1;
    }
    rewind(output);
    while ((byte = getc(output)) != EOF)
        putchar(byte);
    fclose(output);
    json_started = true;
    return WEXITSTATUS(status);
}

int main(void)
{
    int status = 0;
    json_open(NULL, '{');
    json_text("schema", "cupool.driver-facts/1");
    for (const struct part &part : parts) {
        fflush(stdout);
        status |= part_collect(&part);
    }
    json_close('}');
    putchar('\n');
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * Answers of the management library about a device: names, memory, processes, and how the devices
 * of one machine are connected. Memory is as the driver reports it to this process, because
 * nothing else is simulated: there is no fabric, no NVLink, and nothing else on the devices except
 * SIMGPU_OTHERS.
 */
#include "tests/simgpu/nvml/nvml.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct memory_v1 {
    unsigned long long total, free, used;
};

struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

struct pci {
    char legacy_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

struct process_v1 {
    unsigned pid;
    unsigned long long used;
};

struct process_v2 {
    unsigned pid;
    unsigned long long used;
    unsigned instance, compute_instance;
};

struct fabric {
    unsigned char cluster[16];
    nvml_result status;
    unsigned clique;
    unsigned char state;
};

struct fabric_versioned {
    unsigned version;
    unsigned char cluster[16];
    nvml_result status;
    unsigned clique;
    unsigned char state;
    unsigned health;              /* from version 2 on */
    unsigned char health_summary; /* from version 3 on */
};

#define VERSION(bytes, number) ((unsigned)(bytes) | (unsigned)(number) << 24)

NVML_API nvml_result nvmlDeviceGetName(nvml_device device, char *name, unsigned length)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    return result ?: nvml_text(found.name, name, length);
}

/** Functions that write one number. */
#define NUMBER(name, type, value)                                                                  \
    NVML_API nvml_result name(nvml_device device, type *ret)                                       \
    {                                                                                              \
        struct machine_device found;                                                               \
        unsigned index;                                                                            \
        nvml_result result = nvml_device_read(device, &found, &index);                             \
                                                                                                   \
        if (!result && !ret)                                                                       \
            result = NVML_ERROR_INVALID_ARGUMENT;                                                  \
        if (!result)                                                                               \
            *ret = (type)(value);                                                                  \
        return result;                                                                             \
    }

/** Of boards since compute capability 9.0, and of those before. */
#define PCIE_GENERATION (found.compute_major >= 9 ? 5 : 4)

/* clang-format off */
NUMBER(nvmlDeviceGetIndex, unsigned, index)
NUMBER(nvmlDeviceGetMinorNumber, unsigned, index)
NUMBER(nvmlDeviceGetMemoryBusWidth, unsigned, found.memory_bus_bits)
NUMBER(nvmlDeviceGetPersistenceMode, unsigned, 1)
NUMBER(nvmlDeviceGetComputeMode, unsigned, 0)
NUMBER(nvmlDeviceGetDisplayActive, unsigned, 0)
NUMBER(nvmlDeviceGetDisplayMode, unsigned, 0)
NUMBER(nvmlDeviceGetMultiGpuBoard, unsigned, 0)
NUMBER(nvmlDeviceGetBoardId, unsigned, found.bus << 8)
NUMBER(nvmlDeviceGetMaxMigDeviceCount, unsigned, 0)
NUMBER(nvmlDeviceGetBrand, unsigned, 0)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, PCIE_GENERATION)
NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, unsigned, PCIE_GENERATION)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, PCIE_GENERATION)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, 16)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, 16)
NUMBER(nvmlDeviceGetPcieSpeed, unsigned, PCIE_GENERATION == 5 ? 32000 : 16000) /* Mbit/s a lane */
NUMBER(nvmlDeviceGetPcieLinkMaxSpeed, unsigned, PCIE_GENERATION) /* an enumeration, 1 of generation 1 */
/* 7 Ampere, 8 Ada, 9 Hopper, 10 Blackwell, 2 and more before */
NUMBER(nvmlDeviceGetArchitecture, unsigned, found.compute_major == 8 && found.compute_minor == 9 ? 8
    : found.compute_major == 8 ? 7 : found.compute_major == 9 ? 9 : found.compute_major >= 10 ? 10
    : found.compute_minor >= 5 ? 6 : 5)
/* clang-format on */

NVML_API nvml_result nvmlDeviceGetPciInfo_v3(nvml_device device, struct pci *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result)
        return result;
    *ret = (struct pci){.bus = found.bus};
    snprintf(ret->bus_id, sizeof ret->bus_id, "%s", found.bus_id);
    snprintf(ret->legacy_bus_id, sizeof ret->legacy_bus_id, "%.12s", found.bus_id + 4);
    return NVML_SUCCESS;
}

/** Before version 3 there was no long bus id. */
static nvml_result pci_before(nvml_device device, void *ret)
{
    struct pci whole;
    nvml_result result = ret ? nvmlDeviceGetPciInfo_v3(device, &whole)
                             : NVML_ERROR_INVALID_ARGUMENT;

    if (!result)
        memcpy(ret, &whole, offsetof(struct pci, bus_id));
    return result;
}

NVML_API nvml_result nvmlDeviceGetPciInfo_v2(nvml_device device, void *ret)
{
    return pci_before(device, ret);
}

NVML_API nvml_result nvmlDeviceGetPciInfo(nvml_device device, void *ret)
{
    return pci_before(device, ret);
}

NVML_API nvml_result nvmlDeviceGetMemoryInfo(nvml_device device, struct memory_v1 *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = (struct memory_v1){found.total_bytes, found.total_bytes - found.used_bytes,
                                  found.used_bytes};
    return result;
}

NVML_API nvml_result nvmlDeviceGetMemoryInfo_v2(nvml_device device, struct memory_v2 *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result && ret->version != VERSION(sizeof *ret, 2))
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (!result)
        *ret = (struct memory_v2){ret->version, found.total_bytes, 0,
                                  found.total_bytes - found.used_bytes, found.used_bytes};
    return result;
}

/* Nothing is measured: a device that computes nothing is idle. */
NVML_API nvml_result nvmlDeviceGetUtilizationRates(nvml_device device, unsigned *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        ret[0] = ret[1] = 0;
    return result;
}

/** This process, where it has memory on the device; `room` and `ret_count` as natively. */
static nvml_result processes(nvml_device device, unsigned *count, struct process_v2 *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);
    unsigned room, there;

    if (!result && (!count || (*count && !ret)))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result)
        return result;
    room = *count;
    there = found.process_bytes > 0;
    *count = there;
    if (room < there)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    if (there)
        *ret = (struct process_v2){(unsigned)getpid(), found.process_bytes, ~0u, ~0u};
    return NVML_SUCCESS;
}

NVML_API nvml_result nvmlDeviceGetComputeRunningProcesses_v3(nvml_device device, unsigned *count,
                                                             struct process_v2 *ret)
{
    return processes(device, count, ret);
}

NVML_API nvml_result nvmlDeviceGetComputeRunningProcesses_v2(nvml_device device, unsigned *count,
                                                             struct process_v2 *ret)
{
    return processes(device, count, ret);
}

NVML_API nvml_result nvmlDeviceGetComputeRunningProcesses(nvml_device device, unsigned *count,
                                                          struct process_v1 *ret)
{
    struct process_v2 own;
    nvml_result result = processes(device, count, ret ? &own : NULL);

    if (!result && *count)
        *ret = (struct process_v1){own.pid, own.used};
    return result;
}

static nvml_result no_processes(nvml_device device, unsigned *count)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !count)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *count = 0;
    return result;
}

#define GRAPHICS(name)                                                                             \
    NVML_API nvml_result name(nvml_device device, unsigned *count, void *ret)                      \
    {                                                                                              \
        (void)ret;                                                                                 \
        return no_processes(device, count);                                                        \
    }

/* clang-format off */
GRAPHICS(nvmlDeviceGetGraphicsRunningProcesses)
GRAPHICS(nvmlDeviceGetGraphicsRunningProcesses_v2)
GRAPHICS(nvmlDeviceGetGraphicsRunningProcesses_v3)
/* clang-format on */

NVML_API nvml_result nvmlDeviceGetCudaComputeCapability(nvml_device device, int *major, int *minor)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && (!major || !minor))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result)
        return result;
    *major = found.compute_major;
    *minor = found.compute_minor;
    return NVML_SUCCESS;
}

/** 0 graphics, 1 multiprocessors, 2 memory, 3 video. */
static nvml_result clock_get(nvml_device device, unsigned clock, unsigned *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && (!ret || clock > 3))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = clock == 2 ? found.memory_clock_mhz : found.clock_mhz;
    return result;
}

NVML_API nvml_result nvmlDeviceGetClockInfo(nvml_device device, unsigned clock, unsigned *ret)
{
    return clock_get(device, clock, ret);
}

NVML_API nvml_result nvmlDeviceGetMaxClockInfo(nvml_device device, unsigned clock, unsigned *ret)
{
    return clock_get(device, clock, ret);
}

/* A single machine: the state is "not supported". */
NVML_API nvml_result nvmlDeviceGetGpuFabricInfo(nvml_device device, struct fabric *ret)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = (struct fabric){.status = NVML_SUCCESS};
    return result;
}

NVML_API nvml_result nvmlDeviceGetGpuFabricInfoV(nvml_device device, struct fabric_versioned *ret)
{
    const size_t second = offsetof(struct fabric_versioned, health) + sizeof(unsigned);
    struct machine_device found;
    struct fabric_versioned none = {.status = NVML_SUCCESS};
    nvml_result result = nvml_device_read(device, &found, NULL);
    size_t bytes;

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result)
        return result;
    none.version = ret->version;
    bytes = none.version == VERSION(second, 2)        ? second
            : none.version == VERSION(sizeof none, 3) ? sizeof none
                                                      : 0;
    if (!bytes)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memcpy(ret, &none, bytes);
    return NVML_SUCCESS;
}

static nvml_result both(nvml_device one, nvml_device other)
{
    struct machine_device found;
    nvml_result result = nvml_device_read(one, &found, NULL);

    return result ?: nvml_device_read(other, &found, NULL);
}

enum { TOPOLOGY_INTERNAL = 0, TOPOLOGY_SYSTEM = 50 };

NVML_API nvml_result nvmlDeviceGetTopologyCommonAncestor(nvml_device one, nvml_device other,
                                                         unsigned *ret)
{
    nvml_result result = both(one, other);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = one == other ? TOPOLOGY_INTERNAL : TOPOLOGY_SYSTEM;
    return result;
}

NVML_API nvml_result nvmlDeviceGetTopologyNearestGpus(nvml_device device, unsigned level,
                                                      unsigned *count, nvml_device *ret)
{
    struct machine_device found;
    unsigned index, room, there = 0;
    nvml_result result = nvml_device_read(device, &found, &index);

    if (!result && !count)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result)
        return result;
    room = ret ? *count : 0;
    for (unsigned i = 0; level == TOPOLOGY_SYSTEM && i < nvml_machine()->devices(); i++)
        if (i != index) {
            if (there < room)
                ret[there] = (nvml_device)(uintptr_t)(i + 1);
            there++;
        }
    *count = there;
    return NVML_SUCCESS;
}

enum { P2P_OK = 0, P2P_NOT_SUPPORTED = 5, CAPS_NVLINK = 2, CAPS_UNKNOWN = 5 };

/* As cuDeviceGetP2PAttribute: over the bus, not over NVLink. */
NVML_API nvml_result nvmlDeviceGetP2PStatus(nvml_device one, nvml_device other, unsigned caps,
                                            unsigned *ret)
{
    nvml_result result = both(one, other);

    if (!result && (!ret || caps >= CAPS_UNKNOWN))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = caps == CAPS_NVLINK || one == other ? P2P_NOT_SUPPORTED : P2P_OK;
    return result;
}

NVML_API nvml_result nvmlDeviceOnSameBoard(nvml_device one, nvml_device other, int *ret)
{
    nvml_result result = both(one, other);

    if (!result && !ret)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = one == other;
    return result;
}

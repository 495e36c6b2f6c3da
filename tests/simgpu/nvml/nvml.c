/* SPDX-License-Identifier: MIT */
/*
 * The life of the management library, versions, errors, and handles of devices. See nvml.h.
 */
#include "tests/simgpu/nvml/nvml.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static atomic_int uses; /* nvmlInit without nvmlShutdown */
static const struct machine_table *_Atomic machine;

static const struct machine_table *machine_find(void)
{
    static const char id[] = MACHINE_TABLE_ID;
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    CUresult (*get)(const void **, const CUuuid *) = NULL;
    const void *table = NULL;

    static_assert(sizeof id == sizeof(CUuuid) + 1, "a UUID");
    if (library)
        *(void **)&get = dlsym(library, "cuGetExportTable");
    return get && get(&table, (const CUuuid *)id) == CUDA_SUCCESS ? table : NULL;
}

const struct machine_table *nvml_machine(void)
{
    return machine;
}

nvml_result nvml_ready(void)
{
    return uses > 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

NVML_API nvml_result nvmlInitWithFlags(unsigned flags)
{
    if (flags & ~3u) /* no devices are fine; do not attach */
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!machine)
        machine = machine_find();
    if (!machine)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    uses++;
    return NVML_SUCCESS;
}

NVML_API nvml_result nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

NVML_API nvml_result nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

NVML_API nvml_result nvmlShutdown(void)
{
    int now = uses;

    while (now > 0)
        if (atomic_compare_exchange_weak(&uses, &now, now - 1))
            return NVML_SUCCESS;
    return NVML_ERROR_UNINITIALIZED;
}

NVML_API const char *nvmlErrorString(nvml_result result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_ALREADY_INITIALIZED: return "Already Initialized";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_INSUFFICIENT_POWER: return "Insufficient External Power";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_IRQ_ISSUE: return "Interrupt Request Issue";
    case NVML_ERROR_LIBRARY_NOT_FOUND: return "NVML Shared Library Not Found";
    case NVML_ERROR_FUNCTION_NOT_FOUND: return "Function Not Found";
    case NVML_ERROR_CORRUPTED_INFOROM: return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "Argument Version Mismatch";
    default: return "Unknown Error";
    }
}

nvml_result nvml_text(const char *text, char *ret, unsigned bytes)
{
    if (!ret)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= bytes)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(ret, text);
    return NVML_SUCCESS;
}

/** "580.00.00": the branch of the driver that a CUDA version came with. Programs read the numbers.
 */
static const char *driver_text(char *ret, size_t bytes)
{
    int version = nvml_machine()->driver_version();
    int branch = version >= 13000 ? 580 + (version - 13000) / 10 * 10
                                  : 525 + (version - 12000) / 10 * 5;

    snprintf(ret, bytes, "%d.00.00", branch);
    return ret;
}

NVML_API nvml_result nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    char text[64];
    nvml_result result = nvml_ready();

    return result ?: nvml_text(driver_text(text, sizeof text), version, length);
}

NVML_API nvml_result nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    char text[64], driver[48];
    nvml_result result = nvml_ready();

    if (result)
        return result;
    snprintf(text, sizeof text, "%d.%s", nvml_machine()->driver_version() / 1000,
             driver_text(driver, sizeof driver));
    return nvml_text(text, version, length);
}

NVML_API nvml_result nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    nvml_result result = nvml_ready();

    if (!result && !version)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *version = nvml_machine()->driver_version();
    return result;
}

NVML_API nvml_result nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

NVML_API nvml_result nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length)
{
    char path[64], text[4096];
    nvml_result result = nvml_ready();
    FILE *file;
    size_t got;

    if (result)
        return result;
    if (!name || !length)
        return NVML_ERROR_INVALID_ARGUMENT;
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    file = fopen(path, "re");
    if (!file)
        return NVML_ERROR_NOT_FOUND;
    got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = '\0';
    snprintf(name, length, "%s", text); /* cut where it is too long, as natively */
    return NVML_SUCCESS;
}

static nvml_device handle_of(unsigned index)
{
    return (nvml_device)(uintptr_t)(index + 1);
}

nvml_result nvml_device_read(nvml_device device, struct machine_device *ret, unsigned *ret_index)
{
    uintptr_t number = (uintptr_t)device;
    nvml_result result = nvml_ready();

    if (result)
        return result;
    if (!number || number > nvml_machine()->devices())
        return NVML_ERROR_INVALID_ARGUMENT;
    nvml_machine()->device((unsigned)number - 1, ret);
    if (ret_index)
        *ret_index = (unsigned)number - 1;
    return NVML_SUCCESS;
}

NVML_API nvml_result nvmlDeviceGetCount_v2(unsigned *count)
{
    nvml_result result = nvml_ready();

    if (!result && !count)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *count = nvml_machine()->devices();
    return result;
}

NVML_API nvml_result nvmlDeviceGetCount(unsigned *count)
{
    return nvmlDeviceGetCount_v2(count);
}

NVML_API nvml_result nvmlDeviceGetHandleByIndex_v2(unsigned index, nvml_device *ret)
{
    nvml_result result = nvml_ready();

    if (!result && (!ret || index >= nvml_machine()->devices()))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (!result)
        *ret = handle_of(index);
    return result;
}

NVML_API nvml_result nvmlDeviceGetHandleByIndex(unsigned index, nvml_device *ret)
{
    return nvmlDeviceGetHandleByIndex_v2(index, ret);
}

static nvml_result handle_find(bool (*is)(const struct machine_device *, const char *),
                               const char *text, nvml_device *ret)
{
    nvml_result result = nvml_ready();
    struct machine_device device;

    if (!result && (!text || !ret))
        result = NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; !result && i < nvml_machine()->devices(); i++) {
        nvml_machine()->device(i, &device);
        if (is(&device, text)) {
            *ret = handle_of(i);
            return NVML_SUCCESS;
        }
    }
    return result ?: NVML_ERROR_NOT_FOUND;
}

static void uuid_text(const struct machine_device *device, char *ret, size_t bytes)
{
    const unsigned char *b = device->uuid;

    snprintf(ret, bytes, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static bool has_uuid(const struct machine_device *device, const char *text)
{
    char own[64];

    uuid_text(device, own, sizeof own);
    return !strcasecmp(own, text);
}

/** "domain:bus:device.function" or without the domain; the domain may have four digits or eight. */
static bool has_bus_id(const struct machine_device *device, const char *text)
{
    unsigned parts[3];
    int end = 0;

    if (sscanf(text, "%x:%x:%x%n", &parts[0], &parts[1], &parts[2], &end) != 3) {
        parts[0] = 0;
        if (sscanf(text, "%x:%x%n", &parts[1], &parts[2], &end) != 2)
            return false;
    }
    return !parts[0] && parts[1] == device->bus && !parts[2] &&
           (!text[end] || !strcmp(text + end, ".0"));
}

NVML_API nvml_result nvmlDeviceGetHandleByUUID(const char *uuid, nvml_device *ret)
{
    return handle_find(has_uuid, uuid, ret);
}

NVML_API nvml_result nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvml_device *ret)
{
    return handle_find(has_bus_id, bus_id, ret);
}

NVML_API nvml_result nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvml_device *ret)
{
    return handle_find(has_bus_id, bus_id, ret);
}

NVML_API nvml_result nvmlDeviceGetUUID(nvml_device device, char *uuid, unsigned length)
{
    struct machine_device found;
    char text[64];
    nvml_result result = nvml_device_read(device, &found, NULL);

    if (result)
        return result;
    uuid_text(&found, text, sizeof text);
    return nvml_text(text, uuid, length);
}

/* SPDX-License-Identifier: MIT */
/*
 * Devices are read without the driver's lock, which a child after fork may
 * find held for ever: figures that change are single words.
 */
#include "tests/simgpu/driver/api/machine_table.h"

#include <stdio.h>
#include <string.h>

#include "tests/simgpu/driver/base/log.h"
#include "tests/simgpu/driver/base/machine.h"
#include "tests/simgpu/driver/base/profile.h"
#include "tests/simgpu/driver/device/device.h"
#include "tests/simgpu/driver/work/work.h"

static int driver_version(void)
{
    driver_load();
    return (int)profile.driver_version;
}

static unsigned devices(void)
{
    driver_load();
    return profile.devices;
}

/* NULL: this process does not see it, or has not called cuInit. */
static const struct device *device_at(unsigned physical)
{
    for (int i = 0; i < device_count(); i++)
        if (device_get(i)->physical == physical)
            return device_get(i);
    return NULL;
}

static void device(unsigned index, struct machine_device *ret)
{
    const struct device *seen = device_at(index);
    const CUuuid uuid = profile_uuid(index);

    *ret = (struct machine_device){
        .bus = 1 + index,
        .compute_major = (int)profile.compute_major,
        .compute_minor = (int)profile.compute_minor,
        .clock_mhz = (unsigned)(profile.clock_khz / 1000),
        .memory_clock_mhz = (unsigned)(profile.memory_clock_khz / 1000),
        .memory_bus_bits = (unsigned)profile.memory_bus_bits,
        .total_bytes = profile.memory_bytes,
        .used_bytes = seen ? __atomic_load_n(&seen->used, __ATOMIC_RELAXED) : profile.others_bytes,
    };
    ret->process_bytes = ret->used_bytes > profile.others_bytes
                             ? ret->used_bytes - profile.others_bytes
                             : 0;
    device_name(ret->name, sizeof ret->name);
    memcpy(ret->uuid, uuid.bytes, sizeof ret->uuid);
    snprintf(ret->bus_id, sizeof ret->bus_id, "%08X:%02X:00.0", 0u, ret->bus);
}

static CUresult skip(CUstream given, const char *function)
{
    CUstream stream;
    CUresult result = driver_state == DRIVER_READY ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
    struct work *work = work_create(WORK_KERNEL);

    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (profile.verbose)
        fprintf(stderr, "simgpu: work of a library is skipped: %s\n", function);
    pthread_mutex_lock(&driver_lock);
    if (result == CUDA_SUCCESS)
        result = stream_resolve(given, false, &stream);
    if (result == CUDA_SUCCESS)
        result = stream_submit(stream, work, false);
    else
        work_destroy(work);
    pthread_mutex_unlock(&driver_lock);
    if (result == CUDA_SUCCESS)
        log_library_call();
    return result;
}

CUresult machine_table(const void **ret, const CUuuid *id)
{
    static const struct machine_table table = {sizeof table, driver_version, devices, device, skip};

    if (!ret || !id || memcmp(id, MACHINE_TABLE_ID, sizeof *id))
        return CUDA_ERROR_NOT_SUPPORTED;
    *ret = &table;
    return CUDA_SUCCESS;
}

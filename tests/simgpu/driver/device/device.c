/* SPDX-License-Identifier: MIT */
/*
 * Devices: their properties, and the calls that query them.
 */
#include "tests/simgpu/driver/device/device.h"

#include <stdio.h>
#include <string.h>

#include "tests/simgpu/driver/base/call.h"
#include "tests/simgpu/driver/device/va.h"

static struct device devices[PROFILE_DEVICES];
static int count;

CUresult devices_open(void)
{
    if (!profile.visible_count)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = va_open();
    if (result != CUDA_SUCCESS)
        return result;
    for (unsigned i = 0; i < profile.visible_count; i++)
        devices[i] = (struct device){.ordinal = (int)i,
                                     .physical = profile.visible[i],
                                     .capacity = profile.memory_bytes,
                                     .used = profile.others_bytes,
                                     .memory_fd = -1};
    count = (int)profile.visible_count;
    return CUDA_SUCCESS;
}

int device_count(void)
{
    return count;
}

struct device *device_get(CUdevice device)
{
    return device >= 0 && device < count ? &devices[device] : NULL;
}

CUuuid device_uuid(const struct device *device)
{
    return profile_uuid(device->physical);
}

static CUresult attribute_get(int *ret, CUdevice_attribute attribute, CUdevice ordinal)
{
    const struct device *device = device_get(ordinal);

    if (!ret || attribute < 1 || attribute >= CU_DEVICE_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
#define ATTRIBUTE(name, value)                                                                     \
    case CU_DEVICE_ATTRIBUTE_##name:                                                               \
        *ret = (value);                                                                            \
        break;
#include "tests/simgpu/driver/device/attributes.def"
    default: *ret = 0;
    }
    return CUDA_SUCCESS;
}

void device_name(char *ret, size_t bytes)
{
    bool says_so = strstr(profile.name, "simulated") != NULL;

    snprintf(ret, bytes, "%s%s", profile.name, says_so ? "" : " (simulated)");
}

static CUresult name_get(char *name, int length, CUdevice ordinal)
{
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!name || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    device_name(name, (size_t)length);
    return CUDA_SUCCESS;
}

static CUresult ordinal_get(CUdevice *ret, int ordinal)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = ordinal;
    return CUDA_SUCCESS;
}

static CUresult count_get(int *ret)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = count;
    return CUDA_SUCCESS;
}

static CUresult total_get(size_t *ret, CUdevice ordinal)
{
    struct device *device = device_get(ordinal);

    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = device->capacity;
    return CUDA_SUCCESS;
}

static CUresult uuid_get(CUuuid *ret, CUdevice ordinal)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = device_uuid(device_get(ordinal));
    return CUDA_SUCCESS;
}

static CUresult capability_get(int *major, int *minor, CUdevice ordinal)
{
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *major = (int)profile.compute_major;
    *minor = (int)profile.compute_minor;
    return CUDA_SUCCESS;
}

static CUresult properties_get(CUdevprop *ret, CUdevice ordinal)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = (CUdevprop){.maxThreadsPerBlock = 1024,
                       .maxThreadsDim = {1024, 1024, 64},
                       .maxGridSize = {2147483647, 65535, 65535},
                       .sharedMemPerBlock = 49152,
                       .totalConstantMemory = 65536,
                       .SIMDWidth = 32,
                       .memPitch = 2147483647,
                       .regsPerBlock = 65536,
                       .clockRate = (int)profile.clock_khz,
                       .textureAlign = 512};
    return CUDA_SUCCESS;
}

static CUresult bus_id_get(char *ret, int length, CUdevice ordinal)
{
    struct device *device = device_get(ordinal);

    if (!ret || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(ret, (size_t)length, "0000:%02X:00.0", 1 + device->physical);
    return CUDA_SUCCESS;
}

static CUresult by_bus_id_get(CUdevice *ret, const char *bus_id)
{
    char own[16];

    if (!ret || !bus_id)
        return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < count; i++) {
        bus_id_get(own, sizeof own, i);
        if (!strcasecmp(own, bus_id) || !strcasecmp(own + 5, bus_id)) {
            *ret = i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

static CUresult can_access_peer(int *ret, CUdevice a, CUdevice b)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(a) || !device_get(b))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = a != b;
    return CUDA_SUCCESS;
}

static CUresult peer_attribute_get(int *ret, CUdevice_P2PAttribute attribute, CUdevice a,
                                   CUdevice b)
{
    if (!ret || a == b)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(a) || !device_get(b))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = attribute == CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED ||
           attribute == CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED ||
           attribute == CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED;
    return CUDA_SUCCESS;
}

static CUresult affinity_support_get(int *ret, CUdevice ordinal)
{
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = 0;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal)
{
    CALL_UNLOCKED(cuDeviceGet, ordinal_get(device, ordinal), "device=%d", ordinal);
}

CUresult CUDAAPI cuDeviceGetCount(int *result)
{
    CALL_UNLOCKED(cuDeviceGetCount, count_get(result));
}

CUresult CUDAAPI cuDeviceGetName(char *name, int len, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetName, name_get(name, len, dev));
}

CUresult CUDAAPI cuDeviceGetUuid(CUuuid *uuid, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetUuid, uuid_get(uuid, dev));
}

CUresult CUDAAPI cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetUuid_v2, uuid_get(uuid, dev));
}

CUresult CUDAAPI cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceTotalMem_v2, total_get(bytes, dev), "bytes=%zu", OUT(bytes));
}

CUresult CUDAAPI cuDeviceGetAttribute(int *pi, CUdevice_attribute attrib, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetAttribute, attribute_get(pi, attrib, dev), "attribute=%d", attrib);
}

CUresult CUDAAPI cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceComputeCapability, capability_get(major, minor, dev));
}

CUresult CUDAAPI cuDeviceGetProperties(CUdevprop *prop, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetProperties, properties_get(prop, dev));
}

CUresult CUDAAPI cuDeviceGetPCIBusId(char *pciBusId, int len, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetPCIBusId, bus_id_get(pciBusId, len, dev));
}

CUresult CUDAAPI cuDeviceGetByPCIBusId(CUdevice *dev, const char *pciBusId)
{
    CALL_UNLOCKED(cuDeviceGetByPCIBusId, by_bus_id_get(dev, pciBusId));
}

CUresult CUDAAPI cuDeviceCanAccessPeer(int *canAccessPeer, CUdevice dev, CUdevice peerDev)
{
    CALL_UNLOCKED(cuDeviceCanAccessPeer, can_access_peer(canAccessPeer, dev, peerDev));
}

CUresult CUDAAPI cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attrib,
                                         CUdevice srcDevice, CUdevice dstDevice)
{
    CALL_UNLOCKED(cuDeviceGetP2PAttribute, peer_attribute_get(value, attrib, srcDevice, dstDevice));
}

CUresult CUDAAPI cuDeviceGetExecAffinitySupport(int *pi, CUexecAffinityType type, CUdevice dev)
{
    CALL_UNLOCKED(cuDeviceGetExecAffinitySupport, affinity_support_get(pi, dev));
}

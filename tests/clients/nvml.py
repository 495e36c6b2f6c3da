# SPDX-License-Identifier: MIT
"""Compares nvidia-ml-py on the simulated management library with the driver.

usage: nvml.py --build BUILD --setup DIRECTORY    (runs itself again under the venv's Python)
"""

import argparse
import ctypes
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

DEVICES, BLOCK = 3, 48 << 20
READ, NVLINK = 0, 2  # nvmlGpuP2PCapsIndex_t


def expect(what, found, wanted):
    preload.expect_equal(what, found, wanted)


def driver():
    cuda = ctypes.CDLL("libcuda.so.1")
    cuda.cuInit(0)
    return cuda


def driver_memory(cuda, ordinal):
    """(free, total) of a device by the driver."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    expect("retain", cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), ordinal), 0)
    cuda.cuCtxSetCurrent(context)
    cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    return free.value, total.value


def before_driver(nvml):
    """Device count and memory without cuInit, as in programs that fork later."""
    expect("devices", nvml.nvmlDeviceGetCount(), DEVICES)
    memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(1))
    expect("nothing used", memory.used, 0)
    expect("no process", nvml.nvmlDeviceGetComputeRunningProcesses(
        nvml.nvmlDeviceGetHandleByIndex(1)), [])


def memory_is_the_drivers(nvml, cuda):
    for ordinal in range(DEVICES):
        handle = nvml.nvmlDeviceGetHandleByIndex(ordinal)
        driver_memory(cuda, ordinal)
        pointer = ctypes.c_uint64()
        expect("allocate", cuda.cuMemAlloc_v2(ctypes.byref(pointer),
                                              ctypes.c_size_t(BLOCK * (1 + ordinal))), 0)
        free, total = driver_memory(cuda, ordinal)
        for memory in (nvml.nvmlDeviceGetMemoryInfo(handle),
                       nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)):
            expect("total, free, used", (memory.total, memory.free, memory.used),
                   (total, free, total - free))
        preload.expect(total - free >= BLOCK * (1 + ordinal), f"{total - free} used")
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        expect("processes", [(each.pid, each.usedGpuMemory) for each in running],
               [(os.getpid(), total - free)])
        cuda.cuMemFree_v2(pointer)


def names(nvml, cuda):
    text = ctypes.create_string_buffer(256)
    for ordinal in range(DEVICES):
        handle = nvml.nvmlDeviceGetHandleByIndex(ordinal)
        cuda.cuDeviceGetName(text, 256, ordinal)
        expect("name", nvml.nvmlDeviceGetName(handle), text.value.decode())
        cuda.cuDeviceGetUuid_v2(text, ordinal)
        uuid = nvml.nvmlDeviceGetUUID(handle)
        expect("UUID", uuid.removeprefix("GPU-").replace("-", ""), text.raw[:16].hex())
        cuda.cuDeviceGetPCIBusId(text, 256, ordinal)
        bus_id = text.value.decode()
        pci = nvml.nvmlDeviceGetPciInfo(handle)
        expect("bus", pci.busIdLegacy, bus_id)
        expect("long bus id", pci.busId, "0000" + bus_id)
        for found in (nvml.nvmlDeviceGetHandleByUUID(uuid),
                      nvml.nvmlDeviceGetHandleByPciBusId(bus_id),
                      nvml.nvmlDeviceGetHandleByPciBusId("0000" + bus_id)):
            expect("index", nvml.nvmlDeviceGetIndex(found), ordinal)
    version = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    expect("version", nvml.nvmlSystemGetCudaDriverVersion(), version.value)
    parts = nvml.nvmlSystemGetDriverVersion().split(".")
    preload.expect(len(parts) in (2, 3) and all(part.isdigit() for part in parts), "numbers of a version")


def one_machine(nvml):
    first, second = map(nvml.nvmlDeviceGetHandleByIndex, (0, 1))
    utilisation = nvml.nvmlDeviceGetUtilizationRates(first)
    expect("utilisation", (utilisation.gpu, utilisation.memory), (0, 0))
    expect("common ancestor", nvml.nvmlDeviceGetTopologyCommonAncestor(first, second),
           nvml.NVML_TOPOLOGY_SYSTEM)
    expect("peers", nvml.nvmlDeviceGetP2PStatus(first, second, READ),
           nvml.NVML_P2P_STATUS_OK)
    expect("NVLink", nvml.nvmlDeviceGetP2PStatus(first, second, NVLINK),
           nvml.NVML_P2P_STATUS_NOT_SUPPORTED)
    fabric = nvml.c_nvmlGpuFabricInfo_v3_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(first, ctypes.byref(fabric))
    expect("fabric", fabric.state, nvml.NVML_GPU_FABRIC_STATE_NOT_SUPPORTED)


def refusals(nvml):
    first = nvml.nvmlDeviceGetHandleByIndex(0)
    for what, error, call in (
            ("NVLink", nvml.NVML_ERROR_NOT_SUPPORTED, lambda: nvml.nvmlDeviceGetNvLinkState(first, 0)),
            ("MIG", nvml.NVML_ERROR_NOT_SUPPORTED, lambda: nvml.nvmlDeviceGetMigMode(first)),
            ("index", nvml.NVML_ERROR_INVALID_ARGUMENT,
             lambda: nvml.nvmlDeviceGetHandleByIndex(DEVICES)),
            ("UUID", nvml.NVML_ERROR_NOT_FOUND, lambda: nvml.nvmlDeviceGetHandleByUUID("GPU-0")),
            ("bus", nvml.NVML_ERROR_NOT_FOUND,
             lambda: nvml.nvmlDeviceGetHandleByPciBusId("0000:77:00.0"))):
        try:
            found = call()
        except nvml.NVMLError as refused:
            found = refused.value
        expect(f"refusal of {what}", found, error)


def child(nvml):
    """A child after fork, which has no driver, has the management library."""
    pid = os.fork()
    if pid == 0:
        total = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(0)).total
        os._exit(0 if total > 0 and nvml.nvmlDeviceGetCount() == DEVICES else 1)
    expect("child", os.waitpid(pid, 0)[1], 0)


def inside():
    import pynvml as nvml  # pylint: disable=import-error,import-outside-toplevel
    nvml.nvmlInit()
    before_driver(nvml)
    cuda = driver()
    names(nvml, cuda)
    memory_is_the_drivers(nvml, cuda)
    one_machine(nvml)
    refusals(nvml)
    child(nvml)
    nvml.nvmlShutdown()
    try:
        nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as refused:
        expect("after nvmlShutdown", refused.value, nvml.NVML_ERROR_UNINITIALIZED)
    print("the management library says what the driver says")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--setup", required=True, type=pathlib.Path)
    options = parser.parse_args()
    done = subprocess.run([HERE / "setup", options.setup, "60"], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        print(done.stdout.decode().strip())
        sys.exit(done.returncode)
    machine = preload.Machine(options.build)
    done = machine.run([options.setup / "bin" / "python", __file__, "inside"],
                       SIMGPU_DEVICES=DEVICES)
    print(done.stdout.decode(), done.stderr.decode())
    expect("exit", done.returncode, 0)


if sys.argv[1:] == ["inside"]:
    inside()
else:
    main()

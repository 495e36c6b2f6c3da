# SPDX-License-Identifier: MIT
"""A recorded run, replayed: the same driver calls, in the same order, and the same peaks.

The trace has the driver's answers to the recorded pool, and its other requests, so this holds for
any order of the simulated device's threads, and for both backings. A replay with other options does
not count as the recorded run, and one on a device that is too small does not complete.
"""

import json
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "endtoend"), str(TESTS / "conformance")]

import preload  # noqa: E402
import trace  # noqa: E402

MIB = 1 << 20
# Frees while another device, or another context of the device, is current.
ELSEWHERE = """
import ctypes, sys
driver = ctypes.CDLL("libcuda.so.1")
def call(name, *words):
    assert getattr(driver, name)(*words) == 0, name
def context(device):
    made = ctypes.c_void_p()
    call("cuCtxCreate_v2", ctypes.byref(made), 0, device)
    return made
def allocate(context, mib):
    address = ctypes.c_uint64()
    call("cuCtxSetCurrent", context)
    call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(mib << 20))
    return address
call("cuInit", 0)
if sys.argv[1] == "devices":
    one, other = context(0), context(1)
    for _ in range(8):
        blocks = [allocate(one, 64), allocate(other, 32)]
        for block in blocks:
            call("cuMemFree_v2", block)
else:
    one, other = context(0), context(0)
    block = allocate(one, 10)
    kept = allocate(other, 1)
    call("cuMemFree_v2", block)
    call("cuCtxDestroy_v2", one)
    allocate(other, 2)
    call("cuMemFree_v2", kept)
"""


def replay(machine, trace, *words, code=0):
    done = machine.run([str(machine.cupool), "replay", "-q", "--format", "json", *words, str(trace)])
    preload.expect_equal(f"replay {words}: exit", done.returncode, code)
    return json.loads(done.stdout)["traces"][0]


def same_run(machine, name, command, *options, **environment):
    """The program's last counters equal those of the replay."""
    trace = machine.scratch / f"{name}.cupool"
    done = machine.record(command, trace, *options, **environment)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    found = replay(machine, trace, "-p", "cupool")
    recorded, again = found["recorded"], found["policies"][0]
    for key in ("driver_calls", "peak_reserved_bytes"):
        preload.expect_equal(f"{name}: {key}", again[key], recorded[key])
    preload.expect_equal(f"{name}: peak_requested_bytes", found["peak_requested_bytes"],
                         recorded["peak_requested_bytes"])
    preload.expect(again["as_recorded"], f"{name}: the replay differs from the recorded calls")
    report = machine.report(trace)["summary"]
    if not report["failures"]:  # otherwise some requests went past the pool
        preload.expect_equal(f"{name}: the report's driver calls", report["driver_calls"],
                             again["driver_calls"])
    print(f"{name}: {again['driver_calls']} driver calls, "
          f"{again['peak_reserved_bytes'] / MIB:.0f} MiB, exactly as recorded")
    return trace, found


def same_runs(machine, backing, tinyllm, churn):
    few = machine.program("churn", "--threads", "1", "--ops", "60")
    own = [str(machine.build / "tests/endtoend/memory_api")]

    def same(name, command, *options, **environment):
        words = [word for option in options for word in ("-O", option)]
        same_run(machine, f"{name}, {backing}", command, "-O", f"backing:{backing}", *words,
                 **environment)

    same("tinyllm", tinyllm)
    same("churn", churn)
    same("churn with little memory", churn, SIMGPU_MEMORY="160MiB")
    same("churn on a slow device", few, SIMGPU_DELAY_US="200:5")
    same("churn with other options", churn, "large_waste:0", "quarantine_max:1MiB", "cache_max:16MiB")
    same("churn with waiting frees", few, "reuse:sync")
    same("churn within a limit", churn, "limit:100MiB")
    same("trims and defragmentation", own, "page:2MiB")
    same("churn with small slabs", churn, "slab:64KiB")
    same("churn with large slabs and few classes", churn, "slab:1MiB", "classes:512:4096")
    # Free memory returns inside a free, which is recorded at its end.
    same("idle trims", [str(machine.build / "tests/endtoend/idle_frees")], "idle_trim:1ms")
    # Refused requests are repeated, and so are the calls between.
    same("churn with failing calls", churn, SIMGPU_MEMORY="160MiB",
         SIMGPU_FAULT="cuMemAlloc_v2:4:OUT_OF_MEMORY,cuMemCreate:5:OUT_OF_MEMORY,"
                      "cuMemMap:9:OUT_OF_MEMORY,cuMemSetAccess:4:OUT_OF_MEMORY,"
                      "cuMemUnmap:1:UNKNOWN,cuMemRelease:2:UNKNOWN")
    # Conformance programs with one thread beside the main one, which waits for it. With several
    # threads a request may begin before others and end after them, and only its end is recorded.
    linked = str(machine.build / "tests/conformance/conformance_linked")
    same("sizes", [linked, "sizes", "driver"], SIMGPU_MEMORY="256MiB")
    same("no_wait, one thread", [linked, "no_wait", "driver", "1"], SIMGPU_MEMORY="1GiB")


def mapped_runs(machine, churn):
    """Cases of mapped memory only."""
    same_run(machine, "reserve and pages", churn, "-O", "backing:vmm", "-O", "page:2MiB", "-O",
             "reserve:64MiB")
    same_run(machine, "moved memory", churn, "-O", "backing:vmm", "-O", "defrag:move", "-O",
             "page:32MiB", SIMGPU_MEMORY="128MiB")
    # No address space for a range: the pool and its replay use the driver's allocations.
    same_run(machine, "no addresses", churn, "-O", "backing:auto", SIMGPU_SET="reserve_max=1MiB")


def expect_own_places(path):
    """A free names the device and the context of its block."""
    recorded = trace.Trace(path, TESTS.parent / "cupti/format/events.def")
    live = {}
    for record in recorded.records:
        if recorded.kinds[record.kind] == "ALLOCATE":
            live[record.address] = record
        elif recorded.kinds[record.kind] == "FREE":
            block = live.pop(record.address)
            preload.expect_equal(f"{path.name}: device and context of a free",
                                 (record.device, record.context), (block.device, block.context))


def freed_elsewhere(machine):
    """A free is the block's, on whichever device and in whichever context it is made."""
    for mode in ("pool", "observe"):
        def record(case, mode=mode):
            path = machine.scratch / f"{case}, {mode}.cupool"
            done = machine.record([sys.executable, "-c", ELSEWHERE, case], path, "--mode", mode,
                                  SIMGPU_DEVICES="2")
            preload.expect_equal(f"{path.name}: exit: {done.stderr}", done.returncode, 0)
            return path

        path = record("devices")
        for device, mib in ((0, 64), (1, 32)):
            found = replay(machine, path, "-p", "native", "--device", str(device))
            preload.expect_equal(f"{path.name}, device {device}: operations", found["operations"], 16)
            preload.expect_equal(f"{path.name}, device {device}: peak",
                                 found["peak_requested_bytes"], mib * MIB)
        expect_own_places(path)
        path = record("contexts")
        found = replay(machine, path, "-p", "cupool", "-p", "native")
        preload.expect_equal(f"{path.name}: operations", found["operations"], 5)
        preload.expect_equal(f"{path.name}: peak", found["peak_requested_bytes"], 11 * MIB)
        expect_own_places(path)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    tinyllm = machine.program("tinyllm", "--tokens", "64", "--seed", "7")
    churn = machine.program("churn", "--threads", "1", "--ops", "200")

    trace, found = same_run(machine, "tinyllm", tinyllm)
    for backing in ("driver", "vmm"):
        same_runs(machine, backing, tinyllm, churn)
    mapped_runs(machine, churn)
    freed_elsewhere(machine)

    # A run with other options is not marked as the recorded one.
    other = replay(machine, trace, "-p", "cupool+quarantine_max:512KiB")["policies"][0]
    preload.expect("as_recorded" not in other, "another pool passes for the recorded one")
    preload.expect(other["driver_calls"] != found["policies"][0]["driver_calls"],
                   "an epoch of 512 KiB costs no fence")
    preload.expect_equal("options", other["options"], "quarantine_max:512KiB")

    # Capacity: the found capacity suffices, a smaller one does not, and the exit code shows it.
    searched = replay(machine, trace, "-p", "cupool", "--find-capacity")["policies"][0]
    enough = searched["smallest_capacity_bytes"]
    preload.expect(found["peak_requested_bytes"] <= enough <= searched["peak_reserved_bytes"],
                   "the smallest capacity is out of bounds")
    fits = replay(machine, trace, "-p", "cupool", "--capacity", str(enough))["policies"][0]
    preload.expect(fits["completed"], "the trace does not complete at the capacity that was found")
    short = replay(machine, trace, "-p", "cupool", "--capacity",
                   str(found["peak_requested_bytes"] - 1), code=1)["policies"][0]
    preload.expect(not short["completed"] and short["refused_bytes"] > 0,
                   "less than what is requested is enough")

    # In a trace with only the program's requests, the pool is one more model.
    bare = machine.scratch / "observe.cupool"
    machine.record(tinyllm, bare, "--mode", "observe")
    asked = replay(machine, bare, "-p", "cupool", "-p", "native")
    preload.expect_equal("native makes the program's calls",
                         asked["policies"][1]["driver_calls"], asked["operations"])
    preload.expect_equal("the program asks for the same", asked["hash"], found["hash"])
    preload.expect(asked["policies"][0]["completed"], "the pool does not serve it")


main()

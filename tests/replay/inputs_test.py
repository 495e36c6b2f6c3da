# SPDX-License-Identifier: MIT
"""Traces of other programs: lifetimes, logs of RMM, memory snapshots of PyTorch.

One snapshot was written by PyTorch (snapshot.py); the others are made here, in the layout
documented by torch/cuda/memory.py, with Python's own pickle in every supported protocol. Hostile
pickles, which would execute code, are refused with the position and the name of the instruction;
nothing is executed.
"""

import json
import os
import pathlib
import pickle
import random
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

MIB = 1 << 20


class Inputs:
    def __init__(self, machine):
        self.machine = machine

    def replay(self, name, data, *words):
        path = self.machine.scratch / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return self.machine.run([str(self.machine.cupool), "replay", "-q", "--format", "json",
                                 *words, str(path)])

    def read(self, name, data, *words):
        done = self.replay(name, data, *words)
        preload.expect_equal(f"{name}: {done.stderr.decode().strip()}: exit", done.returncode, 0)
        return json.loads(done.stdout)["traces"][0]

    def refused(self, name, data, *words):
        done = self.replay(name, data)
        preload.expect_equal(f"{name}: exit", done.returncode, 2)
        line = done.stderr.decode()
        preload.expect_equal(f"{name}: lines", line.count("\n"), 1)
        for word in words:
            preload.expect(word in line, f"{name}: {word!r} is not in {line!r}")


def lifetimes(inputs):
    found = inputs.read("a.csv", f"id,lower,upper,size\n1,0,2,{MIB}\n2,1,3,{3 * MIB}\n"
                                 f"3,2,4,{MIB}\n4,2,4,0\n")
    preload.expect_equal("operations", found["operations"], 6)
    preload.expect_equal("frees come first", found["peak_requested_bytes"], 4 * MIB)
    scaled = inputs.read("b.csv", "id,lower,upper,size\n1,0,2,5\n", "--scale", "4096")
    preload.expect_equal("scale", scaled["peak_requested_bytes"], 5 * 4096)
    # Longer than a usual range of expandable segments.
    sizes = [1 << 46, 1 << 47, MIB]
    large = inputs.read("large.csv", "id,lower,upper,size\n" +
                        "".join(f"{i},{i},9,{size}\n" for i, size in enumerate(sizes)), "-p", "expandable")
    preload.expect(large["policies"][0]["completed"], f"large blocks: {large}")
    preload.expect(large["policies"][0]["peak_reserved_bytes"] >= sum(sizes), f"large blocks: {large}")
    inputs.refused("c.csv", "id,lower,upper,size\n1,0,2,7\n2,5,4,7\n", "c.csv:3")
    inputs.refused("d.csv", "id,lower,upper,size\n1,0,2,99999999999999999999\n", "d.csv:2")
    inputs.refused("e.csv", "id,lower,upper,size\n", "no allocation")
    inputs.refused("f.csv", "what,is,this\n", "unknown trace format")


def bounded(inputs):
    """Small files that take long where the cost is that of what they name, not of what they are."""
    before = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (20, before[1]))  # children get it: a thousandth is enough
    try:
        rows = "".join(f"{i},{i + 1},{i + 1001},{1 << 46}\n" for i in range(1000))
        inputs.read("handles.csv", "id,lower,upper,size\n" + rows, "-p", "expandable")
        rows = "".join(f"{i},{i + 1},{i + 90001},{1 << 44}\n" for i in range(90000))
        inputs.read("ranges.csv", "id,lower,upper,size\n" + rows, "-p", "expandable")
        block = {"address": 4096, "size": 512, "requested_size": 512, "state": "active_allocated"}
        segment = {"device": 0, "stream": 0, "blocks": [block] * 20000}
        many = {"segments": [segment] * 20000, "device_traces": [[entry("alloc", 0, 512, 1)]]}
        inputs.refused("segments.pickle", pickle.dumps(many, 4), "over and over")
        wide = {**{f"key {i}": i for i in range(20000)}, **entry("alloc", 0, 512, 1)}
        wide = dict(reversed(wide.items()))
        many = {"segments": [], "device_traces": [[wide] * 20000]}
        inputs.refused("history.pickle", pickle.dumps(many, 4), "over and over")
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)
    # A hole is no row.
    inputs.refused("hole.csv", b"id,lower,upper,size\n1,0,2,7\n" + bytes(100) + b"\n2,0,2,7\n",
                   "hole.csv:3")


def more_addresses_than_there_are(inputs):
    """Blocks that nothing kept fits, one after the other: more bytes in total than a pointer has."""
    sizes = [(60 << 30) + (i * 37 % 4096) * 2 * MIB for i in range(4700)]
    assert sum(sizes) > 1 << 48
    rows = "".join(f"{i},{2 * i},{2 * i + 1},{size}\n" for i, size in enumerate(sizes))
    policy = inputs.read("long.csv", "id,lower,upper,size\n" + rows, "-p", "cupool",
                         "--capacity", "80GiB")["policies"][0]
    preload.expect(policy["completed"], f"addresses: {policy}")


def long_policies(inputs):
    """Variants with many options are told apart in every format."""
    classes = "classes:" + ":".join(str(size) for size in range(1024, 32768, 1024))
    policies = [f"cupool+{classes},slab:{slab}KiB" for slab in (64, 128)]
    path = inputs.machine.scratch / "variants.csv"
    path.write_text("id,lower,upper,size\n0,0,1,4096\n")
    for form in ("text", "markdown"):
        done = inputs.machine.run([str(inputs.machine.cupool), "replay", "-f", form, "-p", policies[0],
                                   "-p", policies[1], str(path)])
        for end in (b"slab:64KiB", b"slab:128KiB", b":31744"):
            preload.expect(end in done.stdout, f"{form}: {done.stdout}")


def large_devices(inputs):
    """Large blocks in mapped memory take a driver call for each page: a replay follows the trace."""
    chance = random.Random(1)
    rows = [f"{i},{i},{i + chance.randint(1, 8)},{chance.randint(1 << 36, 1 << 37) >> 21 << 21}\n"
            for i in range(2000)]
    head = "id,lower,upper,size\n"
    done = inputs.replay("pages.csv", head + "".join(rows), "--capacity", "845GiB",
                         "-p", "cupool+backing:vmm,page:2MiB")
    preload.expect_equal("stopped is no answer: exit", done.returncode, 2)
    preload.expect(b"too many driver calls" in done.stderr, f"pages: {done.stderr}")
    policy = json.loads(done.stdout)["traces"][0]["policies"][0]
    preload.expect(not policy["completed"] and policy["stopped"], f"pages: {policy}")
    preload.expect_equal("steady", policy["memory_calls_second"], None)
    preload.expect(policy["driver_calls"] < 1 << 25, f"pages: {policy}")
    short = inputs.machine.scratch / "short.csv"
    short.write_text(head + "".join(rows[:200]))
    done = inputs.machine.run([str(inputs.machine.cupool), "tune", "-q", "--capacity", "845GiB", str(short)])
    preload.expect(b"stopped after too many driver calls" in done.stdout, f"tune: {done.stdout}")
    # Only small pages suffice: a candidate that completes may take more calls where nothing else does.
    chance = random.Random(8)
    rows = [(i, i + chance.randint(1, 8), chance.randint(8 << 30, 30 << 30) >> 21 << 21) for i in range(60)]
    most = max(sum(size for begin, end, size in rows if begin <= now < end) for now in range(60))
    short.write_text(head + "".join(f"{begin},{begin},{end},{size}\n" for begin, end, size in rows))
    done = inputs.machine.run([str(inputs.machine.cupool), "tune", "-q", "--capacity", str(most), str(short)])
    preload.expect_equal("a full device: exit", done.returncode, 0)
    preload.expect(b"page = 2MiB" in done.stdout, f"tune: {done.stdout}")
    # An endless device has addresses for more than a usual one.
    rows = "".join(f"{i},{i},{i + 9},{(1 << 39) + (i * 7919 % 4096 << 21)}\n" for i in range(300))
    policy = inputs.read("devices.csv", "id,lower,upper,size\n" + rows, "-p", "mapped")["policies"][0]
    preload.expect(policy["completed"], f"devices: {policy}")


def rmm(inputs):
    head = "Thread,Time,Action,Pointer,Size,Stream\n"
    log = (f"{head}7,23:59:59:900000,allocate,0x100,{MIB},0x0\n"
           f"7,23:59:59:950000,allocate,0x200,{2 * MIB},0x1\n"
           f"8,00:00:00.100000,free,0x100,{MIB},0x0\n"
           f"8,00:00:00.200000,allocate,0x100,{MIB},0x0\n"
           f"8,00:00:00.300000,free,0x900,64,0x0\n"
           f"7,00:00:00.400000,allocate failure,0x0,{MIB},0x0\n")
    found = inputs.read("rmm.csv", log)
    preload.expect_equal("operations", found["operations"], 4)
    preload.expect_equal("peak", found["peak_requested_bytes"], 3 * MIB)
    inputs.refused("rmm2.csv", head + "7,12:00:00.1,steal,0x100,64,0x0\n", "rmm2.csv:2")
    inputs.refused("rmm3.csv", head + "7,noon,allocate,0x100,64,0x0\n", "rmm3.csv:2")


def entry(action, address, size, time, stream=0):
    return {"action": action, "addr": address, "size": size, "stream": stream, "time_us": time,
            "device": 0, "frames": [{"filename": "a.py", "line": 3, "name": "forward"}]}


def snapshot():
    """Blocks live before, during and after the history."""
    base = 0x7f0000000000
    history = [
        entry("alloc", base, 4 * MIB, 1000),
        entry("segment_alloc", base, 20 * MIB, 1001),
        entry("free_requested", base + 64 * MIB, 2 * MIB, 1002, 3),  # allocated before
        entry("free_completed", base + 64 * MIB, 2 * MIB, 1003, 3),
        entry("free_requested", base, 4 * MIB, 1004),
        entry("free_completed", base, 4 * MIB, 1004),
        entry("alloc", base, 8 * MIB, 1005),
    ]
    blocks = [{"address": base, "size": 8 * MIB, "requested_size": 8 * MIB,
               "state": "active_allocated", "frames": []},
              {"address": base + 8 * MIB, "size": MIB, "requested_size": MIB - 100,
               "state": "active_allocated", "frames": []},  # live all the time
              {"address": base + 9 * MIB, "size": MIB, "requested_size": MIB,
               "state": "inactive", "frames": []}]
    return {"segments": [{"device": 0, "address": base, "total_size": 20 * MIB, "stream": 0,
                          "segment_type": "large", "blocks": blocks}],
            "device_traces": [history, []],
            "allocator_settings": {"garbage_collection_threshold": 0.0, "large": 1 << 70 >> 8,
                                   "expandable_segments": False, "other": (1, 2, 3, None, -5)}}


class Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


def snapshots(inputs):
    want = {"operations": 6, "peak": 9 * MIB - 100}
    for protocol in (2, 3, 4, 5):
        found = inputs.read(f"snapshot{protocol}.pickle", pickle.dumps(snapshot(), protocol))
        preload.expect_equal(f"protocol {protocol}: operations", found["operations"],
                             want["operations"])
        preload.expect_equal(f"protocol {protocol}: peak", found["peak_requested_bytes"],
                             want["peak"])
    whole = pickle.dumps(snapshot(), 4)
    inputs.refused("cut.pickle", whole[:len(whole) // 2], "byte ", "ends")
    inputs.refused("other.pickle", pickle.dumps({"weights": [1, 2]}, 4), "not a memory snapshot")

    # Instructions other than data are refused at any position, by name.
    hidden = dict(snapshot(), extra=[{"deep": Hostile()}])
    for protocol in (2, 4):
        name = "GLOBAL" if protocol == 2 else "STACK_GLOBAL"
        inputs.refused(f"hostile{protocol}.pickle", pickle.dumps(hidden, protocol), name, "byte ",
                       "rejected")
    body = whole[:-1]
    for opcode, name in ((b"R", "REDUCE"), (b"b", "BUILD"), (b"ios\nsystem\n", "INST"),
                         (b"o", "OBJ"), (b"\x81", "NEWOBJ"), (b"\x92", "NEWOBJ_EX"),
                         (b"\x82\x01", "EXT1"), (b"\x83\x01\x00", "EXT2"),
                         (b"\x84\x01\x00\x00\x00", "EXT4"), (b"Pid\n", "PERSID"),
                         (b"Q", "BINPERSID"), (b"cos\nsystem\n", "GLOBAL"),
                         (b"\x93", "STACK_GLOBAL"), (b"\x97", "NEXT_BUFFER"),
                         (b"\x98", "READONLY_BUFFER")):
        inputs.refused(f"{name}.pickle", body + opcode + b".", name, f"byte {len(body)}")
    preload.expect(not list(inputs.machine.scratch.glob("executed*")),
                   "a pickle executed something")
    for text in (b"I5\n", b"V5\n", b"F5\n", b"\x8f"):
        inputs.refused("old.pickle", b"\x80\x04" + text + b".", "byte 2")
    inputs.refused("no.pickle", b"\x80\x04\xff.", "0xff")
    inputs.refused("self.pickle", b"\x80\x04]\x94h\x00a.", "not a memory snapshot")  # holds itself
    inputs.refused("memo.pickle", b"\x80\x04h\x07.", "memo")
    inputs.refused("mark.pickle", b"\x80\x04e.", "mark")


def real_snapshot(inputs):
    """A snapshot written by PyTorch, against PyTorch's own counts of the same run (snapshot.py)."""
    here = pathlib.Path(__file__).resolve().parent
    for policy, name in (("pytorch", "snapshot"), ("expandable", "snapshot_expandable")):
        figures = json.loads((here / f"{name}.json").read_text())
        found = inputs.read("real.pickle", (here / "snapshot.pickle").read_bytes(), "-p", policy)
        model = found["policies"][0]
        preload.expect_equal(f"{policy}: requested", found["peak_requested_bytes"],
                             figures["requested_bytes.all.peak"])
        preload.expect_equal(f"{policy}: reserved", model["peak_reserved_bytes"],
                             figures["reserved_bytes.all.peak"])
        if policy == "pytorch":
            preload.expect_equal("segments", model["driver_calls"], figures["num_device_alloc"])
        print(f"PyTorch {figures['torch']}, {policy}: {model['peak_reserved_bytes']} B reserved of "
              f"{found['peak_requested_bytes']} B requested, as PyTorch counted")


def places(inputs):
    """Frees whose records name the device or the context that was current, not the block's."""
    machine, script = inputs.machine, inputs.machine.build / "tests/unit/tools/preload_script.so"

    def read(events, *words):
        path = machine.scratch / "places.cupool"
        machine.run([str(machine.cupool), "run", "-q", "--force", "-o", str(path), "--", "true"],
                    CUPOOL_LIBRARY=script, CUPOOL_TEST_EVENTS=events)
        return inputs.read(path.name, path.read_bytes(), *words)

    pairs = f"alpha@0:1+{64 * MIB} beta@1:2+{32 * MIB} alpha@1:2-{64 * MIB} beta@1:2-{32 * MIB} " * 8
    for device, peak in ((0, 64), (1, 32)):
        found = read(pairs, "--device", str(device))
        preload.expect_equal(f"device {device}: operations", found["operations"], 16)
        preload.expect_equal(f"device {device}: peak", found["peak_requested_bytes"], peak * MIB)
    # The context of the block ends after its free in another one.
    found = read(f"alpha@0:1+{10 * MIB} beta@0:2+{MIB} alpha@0:2-{10 * MIB} end@0:1 "
                 f"delta@0:2+{2 * MIB} beta@0:2-{MIB}")
    preload.expect_equal("contexts: operations", found["operations"], 5)
    preload.expect_equal("contexts: peak", found["peak_requested_bytes"], 11 * MIB)
    # What is freed after the end of its context was gone before.
    found = read(f"alpha@0:1+{10 * MIB} beta@0:2+{MIB} end@0:1 alpha@0:2-{10 * MIB} "
                 f"delta@0:2+{2 * MIB} beta@0:2-{MIB}")
    preload.expect_equal("after the end: operations", found["operations"], 4)
    preload.expect_equal("after the end: peak", found["peak_requested_bytes"], 11 * MIB)


def main():
    inputs = Inputs(preload.Machine(preload.arguments(__doc__).build))
    lifetimes(inputs)
    rmm(inputs)
    bounded(inputs)
    more_addresses_than_there_are(inputs)
    long_policies(inputs)
    large_devices(inputs)
    snapshots(inputs)
    real_snapshot(inputs)
    places(inputs)


main()

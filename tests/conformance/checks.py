#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks beyond a comparison of outputs: the pool serves, the trace is complete, freed memory is safe, and
the library has exactly its declared exports and dependencies.

Exit 0: passed; 1: failed, with the reason.
"""

import argparse
import collections
import glob
import os
import re
import shutil
import subprocess
import sys

from runner import SKIPPED, Suite, arguments, compare, sanitizer
from trace import Trace
from ends import check_refused_destroy, check_refused_end  # pylint: disable=unused-import
from waits import check_ended_beside_work, check_endless_work, check_held_up  # pylint: disable=unused-import


class Failures:
    def __init__(self):
        self.count = 0

    def expect(self, holds, text):
        if not holds:
            print(f"# {text}")
            self.count += 1


def logged_calls(suite, path, program, route, options=None, **variables):
    """The driver calls of a run, in order, and the run."""
    log = os.path.join(suite.directory, "calls.log")
    if os.path.exists(log):
        os.unlink(log)
    run = suite.run(path, program, route, options, SIMGPU_LOG=log, **variables)
    with open(log, encoding="utf-8") as file:
        return [line.split("\t")[3] for line in file if line.count("\t") >= 4], run


def check_served(suite, failures, _):
    """Through every route the pool serves most calls, and the driver few."""
    for path, route in suite.routes():
        bare, _ = logged_calls(suite, path, "churn", route)
        pool, _ = logged_calls(suite, path, "churn", route, "mode:pool")
        for call in ("cuMemAlloc_v2", "cuMemFree_v2"):
            before, after = bare.count(call), pool.count(call)
            print(f"{route}: {call} {before} bare, {after} with the pool")
            failures.expect(after * 20 < before, f"{route}: too many calls of {call}")


def check_first_served(suite, failures, options):
    """A thread's first allocation makes the context current, and is served by the pool."""
    for path, route in suite.routes():
        if not is_runtime_hooked(route):
            continue
        trace, run = recorded(suite, path, "first_call", route, "mode:pool", options.definitions)
        allocate, _ = functions_of(route)
        every = trace.count("ALLOCATE", allocate) if trace else 0
        passed = trace.count("ALLOCATE", allocate, "PASSED") if trace else 0
        print(f"{route}: {every} allocations, {passed} by the real function")
        made = len(re.findall("^allocate.*: cudaSuccess$", run[1], re.MULTILINE))
        failures.expect(every == made > 4 and passed == 0, f"{route}: {made} made, not served: {run}")


def check_pitched(suite, failures, _):
    """A width requested before is served by the pool."""
    for path, route in suite.routes():
        call = "cuMemAllocPitch_v2"
        bare = logged_calls(suite, path, "pitched", route)[0].count(call)
        pool = logged_calls(suite, path, "pitched", route, "mode:pool")[0].count(call)
        print(f"{route}: {call} {bare} bare, {pool} with the pool")
        failures.expect(bare - pool >= 14, f"{route}: not served")


def recorded(suite, path, program, route, options, definitions, argument=None):
    """The trace of a run and the run."""
    for old in glob.glob(os.path.join(suite.directory, "*.cupool")):
        os.unlink(old)
    pattern = os.path.join(suite.directory, "%p.cupool")
    run = suite.run(path, program, route, f"{options},trace:{pattern}", argument)
    traces = glob.glob(os.path.join(suite.directory, "*.cupool"))
    return (Trace(traces[0], definitions) if len(traces) == 1 else None), run


def is_runtime_hooked(route):
    """True if the program's own calls meet a hook of the runtime, false if one of the driver."""
    return route in ("dynamic", "dlsym", "dlsym-12", "dlvsym", "per-thread", "extension")


def functions_of(route):
    """The functions that the allocations and frees of a program on this route call."""
    runtime = is_runtime_hooked(route)
    return ("cudaMalloc", "cudaFree") if runtime else ("cuMemAlloc_v2", "cuMemFree_v2")


def check_recorded(suite, failures, options):
    """One record for each call, under the outermost function's name, and a closed trace."""
    for path, route in suite.routes():
        allocate, free = functions_of(route)
        for mode, outcome in (("observe", "PASSED"), ("pool", "HIT")):
            trace, _ = recorded(suite, path, "churn", route, f"mode:{mode}", options.definitions)
            failures.expect(trace is not None, f"{route}, {mode}: not one trace")
            if trace is None:
                continue
            allocations = trace.count("ALLOCATE", allocate)
            frees = trace.count("FREE", free)
            served = trace.count("ALLOCATE", allocate, outcome)
            print(f"{route}, {mode}: {allocations} allocations, {frees} frees, {served} {outcome}")
            failures.expect(allocations == trace.count("ALLOCATE"), "another function's record")
            failures.expect(allocations == frees > 9000, "allocations and frees differ")
            failures.expect(served >= allocations * 0.98, f"few were {outcome}")
            for kind in ("PROCESS", "DEVICE", "CONTEXT", "END"):
                failures.expect(trace.count(kind) >= 1, f"no {kind} record")
            failures.expect((trace.count("COUNTER") > 0) == (mode == "pool"), "counters")


def check_recorded_once(suite, failures, options):
    """Calls that the runtime makes inside the program's call are not recorded in addition."""
    for path, route in suite.routes():
        trace, _ = recorded(suite, path, "other_memory", route, "mode:pool", options.definitions)
        calls = trace.calls() if trace else {}
        runtime = is_runtime_hooked(route)
        strangers = [name for _, name in calls if name and name.startswith("cuda") != runtime]
        print(f"{route}: {sum(calls.values())} records of {len(calls)} kinds")
        failures.expect(len(calls) >= 6, f"{route}: too few functions recorded: {calls}")
        failures.expect(not strangers, f"{route}: recorded underneath: {strangers}")


# Minimum of allocations of each kind by the program, through every route.
KINDS_TAKEN = {"DEVICE": 4, "ASYNC": 3, "MANAGED": 2, "PINNED": 2, "REGISTERED": 1, "MEMPOOL": 1,
               "ARRAY": 3, "PHYSICAL": 2, "VIRTUAL": 1, "MAPPING": 2}


def check_balance(suite, failures, options):
    """Each allocation is freed once in the trace, with its own kind, by any freeing function."""
    for path, route in suite.routes():
        for mode in ("observe", "pool"):
            trace, _ = recorded(suite, path, "every_kind", route, f"mode:{mode}", options.definitions)
            if trace is None:
                failures.expect(False, f"{route}, {mode}: not one trace")
                continue
            taken, wrong = balance(trace)
            print(f"{route}, {mode}: {sum(taken.values())} allocations of {len(taken)} kinds")
            for text in wrong:
                failures.expect(False, f"{route}, {mode}: {text}")
            for memory, least in KINDS_TAKEN.items():
                failures.expect(taken[memory] >= least, f"{route}, {mode}: {memory} {taken[memory]}")
            # Two frees that the capture forbids, and an unmapping of half a mapping.
            refused = trace.count("FREE", outcome="FAILED")
            failures.expect(refused >= 3, f"{route}, {mode}: {refused} refused frees")


def balance(trace):
    """Allocations by kind, and errors in the pairs."""
    live, taken, wrong = {}, collections.Counter(), []
    for record in sorted(trace.records, key=trace.order):
        kind, memory = trace.kinds[record.kind], trace.memories[record.memory]
        if trace.outcomes[record.outcome] == "FAILED" or kind not in ("ALLOCATE", "FREE"):
            continue
        key, api = (memory, record.address), trace.texts.get(record.api)
        if kind == "ALLOCATE":
            taken[memory] += 1
            if key in live:
                wrong.append(f"{api}: twice at {key}")
            live[key] = record
        elif key not in live:
            wrong.append(f"{api}: frees the unknown {key}")
        else:
            was, pooled = live.pop(key), trace.outcomes[record.outcome] == "HIT"
            if record.size != was.size and not (pooled and record.size == 0):
                wrong.append(f"{api}: another size at {key}")
            if record.value != was.value:
                wrong.append(f"{api}: another allocated size at {key}")
    return taken, wrong + [f"{trace.texts.get(record.api)}: never freed: {key}"
                           for key, record in live.items()]


def check_mempools(suite, failures, _):
    """The release threshold of the option applies unless the program sets one."""
    for path, route in suite.routes():
        for argument, default in ((None, 64 << 20), ("first", 12345)):
            output = suite.run(path, "mempools", route,
                               "mode:pool,mempool_release_threshold:64MiB", argument)[1]
            found = [int(number) for number in re.findall(r"(?:default|created).*: (\d+)", output)]
            print(f"{route}: {found}")
            failures.expect(found == [default, 54321, 64 << 20, 777], f"{route}: {output}")


# Ends of a process: its frees on the way, and whether its trace is closed.
ENDINGS = {
    "return": (0, True), "exit": (0, True), "_exit": (0, False), "quick_exit": (5, False),
    "abort": (0, False), "kill": (0, False), "terminate": (0, False), "fault": (0, False),
    "exec": (0, False), "exit in thread": (0, True), "atexit": (5, True),
    "atexit after": (5, True), "destructor": (5, True), "threads": (None, True),
}


def check_endings(suite, failures, options):
    """After any end of a process its trace is complete up to that moment, and marked as whole or not."""
    for path, route in suite.routes():
        _, free = functions_of(route)
        for how, (frees, closed) in ENDINGS.items():
            trace, run = recorded(suite, path, "ending", route, "mode:pool", options.definitions,
                                  how)
            failures.expect(trace is not None, f"{route}, {how}: not one trace")
            if trace is None:
                continue
            counts = trace.count("ALLOCATE"), trace.count("FREE", free), trace.count("END")
            failures.expect(counts[0] >= 10, f"{route}, {how}: records are missing")
            failures.expect(frees in (None, counts[1]), f"{route}, {how}: {counts[1]} frees")
            failures.expect(bool(counts[2]) == closed, f"{route}, {how}: END {counts[2]}")
        print(f"{route}: {len(ENDINGS)} endings")


def calls_after_main(suite, path, route, how, options=None):
    """Calls of the main thread after the mark that the program sets at its end."""
    log = os.path.join(suite.directory, "calls.log")
    if os.path.exists(log):
        os.unlink(log)
    run = suite.run(path, "ending", route, options, how, SIMGPU_LOG=log)
    with open(log, encoding="utf-8") as file:
        lines = [line.split("\t") for line in file if line.count("\t") >= 4]
    names = [line[3] for line in lines]
    marks = [i for i, name in enumerate(names) if names[i - 1:i + 1] == ["cuDriverGetVersion"] * 2]
    if not marks:
        return None, run
    thread = lines[marks[-1]][1]
    return [line[3] for line in lines[marks[-1] + 1:] if line[1] == thread], run


def check_after_main(suite, failures, _):
    """After main only the program's own remaining calls reach the driver."""
    for path, route in suite.routes():
        for how in ENDINGS:
            bare, first = calls_after_main(suite, path, route, how)
            for mode in ("observe", "pool"):
                found, run = calls_after_main(suite, path, route, how, f"mode:{mode}")
                failures.expect(bare is not None and found is not None, f"{route}, {how}: no mark")
                more = collections.Counter(found or []) - collections.Counter(bare or [])
                failures.expect(not more, f"{route}, {how}, {mode}: after main {dict(more)}")
                failures.expect(run[0] == first[0], f"{route}, {how}, {mode}: {run[0]}")
        print(f"{route}: {len(ENDINGS)} endings")


def check_reuse(suite, failures, _):
    """A block in use is not reused; with reuse:immediate it is, which proves that the test detects it."""
    for path, route in suite.routes():
        for reuse, while_used in (("deferred", "0"), ("immediate", "1")):
            _, output, _ = suite.run(path, "reuse", route, f"mode:pool,reuse:{reuse}", "held")
            found = re.search(r"while in use: (\d+), error 0\n(?:.*\n)*.*in the end: (\d+)", output)
            print(f"{route}, {reuse}: {found.groups() if found else output}")
            failures.expect(found and found[1] == while_used, f"{route}, {reuse}: while in use")
            failures.expect(found and int(found[2]) > 0, f"{route}, {reuse}: never handed out again")
    path, route = suite.routes()[0]
    status, output, _ = suite.run(path, "reuse", route, "mode:pool", "held-many")
    wanted = ("contexts: errors 0", "captures: errors 0", "while in use: 0, error 0", r"in the end: [1-9]")
    failures.expect(status == 0 and all(re.search(line, output) for line in wanted), f"{route}, held-many: {output}")


def check_reuse_work(suite, failures, _):
    """Reuse after each way to submit work, on each kind of stream: never early, then without a wait."""
    line = re.compile(r"(.+): while in use (\d+), afterwards (\d+), waits (\d+), error 0")
    for path, route in suite.routes():
        for argument, lines, reuse, early in (
                ("held", 29, "deferred", "0"), ("held", 29, "immediate", "1"),
                ("held-peer", 5, "deferred", "0"), ("held-peer", 5, "immediate", "1")):
            status, output, _ = suite.run(path, "reuse_work", route, f"mode:pool,reuse:{reuse}",
                                          argument, SIMGPU_MEMORY="128MiB")
            if status == SKIPPED:
                print(f"{route}: {output.strip()}")
                continue
            found = [match.groups() for match in map(line.fullmatch, output.splitlines()) if match]
            print(f"{route}, {reuse}: {len(found)} ways and streams")
            failures.expect(len(found) == lines, f"{route}, {argument}, {reuse}: {output}")
            for what, while_used, afterwards, waits in found:
                failures.expect(while_used == early, f"{route}, {reuse}, {what}: while in use")
                failures.expect(reuse == "immediate" or (afterwards, waits) == ("1", "0"),
                                f"{route}, {what}: afterwards {afterwards}, waits {waits}")


# CUDA_VISIBLE_DEVICES, and the visible devices out of two, in order.
SECOND_DEVICE = "GPU-73696d67-7075-2064-6576-696365000001"
VISIBLE = {"1": [1], "1,0": [1, 0], "0,1": [0, 1], "0,0,1": [0], "1,7,0": [1], "x": [], "": [],
           "-1,0": [], SECOND_DEVICE: [1], f"{SECOND_DEVICE},0": [1, 0], "GPU-73": [], "0,GPU-f": [0]}


def check_visible_devices(suite, failures, _):
    """With any selection and order of devices, the program sees them as it does bare."""
    for path, route in suite.routes():
        for value, devices in VISIBLE.items():
            bare = suite.run(path, "devices", route, CUDA_VISIBLE_DEVICES=value)
            found = [int(number) for number in re.findall(r"device \d+ is (\d+)", bare[1])]
            failures.expect(found == devices, f"{route}, {value!r}: bare {found}")
            for mode in ("observe", "pool"):
                run = suite.run(path, "devices", route, f"mode:{mode}", CUDA_VISIBLE_DEVICES=value)
                failures.expect(run == bare, f"{route}, {value!r}, {mode}: {run}")
        print(f"{route}: {len(VISIBLE)} lists")


def check_limit(suite, failures, options):
    """A limit looks like a smaller device, to queries and to allocations."""
    limit = 256 << 20
    for path, route in suite.routes():
        for text in ("256MiB", "25%"):
            output = suite.run(path, "memory_info", route, f"mode:pool,limit:{text}", "total")[1]
            print(f"{route}, {text}: {output.strip()}")
            failures.expect("total: 256 MiB" in output, f"{route}, {text}: total")
        trace, run = recorded(suite, path, "out_of_memory", route, "mode:pool,limit:256MiB",
                              options.definitions)
        most = most_live_bytes(trace) if trace else 0
        print(f"{route}: at most {most} bytes, status {run[0]}")
        failures.expect(limit // 2 < most <= limit, f"{route}: at most {most} bytes")


def check_limit_race(suite, failures, _):
    """Threads that allocate at the same moment get no more than the limit together."""
    for path, route in suite.routes():
        for chosen in ("limit:1GiB", "limit:1GiB,backing:vmm") if route in ("dynamic", "driver") else ():
            run = suite.run(path, "limit_race", route, f"mode:pool,{chosen}", SIMGPU_MEMORY="8GiB",
                            SIMGPU_SET="call_us=300")
            print(f"{route}, {chosen}: {run[1]}")
            failures.expect(run == (0, "most at once: 3 of 4\nright: 4\n", ""),
                            f"{route}, {chosen}: {run}")


def check_smaller_device(suite, failures, _):
    """For the program, a large device with a limit equals a small device without."""
    for path, route in suite.routes():
        small = suite.run(path, "device_size", route, SIMGPU_MEMORY="1GiB")
        for limit in ("1GiB", "12.5%", "1GiB,backing:vmm"):
            large = suite.run(path, "device_size", route, f"mode:pool,limit:{limit}",
                              SIMGPU_MEMORY="8GiB")
            failures.expect(compare(f"{route}, limit:{limit}", small, large), f"{route}: differs")
        print(f"{route}: {len(small[1].splitlines())} lines")
        failures.expect("16 of 67108864\n" in small[1], f"{route}: {small[1]}")


# Programs that print the memory held, with an argument for the steps that a limit does not count.
HELD = {"held_physical": None, "held_place": None, "held_pool": "counted", "held_graph": None,
        "held_context": None}
# One of each kind of route: the runtime's hooks, the driver's, the driver's under a runtime.
HELD_ROUTES = ("dynamic", "driver", "static", "per-thread", "proc4")


def held_runs(suite):
    return [(path, route, program, argument) for path, route in suite.routes() if route in HELD_ROUTES
            for program, argument in HELD.items()]


def check_held_limit(suite, failures, _):
    """A limit counts each kind of memory for the same time, and on the same device, as a smaller device."""
    for path, route, program, argument in held_runs(suite):
        small = suite.run(path, program, route, None, argument, SIMGPU_MEMORY="1GiB")
        if small[0] == SKIPPED:
            continue
        for chosen in ("limit:1GiB", "limit:1GiB,backing:vmm"):
            large = suite.run(path, program, route, f"mode:pool,{chosen}", argument,
                              SIMGPU_MEMORY="8GiB")
            failures.expect(compare(f"{route}, {program}, {chosen}", small, large),
                            f"{route}, {program}, {chosen}: differs")
        lines = small[1].count(" held\n")
        print(f"{route}, {program}: {lines} figures")
        failures.expect(lines >= 7, f"{route}, {program}: {small}")


# Kinds of memory that end with their context, and those in a device's own figures.
WITH_CONTEXT = {"DEVICE", "MANAGED", "PINNED", "REGISTERED", "ARRAY", "IMPORTED"}
OF_A_DEVICE = {"DEVICE", "ASYNC", "ARRAY", "PHYSICAL"}


def accounts(trace):
    """At each query of free memory: the device, its used memory, and the used memory in the trace."""
    live = {}
    for record in sorted(trace.records, key=trace.order):
        kind, memory = trace.kinds[record.kind], trace.memories[record.memory]
        key = (kind.startswith("SEGMENT"), memory, record.address)
        if kind == "SEGMENT_ALLOCATE" and not record.value:
            live[key] = (record.device, record.size, record.context)
        elif kind == "ALLOCATE" and trace.outcomes[record.outcome] == "PASSED" \
                and memory in OF_A_DEVICE:
            owner = record.context if memory in WITH_CONTEXT else None
            live[key] = (record.device, record.value, owner)
        elif kind in ("FREE", "SEGMENT_FREE") and trace.outcomes[record.outcome] != "FAILED":
            live.pop(key, None)
        elif kind == "CONTEXT" and not record.value:
            live = {key: block for key, block in live.items() if block[2] != record.context}
        elif kind == "MEMORY_INFO":
            known = sum(size for device, size, _ in live.values() if device == record.device)
            yield record.device, record.value - record.size, known


def check_held_record(suite, failures, options):
    """The trace has each device's own figure of used memory at each moment."""
    for path, route, program, argument in held_runs(suite):
        for mode in ("observe", "pool", "pool,backing:vmm"):
            trace, run = recorded(suite, path, program, route, f"mode:{mode}", options.definitions,
                                  argument)
            if run[0] == SKIPPED:
                continue
            failures.expect(trace is not None, f"{route}, {program}, {mode}: not one trace")
            if trace is None:
                continue
            found = list(accounts(trace))
            # Memory of the context itself appears only in the device's figures.
            first = {device: taken - known for device, taken, known in reversed(found)}
            wrong = [(device, taken - first[device], known) for device, taken, known in found
                     if taken - first[device] != known]
            print(f"{route}, {program}, {mode}: {len(found)} accounts")
            failures.expect(len(found) >= 16 and len(first) == 2, f"{route}, {program}: {found}")
            failures.expect(not wrong, f"{route}, {program}, {mode}: device, taken, recorded {wrong}")
            owned = [trace.memories[record.memory] for record in trace.records
                     if trace.kinds[record.kind] == "ALLOCATE" and record.context]
            failures.expect(set(owned) <= WITH_CONTEXT, f"{route}, {program}: owned {set(owned)}")
            frees = balance(trace)[1]
            unknown = [text for text in frees
                       if "unknown" in text or ("twice" in text and "'ASYNC'" in text)]
            failures.expect(not unknown, f"{route}, {program}, {mode}: {unknown}")


def check_foreign(suite, failures, _):
    """With memory of other processes, and memory allocated past the shim: the free memory is that of the
    driver plus that of the pool, or the rest of a limit, to the byte."""
    limit, line = 512 << 20, re.compile(r"(.+): free (\d+), total (\d+)")
    used = [blocks * 64 << 20 for blocks in (0, 0, 4, 4, 2, 2, 4, 0, 0)]
    for path, route in suite.routes():
        bare = suite.run(path, "foreign", route, SIMGPU_OTHERS="400MiB")
        pool = suite.run(path, "foreign", route, "mode:pool", SIMGPU_OTHERS="400MiB")
        failures.expect(compare(f"{route}, pool", bare, pool), f"{route}: differs")
        mapped = suite.run(path, "foreign", route, "mode:pool,backing:vmm", SIMGPU_OTHERS="400MiB")
        failures.expect(compare(f"{route}, vmm", bare, mapped), f"{route}: differs with vmm")
        within = suite.run(path, "foreign", route, "mode:pool,limit:512MiB", SIMGPU_OTHERS="400MiB")
        told = [match.groups() for match in map(line.fullmatch, bare[1].splitlines()) if match]
        failures.expect(len(told) == len(used), f"{route}: {bare}")
        wanted = bare[1]
        for (when, free, total), bytes_used in zip(told, used):
            least = min(int(free), limit - bytes_used)
            wanted = wanted.replace(f"{when}: free {free}, total {total}\n",
                                    f"{when}: free {least}, total {limit}\n", 1)
        failures.expect(compare(f"{route}, limit", (0, wanted, ""), within), f"{route}: limit")
        print(f"{route}: {len(told)} figures")


def most_live_bytes(trace):
    live, total, most = {}, 0, 0
    for record in sorted(trace.records, key=lambda record: record.time):
        kind = trace.kinds[record.kind]
        if kind == "ALLOCATE" and trace.outcomes[record.outcome] != "FAILED":
            live[record.address] = record.size
            total += record.size
        elif kind == "FREE":
            total -= live.pop(record.address, 0)
        most = max(most, total)
    return most


def check_exempt(suite, failures, options):
    """Allocations of an exempt library go to the driver, and are recorded."""
    for path, route in suite.routes()[:2]:
        for globs, outcome in (("libfoo*:conformance_l*", "PASSED"), ("libfoo*", "HIT")):
            trace, _ = recorded(suite, path, "churn", route, f"mode:pool,exempt:{globs}",
                                options.definitions)
            count = trace.count("ALLOCATE", outcome=outcome) if trace else 0
            print(f"{route}, {globs}: {count} {outcome}")
            failures.expect(count > 9000, f"{route}, {globs}: {count} {outcome}")


def check_fill(suite, failures, _):
    """Blocks hold the bytes set by the options."""
    for path, route in suite.routes()[:2]:
        for option, value in (("fill:zero", 0), ("fill:poison", 0xA5), ("scrub:zero", 0)):
            output = suite.run(path, "contents", route, f"mode:pool,{option}", "fresh")[1]
            found = re.findall(r"holds: (\d+) (\d+)", output)
            print(f"{route}, {option}: {found}")
            failures.expect(len(found) == 3 and set(found) == {(str(value),) * 2},
                            f"{route}, {option}: {found}")


def check_quarantine(suite, failures, options):
    """Less memory allowed in the quarantine closes epochs more often."""
    for path, route in suite.routes()[:2]:
        fences = []
        for most in ("0", "64KiB"):
            trace, run = recorded(suite, path, "churn", route, f"mode:pool,quarantine_max:{most}",
                                  options.definitions)
            failures.expect(run[0] == 0, f"{route}, {most}: {run}")
            fences.append(trace.count("FENCE") if trace else 0)
        print(f"{route}: {fences[0]} fences, {fences[1]} with quarantine_max:64KiB")
        failures.expect(fences[1] > fences[0], f"{route}: {fences}")


def check_asked_once(suite, failures, _):
    """A failed free of the driver is repeated, but not after a sticky error: the memory may already be free,
    and reused by another."""
    path, route = suite.routes()[0]
    for result, times in (("UNKNOWN", 2), ("ILLEGAL_ADDRESS", 1)):
        log = os.path.join(suite.directory, f"{result}.log")
        suite.run(path, "device_size", route, "mode:pool", SIMGPU_LOG=log,
                  SIMGPU_FAULT=f"cuMemFree_v2:1:{result}")
        with open(log, encoding="utf-8") as file:
            frees = [line.split("\t") for line in file if "\tcuMemFree_v2\t" in line]
        pointers = [next(field for field in line if field.startswith("ptr=")).strip()
                    for line in frees]
        same = [other for other in pointers[:2] if other == pointers[0]]
        print(f"{result}: {len(same)} frees of {pointers[0]}")
        failures.expect(len(same) == times, f"{result}: {pointers[:3]}")


def synchronous_sets(log):
    """Values of SYNC_MEMOPS, call by call, for each driver allocation."""
    live, sets = [], collections.defaultdict(list)
    with open(log, encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 5 or fields[4] not in ("0", "CUDA_SUCCESS"):
                continue
            values = {name: int(value, 0) for name, _, value in
                      (field.partition("=") for field in fields[5:]) if value}
            if fields[3] == "cuMemAlloc_v2":
                live.append((values["ptr"], values["bytes"]))
            elif fields[3] == "cuMemFree_v2":
                live = [each for each in live if each[0] != values["ptr"]]
            elif fields[3] == "cuPointerSetAttribute":
                sets[[base for base, size in live if 0 <= values["ptr"] - base < size][0]].append(
                    values["value"])
    return sets


def check_synchronous(suite, failures, _):
    """A segment has SYNC_MEMOPS exactly as long as one of its blocks has it."""
    log = os.path.join(suite.directory, "synchronous.log")
    for path, route in suite.routes():
        if os.path.exists(log):
            os.unlink(log)
        suite.run(path, "ranges", route, "mode:pool", SIMGPU_LOG=log)
        sets = synchronous_sets(log)
        print(f"{route}: set {[len(each) for each in sets.values()]} times on each of "
              f"{len(sets)} segments")
        failures.expect(sum(1 in values for values in sets.values()) >= 3, f"{route}: never set")
        for base, values in sets.items():
            failures.expect(values[-1] == 0, f"{route}: it stays on {base:#x}: {values}")
        # One block drops it while another still has it.
        failures.expect(any(values[:5] == [1, 1, 1, 1, 1] for values in sets.values()),
                        f"{route}: taken from a block that has it: {dict(sets)}")


def without_function(suite, name, instead=None):
    """Makes a directory of the device's libraries in which the driver does not have a function, but another name."""
    directory = os.path.join(suite.directory, "without_" + name)
    os.mkdir(directory)
    for one in os.listdir(suite.device):
        os.symlink(os.path.join(suite.device, one), os.path.join(directory, one))
    path = os.path.join(directory, "libcuda.so.1")
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    other = (instead or name[:-1] + "_").encode()
    with open(path, "wb") as file:  # found by no name: symbol table and look-ups
        file.write(content.replace(b"\0" + name.encode() + b"\0", b"\0" + other + b"\0"))
    return directory


def check_old_driver(suite, failures, _):
    """Contexts end and begin on a driver that has no ids of contexts (before CUDA 12)."""
    variables = {"LD_LIBRARY_PATH": without_function(suite, "cuCtxGetId")}
    for path, route in suite.routes():
        for program in ("contexts", "context_end"):
            bare = suite.run(path, program, route, **variables)
            failures.expect(bare[0] == 0, f"{route}, {program}: bare {bare}")
            for mode in ("mode:observe", "mode:pool", "mode:pool,backing:vmm"):
                run = suite.run(path, program, route, mode, **variables)
                failures.expect(compare(f"{program}, {route}, {mode}", bare, run), f"{route}, {mode}")
        print(f"{route}: without cuCtxGetId")


def check_partial_driver(suite, failures, _):
    """A library stands in for the driver, has a part of it, and leads to the rest; one that accepts every
    stream-ordered free does so for the pool, too, on a full device."""
    directory, path = without_function(suite, "libcuda.so.1", "libreal.so.1"), suite.executables["linked"]
    driver = os.path.join(directory, "libcuda.so.1")
    os.rename(driver, os.path.join(directory, "libreal.so.1"))
    for part, route, program, argument in (("part", "dynamic", "churn", None), ("part", "driver", "churn", None),
                                           ("accepts", "driver", "stream_ordered", "full")):
        shutil.copy(os.path.join(os.path.dirname(path), f"libconformance_{part}.so"), driver)
        bare, run = [suite.run(path, program, route, mode, argument, LD_LIBRARY_PATH=directory)
                     for mode in (None, "mode:pool")]
        failures.expect(bare[0] == 0 and compare(route, bare, run), f"{route}, {part}: bare {bare}")
        failures.expect(part == "part" or "free in order: CUDA_SUCCESS\n" in bare[1], f"{part}: bare {bare}")


def check_refused_link(suite, failures, _):
    """A link to a peer that the driver refuses for a part of the memory is refused as a whole; a cut
    that it refuses for a part takes effect on the rest."""
    for path, route in suite.routes():
        if route not in ("dynamic", "driver"):
            continue
        refused, cut = r"link: 999\nset: [1-9]", r"link: 0\ncut: 0\nset: [1-9]"
        for number, what, result in ((0, "first", r"link: 0\nset: 0"), (0, "last", r"link: 0\nset: 0"),
                                     (5, "first", refused), (5, "last", refused), (6, "first", refused),
                                     (0, "cut first", cut), (8, "cut first", cut), (8, "cut last", cut)):
            fault = ",".join([f"cuMemSetAccess:{number}:UNKNOWN"] * 2)  # a refused call is repeated once
            run = suite.run(path, "peer_access", route, "mode:pool,backing:vmm,page:2MiB", what,
                            **({"SIMGPU_FAULT": fault} if number else {}))
            print(f"{route}, {what}, call {number}: {run[1]}")
            failures.expect(run[0] == 0 and re.search(result, run[1]), f"{route}, {what}, call {number}: {run}")


def neighbours():
    """Other preload libraries available here."""
    asan = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                          check=False).stdout.strip()
    found = [os.path.realpath(asan)] if os.path.isabs(asan) else []
    return found + glob.glob("/usr/lib/*/libjemalloc.so.2") + glob.glob("/usr/lib64/libjemalloc.so.2")


def check_lost_peer(suite, failures, _):
    """Memory waiting for a context returns when that context breaks."""
    for path, route in suite.routes():
        run = suite.run(path, "broken_peer", route, "mode:pool", argument="held")
        failures.expect(run[0] == 0 and "errors: 0\n" in run[1], f"{route}: {run}")


def check_neighbours(suite, failures, _):
    """With another preload library, in either order, the program runs and the pool serves it."""
    log = os.path.join(suite.directory, "calls.log")
    libraries = neighbours()
    if not libraries:
        print("skipped: neither AddressSanitizer nor jemalloc on this machine")
        sys.exit(77)
    quiet = "detect_leaks=0:verify_asan_link_order=0"
    for library in libraries:
        for preload in (f"{library}:{suite.library}", f"{suite.library}:{library}"):
            for path, route in suite.routes():
                if route == "deepbind" and "asan" in library:
                    continue  # the sanitizer ends the program at such a dlopen
                if os.path.exists(log):
                    os.unlink(log)
                run = suite.run(path, "churn", route, "mode:pool", LD_PRELOAD=preload,
                                SIMGPU_LOG=log, ASAN_OPTIONS=quiet)
                calls = 0
                if os.path.exists(log):
                    with open(log, encoding="utf-8") as file:
                        calls = sum("cuMemAlloc_v2" in line for line in file)
                failures.expect(run[0] == 0 and 0 < calls < 500,
                                f"{preload}, {route}: {calls} calls, {run}")
        print(f"{os.path.basename(library)}: in both orders")


def disturbed(suite, path, program, route, disturb, options):
    """A run with a library that makes libc return the worst permitted results."""
    library = os.path.join(os.path.dirname(path), "libconformance_disturb.so")
    return suite.run(path, program, route, options, LD_PRELOAD=f"{library}:{suite.library}",
                     DISTURB=disturb)


def check_error_number(suite, failures, _):
    """errno is restored, whatever inner calls left in it."""
    for path, route in suite.routes():
        bare = suite.run(path, "error_number", route)
        run = disturbed(suite, path, "error_number", route, "errno", "mode:pool")
        failures.expect(compare(route, bare, run), f"{route}: differs")
        print(f"{route}: {run[1].strip()}")


def check_interrupted(suite, failures, _):
    """An endlessly interrupted file system costs the trace, not the program."""
    pattern = os.path.join(suite.directory, "%p.cupool")
    for path, route in suite.routes()[:2]:
        bare = suite.run(path, "churn", route)
        run = disturbed(suite, path, "churn", route, "interrupt",
                        f"mode:pool,trace:{pattern},live:{suite.directory}")
        failures.expect(run[:2] == bare[:2], f"{route}: {run}")
        print(f"{route}: {run[2].strip()}")


def exported_symbols(library):
    text = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True,
                          check=True).stdout
    return {line.split()[2] for line in text.splitlines()
            if len(line.split()) == 3 and line.split()[1] != "A"}


def exported(library):
    """Names of functions, without their versions."""
    return {symbol.split("@")[0] for symbol in exported_symbols(library)}


def expect_versions(failures, options, rows, library):
    """A runtime function can be bound by a module linked with any runtime, or with none."""
    nodes_file = os.path.join(os.path.dirname(options.hooks), "runtime_versions.h")
    with open(nodes_file, encoding="utf-8") as file:
        nodes = re.findall(r"ROW\(context, \d+, ([\w.]+)\)", file.read())
    failures.expect("libcudart.so.12" in nodes, "runtime_versions.h could not be read")
    symbols = exported_symbols(library)
    wanted = {name if family == "DRIVER" else f"{name}@{version}" for family, name in rows
              for version in ["@cupool", *nodes]}
    failures.expect(wanted <= symbols, f"not exported: {sorted(wanted - symbols)}")


ANNOTATIONS = {"cupool_phase_begin", "cupool_phase_end", "cupool_step", "cupool_mark",
               "cupool_check", "cupool_trim", "cupool_defragment", "cupool_pool_stats"}


def hook_rows(options):
    """Family and name of every hooked function."""
    with open(options.hooks, encoding="utf-8") as file:
        return re.findall(r"^(?:HOOK\(\w+, |TAKES(?:_AT)?\(|GIVES\(|WATCHES\()(RUNTIME|DRIVER), (\w+),",
                          file.read(), re.M)


def check_whose(suite, failures, options):
    """Hooked functions resolve to cupool through every route; others to the same pointer as bare."""
    hooked = {name for _, name in hook_rows(options)}
    library = os.path.basename(suite.library)
    for path, route in suite.routes():
        if route in ("static", "deepbind"):
            continue  # their runtime functions are not reachable; the driver's are
        ours = others = 0
        lines = suite.run(path, "whose", route, "mode:pool", "aloud")[1].splitlines()
        for name, module, symbol in (line.split() for line in lines):
            if module == library:
                ours += 1
                failures.expect(symbol in hooked, f"{route}: {name} is {symbol} of {module}")
            elif module != "-":
                others += 1
                failures.expect(symbol not in hooked, f"{route}: {name} is {symbol} of {module}")
        print(f"{route}: {ours} of cupool, {others} not")
        failures.expect(ours > 10 and others > 5, f"{route}: {ours}, {others}")


def check_exports(suite, failures, options):
    """The library exports its hooks, look-ups, the functions of cupool.h and the one of NVTX, and needs only
    libc; the device has each hooked function."""
    cupti_hooks = os.path.join(os.path.dirname(options.hooks), "cupti_api.def")
    with open(cupti_hooks, encoding="utf-8") as file:
        cupti = re.findall(r"^CUPTI_API\((\w+),", file.read(), re.M)
    failures.expect(len(cupti) >= 3, "cupti_api.def could not be read")
    rows = hook_rows(options)
    wanted = {name for _, name in rows} | {"dlsym", "dlvsym", *cupti} | ANNOTATIONS
    if options.nvtx:
        wanted.add("InitializeInjectionNvtx2")
    found = exported(suite.library)
    print(f"{len(rows)} hooks, {len(found)} exported symbols")
    failures.expect(len(rows) > 100, "hooks.def could not be read")
    failures.expect(found == wanted, f"exported but not hooked: {sorted(found - wanted)}, "
                                     f"hooked but not exported: {sorted(wanted - found)}")
    expect_versions(failures, options, rows, suite.library)
    dynamic = subprocess.run(["readelf", "-dW", suite.library], capture_output=True, text=True,
                             check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    failures.expect(needed == ["libc.so.6"], f"needs {needed}")
    for family, library in (("DRIVER", "libcuda.so.1"), ("RUNTIME", "libcudart.so.13")):
        path = os.path.join(suite.device, library)
        missing = {name for of, name in rows if of == family} - exported(path)
        failures.expect(not missing, f"{library} has no {sorted(missing)}")


# These check the library as shipped.
NOT_WITH_SANITIZERS = {"neighbours", "exports", "error_number", "interrupted"}


def main():
    checks = {name[6:]: function for name, function in globals().items()
              if name.startswith("check_")}
    parser = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("--definitions", required=True, help="cupti/format/events.def")
    parser.add_argument("--hooks", required=True, help="shim/resolve/hooks.def")
    parser.add_argument("--nvtx", action="store_true", help="the library was built with NVTX")
    parser.add_argument("check", choices=checks)
    options = parser.parse_args()
    if sanitizer.active() and options.check in NOT_WITH_SANITIZERS:
        print("skipped: a sanitizer's runtime is itself a preload library and a dependency")
        return 77
    failures = Failures()
    checks[options.check](Suite(options), failures, options)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())

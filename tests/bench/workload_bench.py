# SPDX-License-Identifier: MIT
"""Savings and costs of the pool, as a program sees them, on the simulated device.

Four tables and one JSON object (--json FILE):
  hook      ns per cudaMalloc and cudaFree hit under cupool, recording off and on
  tinyllm   driver calls per 1,000 operations and simulated time, bare and pooled
  stacks    what recording a stack of calling frames costs
  record    what recording adds to an operation, and to the whole run of tinyllm
  cupti     what CUPTI adds to an operation that reaches the driver; with the simulated CUPTI, so the
            figure is the recorder's cost, without NVIDIA's library
Times depend on the machine: compare them only with each other. The simulated time is the sum of the
profile's costs of all driver calls and does not depend on the machine.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

MEMORY_CALLS = ("cuMemAlloc_v2", "cuMemFree_v2")
FENCE_CALLS = ("cuCtxRecordEvent", "cuEventQuery")  # the workload itself makes neither
# Threads, live blocks, order of replacement. With a million blocks, a random one is not in a cache.
HOOK_CASES = [(1, 100, "random"), (1, 10000, "random"), (1, 1000000, "random"),
              (1, 1000000, "oldest"), (8, 100, "random"), (8, 10000, "random"),
              (8, 1000000, "random"), (8, 1000000, "oldest")]


# Runs of tinyllm timed with and without a trace, and their number.
RECORDED_RUNS = (("64 tokens", ("--tokens", "64", "--seed", "7")),)
PAIRS = 15

# Frames recorded of a stack of 40.
STACK_CASES = (1, 4, 16, 64)


def hook_case(machine, threads, live, order, recording, stacks=1, depth=0):
    trace = machine.scratch / "hook.cupool"
    trace.unlink(missing_ok=True)
    command = [str(machine.build / "tests" / "bench" / "hook_bench"), "--threads", str(threads),
               "--live", str(live), "--steps", str(400000 // threads),
               "--max-size", "2048" if live > 100000 else "32768"]
    command += ["--depth", str(depth)]
    command += ["--oldest-first"] if order == "oldest" else []
    done = machine.run(command, preload=True,
                       CUPOOL=f"trace:{trace if recording else 'off'},stacks:{stacks}")
    if done.returncode != 0:
        preload.fail(f"hook_bench: exit {done.returncode}: {done.stderr.decode()[-300:]}")
    return json.loads(done.stdout)


def hook_table(machine):
    print("hook: ns per hit; p50 and p99 of single calls, mean over all threads' wall time")
    print(f"{'threads':>7} {'live':>8} {'replaced':>8} {'record':>6} {'malloc p50':>10} {'p99':>6} "
          f"{'free p50':>8} {'p99':>6} {'wall/op':>8}")
    rows = []
    for threads, live, order in HOOK_CASES:
        for recording in (False, True):
            row = hook_case(machine, threads, live, order, recording)
            row.update(recording=recording, replaced=order)
            rows.append(row)
            print(f"{threads:>7} {live:>8} {order:>8} {'on' if recording else 'off':>6} "
                  f"{row['allocate']['p50_ns']:>10} {row['allocate']['p99_ns']:>6} "
                  f"{row['free']['p50_ns']:>8} {row['free']['p99_ns']:>6} "
                  f"{row['throughput_ns']:>8.1f}")
    return rows


def stack_table(machine):
    print("\nstacks: ns per recorded hit by frames recorded, in a stack of 40")
    print(f"{'frames':>7} {'malloc p50':>10} {'p99':>6} {'free p50':>8} {'p99':>6} {'wall/op':>8}")
    rows = []
    for frames in STACK_CASES:
        row = hook_case(machine, 1, 100, "random", True, stacks=frames, depth=40)
        row.update(frames=frames)
        rows.append(row)
        print(f"{frames:>7} {row['allocate']['p50_ns']:>10} {row['allocate']['p99_ns']:>6} "
              f"{row['free']['p50_ns']:>8} {row['free']['p99_ns']:>6} {row['throughput_ns']:>8.1f}")
    return rows


def logged(machine, words, preloaded):
    log = machine.scratch / "bench.log"
    log.unlink(missing_ok=True)
    done = machine.run(machine.program("tinyllm", *words), preload=preloaded, SIMGPU_LOG=log)
    preload.expect_equal("tinyllm: exit", done.returncode, 0)
    return preload.CallLog(log)


def tinyllm_table(machine):
    print("\ntinyllm on the simulated device (simulated time, profile of the device)")
    print(f"{'configuration':<14} {'run':<6} {'operations':>10} {'memory calls':>12} "
          f"{'fence calls':>11} {'per 1,000':>9} {'peak MiB':>8} {'simulated ms':>12}")
    rows = []
    for name, words in (("64 tokens", ("--tokens", "64", "--seed", "7")),
                        ("256 tokens", ("--tokens", "256", "--seed", "7")),
                        ("large", ("--preset", "large", "--seed", "7"))):
        operations = None
        for preloaded in (False, True):
            log = logged(machine, words, preloaded)
            memory, fences = log.count(*MEMORY_CALLS), log.count(*FENCE_CALLS)
            operations = operations or memory
            row = {"configuration": name, "pooled": preloaded, "operations": operations,
                   "memory_calls": memory, "fence_calls": fences,
                   "peak_bytes": log.device_memory()[2], "simulated_ns": log.virtual_ns}
            rows.append(row)
            print(f"{name:<14} {'pooled' if preloaded else 'bare':<6} {operations:>10} "
                  f"{memory:>12} {fences:>11} {1000 * (memory + fences) / operations:>9.2f} "
                  f"{row['peak_bytes'] / 2**20:>8.1f} {row['simulated_ns'] / 1e6:>12.2f}")
    return rows


def spent(machine, words, recording):
    """(wall, processor) seconds of a pooled run of tinyllm."""
    trace = machine.scratch / "tinyllm.cupool"
    trace.unlink(missing_ok=True)
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = machine.run(machine.program("tinyllm", *words), preload=True,
                       CUPOOL=f"trace:{trace if recording else 'off'}")
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    preload.expect_equal("tinyllm: exit", done.returncode, 0)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def recording_table(machine):
    """Pairs of runs in alternating order, so that other load affects both."""
    print(f"\nrecording: time of tinyllm with a trace over without, median of {PAIRS} pairs")
    rows = []
    for name, words in RECORDED_RUNS:
        ratios = []
        for pair in range(PAIRS):
            times = {recording: spent(machine, words, recording)
                     for recording in ((False, True) if pair % 2 else (True, False))}
            ratios.append([on / off for on, off in zip(times[True], times[False])])
        row = {"configuration": name}
        for key, found in zip(("wall", "processor"), zip(*ratios)):
            low, row[key], high = statistics.quantiles(found, n=4)
            row[f"{key}_quartiles"] = [low, high]
            print(f"  {name:<10} {key:<9} {row[key]:.3f} (half of them {low:.3f} to {high:.3f})")
        rows.append(row)
    return rows


def cupti_table(machine):
    print("\ncupti (simulated): time of a recorded allocation and free by the driver, auto over off")
    rows = []
    for threads in (1, 4):
        times = {"off": [], "auto": []}
        for _ in range(5):
            for option, found in times.items():
                trace = machine.scratch / "cupti.cupool"
                trace.unlink(missing_ok=True)
                command = [str(machine.build / "tests" / "bench" / "hook_bench"), "--threads",
                           str(threads), "--live", "100", "--steps", str(100000 // threads),
                           "--max-size", "32768"]
                done = machine.run(command, preload=True,
                                   CUPOOL=f"mode:observe,trace:{trace},cupti:{option}")
                preload.expect_equal("hook_bench: exit", done.returncode, 0)
                found.append(json.loads(done.stdout)["throughput_ns"])
        ratio = statistics.median(times["auto"]) / statistics.median(times["off"])
        rows.append({"threads": threads, "ratio": ratio})
        print(f"  {threads} threads: {ratio:.2f}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    options = parser.parse_args()
    machine = preload.Machine(options.build)
    hooks = hook_table(machine)
    off = [row for row in hooks if not row["recording"]]
    on = [row for row in hooks if row["recording"]]
    print("\nrecord: added ns per operation (p50 of malloc and free, on less off)")
    for without, with_record in zip(off, on):
        added = [with_record[call]["p50_ns"] - without[call]["p50_ns"]
                 for call in ("allocate", "free")]
        print(f"  {without['threads']} threads, {without['live']} live: {added[0]}, {added[1]}")
    stacks = stack_table(machine)
    recording = recording_table(machine)
    llm = tinyllm_table(machine)
    cupti = cupti_table(machine)
    if options.json:
        options.json.write_text(json.dumps({"hook": hooks, "stacks": stacks, "tinyllm": llm,
                                            "recording": recording,
                                            "cupti": cupti}, indent=2,
                                           sort_keys=True) + "\n")


main()

# SPDX-License-Identifier: MIT
"""The cost of guards for tinyllm on the simulated device, as ratios to the same run without guards: driver
calls (without queries, which neither wait nor set anything), kernels launched by the guards for each
allocation, simulated time, the median wall time of alternating runs, and the peak of the pool's device
memory.
"""

import collections
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

CASES = (("off", "guard:off"), ("redzone", "guard:redzone"),
         ("redzone and poison", "guard:redzone,scrub:poison"), ("page", "guard:page"),
         ("page, from 64 KiB", "guard:page,guard_page:64KiB"))
RUNS = (("32 tokens", ("--tokens", "32", "--seed", "7")), ("large", ("--preset", "large")))
PAIRS = 3
QUESTIONS = ("cuStreamQuery", "cuEventQuery", "cuCtxGetCurrent", "cuThreadExchangeStreamCaptureMode",
             "cuCtxGetId", "cuStreamIsCapturing")


def counted(machine, words, options):
    """Driver calls by name, and simulated ns."""
    log = machine.scratch / "calls.log"
    log.unlink(missing_ok=True)
    calls, virtual = collections.Counter(), 0
    started(machine, words, CUPOOL=options, SIMGPU_LOG=str(log))
    for line in log.read_text().splitlines():
        if line.startswith("simgpu: virtual_ns:"):
            virtual = int(line.split()[-1])
        elif not line.startswith("simgpu:"):
            calls[line.split("\t")[3]] += 1
    return calls, virtual


def started(machine, words, **environment):
    done = machine.run(machine.program("tinyllm", *words), preload=True, **environment)
    if done.returncode != 0:
        preload.fail(f"tinyllm: exit {done.returncode}: {done.stderr.decode()[-300:]}")


def taken(machine, words, options):
    """Peak of the pool's memory from the driver."""
    trace = machine.scratch / "taken.cupool"
    trace.unlink(missing_ok=True)
    started(machine, words, CUPOOL=f"{options},trace:{trace}")
    return machine.report(trace)["summary"]["peak_driver_bytes"]


def timed(machine, words, options):
    begin = time.monotonic()
    started(machine, words, CUPOOL=options)
    return time.monotonic() - begin


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    for name, words in RUNS:
        print(f"\n{name}: ratios to guard:off")
        print(f"{'guard':<20} {'driver calls':>12} {'ratio':>7} {'kernels':>8} {'simulated':>10} "
              f"{'wall':>7} {'memory':>7}")
        figures = [counted(machine, words, options) for _, options in CASES]
        memory = [taken(machine, words, options) for _, options in CASES]
        walls = [[timed(machine, words, options) for _, options in CASES] for _ in range(PAIRS)]
        base, base_virtual = figures[0]
        for at, (case, _) in enumerate(CASES):
            calls, virtual = figures[at]
            called, before = (sum(count for call, count in each.items() if call not in QUESTIONS)
                              for each in (calls, base))
            kernels = calls["cuLaunchKernel"] - base["cuLaunchKernel"]
            wall = statistics.median(each[at] / each[0] for each in walls)
            print(f"{case:<20} {called:>12,} {called / before:>7.2f} {kernels:>8,} "
                  f"{virtual / base_virtual:>10.2f} {wall:>7.2f} {memory[at] / memory[0]:>7.2f}")


main()

# SPDX-License-Identifier: MIT
"""kill -9 at random moments: every trace can be read, and at most one record of each thread, the
one it was writing, is missing. The program counts its records in memory that outlives it.

--runs 100 for more moments than the ordinary test takes; --seed repeats a run.
"""

import array
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

LIMITS = (0, 4 << 20, 8 << 20)


def counts_read(path):
    counters = array.array("Q")
    counters.frombytes(path.read_bytes())
    return list(counters)


def run(machine, number, choose):
    threads, limit = choose.choice((1, 2, 4)), choose.choice(LIMITS)
    trace, counts = (machine.scratch / f"{number}.{what}" for what in ("cupool", "counts"))
    moment = choose.randrange(1, 400000 if limit else 40000)
    command = [str(machine.build / "tests" / "scale" / "make_trace"), str(trace), "1000000000",
               str(threads), str(limit), str(counts)]
    process = subprocess.Popen(command, env=machine.environment(), stderr=subprocess.PIPE)
    # The moment depends on progress, not on time; the exact instant is left to chance.
    while process.poll() is None and not (counts.exists() and sum(counts_read(counts)) >= moment):
        pass
    time.sleep(choose.random() * 0.002)
    process.kill()
    process.wait()
    written = sum(counts_read(counts))
    report = machine.report(trace)
    calls = report["summary"]["allocations"] + report["summary"]["frees"] + \
        report["recording"]["unmatched_frees"]
    what = (f"run {number}: {threads} threads, limit {limit}: {written} written, {calls} read, "
            f"{report['recording']['folded_events']} folded, "
            f"{report['recording']['torn_carries']} torn carries")
    preload.expect(written <= calls <= written + threads, f"{what}: not within one of each thread")
    preload.expect(not limit or trace.stat().st_size <= limit, f"{what}: exceeds its limit")
    preload.expect(not report["process"]["complete"], f"{what}: claims to be complete")
    for path in (trace, counts):
        path.unlink()
    return report["recording"], what


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    choose = random.Random(options.seed)
    runs = options.runs or 25
    print(f"seed {options.seed}, {runs} runs")
    found = [run(machine, number, choose) for number in range(runs)]
    print(found[-1][1])
    folded = sum(1 for recording, _ in found if recording["folded_events"])
    torn = sum(recording["torn_carries"] for recording, _ in found)
    preload.expect(folded, "no run was killed after it had folded events")
    print(f"all {runs} traces read, {folded} of them folded, {torn} carries torn")


main()

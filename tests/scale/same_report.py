# SPDX-License-Identifier: MIT
"""Checks that two runs of a deterministic program give the same JSON report except for times, and that only
their owner can read traces."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import figures  # noqa: E402
import preload  # noqa: E402


def run(machine, number, mode):
    trace = machine.scratch / f"{mode}.{number}.cupool"
    command = machine.program("tinyllm", "--tokens", "32", "--seed", "7")
    done = machine.record(command, trace, "--mode", mode, "-q")
    preload.expect_equal(f"{mode}: exit", done.returncode, 0)
    preload.expect_equal("mode of the trace", trace.stat().st_mode & 0o7777, 0o600)
    report = machine.report(trace)
    # The clock decides the moments: the rows of the timeline are times, not figures.
    report.pop("timeline")
    report["recording"].pop("file_bytes")  # by the number of threads that alternate in blocks
    report["phases"] = [phase for phase in report["phases"] if phase["source"] != "detected"]
    if mode == "pool":
        # Which blocks wait for the device, and so the hits, depend on the moment of the query.
        return {key: [[row[figure] for figure in ("allocations", "frees", "requested_bytes",
                                                  "peak_bytes", "at_peak_bytes")]
                      for row in report[key]] for key in ("sites", "sizes", "libraries", "apis")}
    return report


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    os.umask(0)
    for mode in ("observe", "pool"):
        first, second = (figures.without_times(run(machine, i, mode)) for i in range(2))
        preload.expect(len(str(first)) > 300, "the report without times is empty")
        found = figures.differences(first, second)
        preload.expect(not found, f"{mode}: two runs differ:\n" + "\n".join(found[:10]))
        print(f"{mode}: equal")


main()

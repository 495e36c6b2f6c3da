# SPDX-License-Identifier: MIT
"""The report's totals equal those of the simulated device's own call log."""

import preload


def run(machine, mode):
    log = machine.scratch / f"{mode}.log"
    trace = machine.scratch / f"{mode}.cupool"
    command = machine.program("tinyllm", "--tokens", "32", "--seed", "7")
    done = machine.record(command, trace, "--mode", mode, SIMGPU_LOG=log)
    preload.expect_equal(f"{mode}: exit", done.returncode, 0)
    return preload.CallLog(log), machine.report(trace)


def check_keys(report):
    """All applicable keys of the schema exist."""
    for key in ("schema", "process", "device", "summary", "sites", "sizes", "libraries", "apis",
                "phases", "timeline", "postmortems", "recording"):
        preload.expect(key in report, f"the report has no key {key}")
    preload.expect_equal("schema", report["schema"], "cupool.report/1")
    for key in ("command", "pid", "exit_status", "duration_ns", "complete"):
        preload.expect(key in report["process"], f"process has no key {key}")
    for key in ("index", "name", "simulated", "total_bytes", "driver_version", "cuda_version"):
        preload.expect(key in report["device"][0], f"device has no key {key}")
    for key in ("allocations", "frees", "failures", "leaked_blocks", "leaked_bytes",
                "invalid_frees", "peak_requested_bytes", "peak_allocated_bytes",
                "peak_reserved_bytes", "peak_time_ns", "peak_driver_bytes", "unaccounted_bytes",
                "fragmentation", "hits", "misses", "waits", "driver_calls", "latency_ns"):
        preload.expect(key in report["summary"], f"summary has no key {key}")
    preload.expect(report["device"][0]["simulated"], "the device is not marked as simulated")
    preload.expect(report["process"]["complete"], "the trace is not complete")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)

    log, report = run(machine, "observe")
    check_keys(report)
    allocations, frees, peak, left = log.device_memory()
    summary = report["summary"]
    preload.expect_equal("observe: allocations", summary["allocations"], allocations)
    preload.expect_equal("observe: frees", summary["frees"], frees)
    preload.expect_equal("observe: peak requested", summary["peak_requested_bytes"], peak)
    preload.expect_equal("observe: peak by the driver", summary["peak_driver_bytes"], peak)
    preload.expect_equal("observe: leaked", summary["leaked_bytes"], left)
    program = (allocations, frees, peak)

    log, report = run(machine, "pool")
    check_keys(report)
    allocations, frees, peak, _ = log.device_memory()
    summary = report["summary"]
    preload.expect_equal("pool: what the program asked for",
                         (summary["allocations"], summary["frees"],
                          summary["peak_requested_bytes"]), program)
    preload.expect_equal("pool: peak reserved", summary["peak_reserved_bytes"], peak)
    preload.expect_equal("pool: peak by the driver", summary["peak_driver_bytes"], peak)
    preload.expect_equal("pool: allocation calls of the driver",
                         log.count("cuMemAlloc_v2", "cuMemFree_v2"),
                         summary["segment_allocations"] + summary["segment_frees"])
    print(f"equal: {program[0]} allocations, peak requested {program[2]} B, "
          f"peak reserved {peak} B, {allocations} + {frees} calls of the driver instead of "
          f"{program[0]} + {program[1]}")


main()

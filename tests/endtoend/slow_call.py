# SPDX-License-Identifier: MIT
"""A call of more than 2**32 nanoseconds is reported with its whole time."""

import re

import preload

SECONDS = 6
SECOND_NS = 10**9
CUT_NS = 2**32  # smaller values were truncated
CLOCKS_DIFFER = 1e-4  # the trace's clock from that of the program, and a record is rounded down


def expect_time(title, ns, around_ns):
    preload.expect(SECONDS * SECOND_NS * (1 - CLOCKS_DIFFER) <= ns <= around_ns * (1 + CLOCKS_DIFFER),
                   f"{title}: {ns} ns, but the program waited {SECONDS} s within {around_ns} ns")
    print(f"{title}: the whole time")


def check(machine, title, options):
    trace = machine.scratch / f"{title}.cupool"
    program = str(machine.build / "tests" / "endtoend" / "slow_call")
    done = machine.record([program, str(SECONDS)], trace, "--mode", "observe", *options)
    preload.expect_equal(f"{title}: exit", done.returncode, 0)
    result, around_ns = (int(word) for word in done.stdout.split()[-2:])
    preload.expect_equal(f"{title}: cudaFree", result, 0)
    preload.expect(around_ns > CUT_NS, f"{title}: the call took only {around_ns} ns")

    report = machine.report(trace)
    expect_time(f"{title}, highest latency", report["summary"]["latency_ns"]["max"], around_ns)
    slowest = max(report["apis"], key=lambda row: row["latency_max_ns"])
    preload.expect_equal(f"{title}: slowest function", slowest["name"], "cudaFree")
    expect_time(f"{title}, of the function", slowest["latency_max_ns"], around_ns)
    expect_time(f"{title}, sum of the function", slowest["latency_sum_ns"], around_ns)
    preload.expect(max(row["latency_sum_ns"] for row in report["sites"]) > CUT_NS,
                   f"{title}: no site has the time")

    text = machine.run([str(machine.cupool), "report", str(trace)]).stdout.decode()
    seconds = [float(word) for word in re.findall(r"(\d+\.\d+) s\b", text)]
    preload.expect(any(word >= SECONDS - 0.01 for word in seconds), f"{title}: no six seconds in\n{text}")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check(machine, "whole", ())
    check(machine, "limited", ("-O", "trace_max:1MiB"))


main()

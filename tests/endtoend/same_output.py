# SPDX-License-Identifier: MIT
"""Every workload prints the same bytes bare, preloaded, and under `cupool run`, and the trace of
each pooled run has the program's allocations."""

import preload

WORKLOADS = [
    ("tinyllm", "--tokens", "64", "--seed", "7"),
    ("tinyllm_simstatic", "--tokens", "64", "--seed", "7"),
    ("churn", "--seed", "3"),
    ("driver_api",),
    ("driver_dlsym",),
    ("ctypes_runtime.py",),
    ("ctypes_driver.py",),
]


def check(machine, words):
    command = machine.program(*words)
    bare = machine.run(command)
    preload.expect(bare.returncode == 0 and bare.stdout,
                   f"{words[0]} bare: exit {bare.returncode}: {bare.stderr.decode()[-400:]}")
    preloaded = machine.run(command, preload=True)
    preload.expect_equal(f"{words[0]} preloaded: exit", preloaded.returncode, 0)
    preload.expect_equal(f"{words[0]} preloaded: stdout", preloaded.stdout, bare.stdout)
    preload.expect_equal(f"{words[0]} preloaded: stderr", preloaded.stderr, bare.stderr)

    allocations = {}
    for mode in ("observe", "pool"):
        trace = machine.scratch / f"{words[0]}.{mode}.cupool"
        recorded = machine.record(command, trace, "--mode", mode)
        preload.expect_equal(f"{words[0]} {mode}: exit", recorded.returncode, 0)
        preload.expect_equal(f"{words[0]} {mode}: stdout", recorded.stdout, bare.stdout)
        summary = machine.report(trace)["summary"]
        allocations[mode] = (summary["allocations"], summary["frees"],
                             summary["peak_requested_bytes"])
        preload.expect_equal(f"{words[0]} {mode}: failures", summary["failures"], 0)
        preload.expect_equal(f"{words[0]} {mode}: invalid frees", summary["invalid_frees"], 0)
    preload.expect(allocations["pool"][0] > 0, f"{words[0]}: no allocation in the trace")
    preload.expect_equal(f"{words[0]}: allocations pooled against observed",
                         allocations["pool"][:2], allocations["observe"][:2])
    print(f"{words[0]}: equal; {allocations['pool'][0]} allocations recorded")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    for words in WORKLOADS:
        check(machine, words)


main()

# SPDX-License-Identifier: MIT
"""Checks about the ends of contexts that the driver refuses, or others take part in, in the form of those of checks.py."""

import os
import re

from runner import compare, left_of


def check_refused_end(suite, failures, _):
    """Mapped memory that the driver refuses to take back when a context ends goes back with the end
    of the next one, and nothing is given back twice."""
    log = os.path.join(suite.directory, "refused_end.log")
    for path, route in suite.routes():
        left = {}
        for call in ("", "cuMemUnmap", "cuMemRelease", "cuMemAddressFree"):
            if os.path.exists(log):
                os.unlink(log)
            fault = ",".join([f"{call}:1:UNKNOWN"] * 2)  # a refused call is repeated once
            run = suite.run(path, "context_end", route, "mode:pool,backing:vmm", SIMGPU_LOG=log,
                            **({"SIMGPU_FAULT": fault} if call else {}))
            failures.expect(run[0] == 0, f"{route}, {call}: {run}")
            left[call] = left_of(log)
        failures.expect(left[""]["mapped"] > 0 and all(one == left[""] for one in left.values()),
                        f"{route}: left {left}")


def check_refused_destroy(suite, failures, _):
    """A context that the driver refuses to destroy lives on with its pool. While one ends, a CUPTI client and another
    thread get memory in it from the driver, no pool begins, and its work counts until it has ended."""
    log = os.path.join(suite.directory, "refused_destroy.log")
    faults = {"contexts": "cuCtxDestroy_v2:1:UNKNOWN", "green": "cuGreenCtxDestroy:4:UNKNOWN"}
    for path, route in suite.routes():
        if route not in ("dynamic", "driver"):
            continue
        for program, fault in faults.items():
            bare, run = [suite.run(path, program, route, mode, SIMGPU_FAULT=fault) for mode in (None, "mode:pool")]
            failures.expect(bare[0] == 0 and compare(f"{program}, {route}", bare, run), f"{program}, {route}: {bare}")
        _, output, _ = suite.run(path, "contexts", route, "mode:pool,backing:vmm", "client", SIMGPU_LOG=log)
        print(output)  # nothing was allocated in the first and third context: they are not known
        failures.expect(re.findall("used again: (.)", output) == list("1010"), f"{route}: memory used again too early")
        with open(log, encoding="ascii") as file:
            words = file.read().split()
        made = [words.count(call) for call in ("cuMemAddressReserve", "cuMemAddressFree", "cuMemAlloc_v2")]
        failures.expect(made == [4, 3, 6], f"{route}: {made}")
        os.unlink(log)

# SPDX-License-Identifier: MIT
"""Checks about work that does not end, in the form of those of checks.py."""

import re


def check_endless_work(suite, failures, _):
    """No allocation waits without a bound for work that does not end: neither on a driver without context events,
    nor for work of another device."""
    path = suite.executables["linked"]
    bare, run = [suite.run(path, "no_wait", "driver", mode, SIMGPU_PROFILE="small") for mode in (None, "mode:pool")]
    other_size = re.compile(r"(capture, another size): .*")  # may be refused
    print(run[1])
    failures.expect(bare[0] == 0 and run[0] == 0 and other_size.sub(r"\1", bare[1]) == other_size.sub(r"\1", run[1]),
                    f"without context events: {run}, bare {bare}")
    _, output, _ = suite.run(path, "no_wait", "driver", "mode:pool", "two-devices")
    failures.expect("refused 1, the other: served 1, errors 0\n" in output, output)


def check_ended_beside_work(suite, failures, _):
    """No context ends while a thread of the library is in the driver with it."""
    _, output, _ = suite.run(suite.executables["linked"], "no_wait", "driver", "mode:pool", "ended")
    failures.expect(output.count("ed: refused 1, after the work 1, errors 0\n") == 2, output)


def check_held_up(suite, failures, _):
    """A free that waits for work that does not end keeps no lock: other threads allocate and end another context."""
    free = ("plain", "beside a capture")
    expected = "".join(f"{what}: the other context ended 1, allocated 2\n{what}: errors 0\n" for what in free)
    for options in ("reuse:sync", "reuse:immediate,scrub:poison", "reuse:immediate,scrub:zero,backing:vmm"):
        _, output, _ = suite.run(suite.executables["linked"], "held_free", "driver", f"mode:pool,{options}")
        failures.expect(output == expected, f"{options}: {output}")

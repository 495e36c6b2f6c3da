# SPDX-License-Identifier: MIT
"""The memory functions of cupool.h: statistics that add up, trims that return exactly what they
report, and an error without the library or without a pool. Idle memory: with `idle_trim` a program
that has freed everything returns its memory at any hooked call; without the option, or without a
call, it keeps it."""

import re

import preload

NO_POOL = -19
INVALID = -22
MIB = 1 << 20
CALLS = ("device_wait", "stream_wait", "stream_query", "event_wait", "event_query", "memory_info",
         "driver_copy", "driver_memory_info")
PATIENCE = "20000"  # calls at most, until memory is returned
FEW = "50"


def steps_of(output):
    """Lines by step: a number, or statistics."""
    steps = []
    for line in output.splitlines():
        step, _, rest = line.partition(": ")
        words = rest.split()
        steps.append((step, dict(zip(words[::2], map(int, words[1::2])))
                      if len(words) > 2 and not rest.startswith("error")
                      else int(re.search(r"-?\d+", rest).group())))
    return steps


def check_sums(title, figures):
    parts = [figures[name] for name in ("live", "quarantined", "free", "waste")]
    preload.expect_equal(f"{title}: the parts of what is reserved", sum(parts), figures["reserved"])
    preload.expect(figures["largest"] <= figures["free"] + figures["waste"], f"{title}: {figures}")
    preload.expect(figures["returnable"] <= figures["free"], f"{title}: {figures}")
    preload.expect(figures["requested"] <= figures["live"], f"{title}: {figures}")


def without_pool(machine, title, null, **variables):
    done = machine.run([str(machine.build / "tests/endtoend/memory_api")], **variables)
    preload.expect_equal(f"{title}: exit", done.returncode, 0)
    for step, answer in steps_of(done.stdout.decode()):
        preload.expect_equal(f"{title}: {step}", answer, null if step == "NULL" else NO_POOL)


def with_pool(machine, backing):
    done = machine.run([str(machine.build / "tests/endtoend/memory_api")], preload=True,
                       CUPOOL=f"backing:{backing},page:2MiB")
    preload.expect_equal(f"{backing}: exit", done.returncode, 0)
    steps = steps_of(done.stdout.decode())
    named = {step: value for step, value in steps if isinstance(value, dict)}
    trims = [value for step, value in steps if step == "trim"]
    preload.expect_equal(f"{backing}: before", dict(steps)["before"], NO_POOL)
    preload.expect_equal(f"{backing}: NULL", dict(steps)["NULL"], INVALID)
    for step, figures in named.items():
        check_sums(f"{backing}, {step}", figures)
        preload.expect_equal(f"{backing}, {step}: errno", figures["errno"], 77)
        preload.expect_equal(f"{backing}, {step}: mapped", figures["mapped"],
                             figures["reserved"] if backing == "vmm" else 0)
    preload.expect_equal(f"{backing}: asked for", named["full"]["requested"], 64 * 3 * MIB)
    preload.expect_equal(f"{backing}: half", named["half"]["requested"], 32 * 3 * MIB)
    # Without a CUDA call by the thread: all devices.
    preload.expect_equal(f"{backing}: another thread", named["thread"], named["half"])
    preload.expect_equal(f"{backing}: less than is to be kept", dict(steps)["thread trim"], 0)
    given = dict(steps)["trim to 16 MiB"]
    preload.expect_equal(f"{backing}: what a trim gave back",
                         named["half"]["reserved"] - given, named["trimmed"]["reserved"])
    preload.expect(named["trimmed"]["free"] <= 16 * MIB or not named["trimmed"]["returnable"],
                   f"{backing}: kept {named['trimmed']}")
    preload.expect_equal(f"{backing}: all", named["trimmed"]["reserved"] - trims[-2],
                         named["empty"]["reserved"])
    preload.expect_equal(f"{backing}: the end", named["end"]["reserved"], 0)
    return named


def held(machine, title, call, times, options):
    """Bytes reserved before and after."""
    done = machine.run([str(machine.build / "tests/endtoend/idle"), call, times], preload=True,
                       CUPOOL=options)
    preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, 0)
    words = done.stdout.decode().split()
    figures = dict(zip(words[::2], map(int, words[1::2])))
    if "1ms" not in options:  # otherwise a late free may have returned memory
        preload.expect(figures["before"] >= 64 * MIB, f"{title}: {figures}")
    preload.expect_equal(f"{title}: errno", figures["wrong"], 0)
    return figures


def idle(machine):
    for backing in ("vmm", "driver"):
        for call in CALLS:
            title = f"backing:{backing}, {call}"
            figures = held(machine, title, call, PATIENCE, f"backing:{backing},idle_trim:1ms")
            preload.expect(figures["now"] <= 8 * MIB, f"{title}: {figures}")
        for call, option in (("device_wait", "idle_trim:0"), ("nothing", "idle_trim:1ms"),
                             ("device_wait", "idle_trim:1h")):
            title = f"backing:{backing}, {option}, {call}"
            figures = held(machine, title, call, FEW, f"backing:{backing},{option}")
            preload.expect_equal(title, figures["now"], figures["before"])
    print(f"{len(CALLS)} calls return memory, with either backing")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    without_pool(machine, "bare", NO_POOL)
    without_pool(machine, "observed", INVALID, preload=True, CUPOOL="mode:observe")
    without_pool(machine, "off", INVALID, preload=True, CUPOOL="mode:off")
    with_pool(machine, "driver")
    mapped = with_pool(machine, "vmm")
    preload.expect_equal("page", mapped["full"]["page"], 2 * MIB)
    preload.expect(mapped["half"]["largest"] > 3 * MIB and mapped["half"]["stitched"] > 0,
                   f"defragmented: {mapped['half']}")
    idle(machine)


main()

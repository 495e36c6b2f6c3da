# SPDX-License-Identifier: MIT
"""A program that has freed everything and allocates no more: with `idle_trim` its memory goes back at
any call that passes the library, with either backing; without the option, or where it calls nothing,
it stays."""

import preload

MIB = 1 << 20
CALLS = ("device_wait", "stream_wait", "stream_query", "event_wait", "event_query", "memory_info",
         "driver_copy", "driver_memory_info")
PATIENCE = "20000"  # calls; the time to pass is that of one
FEW = "50"


def held(machine, title, call, times, options):
    """Bytes reserved before and after."""
    done = machine.run([str(machine.build / "tests/endtoend/idle"), call, times], preload=True,
                       CUPOOL=options)
    preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, 0)
    words = done.stdout.decode().split()
    figures = dict(zip(words[::2], map(int, words[1::2])))
    preload.expect(figures["before"] >= 64 * MIB, f"{title}: {figures}")
    preload.expect_equal(f"{title}: errno", figures["wrong"], 0)
    return figures


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
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
    print(f"{len(CALLS)} calls give memory back, with either backing")


main()

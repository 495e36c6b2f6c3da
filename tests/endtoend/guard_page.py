# SPDX-License-Identifier: MIT
"""Blocks that end at unmapped addresses: a kernel that accesses memory beyond a block, or a freed
one, faults at once; the trace has the error once, and the block among its suspects, with its sites.
Bytes between a block and the end of its memory, left by alignment, are a redzone. Programs without
memory errors print the same as bare.
"""

import preload

MIB = 1 << 20
PAGE = ("-O", "guard:page")
ALL = (*PAGE, "-O", "guard_page:1")
WATCHED = {"SIMGPU_SET": "edit_breaks=1"}  # a mapping that changes under work breaks its context
BEYOND = ("overrun", "overrun_far", "overrun_read")
FREED = ("freed", "freed_read")
KEPT = 32  # freed blocks listed for a fault


def place_of(site):
    return site and site["function"].split("+")[0].split("(")[0]


class Run:
    """A recorded run of guard_errors WAY BYTES."""

    def __init__(self, machine, way, size, options=PAGE, **extra):
        self.name = f"{way} of {size}, {' '.join(options[1::2])}"
        self.size = size
        trace = machine.scratch / f"{way}-{size}-{len(options)}.cupool"
        trace.unlink(missing_ok=True)
        program = [str(machine.build / "tests/gpu/guard_errors"), way, str(size)]
        done = machine.record(program, trace, "-q", *options, **(WATCHED | extra))
        preload.expect_equal(f"{self.name}: exit", done.returncode, 0)
        output = done.stdout.decode()
        self.trace = trace
        self.block = int(output.split("block: ")[1].split()[0], 16)
        self.device = output.split("device: ")[1].split()[0]
        self.report = machine.report(trace)
        self.errors = self.report["memory_errors"]

    def expect_fault(self, freed):
        preload.expect_equal(f"{self.name}: device", self.device, "cudaErrorIllegalAddress")
        preload.expect_equal(f"{self.name}: kinds", [error["kind"] for error in self.errors],
                             ["illegal address"])
        preload.expect_equal(f"{self.name}: counted", self.report["summary"]["memory_errors"], 1)
        preload.expect_equal(f"{self.name}: sites", self.errors[0]["free_site"], None)
        found = [each for each in self.errors[0]["suspects"] if each["address"] == self.block]
        preload.expect_equal(f"{self.name}: suspects", len(found), 1)
        suspect = found[0]
        preload.expect_equal(f"{self.name}: freed", suspect["freed"], freed)
        preload.expect_equal(f"{self.name}: size", suspect["requested_bytes"], self.size)
        preload.expect_equal(f"{self.name}: allocated by", place_of(suspect["allocation_site"]),
                             "take")
        preload.expect_equal(f"{self.name}: freed by", place_of(suspect["free_site"]),
                             "block_drop" if freed else None)

    def expect_well(self):
        preload.expect_equal(f"{self.name}: device", self.device, "cudaSuccess")
        preload.expect_equal(f"{self.name}: errors", self.errors, [])

    def expect_redzone(self, kind, offset):
        preload.expect_equal(f"{self.name}: device", self.device, "cudaSuccess")
        preload.expect_equal(f"{self.name}: errors",
                             [(error["kind"], error["address"], error["offset"])
                              for error in self.errors], [(kind, self.block, offset)])


def check_planted(machine):
    """Blocks that end with their memory: an access to the next byte faults, and one 64 KiB
    behind."""
    for size in (MIB, 2 * MIB, 4 * MIB, 5 * MIB + 256):
        for way in BEYOND:
            Run(machine, way, size).expect_fault(False)
        for way in ("clean", "last"):
            Run(machine, way, size).expect_well()
        for way in FREED:
            Run(machine, way, size).expect_fault(True)
    return Run(machine, "freed", 3 * MIB).trace


def check_old(machine):
    """40 blocks later the addresses are still unmapped, but the block is no longer a suspect."""
    run = Run(machine, "freed_old", 4 * MIB)
    preload.expect_equal(f"{run.name}: device", run.device, "cudaErrorIllegalAddress")
    preload.expect_equal(f"{run.name}: kinds", [error["kind"] for error in run.errors],
                         ["illegal address"])
    freed = [each for each in run.errors[0]["suspects"] if each["freed"]]
    preload.expect_equal(f"{run.name}: freed ones", len(freed), KEPT)
    preload.expect(all(each["address"] != run.block for each in freed), f"{run.name}: the block")


def check_alignment(machine):
    """At most 255 bytes behind a block are a redzone; in front of it, the rest of its memory."""
    for size in (MIB + 1, 3 * MIB - 100, 4 * MIB - 255):
        Run(machine, "overrun", size).expect_redzone("overrun", size)
        Run(machine, "overrun_far", size).expect_fault(False)
        Run(machine, "last", size).expect_well()
    for size in (MIB + 1, 3 * MIB - 100):
        Run(machine, "underrun", size).expect_redzone("underrun", -1)
    for size in (4 * MIB - 255, 4 * MIB):
        Run(machine, "underrun", size).expect_fault(False)


def check_threshold(machine):
    """Smaller blocks have redzones, unless `guard_page` includes them."""
    Run(machine, "overrun", 4096).expect_redzone("overrun", 4096)
    Run(machine, "overrun", 4096, ALL).expect_fault(False)
    Run(machine, "freed", 256, ALL).expect_fault(True)
    Run(machine, "overrun", 2 * MIB, (*PAGE, "-O", "guard_page:4MiB")).expect_redzone(
        "overrun", 2 * MIB)


def check_both_kinds(machine):
    """The free of an isolated block waits, so other blocks leave the quarantine before the redzones
    of their batch are compared."""
    for options in (PAGE, (*PAGE, "-O", "scrub:poison"), ("-O", "guard:redzone")):
        trace = machine.scratch / f"reused{len(options)}.cupool"
        program = [str(machine.build / "tests/endtoend/memory_errors"), "reused"]
        done = machine.record(program, trace, "-q", *options, **WATCHED)
        preload.expect_equal("reused: exit", done.returncode, 0)
        preload.expect_equal("reused: errors", machine.report(trace)["memory_errors"], [])
    # Writes to other freed blocks are still found.
    trace = machine.scratch / "beside.cupool"
    program = [str(machine.build / "tests/endtoend/memory_errors"), "freed_beside"]
    done = machine.record(program, trace, "-q", *PAGE, "-O", "scrub:poison")
    preload.expect_equal("beside: exit", done.returncode, 0)
    preload.expect_equal("beside: errors", [(error["kind"], error["offset"])
                                            for error in machine.report(trace)["memory_errors"]],
                         [("write after free", 77)])


def check_short(machine):
    """If memory is short, or cannot be mapped, blocks get redzones instead."""
    Run(machine, "overrun", 256, ALL, SIMGPU_MEMORY="16MiB").expect_redzone("overrun", 256)
    Run(machine, "overrun", 4 * MIB, SIMGPU_SET="vmm=0").expect_redzone("overrun", 4 * MIB)
    without = Run(machine, "overrun", 4 * MIB, ("-O", "guard:off"))
    preload.expect_equal("without guards", without.errors, [])


def check_forms(machine, trace):
    for form, parts in (("text", (b"The device accessed", b"illegal address", b"freed")),
                        ("markdown", (b"| illegal address |", b"| suspect | `0x")),
                        ("html", (b"illegal address", b"freed"))):
        shown = machine.run([str(machine.cupool), "report", "-f", form, str(trace)])
        if b"not built in" in shown.stderr:
            continue
        for part in parts:
            preload.expect(part in shown.stdout, f"{form}: no {part}")
        if form == "text":
            wide = [line for line in shown.stdout.decode().splitlines()
                    if len(line) > 80 and ("address" in line or "block 0x" in line)]
            preload.expect_equal("lines wider than a terminal", wide, [])
    budget = machine.scratch / "page.budget"
    budget.write_text("[budget]\npeak_live = 1 GiB\n")
    over = machine.run([str(machine.cupool), "check", "--budget", str(budget), str(trace)])
    preload.expect_equal("check", over.returncode, 1)
    preload.expect(b"memory_errors: measured 1, allowed 0" in over.stdout, over.stdout.decode())


def check_printed(machine):
    program = [str(machine.build / "tests/gpu/guard_errors"), "overrun", str(2 * MIB)]
    done = machine.run(program, preload=True, CUPOOL="guard:page,postmortem:print")
    preload.expect_equal("lines", done.stderr.count(b"memory error"), 1)
    preload.expect(b"memory error: illegal address" in done.stderr, done.stderr.decode())


def check_workloads(machine):
    preload.expect_no_memory_errors(
        machine, (("tinyllm", ("--tokens", "4", "--seed", "7")),
                  ("churn", ("--seed", "3", "--threads", "4", "--streams", "3", "--ops", "100")),
                  ("driver_api", ()), ("driver_dlsym", ())),
        (PAGE, ALL, (*PAGE, "-O", "scrub:poison")), **WATCHED)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    trace = check_planted(machine)
    check_old(machine)
    check_alignment(machine)
    check_threshold(machine)
    check_both_kinds(machine)
    check_short(machine)
    check_forms(machine, trace)
    check_printed(machine)
    check_workloads(machine)


main()

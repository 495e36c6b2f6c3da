# SPDX-License-Identifier: MIT
"""Memory errors of a program, planted one at a time: each is found once, with its block, its offset
and the sites of allocation and free, in every format of the report; none in a clean program."""

import preload

BYTES = 100000
SIZES = (100, 1000, 33000, 3 << 20)  # small, middle and large blocks of the pool
GUARD = ("-O", "guard:redzone")
POISON = (*GUARD, "-O", "scrub:poison")
# way: kind, offset, byte found
PLANTED = {
    "overrun": ("overrun", BYTES, 5),
    "overrun_far": ("overrun", BYTES, 5),
    "underrun": ("underrun", -8, 6),
    "freed": ("write after free", 77, 9),
}


def recorded(machine, name, *words, options=POISON, **extra):
    trace = machine.scratch / f"{name}.cupool"
    program = [str(machine.build / "tests/endtoend/memory_errors"), *words]
    done = machine.record(program, trace, "-q", *options, **extra)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    preload.expect_equal(f"{name}: uninvited", done.stderr, b"")
    return trace, done.stdout.decode(), machine.report(trace)


def place_of(site):
    return site and site["function"].split("+")[0]


def check_error(name, output, report, way, freed_by, size=BYTES):
    kind, offset, found = PLANTED[way]
    offset = size if offset == BYTES else offset
    errors = report["memory_errors"]
    preload.expect_equal(f"{name}: errors", len(errors), 1)
    preload.expect_equal(f"{name}: counted", report["summary"]["memory_errors"], 1)
    error = errors[0]
    preload.expect_equal(f"{name}: kind", error["kind"], kind)
    preload.expect_equal(f"{name}: offset", error["offset"], offset)
    preload.expect_equal(f"{name}: byte", error["found"], found)
    preload.expect_equal(f"{name}: size", error["requested_bytes"], size)
    block = int(output.split("block: ")[1].split()[0], 16)
    preload.expect_equal(f"{name}: block", error["address"], block)
    # `take` allocates for two callers, so it may count as a wrapper, with the site at its caller.
    allocated_by = place_of(error["allocation_site"])
    preload.expect(allocated_by in ("take", "blocks_take"), f"{name}: allocated by {allocated_by}")
    preload.expect_equal(f"{name}: freed by", place_of(error["free_site"]), freed_by)


def check_planted(machine):
    for way in PLANTED:
        freed_by = "freed_write" if way == "freed" else "blocks_free"
        trace, output, report = recorded(machine, way, way)
        check_error(way, output, report, way, freed_by)
        _, output, report = recorded(machine, f"{way}-exit", way, "exit")
        check_error(f"{way}: at the end", output, report, way, freed_by if way == "freed" else None)
        for end in ("release", "detach"):
            _, output, report = recorded(machine, f"{way}-{end}", way, end)
            check_error(f"{way}: {end}", output, report, way, freed_by if way == "freed" else None)
        _, output, report = recorded(machine, f"{way}-check", way, "check")
        check_error(f"{way}: asked", output, report, way, freed_by if way == "freed" else None)
        preload.expect("check: 1, again: 1\n" in output, f"{way}: {output}")
        if way == "freed":
            continue
        _, output, report = recorded(machine, f"{way}-redzone", way, options=GUARD)
        check_error(f"{way}: without poison", output, report, way, freed_by)
    return trace


def check_sizes(machine):
    for size in SIZES:
        for way in ("overrun", "underrun", "freed"):
            name = f"{way}-{size}"
            _, output, report = recorded(machine, name, way, "-", str(size))
            check_error(name, output, report, way,
                        "freed_write" if way == "freed" else "blocks_free", size)


def check_forms(machine, trace):
    for form in ("text", "markdown", "html"):
        shown = machine.run([str(machine.cupool), "report", "-f", form, str(trace)])
        if b"not built in" in shown.stderr:
            continue
        for part in (b"Memory errors", b"write after free", b"offset 77", b"freed"):
            preload.expect(part in shown.stdout, f"{form}: no {part}")
        if form == "text":
            wide = [line for line in shown.stdout.decode().splitlines()
                    if len(line) > 80 and ("instead of" in line or "block 0x" in line)]
            preload.expect_equal("lines wider than a terminal", wide, [])


def check_budget(machine, trace, clean):
    budget = machine.scratch / "errors.budget"

    def check(text, of):
        budget.write_text(text)
        return machine.run([str(machine.cupool), "check", "--budget", str(budget), str(of)])

    preload.expect_equal("clean", check("[budget]\npeak_live = 1 GiB\n", clean).returncode, 0)
    over = check("[budget]\npeak_live = 1 GiB\n", trace)
    preload.expect_equal("not named in the file", over.returncode, 1)
    preload.expect(b"memory_errors: measured 1, allowed 0, over by 1" in over.stdout,
                   over.stdout.decode())
    allowed = check("[budget]\nmemory_errors = 1\n", trace)
    preload.expect_equal("allowed", allowed.returncode, 0)


def check_clean(machine):
    for words in (("clean",), ("clean", "exit"), ("clean", "check")):
        trace, output, report = recorded(machine, "-".join(words), *words)
        preload.expect_equal(f"{words}: errors", report["memory_errors"], [])
        if "check" in words:
            preload.expect("check: 0, again: 0\n" in output, output)
    _, output, report = recorded(machine, "unguarded", "overrun", "check", options=())
    preload.expect("check: -1, again: -1\n" in output, f"without guards: {output}")
    preload.expect_equal("without guards", report["memory_errors"], [])
    return trace


def check_capture(machine):
    """Blocks freed during a capture are compared before reuse, or after the capture."""
    for options in (GUARD, POISON):
        name = f"capture{len(options)}"
        _, output, report = recorded(machine, name, "capture", "check", options=options,
                                     SIMGPU_MEMORY="64MiB")
        preload.expect("check: 0, again: 0\n" in output, output)
        preload.expect_equal("beside a capture", report["memory_errors"], [])
        _, output, report = recorded(machine, f"{name}-overrun", "capture_overrun", "check",
                                     options=options, SIMGPU_MEMORY="64MiB")
        preload.expect("check: 1, again: 1\n" in output, output)
        preload.expect_equal("beside a capture: found",
                             [(error["kind"], error["offset"], error["found"])
                              for error in report["memory_errors"]], [("overrun", 3 << 20, 7)])
        left = sum(counter["current"] for counter in report["counters"]
                   if counter["name"] == "guard_unverified_blocks")
        preload.expect_equal(f"not compared: {options}", left, 0)
    # A check does not wait for the device there: its work ends only after the release.
    _, _, report = recorded(machine, "released", "released")
    preload.expect_equal("a release beside a capture", report["memory_errors"], [])
    _, _, report = recorded(machine, "unordered", "overrun", "-", str(8 << 20), options=GUARD,
                            SIMGPU_FAULT="cuStreamWaitEvent:0:OUT_OF_MEMORY")
    left = sum(counter["current"] for counter in report["counters"]
               if counter["name"] == "guard_unverified_blocks")
    preload.expect(left > 0, "blocks that no stream could wait for are not counted")


def check_printed(machine):
    """The library itself prints the error if requested: once, also without a trace."""
    done = machine.run([str(machine.build / "tests/endtoend/memory_errors"), "underrun"],
                       preload=True, CUPOOL="guard:redzone,postmortem:print")
    preload.expect_equal("lines", done.stderr.count(b"\n"), 1)
    preload.expect(b"memory error: underrun" in done.stderr and b"offset -8:" in done.stderr,
                   done.stderr.decode())


def check_without_kernels(machine):
    """If device code cannot run, which the canary detects, the driver fills and copies."""
    bare = machine.scratch / "no-twins"  # the simulated device without the twins of cupool's kernels
    bare.mkdir()
    for path in machine.simgpu.iterdir():
        if path.name != "twins":
            (bare / path.name).symlink_to(path)
    for way in ("overrun", "underrun", "freed"):
        name = f"{way}-by-driver"
        _, output, report = recorded(machine, name, way, LD_LIBRARY_PATH=str(bare))
        check_error(name, output, report, way, "freed_write" if way == "freed" else "blocks_free")
    _, _, report = recorded(machine, "clean-by-driver", "clean", LD_LIBRARY_PATH=str(bare))
    preload.expect_equal("clean, by the driver", report["memory_errors"], [])


def check_workloads(machine):
    preload.expect_no_memory_errors(
        machine, (("tinyllm", ("--tokens", "16", "--seed", "7")),
                  ("churn", ("--seed", "3", "--threads", "4", "--streams", "3")),
                  ("driver_api", ()), ("driver_dlsym", ())), (GUARD, POISON))


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    trace = check_planted(machine)
    check_sizes(machine)
    check_forms(machine, trace)
    clean = check_clean(machine)
    check_budget(machine, trace, clean)
    check_capture(machine)
    check_printed(machine)
    check_without_kernels(machine)
    check_workloads(machine)


main()

# SPDX-License-Identifier: MIT
"""Tests guards on a device: each error of guard_errors is found by its guard, and none in a correct program.
The library itself prints its findings (postmortem:print), because a build for hardware has no command.
"""

import measured
import roster

MIB = 1 << 20
SAID = "memory error: "
PAGE, REDZONE = "guard:page", "guard:redzone,scrub:poison"

# way, bytes of its block, options, error of the device, message of the library; "": none
ERRORS = (
    ("clean", 4 * MIB, PAGE, "cudaSuccess", ""),
    ("last", 4 * MIB, PAGE, "cudaSuccess", ""),
    ("overrun", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("overrun_far", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("overrun_read", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("underrun", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("freed", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("freed_read", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("freed_old", 4 * MIB, PAGE, "cudaErrorIllegalAddress", "illegal address"),
    ("overrun", 3 * MIB - 100, PAGE, "cudaSuccess", "overrun"),
    ("underrun", 3 * MIB - 100, PAGE, "cudaSuccess", "underrun"),
    ("clean", 100000, REDZONE, "cudaSuccess", ""),
    ("overrun", 100000, REDZONE, "cudaSuccess", "overrun"),
    ("underrun", 100000, REDZONE, "cudaSuccess", "underrun"),
    ("freed", 100000, REDZONE, "cudaSuccess", "write after free"),
)


def title(way, size, options):
    return f"guard_errors: {way} of {size} B, {options.split(',')[0]}"


def titles():
    return [title(*error[:3]) for error in ERRORS]


def judge(run, device, error):
    """(output, reason) of a row."""
    status, output, errors, _ = run
    found = [line.split(SAID)[1].split(":")[0] for line in errors.splitlines() if SAID in line]
    if status != 0:
        return "failed", f"exit {status}: {measured.last_line(errors or output)}"
    if f"device: {device}\n" not in output:
        return "differs", measured.last_line(output)
    if found != ([error] if error else []):
        return "differs", f"found {', '.join(found) or 'nothing'}"
    return "equal", ""


def planted(place, book, options):
    failures = 0
    path = place.build / "tests" / "gpu" / "guard_errors"
    for way, size, chosen, device, error in ERRORS:
        program = roster.Program(title(way, size, chosen), [str(path), way, str(size)])
        if not measured.wanted(options, program.name) or book.has_run("guards", program.name):
            continue
        said = ("skipped", "not built")
        if path.exists():
            said = judge(measured.run_once(place, program, f"{chosen},postmortem:print"), device,
                         error)
        failures += said[0] in ("failed", "differs")
        book.add_runs([measured.row("guards", program, chosen, said)])
    return failures


def run(place, book, options):
    chosen = [program for program in roster.workloads(place) if program.name in roster.GUARDED]
    return (planted(place, book, options) +
            measured.timed("guards", place, book, options, chosen, measured.GUARDED_MODES))

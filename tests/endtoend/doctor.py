# SPDX-License-Identifier: MIT
"""`cupool doctor -- PROGRAM` for programs that are covered, covered in part or not at all, and programs that end
before they use CUDA; the exit code agrees with the text.

usage: doctor.py --build BUILD
"""

import re
import sys

import preload

FINE, ESCAPES = 0, 1


def examine(machine, command, **extra):
    done = machine.run([str(machine.cupool), "doctor", "--sim", "--", *map(str, command)],
                       CUPOOL_LIBRARY=machine.library, **extra)
    text = done.stdout.decode()
    return done.returncode, text[text.find("\nprogram "):]


def expect(machine, title, command, code, *patterns, **extra):
    status, text = examine(machine, command, **extra)
    preload.expect_equal(f"{title}: exit\n{text}", status, code)
    for pattern in patterns:
        preload.expect(re.search(pattern, text, re.M), f"{title}: no {pattern!r} in\n{text}")
    print(f"{title}: {text.strip().splitlines()[-1]}")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if preload.sanitizer.active():
        preload.skip("programs that define dlsym do not run with a sanitizer's runtime")
    churn = machine.program("churn", "--seed", "5", "--ops", "20")
    clients = machine.build / "tests" / "clients"
    conformance = machine.build / "tests" / "conformance" / "conformance_loaded"
    own_dlsym = clients / "own_dlsym"
    tool = clients / "dlsym_tool.so"
    expect(machine, "linked with the runtime", churn, FINE,
           r"^seen +cudaMalloc \(runtime API\): \d+ allocations", r"^traced +[\d.]+ MiB",
           r"^verdict +covered$")
    expect(machine, "the driver's functions", machine.program("driver_dlsym"), FINE,
           r"cuMemAlloc_v2 \(driver API\)", r"^verdict +covered$")
    expect(machine, "linked and not called", [machine.build / "tests/conformance/conformance_linked",
                                              "sizes", "dynamic"], FINE,
           r"^not seen +\w+: linked, not called", r"cudaMallocManaged: linked, not called")
    expect(machine, "ends before any CUDA call", machine.program("churn", "--help"), FINE,
           r"^verdict +nothing to cover")
    expect(machine, "no CUDA at all", ["true"], FINE, r"^verdict +nothing to cover")
    expect(machine, "TMPDIR that does not exist", churn, FINE, r"^verdict +covered$", TMPDIR="/no/such/place")
    expect(machine, "defines dlsym, seen", [own_dlsym, "next"], FINE, r"defines dlsym itself",
           r"cudaMalloc \(runtime API\): 48 allocations", r"^verdict +covered, with")
    expect(machine, "defines dlsym, unseen", [own_dlsym, "table"], ESCAPES,
           r"defines dlsym itself", r"^verdict +not covered: it defines dlsym itself")
    expect(machine, "a separate namespace, beside one that is seen",
           [conformance, "isolated", "dlsym"], FINE, r"uses dlmopen", r"^verdict +covered, with")
    expect(machine, "a separate namespace, and no call seen", [conformance, "look_up", "dlsym"],
           ESCAPES, r"uses dlmopen", r"^verdict +not covered: it uses dlmopen")
    # A program that fails: the verdict covers the run, and compares it with one without cupool.
    ours = "'libcupool' in open('/proc/self/maps').read()"
    for title, script, code, *patterns in (
            ("a signal under cupool alone", f"import os; os.kill(os.getpid(), 11 if {ours} else 0)",
             ESCAPES, r"^ran +signal 11 \(Segm", r"^ran again +without cupool: exit status 0",
             r"^verdict +not covered: signal 11 \(.*\) with cupool, exit status 0 without"),
            ("abort under cupool alone", f"import os\nif {ours}: os.abort()",
             ESCAPES, r"^verdict +not covered: signal 6"),
            ("an exit status under cupool alone", f"raise SystemExit(3 if {ours} else 0)",
             ESCAPES, r"^verdict +not covered: exit status 3 with cupool"),
            ("a signal with and without", "import os; os.kill(os.getpid(), 9)",
             FINE, r"^ran again +without cupool: signal 9", r"^verdict +nothing to cover"),
            ("an exit status with and without", "raise SystemExit(3)",
             FINE, r"^ran +exit status 3", r"^verdict +nothing to cover")):
        command = [sys.executable, "-c", script]
        expect(machine, title, command, code, *patterns)
        if "signal" in title:
            expect(machine, f"{title}, in a shell", ["sh", "-c", '"$@"; exit $?', "sh", *command], code)
    expect(machine, "another preload library", churn, FINE,
           r"also preloaded: .*dlsym_tool.so \(defines its own dlsym", r"^verdict +covered$",
           LD_PRELOAD=tool)


main()

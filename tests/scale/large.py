# SPDX-License-Identifier: MIT
"""A large trace is read in little memory, its HTML stays small, and a terminal shows the progress.

--runs N takes a trace of N million events instead of 3: 17 for 1 GiB.
"""

import os
import pathlib
import pty
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

MIB = 1 << 20
MEMORY_MOST = 128 * MIB  # for any size of the trace
HTML_MOST = 2 * MIB
SANITIZED = bool(os.environ.get("LD_PRELOAD") or "asan" in os.environ.get("MESON_BUILD_ROOT", ""))


def peak_memory(machine, *words):
    """Runs cupool; the highest resident memory of the process, and its output."""
    with open(machine.scratch / "out", "wb") as out:
        process = subprocess.Popen([str(machine.cupool), *map(str, words)],
                                   env=machine.environment(), stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
    preload.expect_equal(f"{words[:3]}: status", status, 0)
    return usage.ru_maxrss * 1024, machine.scratch / "out"


def terminal_output(machine, *words):
    """Output of cupool to a terminal as stderr."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([str(machine.cupool), *map(str, words)], env=machine.environment(),
                               stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    output = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    os.close(leader)
    preload.expect_equal("on a terminal: exit", process.wait(), 0)
    return output


def check_progress(machine, trace):
    shown = terminal_output(machine, "report", trace)
    preload.expect(b"% of" in shown and b"MiB" in shown and b" left" in shown,
                   f"no progress on a terminal: {shown[:200]!r}")
    preload.expect(shown.endswith(b"\r\x1b[K"), f"the line stays: {shown[-100:]!r}")
    preload.expect_equal("with -q", terminal_output(machine, "report", "-q", trace), b"")
    done = machine.run([str(machine.cupool), "report", str(trace)])
    preload.expect_equal("without a terminal", done.stderr, b"")
    small = machine.scratch / "small.cupool"
    machine.run([str(machine.build / "tests" / "scale" / "make_trace"), str(small), "1000"])
    preload.expect_equal("a small trace", terminal_output(machine, "report", small), b"")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    trace = machine.scratch / "large.cupool"
    events = (options.runs or 3) * 1000000
    done = machine.run([str(machine.build / "tests" / "scale" / "make_trace"), str(trace),
                        str(events), "16"])
    preload.expect_equal(f"make_trace: {done.stderr}", done.returncode, 0)
    for form in ("json", "html"):
        memory, out = peak_memory(machine, "report", "-f", form, trace)
        print(f"{trace.stat().st_size / MIB:.0f} MiB, {events} events: {form} in "
              f"{memory / MIB:.1f} MiB of memory, {out.stat().st_size / MIB:.2f} MiB of output")
        preload.expect(SANITIZED or memory < MEMORY_MOST, f"{form}: {memory} B of memory")
        preload.expect(form != "html" or out.stat().st_size < HTML_MOST, "the HTML is too long")
    check_progress(machine, trace)
    packed = machine.scratch / "large.zst"
    done = machine.run([str(machine.cupool), "pack", str(trace), "-o", str(packed)])
    if b"not built in" not in done.stderr:
        memory, _ = peak_memory(machine, "report", "-f", "json", packed)
        print(f"packed, {packed.stat().st_size / MIB:.0f} MiB: {memory / MIB:.1f} MiB of memory")
        preload.expect(SANITIZED or memory < MEMORY_MOST, f"packed: {memory} B of memory")
    trace.unlink()


main()

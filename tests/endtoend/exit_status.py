# SPDX-License-Identifier: MIT
"""`cupool run` adds the exit status to the trace of its own program, even if the directory has traces of
programs with the same pid from other PID namespaces or machines."""

import pathlib
import shutil
import struct
import subprocess
import sys

import preload

PROGRAM = """
import ctypes, os, sys
runtime = ctypes.CDLL("libcudart.so.13")
pointer = ctypes.c_void_p()
assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(4096)) == 0
print(os.getpid(), flush=True)
sys.stdin.readline()
sys.exit(int(sys.argv[1]))
"""
ORIGIN = 56  # offset in the header of a trace
OTHER = 1 << 63 | 12345


class Run:
    """Starts a program under `cupool run` that allocates, and ends on request."""

    def __init__(self, machine, place, status, *before):
        command = [*before, str(machine.cupool), "run", "--sim", "-q", "-o", f"{place}/%p.cupool", "--",
                   sys.executable, "-c", PROGRAM, str(status)]
        earlier = set(place.iterdir())
        self.status = status
        self.process = subprocess.Popen(command, env=machine.environment(), text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.pid = self.process.stdout.readline().strip()
        made = set(place.iterdir()) - earlier
        preload.expect_equal("traces made", len(made), 1)
        self.trace = made.pop()

    def end(self):
        self.process.communicate("\n")
        preload.expect_equal("exit code", self.process.returncode, self.status)


def status_of(machine, trace):
    return machine.report(trace)["process"]["exit_status"]


def header_set(trace, offset, number):
    with open(trace, "r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<Q", number))


def header_get(trace, offset):
    return struct.unpack_from("<Q", trace.read_bytes(), offset)[0]


def check_planted(machine):
    """Later traces with the same pid, by name: of another origin, of unknown origin; own traces of unknown
    origin."""
    for own, other, owner in ((None, OTHER, "own"), (None, 0, "own"), (0, OTHER, "own"), (OTHER, 0, "other"),
                              (OTHER, OTHER + 1, "none")):
        place = machine.scratch / f"planted{own}-{other}"
        place.mkdir()
        run = Run(machine, place, 3)
        preload.expect(header_get(run.trace, ORIGIN) != 0, "the origin is unknown")
        planted = place / f"{run.trace.name}.{run.pid}"
        shutil.copy(run.trace, planted)
        header_set(planted, ORIGIN, other)
        if own is not None:
            header_set(run.trace, ORIGIN, own)
        run.end()
        preload.expect_equal(f"{place.name}: own", status_of(machine, run.trace), 3 if owner == "own" else None)
        preload.expect_equal(f"{place.name}: other", status_of(machine, planted), 3 if owner == "other" else None)


def check_namespaces(machine):
    """Two runs in two PID namespaces, with the same pid, end in either order."""
    unshare = ["unshare", "--pid", "--fork"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL,
                                                     check=False).returncode != 0:
        print("PID namespaces: not permitted here")
        return
    for order in (0, 1), (1, 0):
        place = machine.scratch / f"namespaces{order[0]}"
        place.mkdir()
        runs = [Run(machine, place, status, *unshare) for status in (3, 5)]
        preload.expect_equal("one pid", runs[0].pid, runs[1].pid)
        for number in order:
            runs[number].end()
        preload.expect_equal(f"{place.name}", [status_of(machine, run.trace) for run in runs], [3, 5])


def check_anonymous(machine):
    """An anonymized trace does not contain its origin."""
    place = machine.scratch / "anonymous"
    place.mkdir()
    run = Run(machine, place, 0)
    run.end()
    for words, wanted in (("--anonymize",), 0), ((), header_get(run.trace, ORIGIN)):
        packed, plain = place / "packed", place / "plain"
        for command in (["pack", *words, "--force", "-o", packed, run.trace], ["pack", "-d", "--force", "-o", plain, packed]):
            done = machine.run([str(machine.cupool), *map(str, command)])
            preload.expect_equal(f"{command[:2]}: {done.stderr}", done.returncode, 0)
        preload.expect_equal(f"origin {words}", header_get(plain, ORIGIN), wanted)
        preload.expect_equal("exit status", status_of(machine, pathlib.Path(plain)), 0)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check_planted(machine)
    check_namespaces(machine)
    check_anonymous(machine)


main()

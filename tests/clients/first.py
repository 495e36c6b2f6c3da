# SPDX-License-Identifier: MIT
"""With `cupool run --sim` the simulated libraries come before those that a program brings: by RPATH
or by path; and what cannot work on the simulated device says so.

usage: first.py --build BUILD --program FIRST --inside FIRST_INSIDE --decoy LIBCUDART
"""

import argparse
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

REFUSED, SERVED, NONE = "801", "0", "none"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("build", "program", "inside", "decoy"):
        parser.add_argument(f"--{name}", required=True, type=lambda text: pathlib.Path(text).resolve())
    return parser.parse_args()


class Cases:
    def __init__(self, options):
        self.machine = preload.Machine(options.build)
        self.options = options

    def bare(self, title, command, expected, *said):
        done = self.machine.run(list(map(str, command)))
        self.check(f"{title}, bare", done, expected, said)

    def simulated(self, title, command, expected, *said, allocations=1):
        trace = self.machine.scratch / "first.cupool"
        trace.unlink(missing_ok=True)
        done = self.machine.record(list(map(str, command)), trace, "--mode", "observe",
                                   LD_LIBRARY_PATH="")
        self.check(f"{title}, --sim", done, expected, said)
        found = self.machine.report(trace)["summary"]["allocations"] if trace.exists() else 0
        preload.expect_equal(f"{title}: allocations recorded", found, allocations)

    @staticmethod
    def check(title, done, expected, said):
        preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, 0)
        preload.expect_equal(f"{title}: answer ({done.stderr.decode()})",
                             done.stdout.decode().strip(), expected)
        for text in said:
            preload.expect_equal(f"{title}: {text!r} on stderr ({done.stderr.decode()})",
                                 done.stderr.decode().count(text), 1)
        if not said:
            preload.expect("simgpu:" not in done.stderr.decode(), f"{title}: {done.stderr.decode()}")
        print(f"{title}: {expected}")

    def all(self):
        options = self.options
        theirs = "is NVIDIA's and needs NVIDIA's driver: start the program with cupool run --sim"
        self.bare("RPATH", [options.program], REFUSED, str(options.decoy), theirs)
        self.simulated("RPATH", [options.program], SERVED)
        for soname in ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"):
            path = self.machine.scratch / soname
            shutil.copy(options.decoy, path)
            self.bare(f"path of {soname}", [options.program, "open", path], REFUSED, theirs)
            self.simulated(f"path of {soname}", [options.program, "open", path], SERVED)
            self.simulated(soname, [options.program, "open", soname], SERVED)
        # What is not there stays away, and what has another name is the program's own.
        for path, expected, said in (("/nowhere/libcudart.so.13", NONE, ()),
                                     (self.machine.scratch / "libown.so", REFUSED,
                                      ("has NVIDIA's CUDA runtime inside",))):
            if expected == REFUSED:
                shutil.copy(options.decoy, path)
            self.simulated(f"path {path}", [options.program, "open", path], expected, *said,
                           allocations=0)
        self.simulated("runtime inside", [options.inside], REFUSED,
                       f"{options.inside} has NVIDIA's CUDA runtime inside", "nvcc -cudart shared",
                       allocations=0)


def main():
    options = arguments()
    if preload.sanitizer.active():
        preload.skip("the decoy is no library of a sanitizer's build")
    Cases(options).all()


main()

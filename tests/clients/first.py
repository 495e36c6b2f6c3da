# SPDX-License-Identifier: MIT
"""With `cupool run --sim` the simulated libraries come before those that a program finds by RPATH or by path;
functions that cannot work on the simulated device report it.

A program that nvcc linked with NVIDIA's static runtime runs like the same one with libcudart.so; stripped, as
long as it has no kernels.

usage: first.py --build BUILD --program FIRST --inside FIRST_INSIDE --decoy LIBCUDART
                [--simulated STATIC --nvidia STATIC]
"""

import argparse
import pathlib
import shutil
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

REFUSED, SERVED, NONE = "801", "0", "none"
# What cudaMalloc tells CUPTI, and what it does not.
NUMBER, OTHER = b"\x14\0\0\0", b"\x15\0\0\0"
PT_GNU_EH_FRAME = 0x6474e550
# Conformance programs
STRIPPED = ("contents", "sizes", "last_error", "pitched", "graph")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    # The last two are the conformance programs with the simulated runtime inside, and with NVIDIA's.
    for name in ("build", "program", "inside", "decoy", "simulated", "nvidia"):
        parser.add_argument(f"--{name}", required=name not in ("simulated", "nvidia"),
                            type=lambda text: pathlib.Path(text).resolve())
    return parser.parse_args()


def functions_swapped(code):
    """The program with the first two rows of its table of functions (.eh_frame_hdr) exchanged."""
    begin, = struct.unpack_from("<Q", code, 32)
    size, count = struct.unpack_from("<HH", code, 54)
    headers = (struct.unpack_from("<IIQ", code, begin + at * size) for at in range(count))
    table = next(offset for kind, _, offset in headers if kind == PT_GNU_EH_FRAME) + 12
    return code[:table] + code[table + 8:table + 16] + code[table:table + 8] + code[table + 16:]


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

    def static(self, program, *words):
        """NVIDIA's runtime inside an executable: its output and its trace."""
        machine, shared = self.machine, self.machine.workloads / program
        static = machine.workloads / f"{program}_static"
        if not static.exists():
            print(f"{static.name}: not built, left out")
            return
        bare = machine.run([str(shared), *words])
        counted = {}
        for path, mode in ((shared, "observe"), (static, "observe"), (static, "pool")):
            trace = machine.scratch / "static.cupool"
            trace.unlink(missing_ok=True)
            done = machine.record([str(path), *words], trace, "--mode", mode, LD_LIBRARY_PATH="")
            title = f"{path.name} {mode}"
            preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, 0)
            preload.expect_equal(f"{title}: output", done.stdout, bare.stdout)
            preload.expect("simgpu:" not in done.stderr.decode(), f"{title}: {done.stderr.decode()}")
            report = machine.report(trace)
            counted[title] = [report["summary"][key] for key in ("allocations", "frees")]
            names = {frame["file"] for stack in report["stacks"] for frame in stack["frames"]
                     if frame.get("file")}
            preload.expect(any(pathlib.Path(name).name == f"{program}.cu" for name in names),
                           f"{title}: no frame in {program}.cu: {names}")
            print(f"{title}: {counted[title]}")
        preload.expect_equal("static: recorded", len({tuple(counts) for counts in counted.values()}), 1)
        self.stripped(static, words)

    def stripped(self, static, words):
        """With kernels and without names it cannot be replaced, and the driver reports it."""
        copy = self.without_names(static)
        done = self.machine.record([str(copy), *words], self.machine.scratch / "stripped.cupool",
                                   LD_LIBRARY_PATH="")
        for text in (f"{copy} has NVIDIA's CUDA runtime inside", "not stripped"):
            preload.expect_equal(f"stripped: {text!r} ({done.stderr.decode()})",
                                 done.stderr.decode().count(text), 1)

    def without_names(self, program, *options):
        copy = self.machine.scratch / program.name
        subprocess.run(["strip", "--strip-all", *options, "-o", str(copy), str(program)], check=True)
        return copy

    def without_kernels(self):
        """A stripped program without kernels runs like one with the simulated runtime inside."""
        simulated, theirs = self.options.simulated, self.options.nvidia
        if not theirs:
            print("no static runtime of NVIDIA's, left out")
            return
        stripped = self.without_names(theirs)
        for name in STRIPPED:
            bare = self.machine.run([str(simulated), name, "static"])
            for mode in ("observe", "pool"):
                self.served(f"stripped {name}, {mode}", [stripped, name, "static"], mode, bare)
            print(f"stripped {name}: {len(bare.stdout)} bytes of output")
        self.served("one name left", [self.without_names(theirs, "--keep-symbol=main"), name, "static"],
                    "observe", bare)
        code = stripped.read_bytes()
        self.refused("functions out of order", stripped, functions_swapped(code), name)
        # A runtime with another number of a well-known function is not recognised.
        for before in (b"\xbf", b"\x48\xc7\x45\xa0"):
            preload.expect(before + NUMBER in code, f"cudaMalloc reports no {NUMBER} after {before}")
            code = code.replace(before + NUMBER, before + OTHER)
        self.refused("other number", stripped, code, name)

    def refused(self, title, program, code, name):
        program.write_bytes(code)
        done = self.machine.record([str(program), name, "static"], self.machine.scratch / "other.cupool",
                                   LD_LIBRARY_PATH="")
        preload.expect("without the names" in done.stderr.decode(), f"{title}: {done.stderr.decode()}")

    def served(self, title, command, mode, bare):
        trace = self.machine.scratch / "stripped.cupool"
        trace.unlink(missing_ok=True)
        done = self.machine.record(list(map(str, command)), trace, "--mode", mode, LD_LIBRARY_PATH="")
        preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, bare.returncode)
        preload.expect_equal(f"{title}: output", done.stdout, bare.stdout)
        preload.expect("simgpu:" not in done.stderr.decode(), f"{title}: {done.stderr.decode()}")
        preload.expect(self.machine.report(trace)["summary"]["allocations"] > 0, f"{title}: nothing recorded")

    def device_files(self):
        """A program that looks for device files of a GPU finds those of the simulated devices. A call without
        a path, as by Rust's library to detect statx, fails as usual."""
        look = ("import ctypes, os; c = ctypes.CDLL(None);"
                " print(c.statx(0, None, 0, 0xfff, None), c.access(None, 0),"
                " [os.path.exists(f'/dev/nvidia{name}') for name in (0, 1, 2, 'ctl', '-none')],"
                " os.access('/dev/nvidia1', os.R_OK), os.path.exists('/dev/nothing'), os.path.isdir('/dev'))")
        done = self.machine.record([sys.executable, "-c", look], self.machine.scratch / "files.cupool",
                                   LD_LIBRARY_PATH="", SIMGPU_DEVICES="2")
        self.check("device files, --sim", done,
                   "-1 -1 [True, True, False, True, False] True False True", ())

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
        # Missing files stay missing, and files with other names are the program's own.
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
        self.device_files()
        self.static("churn", "--seed", "5")
        self.static("tinyllm", "--tokens", "8")
        self.without_kernels()


def main():
    options = arguments()
    if preload.sanitizer.active():
        preload.skip("the decoy is no library of a sanitizer's build")
    Cases(options).all()


main()

# SPDX-License-Identifier: MIT
"""With another preloaded library, in either order, programs behave as without cupool.

usage: beside.py --build BUILD jemalloc|asan|LIBRARY
"""

import argparse
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402


KNOWN = {
    "jemalloc": ("libjemalloc.so.2", {}),
    # The sanitizer must come first, and cannot know that it is complete.
    "asan": ("libasan.so", {"ASAN_OPTIONS": "detect_leaks=0:protect_shadow_gap=0:"
                                            "verify_asan_link_order=0"}),
}

# The sanitizer may report once that a thread's stack is unknown.
SANITIZER_NOTE = re.compile(rb"==\d+==WARNING: ASan is ignoring requested __asan_handle_no_return"
                            rb".*\nFalse positive.*\nFor details.*\n")


def library(name):
    """A library by file, or as found by the compiler; skips if there is none."""
    if pathlib.Path(name).is_absolute():
        return name
    found = subprocess.run(["cc", f"-print-file-name={name}"], stdout=subprocess.PIPE, text=True,
                           check=False).stdout.strip()
    if not pathlib.Path(found).is_absolute():
        preload.skip(f"no {name}")
    return str(pathlib.Path(found).resolve())


def programs(machine):
    """The first is linked with the runtime; the others look it up."""
    return {
        "churn": machine.program("churn", "--seed", "5", "--ops", "400"),
        "ctypes_runtime.py": machine.program("ctypes_runtime.py"),
        "vllm_ctypes.py": [sys.executable, str(HERE / "vllm_ctypes.py")],
    }


def expect_loaded(machine, libraries, **extra):
    """Both libraries are in the memory map of the process, so the comparison is valid."""
    maps = machine.run(["cat", "/proc/self/maps"], LD_PRELOAD=" ".join(libraries),
                       **extra).stdout.decode()
    for path in libraries:
        preload.expect(path in maps, f"{path} was not loaded")


def check(machine, name, command, other, extra):
    bare = machine.run(command, LD_PRELOAD=other, **extra)
    preload.expect(bare.returncode == 0 and bare.stdout,
                   f"{name} without cupool: exit {bare.returncode}: {bare.stderr.decode()[-2000:]}")
    for order in ((other, str(machine.library)), (str(machine.library), other)):
        what = f"{name}, {' before '.join(pathlib.Path(path).name for path in order)}"
        expect_loaded(machine, order, **extra)
        for mode in ("observe", "pool"):
            trace = machine.scratch / "beside.%p.cupool"
            done = machine.run(command, LD_PRELOAD=" ".join(order),
                               CUPOOL=f"mode:{mode},trace:{trace}", **extra)
            preload.expect_equal(f"{what}, {mode}: exit ({done.stderr.decode()[-2000:]})",
                                 done.returncode, 0)
            preload.expect_equal(f"{what}, {mode}: stdout", done.stdout, bare.stdout)
            preload.expect_equal(f"{what}, {mode}: stderr", SANITIZER_NOTE.sub(b"", done.stderr),
                                 SANITIZER_NOTE.sub(b"", bare.stderr))
            records = list(machine.scratch.glob("beside.*.cupool"))
            count = sum(machine.report(path)["summary"]["allocations"] for path in records)
            preload.expect(count > 0, f"{what}, {mode}: nothing recorded")
            for path in records:
                path.unlink()
        print(f"{what}: equal, {count} allocations recorded")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("other")
    options = parser.parse_args()
    if preload.sanitizer.active():
        preload.skip("this build has a sanitizer's runtime in front already")
    machine = preload.Machine(options.build)
    file, variables = KNOWN.get(options.other, (options.other, {}))
    for name, command in programs(machine).items():
        check(machine, name, command, library(file), variables)


main()

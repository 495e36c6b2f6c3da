# SPDX-License-Identifier: MIT
"""A module whose constructor waits for a thread that uses memory is loaded as without the library; a failed
look-up stays one, and so does its error.

usage: loading.py --build BUILD --plugin PLUGIN PROGRAM...
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "endtoend"))

import preload  # noqa: E402

OPTIONS = ("mode:off", "mode:observe", "mode:pool", "backing:vmm", "guard:redzone",
           "mode:pool,trace:{}/%e.%p.%n.cupool,live:{},limit:20GiB", "mode:observe,trace:{}/%e.%p.%n.cupool")
# The first call loads CUPTI for a trace, and where memory is guarded the simulated device loads its kernels: both
# wait for the loader.
FIRST_OPTIONS = ("mode:off", "mode:observe", "mode:pool", "backing:vmm",
                 "mode:pool,cupti:off,trace:{}/%e.%p.%n.cupool,live:{},limit:20GiB")


def absolute(path):
    return str(pathlib.Path(path).resolve())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--plugin", required=True, type=absolute)
    parser.add_argument("program", nargs="+", type=absolute)
    options = parser.parse_args()
    machine = preload.Machine(options.build)
    runs = [(program, (), OPTIONS) for program in options.program]
    runs += [(program, ("first",), FIRST_OPTIONS) for program in options.program if program.endswith("linked")]
    for program, words, option_sets in runs:
        command = [program, options.plugin, *words]
        bare = machine.run(command)
        preload.expect(bare.returncode == 0 and bare.stdout.count(b"plugin: 0 0 0 0 0\n") == 2,
                       f"{program}, bare: {bare.returncode} {bare.stdout} {bare.stderr}")
        for given in option_sets:
            done = machine.run(command, preload=True, CUPOOL=given.format(*[machine.scratch] * 2))
            what = " ".join([pathlib.Path(program).name, *words]) + f", {given}"
            preload.expect_equal(f"{what}: exit", done.returncode, 0)
            preload.expect_equal(f"{what}: stdout", done.stdout.decode(), bare.stdout.decode())
            preload.expect_equal(f"{what}: stderr", done.stderr, bare.stderr)
            print(f"{what}: as bare")


main()

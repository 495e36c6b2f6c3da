# SPDX-License-Identifier: MIT
"""With wrappers of allocation functions a program prints the same as with the wrappers only, and
each wrapper counts each call once: preloaded before and after cupool, two of them, linked as a
library.

usage: wrapped.py --build BUILD --program WRAPPED --linked WRAPPED_LINKED WRAPPER...
       wrapped.py --build BUILD --jumps JUMPS MODULE...
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "endtoend"))

import preload  # noqa: E402


def absolute(path):
    return str(pathlib.Path(path).resolve())


def orders(wrappers, cupool):
    """Cupool at each place among the wrappers."""
    return [wrappers[:i] + [cupool] + wrappers[i:] for i in range(len(wrappers) + 1)]


def check(machine, name, command, wrappers):
    alone = machine.run(command, LD_PRELOAD=":".join(wrappers))
    preload.expect(alone.returncode == 0 and b"errors: 0" in alone.stdout,
                   f"{name}, alone: {alone.returncode} {alone.stdout} {alone.stderr}")
    for order in orders(wrappers, str(machine.library)):
        trace = machine.scratch / "wrapped.cupool"
        what = f"{name}: " + " before ".join(pathlib.Path(path).stem for path in order)
        done = machine.run(command, LD_PRELOAD=":".join(order), CUPOOL=f"trace:{trace}")
        preload.expect_equal(f"{what}: exit", done.returncode, alone.returncode)
        preload.expect_equal(f"{what}: stdout", done.stdout, alone.stdout)
        preload.expect_equal(f"{what}: stderr", done.stderr, alone.stderr)
        hits = sum(api["hits"] for api in machine.report(trace)["apis"]) if trace.exists() else 0
        preload.expect(hits > 0, f"{what}: nothing served from the pool")
        trace.unlink(missing_ok=True)
        print(f"{what}: equal, {hits} served, {alone.stderr.decode().strip()}")


def check_off(machine, name, command):
    """With mode:off nothing is kept loaded."""
    alone = machine.run(command)
    off = machine.run(command, LD_PRELOAD=str(machine.library), CUPOOL="mode:off")
    preload.expect_equal(f"{name}, mode:off", (off.returncode, off.stdout, off.stderr),
                         (alone.returncode, alone.stdout, alone.stderr))
    print(f"{name}, mode:off: equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--program", type=absolute)
    parser.add_argument("--linked", type=absolute)
    parser.add_argument("--jumps", type=absolute)
    parser.add_argument("wrapper", nargs="+", type=absolute)
    options = parser.parse_args()
    if preload.sanitizer.active():
        preload.skip("this build has a sanitizer's runtime in front already")
    machine = preload.Machine(options.build)
    if options.jumps:
        for module in options.wrapper:
            name = pathlib.Path(module).stem
            check_off(machine, f"by the module {name}", [options.jumps, module, "3"])
            if name != "jumping_alone":
                check(machine, f"by the module {name}", [options.jumps, module], [])
            if name == "jumping_runtime":
                check(machine, f"by the module {name}, loaded again", [options.jumps, module, "3"], [])
        return
    wrappers = {pathlib.Path(path).stem: path for path in options.wrapper}
    for name, path in wrappers.items():
        ways = ["driver"] if name == "wrapper_driver" else ["linked", "handle", "default"]
        if name == "wrapper_versions":  # a look-up without a version finds its newest
            ways = ["linked"]
        for way in ways:
            check(machine, f"{name}, {way}", [options.program, way], [path])
    check(machine, "two", [options.program, "linked"],
          [wrappers["wrapper_next"], wrappers["wrapper_constructor"]])
    check(machine, "three", [options.program, "default"],
          [wrappers["wrapper_next"], wrappers["wrapper_information"], wrappers["wrapper_handle"]])
    for other in ("wrapper_resolver", "wrapper_old_table"):
        check(machine, f"two, {other} second", [options.program, "linked"],
              [wrappers["wrapper_next"], wrappers[other]])
    check(machine, "linked as a library", [options.linked, "linked"], [])


main()

# SPDX-License-Identifier: MIT
"""Allocations of an exempt plugin go to the driver from the first call of the process on.

usage: exempt_first.py --build BUILD PLUGIN
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "endtoend"))

import preload  # noqa: E402

RUN = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).deepbind_linked_run()"


def allocations(machine, plugin, options):
    """The number of allocations on the device by a plugin in a separate scope."""
    log = machine.scratch / "calls"
    log.unlink(missing_ok=True)
    extra = {"CUPOOL": options} if options else {}
    done = machine.run([sys.executable, "-c", RUN, plugin], preload=bool(options), SIMGPU_LOG=log,
                       **extra)
    preload.expect_equal(f"{options}: exit ({done.stderr.decode()})", done.returncode, 0)
    return preload.CallLog(log).count("cuMemAlloc_v2")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("plugin", type=lambda path: str(pathlib.Path(path).resolve()))
    options = parser.parse_args()
    machine = preload.Machine(options.build)
    bare = allocations(machine, options.plugin, None)
    pooled = allocations(machine, options.plugin, "mode:pool,trace:off")
    exempt = allocations(machine, options.plugin, "mode:pool,trace:off,exempt:deepbind_linked*")
    print(f"allocations by the device: bare {bare}, pooled {pooled}, exempt {exempt}")
    preload.expect(pooled < bare, "the pool served nothing")
    preload.expect_equal("exempt", exempt, bare)


main()

# SPDX-License-Identifier: MIT
"""The cost that a hook adds to a forwarded call, on the simulated device.

One table: ns per call bare, the additional cost of observing and pooling without a trace, and the cost of a
hook alone. Compare times only with each other: they depend on the machine.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402


def times(machine, options):
    command = [str(machine.build / "tests" / "bench" / "forward_bench")]
    variables = {"CUPOOL": options} if options else {}
    done = machine.run(command, preload=options is not None, **variables)
    if done.returncode != 0:
        preload.fail(f"forward_bench: exit {done.returncode}: {done.stderr.decode()[-300:]}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    machine = preload.Machine(parser.parse_args().build)
    bare = times(machine, None)
    modes = {mode: times(machine, f"mode:{mode}") for mode in ("observe", "pool")}
    print(f"{'call':<36} {'bare ns':>9} {'observe':>9} {'pool':>9}")
    for call, ns in bare.items():
        added = "".join(f"{modes[mode][call] - ns:>+10.1f}" for mode in modes)
        print(f"{call:<36} {ns:>9.1f}{added}")


main()

# SPDX-License-Identifier: MIT
"""`churn` over many seeds, on two devices: no block is handed out while earlier work may still touch
it, in each safe mode of reuse. --runs is the number of runs in each mode; a release is tested with
1000. --options are further options of cupool, as `backing:vmm`: then every second run has a limit
drawn by its seed, between 5/8 and all of the memory that the driver gave on both devices, so that
memory is returned and defragmented all the time; a mapping that changes under work breaks the run.
"""

import argparse
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

SAFE = ("deferred", "sync")
SHAPE = ("--threads", "8", "--streams", "6", "--devices", "2")
WATCHED = {"SIMGPU_SET": "edit_breaks=1"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--options", default="", help="of cupool, key:value,key:value")
    return parser.parse_args()


def needed(machine, command):
    """Peak of the memory from the driver, in a run without a limit."""
    log = machine.scratch / "needed.log"
    machine.run(command, preload=True, SIMGPU_DEVICES=2, SIMGPU_LOG=log)
    return preload.CallLog(log).device_memory()[2]


def options_of(seed, reuse, extra, most):
    """The options of a run; with further options every second one gets a limit for each device."""
    words = [f"reuse:{reuse}"] + ([extra] if extra else [])
    if extra and seed % 2:
        words.append(f"limit:{random.Random(seed).randrange(most * 5 // 8, most)}")
    return ",".join(words)


def main():
    options = arguments()
    machine = preload.Machine(options.build)
    print(f"seeds {options.seed} to {options.seed + options.runs - 1}, {' '.join(SHAPE)} "
          f"{options.options}", flush=True)
    most = needed(machine, machine.program("churn", *SHAPE)) if options.options else 0
    for seed in range(options.seed, options.seed + options.runs):
        command = machine.program("churn", *SHAPE, "--seed", str(seed))
        for reuse in SAFE:
            chosen = options_of(seed, reuse, options.options, most)
            done = machine.run(command, preload=True, CUPOOL=chosen, SIMGPU_DEVICES=2,
                               **(WATCHED if options.options else {}))
            preload.expect_equal(f"seed {seed}, {chosen}: exit ({done.stderr.decode()[-300:]})",
                                 done.returncode, 0)
            preload.expect("mismatches 0\n" in done.stdout.decode(),
                           f"seed {seed}, {chosen}: {done.stdout.decode().strip()}")
    print(f"{options.runs} runs in each of {len(SAFE)} modes, 0 mismatches")


main()

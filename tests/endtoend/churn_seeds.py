# SPDX-License-Identifier: MIT
"""`churn` over many seeds, on two devices: no block is handed out while earlier work may still touch
it, in each mode of reuse that is safe. --runs is the number of runs in each mode; a release is tested
with 1000.
"""

import sys

import preload

SAFE = ("deferred", "sync")
SHAPE = ("--threads", "8", "--streams", "6", "--devices", "2")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    runs = options.runs or 100
    print(f"seeds {options.seed} to {options.seed + runs - 1}, {' '.join(SHAPE)}", flush=True)
    for seed in range(options.seed, options.seed + runs):
        command = machine.program("churn", *SHAPE, "--seed", str(seed))
        for reuse in SAFE:
            done = machine.run(command, preload=True, CUPOOL=f"reuse:{reuse}", SIMGPU_DEVICES=2)
            preload.expect_equal(f"seed {seed}, {reuse}: exit ({done.stderr.decode()[-300:]})",
                                 done.returncode, 0)
            preload.expect("mismatches 0\n" in done.stdout.decode(),
                           f"seed {seed}, {reuse}: {done.stdout.decode().strip()}")
    print(f"{runs} runs in each of {len(SAFE)} modes, 0 mismatches")


main()

# SPDX-License-Identifier: MIT
"""`churn` over many seeds: no block is handed out while earlier work may still touch it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    runs = options.runs or 100
    print(f"seeds {options.seed} to {options.seed + runs - 1}")
    for seed in range(options.seed, options.seed + runs):
        command = machine.program("churn", "--threads", "8", "--streams", "4", "--seed", str(seed))
        done = machine.run(command, preload=True, CUPOOL="reuse:deferred")
        preload.expect_equal(f"seed {seed}: exit ({done.stderr.decode()[-300:]})",
                             done.returncode, 0)
        preload.expect("mismatches 0\n" in done.stdout.decode(),
                       f"seed {seed}: {done.stdout.decode().strip()}")
    print(f"{runs} runs, 0 mismatches")


main()

# SPDX-License-Identifier: MIT
"""A thread that is cancelled in a call (pthread_cancel) leaves nothing behind that stops the others:
the program prints what it prints bare, whatever the options. Driver calls are cancellation points.
The program ends with a request pending that must not act on the way out.
"""

import preload

KINDS = ("first", "hits", "misses", "refused", "others", "questions", "contexts", "exported",
         "ordered", "captured", "capture_ends", "attributes", "checks", "disabled", "trims",
         "forks")
DEVICE = {"SIMGPU_SET": "cancel_points=1", "SIMGPU_MEMORY": "512MiB"}


def option_sets(machine):
    trace = f"trace:{machine.scratch}/%p.%n.cupool"
    return ("mode:observe", "mode:pool", "backing:vmm", "guard:redzone", "reuse:sync", "limit:512MiB",
            f"{trace},live:{machine.scratch}", f"mode:observe,{trace},trace_max:1MiB,limit:512MiB")


def main():
    options = preload.arguments(__doc__.splitlines()[0])
    machine = preload.Machine(options.build)
    program = str(machine.build / "tests" / "endtoend" / "cancelled")
    for kind in KINDS:
        bare = machine.run([program, kind], **DEVICE)
        preload.expect_equal(f"{kind}: bare", bare.stdout.decode(),
                             f"{kind}: cancelled 1, its block freed 1, lost 0, errors 0\n")
        for chosen in option_sets(machine):
            done = machine.run([program, kind], preload=True, CUPOOL=chosen, **DEVICE)
            preload.expect_equal(f"{kind} {chosen}: exit", done.returncode, bare.returncode)
            preload.expect_equal(f"{kind} {chosen}: output", done.stdout, bare.stdout)
            preload.expect_equal(f"{kind} {chosen}: errors", done.stderr, bare.stderr)
        print(f"{kind}: equal")


if __name__ == "__main__":
    main()

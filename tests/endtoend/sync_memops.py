# SPDX-License-Identifier: MIT
"""SYNC_MEMOPS of blocks, checked on the device: set on every piece of memory below a block, with
either backing and pieces of different sizes; if a call fails half-way, on none of them."""

import preload

WAYS = ("", "backing:vmm", "backing:vmm,page:2MiB", "backing:vmm,page:64MiB",
        "guard:page,guard_page:1", "guard:redzone")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    program = [str(machine.build / "tests/endtoend/sync_memops")]
    bare = machine.run(program)
    preload.expect_equal("bare", bare.stdout, b"wrong: 0\n")
    for options in WAYS:
        done = machine.run(program, preload=True, CUPOOL=options)
        preload.expect_equal(f"{options}: {done.stdout.decode()[-500:]}", done.stdout, bare.stdout)
    trace = machine.scratch / "moved.cupool"
    done = machine.run([*program, "moved"], preload=True, SIMGPU_MEMORY="8GiB",
                       CUPOOL=f"backing:vmm,defrag:move,trace:{trace}")
    preload.expect_equal("moved", done.stdout, b"large: 0, lost: 0\n")
    breaks = [counter["current"] for counter in machine.report(trace)["counters"]
              if counter["name"] == "breaks"]
    preload.expect(breaks and breaks[-1] > 0, f"nothing was moved: {breaks}")
    # A refusal for an address inside a block changes nothing.
    for options in WAYS:
        done = machine.run(program, preload=True, CUPOOL=options,
                           SIMGPU_FAULT="cuPointerSetAttribute:1:OUT_OF_MEMORY")
        preload.expect(done.stdout.startswith(b"set 0: 2\n") and done.stdout.endswith(b"wrong: 0\n"),
                       f"{options}: {done.stdout.decode()[-500:]}")
    # The first call for a block is the program's own; a later one is repeated if it fails.
    rule = "cuPointerSetAttribute:{}:OUT_OF_MEMORY"
    for call in (12, 15, 20):
        once = rule.format(call)
        twice = f"{once},{once}"  # a rule does not count a call failed by an earlier rule
        for faults, said in ((once, b"wrong: 0\n"), (twice, b"set 2: 2\nwrong: 0\n")):
            done = machine.run(program, preload=True, CUPOOL="backing:vmm,page:2MiB",
                               SIMGPU_FAULT=faults)
            preload.expect_equal(f"{faults}: {done.stdout.decode()[-500:]}", done.stdout, said)


main()

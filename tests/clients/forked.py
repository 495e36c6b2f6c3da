# SPDX-License-Identifier: MIT
"""Tests workers of a forking server. A worker is pooled, limited and recorded, whatever its server looked up
before the fork. If the server used memory, the worker leaves that memory and the server's trace alone. No lock is
held in a worker because a thread of the server held it. Fork handlers of the program may allocate and free.

usage: forked.py --build BUILD FORKS FORK_HANDLERS
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "endtoend"))

import preload  # noqa: E402


def run(machine, command, options):
    """Standard output, and the summaries of the traces."""
    done = machine.run(command, preload=True, LANG="C",
                       CUPOOL=f"trace:{machine.scratch}/forked.%p.cupool,{options}")
    preload.expect_equal(f"{command}: exit ({done.stderr.decode()})", done.returncode, 0)
    records = sorted(machine.scratch.glob("forked.*.cupool"))
    summaries = [machine.report(path)["summary"] for path in records]
    for path in records:
        path.unlink()
    return done.stdout.decode(), sorted((part["allocations"], part["frees"]) for part in summaries)


def check_handlers(machine, program):
    """The traces, less empty ones, are one of the server, or one of each worker."""
    expected = {"server": [(14, 14)], "worker": [(1, 1)] * 3}
    for who, records in expected.items():
        bare = machine.run([program, who])
        for mode in ("mode:observe", "mode:pool", "backing:vmm", "guard:redzone"):
            text, found = run(machine, [program, who], mode)
            preload.expect_equal(f"handlers of the {who}, {mode}", text, bare.stdout.decode())
            preload.expect_equal(f"handlers of the {who}, {mode}: records",
                                 [part for part in found if part != (0, 0)], records)
        print(f"fork handlers of the {who}: as bare")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("handlers", type=lambda path: str(pathlib.Path(path).resolve()))
    options = parser.parse_args()
    machine = preload.Machine(options.build)
    for how in ("fork", "clone"):
        for before, servers in (("look-up", []), ("phase", [(0, 0)])):
            text, records = run(machine, [options.program, how, before], "limit:1GiB")
            preload.expect_equal(f"{how}, {before}", text,
                                 "worker: 16 blocks, free 0, of 1024 MiB\nexit 7\n")
            preload.expect_equal(f"{how}, {before}: records", records, [*servers, (16, 1)])
        text, records = run(machine, [options.program, how, "context"], "mode:pool")
        preload.expect_equal(f"{how}, context", text, "server: 0 0 0\nexit 7\nserver: 0 0\n")
        preload.expect_equal(f"{how}, context: records", records, [(2, 2)])
        print(f"{how}: workers are served, the server's memory is left alone")
    for mode in ("mode:pool,limit:1GiB", "mode:observe"):
        done = machine.run([options.program, "fork", "busy"], preload=True, CUPOOL=mode)
        preload.expect_equal(f"busy, {mode}", done.stdout, b"200 of 200 workers came back\n")
    print("fork of a busy server: the workers come back")
    check_handlers(machine, options.handlers)


main()

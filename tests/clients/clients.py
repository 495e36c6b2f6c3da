# SPDX-License-Identifier: MIT
"""A client prints the same bytes bare, observed and pooled, on the simulated device, and each trace
has the numbers of allocations and frees that the device counted in the bare run.

usage: clients.py --build BUILD [--setup DIRECTORY] [--escapes] -- CLIENT [ARGUMENT...]
CLIENT is a script of this folder or a program.
"""

import argparse
import collections
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

ALLOCATE = ("cuMemAlloc_v2", "cuMemAllocManaged", "cuMemAllocAsync", "cuMemAllocFromPoolAsync",
            "cuMemCreate")
FREE = ("cuMemFree_v2", "cuMemFreeAsync", "cuMemRelease")
DEVICE_MEMORY = ("cudaMalloc", "cuMemAlloc_v2")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--setup", type=pathlib.Path, help="the virtual environment it needs")
    parser.add_argument("--escapes", action="store_true",
                        help="its calls are unseen")
    parser.add_argument("client", nargs="+")
    return parser.parse_args()


def command_of(options):
    """A script runs under the Python with its requirements."""
    client, *words = options.client
    if not client.endswith(".py"):
        return [client, *words]
    return [interpreter(options.setup), str(HERE / client), *words]


def interpreter(directory):
    """The Python of the virtual environment, created if necessary; the current one if none is
    requested."""
    if not directory:
        return sys.executable
    done = subprocess.run([str(HERE / "setup"), str(directory), "60"], stdout=subprocess.PIPE,
                          check=False)
    if done.returncode == preload.SKIP:
        print(done.stdout.decode().strip())
        sys.exit(preload.SKIP)
    preload.expect_equal("setup: exit", done.returncode, 0)
    return str(directory / "bin" / "python")


def counted_by_device(logs):
    """(allocations, frees) that succeeded, over all processes of a run."""
    counts = collections.Counter()
    for path in logs:
        for name, result, values in preload.CallLog(path).calls:
            freed_null = int(values.get("ptr", "1"), 0) == 0
            if result == "CUDA_SUCCESS" and not (name in FREE and freed_null):
                counts[name] += 1
    return sum(counts[name] for name in ALLOCATE), sum(counts[name] for name in FREE)


def run_bare(machine, command, is_checked=True):
    """The run, and the device's counts; a client of this folder prints its own errors."""
    bare = machine.run(command, SIMGPU_LOG=machine.scratch / "bare.%p.log")
    preload.expect(bare.returncode == 0 and bare.stdout,
                   f"bare: exit {bare.returncode}: {bare.stderr.decode()[-2000:]}")
    text = bare.stdout.decode()
    for word in ("WRONG", "False", "NOT as asked for") if is_checked else ():
        preload.expect(word not in text, f"bare: {word!r} in\n{text}")
    preload.expect(not is_checked or not command[-1].endswith(".py") or
                   "libcuda.so.1: as asked for" in text,
                   f"bare: no simulated libcuda in\n{text}")
    counts = counted_by_device(machine.scratch.glob("bare.*.log"))
    preload.expect(counts[0] > 0, "bare: the device saw no allocation")
    return bare, counts


def run_preloaded(machine, command, mode, bare, clean=bytes.decode):
    """The reports of a preloaded run, one per process with a trace; `clean` makes the program's
    stderr comparable."""
    traces = machine.scratch / f"{mode}.%p.cupool"
    done = machine.run(command, preload=True, CUPOOL=f"mode:{mode},trace:{traces}")
    preload.expect_equal(f"{mode}: exit ({done.stderr.decode()[-2000:]})", done.returncode, 0)
    preload.expect_equal(f"{mode}: stdout", done.stdout.decode(), bare.stdout.decode())
    preload.expect_equal(f"{mode}: stderr", clean(done.stderr), clean(bare.stderr))
    return [machine.report(path) for path in sorted(machine.scratch.glob(f"{mode}.*.cupool"))]


def check_record(mode, reports, counts):
    preload.expect(reports, f"{mode}: no record")
    recorded = tuple(sum(report["summary"][key] for report in reports)
                     for key in ("allocations", "frees"))
    preload.expect_equal(f"{mode}: allocations and frees", recorded, counts)
    hits = sum(api["hits"] for report in reports for api in report["apis"]
               if api["name"] in DEVICE_MEMORY)
    preload.expect((hits > 0) == (mode == "pool"), f"{mode}: {hits} served from the pool")
    print(f"{mode}: equal; {recorded[0]} allocations and {recorded[1]} frees recorded in "
          f"{len(reports)} process(es), {hits} served from the pool")


def main():
    options = arguments()
    machine = preload.Machine(options.build)
    command = command_of(options)
    bare, counts = run_bare(machine, command)
    for mode in ("observe", "pool"):
        reports = run_preloaded(machine, command, mode, bare)
        if options.escapes:
            preload.expect(not reports, f"{mode}: calls were seen")
            print(f"{mode}: equal; no call was seen")
        else:
            check_record(mode, reports, counts)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""The parts of a run: the conformance matrix, the workloads, the clients, and libcupool-engine.

A program runs bare, observed and pooled in turn, so that a slower machine affects all three; its
output must equal that of the first bare run. Each function returns the number of failures.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "conformance"))

import matrix  # noqa: E402
import roster  # noqa: E402
import runner  # noqa: E402
import sanitizer  # noqa: E402

SKIPPED = 77
# Options of cupool by mode; bare: without cupool.
MODES = ("bare", "mode:observe", "mode:pool")
GUARDED_MODES = ("bare", "backing:vmm", "guard:redzone,scrub:poison", "guard:page")
TIMEOUT_S = 300


def wanted(options, name):
    return not options.programs or name in options.programs


def suite_of(place):
    """The conformance suite on this device; hardware has NVIDIA's runtime in the static program."""
    folder = place.build / "tests" / "conformance"
    static = folder / ("conformance_static" if place.simulated else "conformance_static_nvidia")
    parser = runner.arguments(argparse.ArgumentParser())
    words = ["--library", place.library, "--linked", folder / "conformance_linked",
             "--loaded", folder / "conformance_loaded"]
    words += ["--static", static] if static.exists() else []
    words += ["--device" if place.simulated else "--libraries", place.libraries]
    return runner.Suite(parser.parse_args([str(word) for word in words]))


def conformance(place, book, options):
    suite = suite_of(place)
    failures = 0
    for program in filter(lambda name: wanted(options, name), matrix.programs()):
        known = book.programs.get(program, {})
        for path, route in suite.routes():
            if options.routes and route not in options.routes or route in known:
                continue
            found = matrix.outcome(suite, program, path, route)
            failures += found == "differs"
            book.add_program(program, {route: found})
    return failures


def environment(place, program, mode):
    env = place.environment(program.own_libraries, **program.variables)
    if mode == "bare":
        return env | sanitizer.environment()
    return env | sanitizer.environment(str(place.library)) | {"CUPOOL": mode}


def run_once(place, program, mode):
    """(status, output, errors, microseconds)."""
    start = time.monotonic_ns()
    try:
        done = subprocess.run(program.command, env=environment(place, program, mode),
                              cwd=place.work, capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "timeout", "", "", TIMEOUT_S * 1_000_000
    return (done.returncode, done.stdout, done.stderr,
            (time.monotonic_ns() - start) // 1000)


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("skipped: ")[:200] if lines else "nothing said"


def verdict(run, bare):
    """(output, reason) of a row."""
    status, output, errors, _ = run
    if status != 0:
        return "failed", f"exit {status}: {last_line(errors or output)}"
    if run is bare:
        return "reference", ""
    return ("equal", "") if output == bare[1] else ("differs", "")


def row(part, program, mode, said, times=None, ratios=None):
    return {"part": part, "name": program.name, "mode": mode.removeprefix("mode:"), "output": said[0],
            "reason": said[1]} | ({"median_us": int(statistics.median(times)),
                                   "ratio": round(statistics.median(ratios), 3)} if times else {})


def measure(place, part, program, repeats, modes):
    """One row per mode; a single row if the bare program does not run."""
    bare = run_once(place, program, "bare")
    if bare[0] == SKIPPED:
        return [row(part, program, "bare", ("skipped", last_line(bare[1] or bare[2])))]
    if bare[0] != 0:
        return [row(part, program, "bare", verdict(bare, bare))]
    said = {"bare": verdict(bare, bare)}
    times = {mode: [] for mode in modes}
    for _ in range(repeats):
        for mode in modes:
            run = run_once(place, program, mode)
            if said.get(mode, ("equal", ""))[0] in ("equal", "reference"):
                said[mode] = said["bare"] if mode == "bare" and run[:2] == bare[:2] else verdict(
                    run, bare)
            times[mode].append(run[3])
    return [row(part, program, mode, said[mode], times[mode],
                [mine / base for mine, base in zip(times[mode], times["bare"])])
            for mode in modes]


def timed(part, place, book, options, chosen, modes=MODES):
    failures = 0
    for program in chosen:
        if not wanted(options, program.name) or book.has_run(part, program.name):
            continue
        if not os.path.exists(program.command[0]):
            rows = [row(part, program, "bare", ("skipped", "not built"))]
        else:
            rows = measure(place, part, program, options.repeats, modes)
        failures += sum(each["output"] in ("failed", "differs") for each in rows)
        book.add_runs(rows)
    return failures


def workloads(place, book, options):
    return timed("workloads", place, book, options, roster.workloads(place))


def clients(place, book, options):
    return timed("clients", place, book, options, roster.clients(place))


def transfers(place, book, options):
    """Bytes per second by method and size of the fragments; on the simulated device only counts."""
    bench = roster.built(place, "bench", "transfer_bench")
    if not wanted(options, bench.name) or book.transfers or not bench.exists():
        return 0
    program = roster.Program(bench.name, [str(bench), "--json",
                                          *(["--quick"] if place.simulated else [])])
    status, output, errors, _ = run_once(place, program, "bare")
    if status != 0:
        print(f"{bench.name}: exit {status}: {last_line(errors or output)}", file=sys.stderr)
        return 1
    book.add_transfers(json.loads(output)["rows"])
    return 0


def codecs(place, book, options):
    """Traffic of the codecs' kernels compared with a copy, and whether their bytes equal the
    host's."""
    bench = roster.built(place, "bench", "codec_device_bench")
    if not wanted(options, bench.name) or book.codecs or not bench.exists():
        return 0
    program = roster.Program(bench.name, [str(bench), "--json",
                                          *(["--quick"] if place.simulated else [])])
    status, output, errors, _ = run_once(place, program, "bare")
    if status == SKIPPED:
        return 0
    try:
        book.add_codecs(json.loads(output))
    except ValueError:
        status = status or 1
    if status != 0:
        print(f"{bench.name}: exit {status}: {last_line(errors or output)}", file=sys.stderr)
        return 1
    return 0


def engine(place, book, options):
    return (timed("engine", place, book, options, roster.engine(place)) +
            transfers(place, book, options) + codecs(place, book, options))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails each driver call of the conformance programs once, with the pool; also with mapped memory,
where by default only calls that map memory fail.

Calls are counted in a run without a fault; then each position fails in a separate run. That run
must end, without a signal that the bare program would not get, and print the bare program's output
up to the first error, which must be the injected one; any other first difference must also appear
in the bare program when the same call fails there. In the end the pool must know every driver
allocation that was not freed.

By default one position of each call, drawn by --seed, and with sanitizers, which make runs slow, a
tenth of these; --positions 0 takes all. With CUPOOL_TEST_FAULTS=all in the environment: every
position of calls that a program makes up to 200 times, and 200 of the others, on a route of each
kind.

Exit 0: passed; 1: failed, with the fault to inject; 2: bad use.
"""

import argparse
import collections
import concurrent.futures
import glob
import itertools
import os
import random
import re
import shutil
import sys
import tempfile
import threading

from runner import ROUTES, NOT_WITH_SANITIZERS, SKIPPED, Suite, arguments, sanitizer
from trace import Trace

RESULTS = {
    "OUT_OF_MEMORY": ("CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation"),
    "INVALID_VALUE": ("CUDA_ERROR_INVALID_VALUE", "cudaErrorInvalidValue"),
    "UNKNOWN": ("CUDA_ERROR_UNKNOWN", "cudaErrorUnknown"),
}
# Racing threads or processes, or two devices that both meet the fault: the output differs from run
# to run, so only the end of the program is compared.
RACING = {"context_race", "limit_race", "churn", "capture_load", "spawn", "ending", "ipc", "isolated"}
# A failed call of the program itself blocks a stream for ever.
HOLDING = {"reuse_work"}
# Only the program itself calls it, for its output.
UNINTERESTING = {"cuGetErrorName"}
MAPPING = re.compile(r"cuMem(Create|Release|Map|Unmap|SetAccess|Address|GetAllocation|Export|Import)|cuIpc|"
                     r"cuDeviceGetAttribute|cuCtx(Enable|Disable)PeerAccess")
MODES = ("mode:pool", "mode:pool,backing:vmm")
CONTEXT_ENDS = re.compile(r"cuCtxDe(stroy|tach)|cuDevicePrimaryCtx(Reset|Release)")
BARE_POSITIONS = 400
SHARE_WITH_SANITIZERS = 0.1

Fault = collections.namedtuple("Fault", "program path route call position result")


def rule(fault):
    return f"{fault.call}:{fault.position}:{fault.result}"


def logs_of(directory):
    """Lines of the log, by process."""
    for path in glob.glob(os.path.join(directory, "*.log")):
        with open(path, encoding="utf-8", errors="replace") as file:
            yield [line.rstrip("\n").split("\t") for line in file if line.count("\t") >= 4]


def run(suite, fault, options, inject):
    """One run in a new directory: (status, output, errors), the directory."""
    directory = tempfile.mkdtemp(dir=suite.directory)
    variables = {"SIMGPU_LOG": os.path.join(directory, "%p.log")}
    if inject:
        variables["SIMGPU_FAULT"] = rule(fault)
    if options:
        options += f",trace:{directory}/%p.cupool"
    return suite.run(fault.path, fault.program, fault.route, options, **variables), directory


def counted(suite, program, path, route, options):
    """Counts of each driver call, in the process with the most; and the run."""
    done, directory = run(suite, Fault(program, path, route, "", 0, ""), options, False)
    counts = collections.Counter()
    for lines in logs_of(directory):
        counts |= collections.Counter(line[3] for line in lines)
    shutil.rmtree(directory)
    return counts, done


def first_difference(expected, found):
    """The first unexpected line of output, or None."""
    expected, found = expected.splitlines(), found.splitlines()
    for i, line in enumerate(found):
        if i >= len(expected) or line != expected[i]:
            return line
    return None if len(found) == len(expected) else "(nothing more)"


def plain(line):
    return re.sub(r"\d+", "#", line or "")


def outcome(fault, reference, done):
    """Visible effects of a fault: the end of the program, and the first difference."""
    different = None if fault.program in RACING else first_difference(reference[1], done[1])
    return done[0], plain(different), bool(done[2])


def is_clean(fault, reference, done):
    """True if the only visible effect is the injected error."""
    status, different, prints = outcome(fault, reference, done)
    reported = any(name in different for name in RESULTS[fault.result])
    skipped = status == SKIPPED and (reported or different.startswith("skipped:"))
    return (status == reference[0] or skipped) and (not different or reported or skipped) \
        and not prints


class Search:
    """Effects in the bare program when one call fails, by position, as far as tried."""

    def __init__(self, most):
        self.lock, self.most, self.known, self.tried = threading.Lock(), most, set(), set()
        last = min(most, BARE_POSITIONS) - 1
        self.spread = iter(range(1, most + 1) if most <= BARE_POSITIONS else
                           [1 + (most - 1) * i // last for i in range(BARE_POSITIONS)])

    def positions(self, first):
        """Positions still to try; the position of the pooled run is the most likely."""
        yield min(first, self.most)
        yield from self.spread


class Bare:
    """Whether the bare program shows the same effect. Each run is made at most once."""

    def __init__(self, suite):
        self.suite, self.searches, self.lock = suite, {}, threading.Lock()

    def shows(self, seen, fault, reference, counts):
        key = fault.program, fault.route, fault.call, fault.result
        if not counts[fault.call]:
            return False
        with self.lock:
            search = self.searches.setdefault(key, Search(counts[fault.call]))
        with search.lock:
            return self.find(search, seen, fault, reference)

    def find(self, search, seen, fault, reference):
        if seen in search.known:
            return True
        for position in search.positions(fault.position):
            if position in search.tried:
                continue
            search.tried.add(position)
            done, directory = run(self.suite, fault._replace(position=position), None, True)
            shutil.rmtree(directory)
            search.known.add(outcome(fault, reference, done))
            if seen in search.known:
                return True
        return False


def alive_in(lines):
    """Driver allocations without an attempt to free them: physical memory by its mapping, or by its
    handle if not mapped."""
    alive, mapped = set(), {}
    for line in lines:
        values = {key: int(value, 0) for key, value in
                  (field.split("=", 1) for field in line[5:] if "=" in field)
                  if key in ("ptr", "handle", "bytes")}
        done = line[4] == "CUDA_SUCCESS"
        if line[3] == "cuMemAlloc_v2" and done:
            alive.add(values["ptr"])
        elif line[3] == "cuMemCreate" and done:
            alive.add(values["handle"])
        elif line[3] == "cuMemMap" and done:
            mapped[values["ptr"]] = values["handle"]
        elif line[3] == "cuMemUnmap":
            for address in [at for at in mapped if 0 <= at - values["ptr"] < values["bytes"]]:
                del mapped[address]
        elif line[3] == "cuMemFree_v2":
            alive.discard(values["ptr"])
        elif line[3] == "cuMemRelease":
            alive.discard(values["handle"])
    at = {handle: address for address, handle in mapped.items()}
    return {at.get(one, one) for one in alive}


def lost_memory(program, directory, definitions):
    """Driver allocations without an attempt to free them, and unknown to the trace."""
    traces, logs = glob.glob(os.path.join(directory, "*.cupool")), list(logs_of(directory))
    if program == "isolated" or len(traces) != 1 or len(logs) != 1 or \
            any(CONTEXT_ENDS.match(line[3]) for line in logs[0]):
        return set()
    alive, known = alive_in(logs[0]), set()
    trace = Trace(traces[0], definitions)
    for record in sorted(trace.records, key=trace.order):
        passed = trace.outcomes.get(record.outcome) == "PASSED"
        kind = trace.kinds[record.kind]
        if kind == "SEGMENT_ALLOCATE" or kind == "ALLOCATE" and passed:
            known.add(record.address)
        elif kind == "SEGMENT_FREE" and record.value == 0:
            known.discard(record.address)
    return alive - known


class Campaign:
    """One program through one route."""

    def __init__(self, suite, bare, definitions, program, path, route, mode):
        self.suite, self.bare, self.definitions = suite, bare, definitions
        self.program, self.path, self.route, self.mode = program, path, route, mode
        self.bare_counts, self.reference = counted(suite, program, path, route, None)
        self.counts, _ = counted(suite, program, path, route, mode)

    def faults(self, choose, most, everything):
        results = list(RESULTS)
        for call in sorted(set(self.counts) - UNINTERESTING):
            if self.mode != MODES[0] and not everything and not MAPPING.match(call):
                continue
            total = self.counts[call]
            positions = range(1, total + 1)
            if most and total > most:
                positions = sorted({1, *choose.sample(positions, most - 1)})
            for position in positions:
                yield Fault(self.program, self.path, self.route, call, position,
                            results[choose.randrange(len(results))])

    def complaint(self, fault):
        """The forbidden effect of a fault, or None."""
        done, directory = run(self.suite, fault, self.mode, True)
        found = None
        if not is_clean(fault, self.reference, done) and not self.bare.shows(
                outcome(fault, self.reference, done), fault, self.reference, self.bare_counts):
            found = f"status {done[0]}, first difference " \
                    f"{first_difference(self.reference[1], done[1])!r} {done[2][-500:]}"
        elif done[0] == self.reference[0]:
            lost = lost_memory(self.program, directory, self.definitions)
            found = f"lost driver memory: {sorted(map(hex, lost))}" if lost else None
        shutil.rmtree(directory)
        return found


def routes_for(suite, number, everywhere):
    """A route of each kind, or one of all routes in turn."""
    routes = suite.routes()
    if everywhere:
        return [(path, ROUTES[kind][-1 if kind == "linked" else 0])
                for kind, path in suite.executables.items()]
    return [routes[number % len(routes)]]


def campaign(suite, options, most, share, everywhere):
    choose = random.Random(options.seed)
    bare, failures, runs = Bare(suite), 0, 0
    workers = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    for program in options.programs:
        for (path, route), mode in itertools.product(
                routes_for(suite, choose.randrange(1 << 30), everywhere), MODES):
            one = Campaign(suite, bare, options.definitions, program, path, route, mode)
            if one.reference[0] != 0:
                print(f"{program}, {route}: left out, it ends with {one.reference[0]}")
                continue
            faults = [fault for fault in one.faults(choose, most, everywhere)
                      if choose.random() < share]
            for fault, complaint in zip(faults, workers.map(one.complaint, faults)):
                if complaint:
                    print(f"# {program} {route} {mode} SIMGPU_FAULT={rule(fault)}: {complaint}")
                    failures += 1
            runs += len(faults)
            print(f"{program}, {route}, {mode}: {len(faults)} faults", flush=True)
    print(f"{runs} faults, {failures} of them with another effect than bare")
    return runs, failures


def programs_of(path):
    with open(path, encoding="utf-8") as file:
        return [name for name in re.findall(r"^PROGRAM\(\w+, (\w+)", file.read(), re.M)
                if name not in HOLDING and not (sanitizer.active() and name in NOT_WITH_SANITIZERS)]


def main():
    parser = arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--definitions", required=True, help="cupti/format/events.def")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--positions", type=int, default=1, help="of each call; 0: all")
    parser.add_argument("--every-kind-of-route", action="store_true", help="else one drawn")
    parser.add_argument("programs", nargs="*", help="default: all")
    options = parser.parse_args()
    options.programs = options.programs or programs_of(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs.def"))
    everything = os.environ.get("CUPOOL_TEST_FAULTS") == "all"
    most = 200 if everything else options.positions
    share = SHARE_WITH_SANITIZERS if sanitizer.active() and not everything else 1
    print(f"seed {options.seed}, {most or 'all'} positions of each call, {share:.0%} of them")
    runs, failures = campaign(Suite(options), options, most, share,
                              everything or options.every_kind_of_route)
    return 1 if failures or not runs else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a conformance program through every route, bare and preloaded, and compares.

Output, errors and exit status of a preloaded run must equal those of the bare one, byte by byte.
Exit 0: equal through every route; 1: different; 77: the program skipped everywhere.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import sanitizer  # noqa: E402

ROUTES = {
    "linked": ["dynamic", "driver"],
    "loaded": ["dlsym", "dlsym-12", "dlvsym", "per-thread", "extension", "deepbind", "driver-dlsym",
               "driver-per-thread", "proc4", "proc5", "entry-point", "entry-point-old",
               "entry-point-per-thread"],
    "static": ["static"],
}
MODES = {"observe": "mode:observe", "pool": "mode:pool", "vmm": "mode:pool,backing:vmm"}
# Mapped memory that changes under work breaks the context of that work.
WATCHED = {"SIMGPU_SET": "edit_breaks=1"}
SKIPPED = 77
# A sanitizer's runtime cannot be loaded in two namespaces.
NOT_WITH_SANITIZERS = {"isolated"}
TIMEOUT_S = 150
ENOUGH_DIFFERENT = 3  # where each of them hangs, all would take hours


class Suite:
    """The executables, the library and the device of all runs."""

    def __init__(self, options):
        self.executables = {kind: os.path.abspath(path) for kind, path in
                            (("linked", options.linked), ("loaded", options.loaded),
                             ("static", options.static)) if path}
        self.library = os.path.abspath(options.library)
        self.device = os.path.abspath(options.device) if options.device else None
        self.libraries = os.path.abspath(options.libraries) if options.libraries else None
        self.profile = options.profile
        self.memory = options.memory
        self.temporary = tempfile.TemporaryDirectory(prefix="conformance-")
        self.directory = self.temporary.name

    def routes(self):
        """Every executable with each of its routes; a sanitizer does not permit RTLD_DEEPBIND."""
        return [(path, route) for kind, path in self.executables.items() for route in ROUTES[kind]
                if not (route == "deepbind" and sanitizer.active())]

    def environment(self, options):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("CUPOOL", "LD_", "SIMGPU_"))}
        if self.device:
            env.update(LD_LIBRARY_PATH=self.device, SIMGPU_MEMORY=self.memory, SIMGPU_DEVICES="2",
                       SIMGPU_PROFILE=self.profile)
        elif self.libraries:
            env["LD_LIBRARY_PATH"] = self.libraries
        if options is None:
            return env | sanitizer.environment()
        return env | sanitizer.environment(self.library) | {"CUPOOL": options}

    def run(self, path, program, route, options=None, argument=None, **variables):
        """One run; options None is a bare one. Returns (status, output, errors)."""
        env = self.environment(options)
        env.update(variables)
        command = [path, program, route] + ([argument] if argument else [])
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True,
                                  errors="replace", timeout=TIMEOUT_S, cwd=self.directory)
        except subprocess.TimeoutExpired as late:
            return "timeout", (late.stdout or b"").decode(errors="replace"), ""
        return done.returncode, done.stdout, done.stderr


def left_of(log):
    """Handles, addresses and mapped bytes that a process did not give back."""
    counts = {"handles": 0, "addresses": 0, "mapped": 0}
    with open(log, encoding="ascii") as file:
        for line in file:
            if "CUDA_SUCCESS" not in line:
                continue
            size = int((re.findall(r"bytes=(\d+)", line) or [0])[0])
            for call, what, number in (("cuMemImportFromShareableHandle", "handles", 1),
                                       ("cuMemCreate", "handles", 1),
                                       ("cuMemRelease", "handles", -1),
                                       ("cuMemAddressReserve", "addresses", 1),
                                       ("cuMemAddressFree", "addresses", -1),
                                       ("cuMemMap", "mapped", size), ("cuMemUnmap", "mapped", -size)):
                if call in line.split():
                    counts[what] += number
    return counts


def text_of(run):
    status, output, errors = run
    return f"{output}{errors}status {status}\n"


def compare(title, bare, preloaded):
    """Prints the differences. True if there are none."""
    if bare == preloaded:
        return True
    print(f"# {title}")
    for line in difflib.unified_diff(text_of(bare).splitlines(), text_of(preloaded).splitlines(),
                                     "bare", "preloaded", lineterm="", n=2):
        print(f"#   {line}")
    return False


def maps(options):
    """Whether the pool maps memory itself with these options."""
    return "backing:vmm" in options or "guard:page" in options


def matrix(suite, program, modes=None):
    """All routes in all modes. Returns (runs that differ, routes that skipped, routes)."""
    different = skipped = 0
    routes = suite.routes()
    for path, route in routes:
        if different >= ENOUGH_DIFFERENT:
            print(f"# not run: {route} and later ones")
            break
        bare = suite.run(path, program, route)
        if bare[0] == SKIPPED:
            print(f"# {route}: {bare[1].strip()}")
            skipped += 1
            continue
        if bare[0] != 0:
            print(f"# {route}: the bare program failed\n{text_of(bare)}")
            different += 1
            continue
        for mode, chosen in (modes or MODES).items():
            trace = os.path.join(suite.directory, "%e.%p.cupool")
            preloaded = suite.run(path, program, route, f"{chosen},trace:{trace}",
                                  **(WATCHED if maps(chosen) else {}))
            different += not compare(f"{program}, {route}, {mode}", bare, preloaded)
    return different, skipped, len(routes)


def arguments(parser):
    parser.add_argument("--linked", help="executable linked with the CUDA libraries")
    parser.add_argument("--loaded", help="executable that loads them")
    parser.add_argument("--static", help="executable with the runtime inside")
    parser.add_argument("--library", required=True, help="libcupool.so")
    parser.add_argument("--device", help="directory of the simulated device; without: hardware")
    parser.add_argument("--libraries", help="directory of hardware's driver and runtime")
    parser.add_argument("--profile", default="h200", help="of the simulated device")
    parser.add_argument("--memory", default="1GiB", help="of the simulated device")
    return parser


def main():
    parser = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("--with", dest="extra", help="options beside mode:pool, instead of all modes")
    parser.add_argument("program")
    options = parser.parse_args()
    if sanitizer.active() and options.program in NOT_WITH_SANITIZERS:
        print("skipped: not with a sanitizer's runtime")
        return SKIPPED
    modes = {"with": f"mode:pool,{options.extra}"} if options.extra else None
    different, skipped, routes = matrix(Suite(options), options.program, modes)
    if skipped == routes:
        return SKIPPED
    print(f"{options.program}: {routes - skipped} routes, {different} runs differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

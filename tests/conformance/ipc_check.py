#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Blocks inside driver allocations, shared between processes that start, end and are killed at any
time.

One process exports, others open: with and without the shim, after a free, after the exporter or an
importer was killed, without a directory for the offsets. An opened block has the right bytes, or
opening fails with an error, whatever boards and tokens contain.

Exit 0: passed; 1: failed, with the reason.
"""

import argparse
import os
import re
import signal
import stat
import struct
import subprocess
import sys

from checks import Failures
from runner import TIMEOUT_S, Suite, arguments

ROUTES = ("dynamic", "driver", "static", "dlsym")
SMALL_SECOND, MIDDLE = 1, 3  # blocks of the program that do not begin a segment
INVALID = "open: (cudaErrorInvalidValue|CUDA_ERROR_INVALID_VALUE)"
GONE = "open: (cudaErrorInvalidResourceHandle|CUDA_ERROR_INVALID_HANDLE)"


class Exporter:
    """A process that exports blocks and waits."""

    def __init__(self, suite, path, route, options, what="serve"):
        self.process = subprocess.Popen([path, "ipc_blocks", route, what], text=True,
                                        env=suite.environment(options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.handles = []
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line.startswith("handles "):
                self.handles = line.split()[1:]
                break

    def free(self, block):
        print(block, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.communicate("end\n", timeout=TIMEOUT_S)
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()


class Place:
    """A directory for boards, and its contents."""

    def __init__(self, suite, name):
        self.path = os.path.join(suite.directory, name)
        self.own = os.path.join(self.path, f"cupool-{os.geteuid()}")
        os.mkdir(self.path)

    def options(self, mode="pool"):
        return f"mode:{mode},ipc:{self.path}"

    def names(self):
        return os.listdir(self.own) if os.path.isdir(self.own) else []

    def boards(self):
        return [name for name in self.names() if name.startswith("ipc.")]


def opened(suite, path, route, options, handles):
    return suite.run(path, "ipc_blocks", route, options, "open " + " ".join(handles))[1]


def check_round_trip(suite, failures, path, route, place):
    """The same handles, opened with the shim in either mode and without it."""
    exporter = Exporter(suite, path, route, place.options())
    failures.expect(len(exporter.handles) == 6, f"{route}: not exported: {exporter.output}")
    for mode, added in (("pool", 0), ("observe", 100)):
        output = opened(suite, path, route, place.options(mode), exporter.handles)
        found = re.findall(r"bytes: (\d+) (\d+)", output)
        wanted = [(str(10 + i + added),) * 2 for i in range(6)]
        failures.expect(found == wanted, f"{route}, {mode}: {found}\n{output}")
    output = opened(suite, path, route, None, exporter.handles)
    failures.expect(len(re.findall(INVALID, output)) == 4, f"{route}: opened without the shim")
    failures.expect(re.findall(r"bytes: (\d+)", output) == ["210", "215"], f"{route}: {output}")
    print(f"{route}: opened with the shim, refused without")
    return exporter


def check_lifetimes(suite, failures, path, route, place, exporter):
    """A handle ends with its block and with its process, and no file remains."""
    boards = place.boards()
    failures.expect(len(boards) == 1, f"{route}: boards: {boards}")
    modes = [stat.S_IMODE(os.stat(name).st_mode) for name in
             (place.own, os.path.join(place.own, boards[0]))]
    failures.expect(modes == [0o700, 0o600], f"{route}: modes {modes}")
    exporter.free(SMALL_SECOND)
    output = opened(suite, path, route, place.options(), exporter.handles[1:3])
    failures.expect(re.search(GONE, output) and "bytes: " in output, f"{route}: freed: {output}")
    failures.expect(exporter.end() == 0 and not place.boards(), f"{route}: a board stayed")
    output = opened(suite, path, route, place.options(), [exporter.handles[MIDDLE]])
    failures.expect(re.search(GONE, output), f"{route}: opened after the end: {output}")


def check_deaths(suite, failures, path, route, place):
    """Either side is killed; the other continues, and the next process cleans up."""
    exporter = Exporter(suite, path, route, place.options())
    handles = " ".join(exporter.handles)
    importer = subprocess.Popen([path, "ipc_blocks", route, "open " + handles],
                                env=suite.environment(place.options()), stdout=subprocess.PIPE)
    importer.stdout.readline()
    importer.kill()
    importer.communicate()
    output = opened(suite, path, route, place.options(), exporter.handles[1:2])
    failures.expect("bytes: " in output, f"{route}: after an importer's death: {output}")
    exporter.kill()
    failures.expect(len(place.boards()) == 1, f"{route}: the killed process's board is missing")
    second = Exporter(suite, path, route, place.options())
    failures.expect(len(place.boards()) == 1, f"{route}: not swept: {place.boards()}")
    output = opened(suite, path, route, place.options(), [exporter.handles[MIDDLE]])
    failures.expect(re.search(GONE, output), f"{route}: opened after the death: {output}")
    second.kill()
    output = opened(suite, path, route, place.options(), [second.handles[MIDDLE]])
    failures.expect(re.search(GONE, output) and not place.boards(),
                    f"{route}: an importer does not tidy up: {place.boards()}")
    print(f"{route}: killed on either side")


def refused(suite, failures, path, route, options, why):
    exporter = Exporter(suite, path, route, options)
    count = len(re.findall("export: .*(InvalidValue|INVALID_VALUE)", exporter.output))
    failures.expect(count == 4, f"{route}, {why}: {count} exports refused\n{exporter.output}")
    exporter.end()


def check_nowhere(suite, failures, path, route):
    """Without a directory owned by the user, the export fails with an error."""
    refused(suite, failures, path, route, "mode:pool,ipc:off", "off")
    refused(suite, failures, path, route, "mode:pool,ipc:/nonexistent", "no directory")
    print(f"{route}: refused without a directory")


def taken_places(suite, route):
    """Directories that do not belong to the user alone: a link, open to others, of another user."""
    linked = Place(suite, "linked-" + route)
    os.mkdir(linked.own + ".there", 0o700)
    os.symlink(linked.own + ".there", linked.own)
    yield linked, "a link"
    file = Place(suite, "file-" + route)
    os.mkfifo(file.own)
    yield file, "a pipe"
    shared = Place(suite, "shared-" + route)
    os.mkdir(shared.own)
    os.chmod(shared.own, 0o755)
    yield shared, "others may enter"
    if os.geteuid() == 0:
        foreign = Place(suite, "foreign-" + route)
        os.mkdir(foreign.own, 0o700)
        os.chown(foreign.own, 65534, -1)
        yield foreign, "of another user"


def check_taken(suite, failures, path, route):
    """If the name is taken, both sides find another directory, and no file remains."""
    for place, why in taken_places(suite, route):
        runtime = os.path.join(place.path, "runtime")
        os.mkdir(runtime, 0o700)
        for variables in ({}, {"XDG_RUNTIME_DIR": runtime}):
            os.environ.pop("XDG_RUNTIME_DIR", None)
            os.environ.update(variables)
            exporter = Exporter(suite, path, route, place.options())
            output = opened(suite, path, route, place.options(), exporter.handles)
            found = re.findall(r"bytes: (\d+) (\d+)", output)
            failures.expect(len(found) == 6, f"{route}, {why}, {variables}: {output}")
            beside = os.path.join(runtime, os.path.basename(place.own))
            if variables:
                failures.expect(len(os.listdir(beside)) == 1, f"{route}, {why}: not in {beside}")
            exporter.end()
            left = [name for _, _, files in os.walk(place.path) for name in files
                    if name.startswith("ipc.")]
            failures.expect(not left, f"{route}, {why}: left {left}")
        os.environ.pop("XDG_RUNTIME_DIR", None)
    print(f"{route}: another directory if the first is taken")


def check_descriptors(suite, failures, path, route, place):
    """The program's descriptors are the same as bare, and a closed board is not a dead exporter."""
    counts = []
    for options in (None, place.options()):
        exporter = Exporter(suite, path, route, options)
        links = [os.readlink(f"/proc/{exporter.process.pid}/fd/{number}")
                 for number in os.listdir(f"/proc/{exporter.process.pid}/fd")]
        counts.append(sum("cupool" in link for link in links))
        exporter.end()
    failures.expect(counts == [0, 0], f"{route}: descriptors left open: {counts}")


def check_ranges(suite, failures, path, route, place):
    """Libraries query the range, export its base and add the offset in the importer."""
    for scope, bare in (("block", 2), ("segment", 6)):
        options = f"{place.options()},ipc_range:{scope}"
        exporter = Exporter(suite, path, route, options, "serve-ranges")
        inside = sum(not handle.endswith("+0") for handle in exporter.handles)
        failures.expect(inside == (4 if scope == "segment" else 0),
                        f"{route}, {scope}: {exporter.handles}")
        output = opened(suite, path, route, options, exporter.handles)
        found = re.findall(r"bytes: (\d+) (\d+)", output)
        failures.expect(found == [(str(10 + i),) * 2 for i in range(6)],
                        f"{route}, {scope}: {found}\n{output}")
        output = opened(suite, path, route, None, exporter.handles)
        count = len(re.findall(r"bytes: \d+", output))
        failures.expect(count == bare and len(re.findall(INVALID, output)) == 6 - bare,
                        f"{route}, {scope}: {count} opened without the shim\n{output}")
        exporter.end()
    print(f"{route}: by the base of the range")


SLOT = struct.Struct("<64sQQ40sQ")  # allocation, offset, bytes, zero, key


def check_lies(suite, failures, path, route, place):
    """A board's entries are trusted only within the allocation that it names, a token only as a
    whole."""
    exporter = Exporter(suite, path, route, place.options())
    board = os.path.join(place.own, place.boards()[0])
    token = bytes.fromhex(exporter.handles[MIDDLE])
    slot = struct.unpack_from("<I", token, 40)[0] * SLOT.size
    with open(board, "r+b") as file:
        file.seek(slot)
        allocation, offset, size, zero, key = SLOT.unpack(file.read(SLOT.size))
        failures.expect((offset, size) != (0, 0) and key == struct.unpack_from("<Q", token, 32)[0],
                        f"{route}: the slot is not where it was looked for")
        lies = {"beyond": (allocation, 1 << 40, size, zero, key),
                "around": (allocation, (1 << 64) - 512, size, zero, key),
                "behind": (allocation, 2 << 20, size, zero, key),
                "across": (allocation, offset, (2 << 20) - offset + 1, zero, key),
                "endless": (allocation, offset, (1 << 64) - 1, zero, key),
                "nothing": (allocation, offset, 0, zero, key),
                "no offset": (allocation, 0, size, zero, key),
                "not zero": (allocation, offset, size, zero[:39] + b"x", key),
                "another key": (allocation, offset, size, zero, key + 1),
                "nested": (token, offset, size, zero, key)}
        for name, values in lies.items():
            file.seek(slot)
            file.write(SLOT.pack(*values))
            file.flush()
            output = opened(suite, path, route, place.options(), [exporter.handles[MIDDLE]])
            failures.expect(re.search(GONE, output) and "bytes: " not in output,
                            f"{route}, {name}: {output}")
        file.seek(slot)
        file.write(SLOT.pack(allocation, offset, size, zero, key))
    output = opened(suite, path, route, place.options(), [exporter.handles[MIDDLE]])
    failures.expect("bytes: " in output, f"{route}: the truth: {output}")
    print(f"{route}: {len(lies)} lies of a board")
    exporter.end()


def check_damaged_tokens(suite, failures, path, route, place):
    """Every byte of a token counts."""
    exporter = Exporter(suite, path, route, place.options())
    token = bytes.fromhex(exporter.handles[MIDDLE])
    damaged = []
    for index in range(len(token)):
        damaged.append((token[:index] + bytes([token[index] ^ (1 << index % 8)]) +
                        token[index + 1:]).hex())
    for first in range(0, len(damaged), 4):
        output = opened(suite, path, route, place.options(), damaged[first:first + 4])
        failures.expect(output.count("open: ") == 4 and "bytes: " not in output and
                        len(re.findall(f"{GONE}|{INVALID}", output)) == 4,
                        f"{route}: bytes from {first}: {output}")
    print(f"{route}: {len(damaged)} damaged tokens refused")
    exporter.end()


def begin(description):
    """Programs and devices of the command line, and the failures."""
    parser = arguments(argparse.ArgumentParser(description=description.splitlines()[0]))
    return Suite(parser.parse_args()), Failures()


def runs(suite):
    """Executable, route and a new directory, for each route."""
    for path, route in suite.routes():
        if route in ROUTES:
            yield path, route, Place(suite, "place-" + route)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    suite, failures = begin(__doc__)
    for path, route, place in runs(suite):
        exporter = check_round_trip(suite, failures, path, route, place)
        check_lifetimes(suite, failures, path, route, place, exporter)
        check_deaths(suite, failures, path, route, place)
        check_descriptors(suite, failures, path, route, place)
        check_nowhere(suite, failures, path, route)
        check_ranges(suite, failures, path, route, place)
        check_lies(suite, failures, path, route, place)
        check_taken(suite, failures, path, route)
    check_damaged_tokens(suite, failures, *suite.routes()[0], place)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Blocks on mapped memory, shared between processes that start, end, are killed, lie or hang.

An opened block has the right bytes, and keeps them whatever happens to the exporter; a block that
cannot be opened is refused with an error in bounded time, whatever process is behind the socket.
The server of the pages does not disturb the program, and gives nothing to other users.

Exit 0: passed; 1: failed, with the reason.
"""

import array
import fcntl
import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

from ipc_check import GONE, INVALID, SLOT, Exporter, Place, begin, runs
from runner import TIMEOUT_S, left_of

LARGE, BLOCKS, MIB = 5, 6, 1 << 20
PAGES = struct.Struct("<16sQI36s")  # instead of a driver's handle: magic, bytes, count, zero
MESSAGE = struct.Struct("<8sIIQII256s")  # magic, kind, slot, key, first, count, (id, bytes) times 16
TOKEN = struct.Struct("<16s16sQI20s")  # magic, board, key, slot, zero
ASK, PUT, DROP, ANSWER = 1, 2, 3, 4
MAGIC = b"cupage1\0"


def vmm(place, mode="pool,backing:vmm"):
    return place.options(mode)


def opened(suite, path, route, options, handles, **variables):
    return suite.run(path, "ipc_blocks", route, options, "open " + " ".join(handles),
                     **variables)[1]


def bytes_in(output, what="bytes"):
    return [int(one) for one in re.findall(what + r": (\d+) \d+", output)]


class Holder:
    """A process that keeps blocks open until it gets a line."""

    def __init__(self, suite, path, route, options, handles):
        self.process = subprocess.Popen([path, "ipc_blocks", route, "hold " + " ".join(handles)],
                                        text=True, env=suite.environment(options),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line == "held\n":
                break

    def go_on(self):
        self.output += self.process.communicate("on\n", timeout=TIMEOUT_S)[0]
        return self.output


def server_of(exporter):
    """Returns the descriptors of the server thread, and those of the program."""
    tasks = f"/proc/{exporter.process.pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm", encoding="ascii") as file:
            if file.read() == "cupool-ipc\n":
                return [os.readlink(f"{tasks}/{task}/fd/{number}")
                        for number in os.listdir(f"{tasks}/{task}/fd")]
    return None


def links_of(exporter):
    directory = f"/proc/{exporter.process.pid}/fd"
    return [os.readlink(f"{directory}/{number}") for number in os.listdir(directory)]


def check_round_trip(suite, failures, path, route, place):
    exporter = Exporter(suite, path, route, vmm(place))
    failures.expect(len(exporter.handles) == BLOCKS, f"{route}: not exported: {exporter.output}")
    for mode, added in (("pool", 0), ("observe", 100), ("pool,backing:vmm", 200),
                        ("pool,limit:4MiB", 44), ("pool,guard:page", 144)):
        output = opened(suite, path, route, vmm(place, mode), exporter.handles)
        wanted = [(10 + i + added) % 256 for i in range(BLOCKS)]
        failures.expect(bytes_in(output) == wanted, f"{route}, {mode}: not {wanted}\n{output}")
    output = opened(suite, path, route, None, exporter.handles)
    failures.expect(len(re.findall(INVALID, output)) == BLOCKS, f"{route}: without: {output}")
    print(f"{route}: opened with the shim in every mode, refused without")
    return exporter


def check_descriptors(suite, failures, path, route, place, exporter):
    """The program has the descriptors of a bare run, the server one for each exported page."""
    bare = Exporter(suite, path, route, None)
    kinds = [sum(link.startswith("socket:") or "cupool" in link for link in links_of(one))
             for one in (bare, exporter)]
    bare.end()
    failures.expect(kinds[0] == kinds[1], f"{route}: sockets and files: {kinds}")
    names = place.names()
    sockets = [name for name in names if name.startswith("pages.")]
    modes = [stat.S_IMODE(os.stat(os.path.join(place.own, name)).st_mode) for name in names]
    failures.expect(len(names) == 2 and len(sockets) == 1 and modes == [0o600, 0o600],
                    f"{route}: {names}, modes {modes}")
    held = []
    for block in range(BLOCKS):
        held.append(sum("simgpu-shared" in link for link in server_of(exporter) or []))
        done = exporter.free(block)
        failures.expect("SUCCESS" in done.upper(), f"{route}: not freed: {done}")
    held.append(sum("simgpu-shared" in link for link in server_of(exporter) or []))
    failures.expect(held[0] > 0 and held[-1] == 0 and held == sorted(held, reverse=True),
                    f"{route}: descriptors of pages while blocks are freed: {held}")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(len(re.findall(GONE, output)) == BLOCKS, f"{route}: after the free: {output}")
    failures.expect(exporter.end() == 0 and not place.names(), f"{route}: left {place.names()}")
    print(f"{route}: descriptors of pages {held}, and none of the program's")


def check_held(suite, failures, path, route, place):
    """Opened memory stays, whatever happens to the exporter."""
    for end in ("free", "exit", "kill", "stop"):
        exporter = Exporter(suite, path, route, vmm(place))
        holder = Holder(suite, path, route, vmm(place), exporter.handles)
        if end == "free":
            for block in range(BLOCKS):
                exporter.free(block)
        elif end == "exit":
            exporter.end()
        elif end == "kill":
            exporter.kill()
        else:
            exporter.process.send_signal(signal.SIGSTOP)
        output = holder.go_on()
        failures.expect(bytes_in(output) == [10 + i for i in range(BLOCKS)] and
                        bytes_in(output, "bytes now") == [77] * BLOCKS and
                        holder.process.returncode == 0, f"{route}, {end}: {output}")
        exporter.kill()
        output = opened(suite, path, route, vmm(place), exporter.handles[:1])
        failures.expect(re.search(GONE, output) and not place.names(),
                        f"{route}, {end}: {place.names()}\n{output}")
    print(f"{route}: open blocks outlive the exported block and its process")


def check_deaths(suite, failures, path, route, place):
    """The next process removes the files of killed ones; a child that ends removes nothing."""
    killed = Exporter(suite, path, route, vmm(place))
    killed.kill()
    failures.expect(len(place.names()) == 2, f"{route}: {place.names()}")
    exporter = Exporter(suite, path, route, vmm(place), "serve-fork")
    failures.expect("child: 3" in exporter.output, f"{route}: the child: {exporter.output}")
    failures.expect(len(place.names()) == 2, f"{route}: not swept: {place.names()}")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(bytes_in(output) == [10 + i for i in range(BLOCKS)],
                    f"{route}: after the child's end: {output}")
    exporter.end()
    print(f"{route}: the killed, and a child that ends")


def check_left(suite, failures, path, route, place):
    """A process ends with the last thread of its program, and what stdio held gets out."""
    for options in (None, vmm(place)):
        done = subprocess.run([path, "ipc_blocks", route, "serve-leave"], text=True, input="end\n",
                              env=suite.environment(options), capture_output=True,
                              timeout=TIMEOUT_S, check=False)
        failures.expect(done.returncode == 0 and done.stdout.endswith("left\n") and
                        not place.names(), f"{route}, {options}: {done}, {place.names()}")
    print(f"{route}: ends with its last thread")


def check_refused(suite, failures, path, route, place):
    """The export fails if memory cannot be shared."""
    for options, variables in ((vmm(place), {"SIMGPU_SET": "export_fd=0"}),
                               ("mode:pool,backing:vmm,ipc:off", {}),
                               ("mode:pool,backing:vmm,ipc:/nonexistent", {})):
        environment = suite.environment(options) | variables
        process = subprocess.run([path, "ipc_blocks", route, "serve"], env=environment, text=True,
                                 input="end\n", capture_output=True, timeout=TIMEOUT_S, check=False)
        count = len(re.findall("export: .*(InvalidValue|INVALID_VALUE)", process.stdout))
        failures.expect(count == BLOCKS and process.returncode == 0,
                        f"{route}, {options}, {variables}: {count} refused\n{process.stdout}")
    print(f"{route}: refused if it cannot be shared")


def check_ranges(suite, failures, path, route, place):
    """Libraries query the range, export its base and add the offset in the importer."""
    exporter = Exporter(suite, path, route, vmm(place), "serve-ranges")
    failures.expect(all(handle.endswith("+0") for handle in exporter.handles),
                    f"{route}: {exporter.handles}")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(bytes_in(output) == [10 + i for i in range(BLOCKS)], f"{route}: {output}")
    exporter.end()
    print(f"{route}: by the base of the range")


def check_many_pages(suite, failures, path, route, place):
    """More pages than a message holds, and more than the limit of descriptors."""
    options = vmm(place) + ",page:2MiB"
    exporter = Exporter(suite, path, route, options, "serve-large")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(bytes_in(output) == [21, 22], f"{route}: many pages: {output}")
    exporter.end()
    done = subprocess.run([path, "ipc_blocks", route, "serve-large"], text=True, input="end\n",
                          env=suite.environment(options), capture_output=True, timeout=TIMEOUT_S,
                          check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120)))
    failures.expect(re.search("export: .*(InvalidValue|INVALID_VALUE)", done.stdout) and
                    done.returncode == 0, f"{route}: few descriptors: {done.stdout}")
    print(f"{route}: more pages than a message or a process holds")


def check_threads(suite, failures, path, route, place):
    exporter = Exporter(suite, path, route, vmm(place), "serve-threads")
    failures.expect("race: 0 wrong" in exporter.output and len(exporter.handles) == BLOCKS,
                    f"{route}: {exporter.output}")
    for mode in ("pool,backing:vmm", "observe"):
        output = suite.run(path, "ipc_blocks", route, vmm(place, mode),
                           "race " + " ".join(exporter.handles))[1]
        failures.expect("race: 0 wrong" in output, f"{route}: {output}")
    exporter.end()
    print(f"{route}: several threads at once")


def check_faults(suite, failures, path, route, place):
    """A driver call that always fails: the program's call fails and has no effect."""
    exporter = Exporter(suite, path, route, vmm(place))
    for call in ("AddressReserve", "ImportFromShareableHandle", "Map", "SetAccess"):
        output = opened(suite, path, route, vmm(place, "observe"), exporter.handles[:1],
                        SIMGPU_FAULT=f"cuMem{call}:0:UNKNOWN")
        failures.expect(re.search("open: .*(Unknown|UNKNOWN)", output) and "bytes" not in output,
                        f"{route}, {call}: {output}")
    output = opened(suite, path, route, vmm(place, "observe"), exporter.handles[:1],
                    SIMGPU_FAULT="cuMemUnmap:0:UNKNOWN")
    closes = re.findall("(?:close|once more): (.*)", output)
    failures.expect([bool(re.search("Unknown|UNKNOWN", one)) for one in closes] ==
                    [False, True, True], f"{route}, Unmap: {closes}\n{output}")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(bytes_in(output) == [110] + [10 + i for i in range(1, BLOCKS)],
                    f"{route}: after the faults: {output}")
    exporter.end()
    environment = suite.environment(vmm(place)) | {
        "SIMGPU_FAULT": "cuMemExportToShareableHandle:0:UNKNOWN"}
    done = subprocess.run([path, "ipc_blocks", route, "serve"], text=True, input="end\n",
                          env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    count = len(re.findall("export: .*(InvalidValue|INVALID_VALUE)", done.stdout))
    failures.expect(count == BLOCKS and done.returncode == 0, f"{route}: {done.stdout}")
    print(f"{route}: calls that always fail")


def check_faults_midway(suite, failures, path, route, place):
    """A driver call fails in the middle of an opening or a closing of several pages: nothing is
    left behind, nothing is unmapped twice, and whoever opens the block gets all of its pages."""
    exporter = Exporter(suite, path, route, vmm(place) + ",page:2MiB", "serve-large")
    handle = exporter.handles[0]

    def twice(call, number):  # a refused call is repeated once; a rule counts what the others pass
        return ",".join([f"cuMem{call}:{number}:UNKNOWN"] * 2)

    singly = twice("Unmap", 1).replace("UNKNOWN", "INVALID_VALUE") + ","  # all pages by one call
    wanted = {twice("Unmap", 1): "whole", singly + twice("Unmap", 1): "whole",
              singly + twice("Unmap", 9): "other", singly + twice("Unmap", 36): "other",
              singly + "cuMemUnmap:9:UNKNOWN": "closed",
              twice("Release", 1): "closed", twice("Release", 7): "closed",
              twice("Map", 20): "refused", twice("ImportFromShareableHandle", 20): "refused",
              twice("Map", 20) + "," + twice("Release", 20): "refused",
              twice("SetAccess", 1): "refused", twice("Map", 20) + "," + twice("Unmap", 1): "kept"}
    for fault, result in wanted.items():
        log = os.path.join(suite.directory, "midway.log")
        output = suite.run(path, "ipc_blocks", route, vmm(place, "observe"), "close " + handle,
                           SIMGPU_FAULT=fault, SIMGPU_LOG=log)[1]
        if result in ("refused", "kept"):
            good = re.search("open: .*(Unknown|UNKNOWN)", output)
        else:
            good = (re.search("once more: .*(InvalidValue|INVALID_VALUE)", output) and
                    ("refused" in output) == (result != "closed") and
                    bytes_in(output, "first") in ([], [21]) and
                    ("the same: 1" in output) == (result == "whole"))
            good = good and (result == "closed" or "first: 21\n" in output and "last: 22\n" in output)
        failures.expect(good, f"{route}, {fault}: {output}")
        left = left_of(log)
        failures.expect(result == "kept" or not any(left.values()), f"{route}, {fault}: left {left}")
        os.unlink(log)
    exporter.end()
    print(f"{route}: {len(wanted)} faults in the middle")


def check_lies_of_the_board(suite, failures, path, route, place):
    exporter = Exporter(suite, path, route, vmm(place))
    board = os.path.join(place.own, place.boards()[0])
    token = bytes.fromhex(exporter.handles[LARGE])
    slot = struct.unpack_from("<I", token, 40)[0] * SLOT.size
    with open(board, "r+b") as file:
        file.seek(slot)
        allocation, offset, size, zero, key = SLOT.unpack(file.read(SLOT.size))
        magic, length, count, rest = PAGES.unpack(allocation)
        failures.expect(length % (2 * MIB) == 0 and 0 < count <= length // (2 * MIB) and
                        offset + size <= length, f"{route}: {length} {count} {offset} {size}")

        def pages(length, count, rest=rest):
            return PAGES.pack(magic, length, count, rest)

        lies = {"beyond": (allocation, length, size), "around": (allocation, (1 << 64) - 512, size),
                "across": (allocation, offset, length - offset + 1),
                "nothing": (allocation, offset, 0),
                "one page more": (pages(length + 2 * MIB, count + 1), offset, size),
                "one page less": (pages(length, count - 1), offset, size),
                "no page": (pages(length, 0), offset, size),
                "longer": (pages(length + 2 * MIB, count), offset, size),
                "shorter": (pages(length - 2 * MIB, max(count - 1, 1)), 0, 1),
                "endless": (pages((1 << 64) - 2 * MIB, count), offset, size),
                "huge": (pages(1 << 46, count), offset, size),
                "odd": (pages(length + 1, count), offset, size),
                "not zero": (pages(length, count, b"x" * 36), offset, size)}
        for name, (lie, at, most) in lies.items():
            file.seek(slot)
            file.write(SLOT.pack(lie, at, most, zero, key))
            file.flush()
            output = opened(suite, path, route, vmm(place), [exporter.handles[LARGE]])
            failures.expect("bytes: " not in output and "open: " in output and
                            "uccess" not in output.split("\n")[0].lower(),
                            f"{route}, {name}: {output}")
        file.seek(slot)
        file.write(SLOT.pack(allocation, offset, size, zero, key))
    output = opened(suite, path, route, vmm(place), [exporter.handles[LARGE]])
    failures.expect(bytes_in(output) == [15], f"{route}: the truth: {output}")
    print(f"{route}: {len(lies)} lies of a board")
    exporter.end()


class Liar:
    """A board and a socket of this process, with answers chosen by the test."""

    def __init__(self, place):
        self.identity = os.urandom(16)
        os.makedirs(place.own, mode=0o700, exist_ok=True)
        name = self.identity.hex()
        self.board = open(os.path.join(place.own, "ipc." + name), "w+b")
        os.fchmod(self.board.fileno(), 0o600)
        fcntl.flock(self.board, fcntl.LOCK_EX)
        self.board.write(SLOT.pack(PAGES.pack(b"cupool pages 1\n\0", 4 * MIB, 2, bytes(36)), 0,
                                   3 * MIB, bytes(40), 9))
        self.board.write(bytes(SLOT.size * 3071))
        self.board.flush()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(os.path.join(place.own, "pages." + name))
        self.listener.listen()
        self.files = []
        self.answer = None
        self.asked = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def token(self):
        return TOKEN.pack(b"cupool block 2\n\0", self.identity, 9, 0, bytes(20)).hex()

    def memory(self, size=2 * MIB, name="simgpu-shared-0"):
        self.files.append(os.memfd_create(name))
        os.ftruncate(self.files[-1], size)
        return self.files[-1]

    def serve(self):
        while True:
            connection = self.listener.accept()[0]
            while True:
                question = connection.recv(4096)
                if not question:
                    break
                self.asked += 1
                self.answer(connection, MESSAGE.unpack(question))
            connection.close()


def say(connection, descriptors, sizes, kind=ANSWER, count=None, magic=MAGIC, extra=b"", content=None):
    """Makes a message with these descriptors and sizes of pages, or of any content."""
    pages = b"".join(struct.pack("<QQ", 0, size) for size in sizes)
    data = MESSAGE.pack(magic, kind, 0, 9, 0, len(descriptors) if count is None else count, pages)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    try:
        connection.sendmsg([data + extra if content is None else content], rights if descriptors else [])
    except OSError:
        pass


def lies_of(liar):
    page, other = liar.memory(), liar.memory()
    small, none = liar.memory(4096), liar.memory(name="something")
    null = os.open("/dev/null", os.O_RDONLY)
    many = [liar.memory() for _ in range(17)]
    two = [2 * MIB] * 2
    return {
        "no descriptor": lambda to: say(to, [], two, count=2),
        "fewer than it says": lambda to: say(to, [page], two, count=2),
        "more than it says": lambda to: say(to, [page, other], two, count=1),
        "more than the board says": lambda to: say(to, many[:3], [2 * MIB] * 3),
        "more than there can be": lambda to: say(to, many, [2 * MIB] * 16),
        "a count without end": lambda to: say(to, [page], two, count=0xffffffff),
        "nothing": lambda to: say(to, [], []),
        "too large": lambda to: say(to, [page, other], [2 * MIB, 4 * MIB]),
        "without end": lambda to: say(to, [page, other], [2 * MIB, (1 << 64) - 2 * MIB]),
        "no size": lambda to: say(to, [page, other], [0, 2 * MIB]),
        "an odd size": lambda to: say(to, [page, other], [2 * MIB + 512, 2 * MIB]),
        "less memory than it says": lambda to: say(to, [page, small], two),
        "not memory of a device": lambda to: say(to, [page, none], two),
        "no memory": lambda to: say(to, [null, page], two),
        "a question": lambda to: say(to, [], [], kind=ASK),
        "a put": lambda to: say(to, [page, other], two, kind=PUT),
        "another language": lambda to: say(to, [page, other], two, magic=b"cupage2\0"),
        "too long": lambda to: say(to, [page, other], two, extra=b"x"),
        "an end": lambda to: to.shutdown(socket.SHUT_RDWR),
    }


def check_liars(suite, failures, path, route, place):
    """A hostile process of the same user behind the socket: any message gives an error and no harm."""
    liar = Liar(place)
    truth = [liar.memory(), liar.memory()]
    liar.answer = lambda to, _: say(to, truth, [2 * MIB] * 2)
    output = opened(suite, path, route, vmm(place), [liar.token()])
    failures.expect(bytes_in(output) == [0] and liar.asked, f"{route}: the truth: {output}")
    lies = lies_of(liar)
    for name, lie in lies.items():
        liar.asked = 0
        liar.answer = lambda to, _, lie=lie: lie(to)
        status, output, errors = suite.run(path, "ipc_blocks", route, vmm(place),
                                           "open " + liar.token())
        failures.expect(status == 0 and liar.asked and "bytes: " not in output and
                        re.search(GONE, output), f"{route}, {name}: {status} {output} {errors}")
    print(f"{route}: {len(lies)} lies behind a socket")


def check_silence(suite, failures, path, route, place):
    """The wait for a silent peer is bounded."""
    liar = Liar(place)
    liar.answer = lambda to, _: None
    output = opened(suite, path, route, vmm(place), [liar.token()])
    failures.expect(liar.asked == 1 and re.search(GONE, output), f"{route}: silent: {output}")
    print(f"{route}: a silent peer")


FOREIGNER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.settimeout(60)
peer.connect(sys.argv[1])
try:
    peer.send(bytes.fromhex(sys.argv[2]))
    data, rights, flags, address = socket.recv_fds(peer, 4096, 16)
except (BrokenPipeError, ConnectionResetError):
    data, rights = b"", []
print(len(data), len(rights))
"""


def check_strangers(suite, failures, path, route, place):
    """Other users get nothing, even if they can reach the socket; garbage does no harm."""
    exporter = Exporter(suite, path, route, vmm(place))
    name = next(name for name in place.names() if name.startswith("pages."))
    where = os.path.join(place.own, name)
    token = TOKEN.unpack(bytes.fromhex(exporter.handles[0]))
    question = MESSAGE.pack(MAGIC, ASK, token[3], token[2], 0, 0, bytes(256))
    guests = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(100)]
    for number, guest in enumerate(guests):
        guest.connect(where)
        try:
            if number % 3:
                guest.send(question[:number * 3])
        except OSError:
            pass
    if os.geteuid() == 0:
        directory = suite.directory
        modes = [(one, stat.S_IMODE(os.stat(one).st_mode))
                 for one in (directory, place.path, place.own, where)]
        for one, _ in modes:
            os.chmod(one, 0o777)
        done = subprocess.run([sys.executable, "-c", FOREIGNER, where, question.hex()],
                              capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        for one, mode in modes:
            os.chmod(one, mode)
        failures.expect(done.stdout == "0 0\n", f"{route}: a stranger got {done.stdout!r} "
                        f"{done.stderr}")
    output = opened(suite, path, route, vmm(place), exporter.handles)
    failures.expect(bytes_in(output) == [10 + i for i in range(BLOCKS)], f"{route}: {output}")
    exporter.end()
    print(f"{route}: strangers{'' if os.geteuid() == 0 else ', but for other users'}")


def main():
    suite, failures = begin(__doc__)
    for path, route, place in runs(suite):
        exporter = check_round_trip(suite, failures, path, route, place)
        check_descriptors(suite, failures, path, route, place, exporter)
        check_held(suite, failures, path, route, place)
        check_deaths(suite, failures, path, route, place)
        check_left(suite, failures, path, route, place)
        check_refused(suite, failures, path, route, place)
        check_ranges(suite, failures, path, route, place)
        check_many_pages(suite, failures, path, route, place)
        check_threads(suite, failures, path, route, place)
        check_faults(suite, failures, path, route, place)
        check_faults_midway(suite, failures, path, route, place)
        check_lies_of_the_board(suite, failures, path, route, place)
    path, route = suite.routes()[0]
    check_liars(suite, failures, path, route, Place(suite, "liars"))
    check_silence(suite, failures, path, route, Place(suite, "silence"))
    check_strangers(suite, failures, path, route, Place(suite, "strangers"))
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())

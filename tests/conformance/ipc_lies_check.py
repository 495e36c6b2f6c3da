#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Everything that an importer reads of another process, one field and one byte after the other,
with every value that a field may have and should not: the token, the slot of a board, the pages it
names, and the answers of the exporter's socket.

Whatever it reads, the importer gets an error or memory inside the allocation that can be read from
its first to its last byte. It neither ends nor hangs, and afterwards the truth opens as before.

Exit 0: holds; 1: does not, and says what.
"""

import os
import select
import struct
import subprocess
import sys
import threading

from ipc_check import SLOT, Exporter, Place, begin
from ipc_mapped_check import (ANSWER, LARGE, MAGIC, MESSAGE, MIB, PAGES, TOKEN, Liar, say, vmm)
from runner import TIMEOUT_S

MIDDLE = 3
BLOCK_BYTES = (1000, 1000, 3000, 200000, 200000, 8 * MIB)
REFUSALS = {1, 2, 400}  # by runtime and driver: a wrong value, no memory, a wrong handle


class Importer:
    """A process that tries handles, each answered by a line in bounded time."""

    def __init__(self, suite, path, route, options):
        self.process = subprocess.Popen([path, "ipc_blocks", route, "try"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=suite.environment(options))
        self.buffer = b""
        self.tries = 0
        self.alive = self.line() == "ready"

    def line(self):
        while b"\n" not in self.buffer:
            if not select.select([self.process.stdout], [], [], TIMEOUT_S)[0]:
                return "hangs"
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                return f"ended with {self.process.wait(TIMEOUT_S)}"
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def open(self, token):
        """What became of a handle, and whether that is permitted."""
        if not self.alive:
            return "no importer", False
        self.tries += 1
        self.process.stdin.write(token.hex().encode() + b"\n")
        self.process.stdin.flush()
        words = self.line()
        kind, *rest = words.split()
        self.alive = kind in ("refused", "opened", "wrong")
        return words, kind == "opened" or kind == "refused" and int(rest[0]) in REFUSALS

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(TIMEOUT_S) if self.alive else self.process.kill()
        self.process.stdout.close()
        return status


def numbers(value, bits, others=()):
    """What may stand in a number's place, in the order of the values."""
    most = (1 << bits) - 1
    values = {0, 1, 2, 511, 512, most, most - 1, most >> 1, (most >> 1) + 1, most - 511,
              value + 1, value - 1, value + 512, value - 512, value << 1, value >> 1, ~value, -value,
              value ^ (1 << bits - 1), *others}
    return sorted({one & most for one in values} - {value})


def field_lies(data, fields):
    """Copies of the bytes with another number in each field, and what was changed."""
    for name, offset, bits, *others in fields:
        size = bits // 8
        value = int.from_bytes(data[offset:offset + size], "little")
        for lie in numbers(value, bits, others):
            yield (f"{name} {lie:#x}",
                   data[:offset] + lie.to_bytes(size, "little") + data[offset + size:])


def byte_lies(data, begin_at=0, end=None):
    for at in range(begin_at, len(data) if end is None else end):
        for lie in sorted({0, 1, 0x7f, 0x80, 0xfe, 0xff, data[at] ^ 1, data[at] ^ 0x80} - {data[at]}):
            yield f"byte {at} {lie:#x}", data[:at] + bytes([lie]) + data[at + 1:]


def torn(data, others):
    """A part of another content in front, and behind."""
    for number, other in enumerate(others):
        for at in range(8, len(data), 8):
            yield f"torn at {at} from {number}", other[:at] + data[at:]
            yield f"torn at {at} to {number}", data[:at] + other[at:]


class Slot:
    """A slot of a living board, which the test exchanges."""

    def __init__(self, place, token):
        self.file = open(os.path.join(place.own, place.boards()[0]), "r+b", buffering=0)
        self.at = TOKEN.unpack(token)[3] * SLOT.size
        self.truth = os.pread(self.file.fileno(), SLOT.size, self.at)

    def read(self, index):
        return os.pread(self.file.fileno(), SLOT.size, index * SLOT.size)

    def write(self, content):
        os.pwrite(self.file.fileno(), content, self.at)


def try_lies(failures, importer, token, what, lies, lie):
    """Each of them; returns how many opened."""
    opened = 0
    for name, content in lies:
        lie(content)
        words, permitted = importer.open(token)
        failures.expect(permitted, f"{what}, {name}: {words}")
        opened += words.startswith("opened")
        if not importer.alive:
            break
    return opened


def truth_of(block):
    return f"opened {BLOCK_BYTES[block]} {10 + block} {10 + block}"


def check_tokens(failures, importer, token, what, truth):
    """Every byte of a token counts."""
    lies = list(byte_lies(token)) + list(field_lies(token, (("key", 32, 64), ("slot", 40, 32))))
    for name, content in lies:
        words, permitted = importer.open(content)
        failures.expect(permitted and words.startswith("refused"), f"{what}, token, {name}: {words}")
    failures.expect(importer.open(token)[0] == truth, f"{what}: the truth after the tokens")
    return len(lies)


def check_slot(failures, importer, place, tokens, block, what, fields):
    """Every field and byte of a slot, and slots whose halves are of different blocks."""
    token = tokens[block]
    slot, truth = Slot(place, token), truth_of(block)
    others = [slot.read(TOKEN.unpack(other)[3]) for other in tokens
              if other.startswith(b"cupool") and other != token] + [
                  bytes(SLOT.size), b"\xff" * SLOT.size]
    others = [other[:-8] + slot.truth[-8:] for other in others] + [others[0]]
    lies = list(field_lies(slot.truth, fields)) + list(byte_lies(slot.truth)) + \
        list(torn(slot.truth, others))
    before = importer.open(token)[0]
    failures.expect(before == truth, f"{what}: the truth: {before}")
    opened = try_lies(failures, importer, token, what, lies, slot.write)
    slot.write(slot.truth)
    after = importer.open(token)[0]
    failures.expect(after == truth, f"{what}: the truth afterwards: {after}")
    print(f"{what}: {len(lies)} lies of a slot, {opened} opened")


def check_changing(failures, importer, place, token, block, what):
    """A slot that changes all the time, between the truth and what is not."""
    slot, stop = Slot(place, token), threading.Event()
    allocation, offset, size, zero, key = SLOT.unpack(slot.truth)
    lies = [SLOT.pack(allocation, offset, 1 << 40, zero, key), bytes(SLOT.size),
            SLOT.pack(allocation, 1 << 40, size, zero, key),
            SLOT.pack(bytes(64), offset, size, zero, key)]

    def change():
        while not stop.is_set():
            for lie in lies:
                slot.write(lie)
                slot.write(slot.truth)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(300):
            words, permitted = importer.open(token)
            failures.expect(permitted, f"{what}, while it changes: {words}")
    finally:
        stop.set()
        changer.join()
    slot.write(slot.truth)
    after = importer.open(token)[0]
    failures.expect(after == truth_of(block), f"{what}: after the changes: {after}")


def check_segments(suite, failures, path, route):
    """Blocks inside of the driver's allocations, and at their beginning."""
    place = Place(suite, "lies-segments-" + route)
    exporter = Exporter(suite, path, route, place.options())
    tokens = [bytes.fromhex(handle) for handle in exporter.handles]
    importer = Importer(suite, path, route, place.options())
    count = check_tokens(failures, importer, tokens[MIDDLE], route, truth_of(MIDDLE))
    check_slot(failures, importer, place, tokens, MIDDLE, f"{route}, segments",
               (("offset", 64, 64, 2 * MIB, 2 * MIB - 1, 1 << 40), ("bytes", 72, 64, 2 * MIB),
                ("key", 120, 64)))
    check_whole(failures, importer, place, tokens, f"{route}, whole")
    check_changing(failures, importer, place, tokens[MIDDLE], MIDDLE, f"{route}, segments")
    failures.expect(importer.end() == 0, f"{route}: the importer's end")
    exporter.end()
    print(f"{route}, segments: {count} lies of a token")


def check_whole(failures, importer, place, tokens, what):
    """What a board says about a driver's handle is its size, within the allocation."""
    at = next(i for i, token in enumerate(tokens) if not token.startswith(b"cupool"))
    slot = Slot(place, TOKEN.pack(b"", bytes(16), 0, 0, bytes(20)))
    index = next(i for i in range(2048, 3072) if slot.read(i)[:64] == tokens[at])
    slot.at, slot.truth = index * SLOT.size, slot.read(index)
    lies = list(field_lies(slot.truth, (("offset", 64, 64), ("bytes", 72, 64, 2 * MIB, 2 * MIB + 1),
                                        ("key", 120, 64)))) + list(byte_lies(slot.truth))
    opened = try_lies(failures, importer, tokens[at], what, lies, slot.write)
    failures.expect(opened == len(lies), f"{what}: a board makes the driver's own handle fail")
    slot.write(slot.truth)
    failures.expect(importer.open(tokens[at])[0] == truth_of(at), f"{what}: the truth")
    print(f"{what}: {len(lies)} lies of a slot")


def check_mapped(suite, failures, path, route):
    """Blocks on mapped pages."""
    place = Place(suite, "lies-mapped-" + route)
    exporter = Exporter(suite, path, route, vmm(place))
    tokens = [bytes.fromhex(handle) for handle in exporter.handles]
    importer = Importer(suite, path, route, vmm(place))
    what = f"{route}, mapped"
    check_slot(failures, importer, place, tokens, LARGE, what,
               (("pages' bytes", 16, 64, 2 * MIB, 6 * MIB, 1 << 46, (1 << 64) - 2 * MIB),
                ("pages", 24, 32, 65536, 65537), ("offset", 64, 64, 8 * MIB, 8 * MIB - 1),
                ("bytes", 72, 64, 8 * MIB, 8 * MIB + 1), ("key", 120, 64)))
    check_changing(failures, importer, place, tokens[LARGE], LARGE, what)
    failures.expect(importer.end() == 0, f"{what}: the importer's end")
    exporter.end()


def check_answers(suite, failures, path, route):
    """Every field and byte of what the exporter's socket answers."""
    place = Place(suite, "lies-answers-" + route)
    liar = Liar(place)
    token, memory = bytes.fromhex(liar.token()), [liar.memory(), liar.memory()]
    pages = struct.pack("<QQQQ", 0, 2 * MIB, 0, 2 * MIB)
    truth = MESSAGE.pack(MAGIC, ANSWER, 0, 9, 0, 2, pages)
    fields = [("kind", 8, 32, 1, 2, 3, 4), ("slot", 12, 32), ("key", 16, 64), ("first", 24, 32),
              ("count", 28, 32, 15, 16, 17)]
    for page in range(3):
        fields += [(f"id {page}", 32 + 16 * page, 64), (f"bytes {page}", 40 + 16 * page, 64, 4 * MIB)]
    lies = list(field_lies(truth, fields)) + list(byte_lies(truth, 0, 80))
    lies += [(f"cut at {at}", truth[:at]) for at in range(1, len(truth), 8)]
    lies += [("longer", truth + bytes(8))]
    importer = Importer(suite, path, route, vmm(place))

    def answer(content):
        liar.answer = lambda to, _: say(to, memory, [], content=content)

    answer(truth)
    words = importer.open(token)[0]
    failures.expect(words == f"opened {3 * MIB} 0 0", f"{route}, answers: the truth: {words}")
    opened = try_lies(failures, importer, token, f"{route}, answers", lies, answer)
    failures.expect(opened == 0, f"{route}, answers: {opened} lies of an answer opened")
    answer(truth)
    words = importer.open(token)[0]
    failures.expect(words == f"opened {3 * MIB} 0 0", f"{route}, answers: afterwards: {words}")
    failures.expect(importer.end() == 0, f"{route}: the importer's end")
    print(f"{route}, answers: {len(lies)} lies of a socket")


def main():
    suite, failures = begin(__doc__)
    for path, route in suite.routes():
        if route in ("dynamic", "driver"):
            check_segments(suite, failures, path, route)
            check_mapped(suite, failures, path, route)
            check_answers(suite, failures, path, route)
    return 1 if failures.count else 0


if __name__ == "__main__":
    sys.exit(main())

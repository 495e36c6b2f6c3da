# SPDX-License-Identifier: MIT
"""Writes the traces and ELF files of bounds_test.py."""
import struct
import zlib

BUILD_ID = b"\xab" * 20
MIB = 1 << 20
RECORD = struct.Struct("<HHBBHIIQQQQIIQ")
STRING, MODULE, SITE, PROCESS, DEVICE, CONTEXT, PYTHON, OPTIONS, ALLOCATE, FREE, BACKING, END = \
    1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 34, 60


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


class Trace:
    """Writes a trace whose blocks are open, so that they need no checksum."""

    def __init__(self, path, pid=4242, version=1, closed=True):
        self.file = open(path, "wb")
        head = struct.pack("<QIIQI", 0x6c6f6f7075632e01, version, 65536, 1700000000 * 10**9, pid)
        self.file.write((head + struct.pack("<IQII", int(closed), 0, 0, crc32c(head))).ljust(65536, b"\0"))
        self.slots, self.blocks, self.texts, self.sites, self.time = [], 0, 0, 0, 1000000
        self.api = self.text("cudaMalloc")

    def add(self, *slots):
        if len(self.slots) + len(slots) > 1023:
            self.flush()
        self.slots += slots

    def flush(self):
        self.blocks += 1
        header = struct.pack("<IIIIII40x", 0x6b6c6243, self.blocks, 1, 0, 0, 0)
        self.file.write((header + b"".join(self.slots)).ljust(65536, b"\0"))
        self.slots = []

    def record(self, kind, api=0, outcome=0, memory=0, size=0, address=0, site=0, context=0, value=0):
        self.time += 1000
        self.add(RECORD.pack(kind, api, outcome, memory, 0, 1, 0, self.time, size, address, site, context, 0,
                             value))

    def text(self, words):
        data = words.encode()
        self.texts += 1
        padded = data.ljust((len(data) + 63) // 64 * 64, b"\0")
        self.add(RECORD.pack(STRING, 0, 0, 0, 0, 1, 0, self.time, len(data), 0, 0, 0, 0, self.texts),
                 *(padded[at:at + 64] for at in range(0, len(padded), 64)))
        return self.texts

    def allocations(self, path, offsets):
        module, build_id = self.text(path), self.text(BUILD_ID.hex())
        self.record(MODULE, size=1 << 24, address=0x7f0000000000, value=module, site=build_id)
        for offset in offsets:
            self.sites += 1
            self.record(SITE, value=self.sites, address=offset, size=module)
            self.record(ALLOCATE, api=self.api, outcome=1, memory=1, size=4096, value=4096, context=1,
                        address=0x7f0000000000 + 4096 * self.sites, site=self.sites)

    def pooled(self, device, options):
        """A process with a pool on a device of so many bytes."""
        self.record(PROCESS, value=self.text("program"), size=4242, address=self.text("cupool 1.0, mode pool"))
        self.record(DEVICE, size=device, value=self.text("Device"))
        self.record(CONTEXT, context=1, value=1)
        self.record(OPTIONS, value=self.text(options))

    def blocks_of(self, size, count):
        for _ in range(count):
            for kind in (ALLOCATE, FREE):
                self.record(kind, api=self.api, outcome=1, memory=1, size=size, value=size, context=1,
                            address=0x7f0000000000)

    def frame(self, file, function, line, caller=0):
        """A site in Python."""
        self.sites += 1
        self.add(RECORD.pack(PYTHON, 0, 0, 0, 0, 1, 0, self.time, file, line, caller, 0, function, self.sites))
        return self.sites

    def close(self):
        self.record(END)
        self.flush()
        self.file.close()


def elf(path, sections, tail=0, names_end=b""):
    """A library of these sections (name, type, flags, content, link, entry size); `tail` bytes of a hole belong
    to the last. `names_end` stands behind the names of sections."""
    note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + BUILD_ID
    sections = [("", 0, 0, b"", 0, 0), (".note.gnu.build-id", 7, 2, note, 0, 0),
                (".shstrtab", 3, 0, b"", 0, 0), *sections]
    names = b"".join(name.encode() + b"\0" for name, *_ in sections)
    sections[2] = (*sections[2][:3], names + names_end, 0, 0)
    data, rows, at = b"", b"", 64 + 2 * 56
    for number, (name, kind, flags, content, link, entry) in enumerate(sections):
        data += bytes(-(at + len(data)) % 8)
        size = len(content) + (tail if number + 1 == len(sections) else 0)
        rows += struct.pack("<IIQQQQIIQQ", names.index(name.encode() + b"\0"), kind, flags, 0,
                            at + len(data), size, link, 0, 4 if kind == 7 else 8, entry)
        data += content
    table = at + len(data) + tail
    table += -table % 8
    note_at = struct.unpack_from("<Q", rows, 64 + 24)[0]
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, table, 0, 64, 56, 2,
                                                       64, len(sections), 2)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 1 << 20, 1 << 20, 4096) + \
        struct.pack("<IIQQQQQQ", 4, 4, note_at, note_at, note_at, len(note), len(note), 4)
    with open(path, "wb") as file:
        file.write(header + segments + data)
        file.truncate(table)
        file.seek(table)
        file.write(rows)
    return path


def zeros(size):
    """As a compressed section has them."""
    packer, whole = zlib.compressobj(9), struct.pack("<IIQQ", 1, 0, size, 1)
    for _ in range(size // MIB):
        whole += packer.compress(bytes(MIB))
    return whole + packer.flush()


def debug_sections(entries):
    """A unit of entries without code, which an address of the unit is looked for in."""
    abbreviations = bytes([1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0, 2, 0x24, 0, 0, 0, 0])
    unit = bytes([1]) + struct.pack("<QI", 0, 1 << 20) + bytes([2]) * entries + b"\0"
    head = struct.pack("<HIB", 4, 0, 8)
    return [(".debug_abbrev", 1, 0, abbreviations, 0, 0),
            (".debug_info", 1, 0, struct.pack("<I", len(head) + len(unit)) + head + unit, 0, 0)]


def line_sections(tables, rows, compressed=False):
    """Units with a line table each, all of them ending with the same rows, which each then has. The header of a
    table is to those before it an operation that they do not know."""
    lengths = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
    rest = bytes([1, 1, 1, 0xfb, 14, 13]) + lengths + b"\0a.c\0\0\0\0\0"
    address, units, lines = b"\0\x09\x02" + bytes(8), b"", b""
    header = 10 + len(rest)
    size = tables * (3 + header + len(address)) + rows + 3
    for number in range(tables):
        lines += bytes([0, header + 1, 0x80])
        unit = struct.pack("<HIBBIQI", 4, 0, 8, 1, len(lines), number * 4096, 4096)
        units += struct.pack("<I", len(unit)) + unit
        lines += struct.pack("<IHI", size - len(lines) - 4, 4, len(rest)) + rest + address
    lines += b"\x20" * rows + b"\0\1\1"
    if compressed:
        lines = struct.pack("<IIQQ", 1, 0, len(lines), 1) + zlib.compress(lines, 9)
    return [(".debug_abbrev", 1, 0, bytes([1, 0x11, 0, 0x10, 0x17, 0x11, 1, 0x12, 6, 0, 0, 0]), 0, 0),
            (".debug_info", 1, 0, units, 0, 0), (".debug_line", 1, 0x800 if compressed else 0, lines, 0, 0)]


def split_sections(name):
    """A unit whose scopes are in a file of that name."""
    unit = struct.pack("<HBBIQB", 5, 4, 8, 0, 1, 1) + name.encode() + b"\0" + struct.pack("<QI", 0, 1 << 20)
    return [(".debug_abbrev", 1, 0, bytes([1, 0x4a, 0, 0x76, 8, 0x11, 1, 0x12, 6, 0, 0, 0]), 0, 0),
            (".debug_info", 1, 0, struct.pack("<I", len(unit)) + unit, 0, 0)]


def directory_sections(directory, files):
    """A unit whose line table has a directory with a long name, in which there are many files."""
    rest = bytes([1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"/" + b"d" * directory + b"\0\0"
    rest += b"a\0\1\0\0" * files + b"\0"
    lines = struct.pack("<HI", 4, len(rest)) + rest + b"\0\x09\x02" + struct.pack("<Q", 4096) + b"\x20" * 9 + b"\0\1\1"
    unit = struct.pack("<HIBBIQI", 4, 0, 8, 1, 0, 4096, 4096)
    return [(".debug_abbrev", 1, 0, bytes([1, 0x11, 0, 0x10, 0x17, 0x11, 1, 0x12, 6, 0, 0, 0]), 0, 0),
            (".debug_info", 1, 0, struct.pack("<I", len(unit)) + unit, 0, 0),
            (".debug_line", 1, 0, struct.pack("<I", len(lines)) + lines, 0, 0)]


def unit_sections(count, abbreviations, split=None):
    """Units that share a table of abbreviations, of which each needs the last. With the name of a file, its scopes
    are there; with an empty one it is such a file."""
    table = b"".join(bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14, 0x24, 0, 0, 0])
                     for number in range(2, abbreviations + 2))
    kind, units, suffix = (0x11, b"", "") if split is None else (0x4a, b"", "") if split else (0x11, b"", ".dwo")
    table += bytes([1, kind, 0]) + (bytes([0x76, 8]) if split else b"") + bytes([0x11, 1, 0x12, 6, 0, 0, 0])
    for number in range(count):
        head = struct.pack("<HIB", 4, 0, 8) if split is None else \
            struct.pack("<HBBIQ", 5, 4 if split else 5, 8, 0, 1)
        unit = head + b"\1" + (split.encode() + b"\0" if split else b"") + struct.pack("<QI", 4096 + 16 * number, 16)
        units += struct.pack("<I", len(unit)) + unit
    return [(".debug_abbrev" + suffix, 1, 0, table, 0, 0), (".debug_info" + suffix, 1, 0, units, 0, 0)]

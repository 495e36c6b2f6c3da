#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small files that name, inflate or pretend what is large: holes in traces and debug files, compressed
sections, blocks and devices as large as a number can say, thousands of paths to one file, debug information of a million entries for thousands of addresses,
names of files and abbreviations that libdw multiplies, lines far down in sources.
Memory, disk and processor time stay in proportion to the files; budgets whose globs and sections multiply with the
names and records of a trace are checked in such time, or refused. And stacks that were cut at a limit.

usage: bounds_test.py CUPOOL
"""
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

from bounds_base import (MIB, ALLOCATE, FREE, BACKING, Trace, elf, zeros, debug_sections, line_sections,
                         split_sections, directory_sections, unit_sections)

CUPOOL = os.path.abspath(sys.argv[1])
SANITIZED = bool(os.environ.get("LD_PRELOAD") or "asan" in os.environ.get("MESON_BUILD_ROOT", ""))


CUTTER = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void *mmap64(void *at, size_t bytes, int access, int flags, int fd, off_t offset)
{
    static int seen;
    const char *victim = getenv("VICTIM");
    struct stat one, other;
    long map = syscall(SYS_mmap, at, bytes, access, flags, fd, offset);

    if (fd >= 0 && fstat(fd, &one) == 0 && stat(victim, &other) == 0 && one.st_ino == other.st_ino &&
        ++seen == atoi(getenv("NTH")) && truncate(victim, atoi(getenv("SIZE"))) != 0)
        abort();
    return (void *)map;
}

void *mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset)
{
    return mmap64(at, bytes, access, flags, fd, offset);
}
"""


SENDER = CUTTER.replace("truncate(victim, atoi(getenv(\"SIZE\"))) != 0)", "raise(7) != 0)").replace(
    "atoi(getenv(\"NTH\"))", "1").replace("#include <stdlib.h>", "#include <signal.h>\n#include <stdlib.h>")


GROWER = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t pread64(int fd, void *data, size_t bytes, off_t offset)
{
    static int seen;
    struct stat one, other;

    if (fstat(fd, &one) == 0 && stat(getenv("VICTIM"), &other) == 0 && one.st_ino == other.st_ino &&
        (++seen > 100 || truncate(getenv("VICTIM"), one.st_size + (256 << 10)) != 0))
        abort();
    return syscall(SYS_pread64, fd, data, bytes, offset);
}

ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
    return pread64(fd, data, bytes, offset);
}
"""


FAILER = """
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);

static int fails(void)
{
    static long nth = -1, count;

    if (nth < 0)
        nth = atol(getenv("NTH"));
    errno = ENOMEM;
    return ++count == nth || (!nth && count % 100 == 0 && fprintf(stderr, "%ld\\n", count) < 0);
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(memory, bytes);
}
"""


class Bounds(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="cupool-bounds-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def trace(self, name, *modules):
        trace = Trace(self.path(name))
        for path, offsets in modules:
            trace.allocations(path, offsets)
        trace.close()
        return self.path(name)

    def cost(self, *words, cpu=60, code=0, **environment):
        """Bytes of memory of a command, which ends with `code` in less than `cpu` processor seconds."""
        process = subprocess.Popen(
            [CUPOOL, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "verify_asan_link_order=0", **environment},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu)))
        self.errors = process.stderr.read()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, code, (words, self.errors))
        return usage.ru_maxrss * 1024

    def expect_memory(self, used, most):
        if not SANITIZED:
            self.assertLess(used, most)

    def test_the_library_is_read(self):
        """What the other tests enlarge."""
        names = ("victim", "other")
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
        symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", strings.index(name.encode()), 2, 0, 1, 4096 * i, 64)
                                       for i, name in enumerate(names, 1))
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, strings, 0, 0), (".symtab", 2, 0, symbols, 3, 24)])
        trace = self.trace("t", (library, [0x1001, 0x2001]))
        done = subprocess.run([CUPOOL, "report", "-q", trace], capture_output=True, text=True, check=True)
        for name in names:
            self.assertIn(name, done.stdout)

    @unittest.skipIf(SANITIZED, "the sanitizer ends the process at the signal")
    def test_a_library_that_is_cut_while_it_is_read(self):
        """Its owner truncates it when it is mapped for the nth time: the report is made without the names."""
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that truncates")
        with open(self.path("cut.c"), "w", encoding="ascii") as file:
            file.write(CUTTER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("cut.so"), self.path("cut.c")], check=True)
        symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 4096, 1 << 20) * 20000
        sections = [(".strtab", 3, 0, b"\0victim\0", 0, 0), (".symtab", 2, 0, symbols, 3, 24), *debug_sections(9999)]
        trace, cuts = self.trace("t", (elf(self.path("lib.so"), sections), [0x1001])), set()
        for nth in range(1, 5):
            for size in (0, 64, 4096, 200000):
                library = elf(self.path("lib.so"), sections)
                self.cost("report", "-q", trace, LD_PRELOAD=self.path("cut.so"), VICTIM=library, NTH=str(nth),
                          SIZE=str(size))
                cuts.add(os.stat(library).st_size == size)
        self.assertIn(True, cuts)

    def test_a_trace_that_is_lengthened_while_it_is_packed(self):
        """Its owner lengthens it with each piece that is read: the packed one ends where it ended when opened."""
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that lengthens")
        with open(self.path("grow.c"), "w", encoding="ascii") as file:
            file.write(GROWER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("grow.so"), self.path("grow.c")], check=True)
        trace = self.trace("t", ("/opt/program", range(4096, 8192, 16)))
        size = os.path.getsize(trace)
        self.cost("pack", "-q", "-o", self.path("packed"), trace, LD_PRELOAD=self.path("grow.so"), VICTIM=trace)
        self.assertGreater(os.path.getsize(trace), size)
        self.cost("report", "-q", self.path("packed"))

    @unittest.skipIf(SANITIZED, "the sanitizer ends the process at the signal")
    def test_a_signal_that_another_process_sends(self):
        """It ends the report as it does any process: there is no page to replace."""
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that sends")
        with open(self.path("send.c"), "w", encoding="ascii") as file:
            file.write(SENDER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("send.so"), self.path("send.c")], check=True)
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, b"\0victim\0", 0, 0)])
        trace = self.trace("t", (library, [0x1001]))
        done = subprocess.run([CUPOOL, "report", "-q", trace], check=False, capture_output=True,
                              env={**os.environ, "LD_PRELOAD": self.path("send.so"), "VICTIM": library})
        self.assertEqual(done.returncode, -signal.SIGBUS, done.stderr)

    def test_a_long_name(self):
        """Each address in a function costs what its record costs, however long its name is."""
        name = "f" + "\u00e9" * 131072
        symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 4096, 1 << 20)
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, b"\0" + name.encode() + b"\0", 0, 0),
                                            (".symtab", 2, 0, symbols, 3, 24)])
        trace = self.trace("t", (library, range(0x1001, 0x2001, 16)))
        self.cost("report", "-q", trace, cpu=5)
        done = subprocess.run([CUPOOL, "report", "-q", "-f", "json", trace], capture_output=True, check=True)
        for site in json.loads(done.stdout)["sites"]:
            self.assertTrue(site["function"].startswith(name[:100]), site["function"])

    def test_symbols_in_a_hole(self):
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, b"\0victim\0", 0, 0), (".symtab", 2, 0, b"", 3, 24)],
                      tail=50 * 24 * MIB)
        self.expect_memory(self.cost("report", "-q", self.trace("t", (library, [0x1001]))), 200 * MIB)

    def test_rows_of_sections_in_a_hole(self):
        library, rows = elf(self.path("lib.so"), []), 1 << 22
        with open(library, "r+b") as file:
            table, = struct.unpack("<Q", file.read(48)[40:])
            file.seek(60)
            file.write(struct.pack("<H", 0))  # their number is the size of the first
            file.seek(table + 32)
            file.write(struct.pack("<Q", rows))
            file.truncate(table + rows * 64)
        self.expect_memory(self.cost("report", "-q", self.trace("t", (library, [0x1001]))), 200 * MIB)

    def sections_repeated(self, library, count):
        """Appends a table of the file's sections with the last one so many times more."""
        with open(library, "r+b") as file:
            table, = struct.unpack("<Q", file.read(48)[40:])
            file.seek(60)
            rows, = struct.unpack("<H", file.read(2))
            file.seek(table)
            headers = file.read(64 * rows)
            file.seek(0, os.SEEK_END)
            end = file.tell()
            file.write(headers + headers[-64:] * count)
            file.seek(40)
            file.write(struct.pack("<Q", end))
            file.seek(60)
            file.write(struct.pack("<H", rows + count))
        os.chmod(library, 0o755)
        return library

    def test_a_program_with_thousands_of_tables(self):
        """All of the same symbols, some with a long name; and tables in a hole."""
        name = b"\0cu" + b"x" * MIB + b"\0"
        for kind, content in ((11, struct.pack("<IBBHQQ", 1, 18, 0, 0, 0, 0)),
                              (2, struct.pack("<IBBHQQ", 1, 18, 0, 1, 4096, 16)), (6, struct.pack("<QQ", 1, 1))):
            program = elf(self.path("program"), [(".strtab", 3, 0, name, 0, 0),
                                                 (".rows", kind, 2, content * 50000, 3, len(content))])
            self.cost("doctor", "--static", "--", self.sections_repeated(program, 20000), cpu=5, code=1)
        program = elf(self.path("program"), [(".strtab", 3, 0, name, 0, 0), (".rodata", 1, 2, name, 0, 0)])
        self.cost("doctor", "--static", "--", self.sections_repeated(program, 60000), cpu=5, code=1)
        elf(program, [(".strtab", 3, 0, name, 0, 0), (".dynsym", 11, 2, b"", 3, 24)], tail=200 * 24 * MIB)
        os.chmod(program, 0o755)
        self.cost("doctor", "--static", "--", program, cpu=5, code=2)
        self.assertIn("mostly a hole", self.errors)

    def test_names_of_sections_without_an_end(self):
        """libelf looks for the last zero byte of the table, for each section."""
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, b"\0", 0, 0)], names_end=b"x" * (8 * MIB))
        self.cost("report", "-q", self.trace("t", (self.sections_repeated(library, 60000), [0x1001])), cpu=5)

    def test_compressed_sections(self):
        old = b"ZLIB" + struct.pack(">Q", 300 * MIB) + zeros(300 * MIB)[24:]
        for name, flags, content in ((".debug_info", 0x800, zeros(300 * MIB)), (".zdebug_info", 0, old)):
            library = elf(self.path("lib.so"), [*debug_sections(4)[:1], (name, 1, flags, content, 0, 0)])
            used = self.cost("report", "-q", self.trace("t", (library, [0x1001])))
            self.expect_memory(used, 200 * MIB)

    def test_line_tables(self):
        """A byte of a line table can be a row of a hundred bytes in memory."""
        library = elf(self.path("lib.so"), line_sections(1, 1000))
        trace = self.trace("t", (library, [0x11]))
        self.cost("report", "-q", trace)
        elf(library, line_sections(1, 12 * MIB, compressed=True))
        self.expect_memory(self.cost("report", "-q", trace), 200 * MIB)
        elf(library, line_sections(40, MIB // 4))
        trace = self.trace("t", (library, [4096 * unit + 0x11 for unit in range(40)]))
        self.expect_memory(self.cost("report", "-q", trace), 200 * MIB)

    def test_compressed_files_beside_a_library(self):
        """libdw inflates what it opens by the names in the debug information."""
        unit = struct.pack("<HBBIQB", 5, 5, 8, 0, 1, 1) + b"x.c\0"
        info = struct.pack("<I", len(unit)) + unit
        elf(self.path("x.dwo"), [(".debug_abbrev.dwo", 1, 0, bytes([1, 0x11, 0, 3, 8, 0, 0, 0]), 0, 0),
                                 (".debug_info.dwo", 1, 0, info, 0, 0),
                                 (".debug_str.dwo", 1, 0x800, zeros(300 * MIB), 0, 0)])
        trace = self.trace("t", (elf(self.path("lib.so"), split_sections("x.dwo")), [0x1001]))
        self.expect_memory(self.cost("report", "-q", trace), 100 * MIB)

    def test_paths_of_one_file(self):
        """Each further path to a file costs what its records cost, not the file once more."""
        symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 4096, 1 << 20) * 20000
        library = elf(self.path("lib.so"), [(".strtab", 3, 0, b"\0victim\0", 0, 0), (".symtab", 2, 0, symbols, 3, 24)])
        folder, name = os.path.split(library)
        paths = [folder + "/" + "".join("./" if i >> bit & 1 else "/" for bit in range(10)) + name
                 for i in range(500)]
        few, many = (self.cost("report", "-q", self.trace(f"t{count}", *((path, [0x1001 + 16 * i]) for i, path in
                                                                           enumerate(paths[:count]))))
                     for count in (4, 500))
        self.expect_memory(many - few, 500 * 65536)

    def test_entries_of_debug_information(self):
        """A million entries, and thousands of addresses that each are looked for in all of them."""
        library = elf(self.path("lib.so"), debug_sections(1000000))
        self.cost("report", "-q", self.trace("t", (library, range(0x1000, 0x5000, 4))), cpu=60)

    def test_more_modules_than_descriptors(self):
        """A report has its modules open: the soft limit is raised, and beyond the hard limit it is an error."""
        symbols = [(".strtab", 3, 0, b"\0victim\0", 0, 0),
                   (".symtab", 2, 0, bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 4096, 64), 3, 24)]
        trace = self.trace("t", *((elf(self.path(f"{i}.so"), symbols), [4097]) for i in range(60)))
        for hard, named in ((256, 60), (40, None)):
            done = subprocess.run([CUPOOL, "report", "-q", "-f", "csv", trace], capture_output=True, text=True,
                                  check=False, preexec_fn=lambda limit=hard: resource.setrlimit(
                                      resource.RLIMIT_NOFILE, (40, limit)))
            self.assertEqual(done.returncode, 0 if named else 2, done.stderr)
            if named:
                self.assertEqual(sum("victim" in row for row in done.stdout.splitlines()), named)
            else:
                self.assertIn("open files", done.stderr)

    def test_entries_within_entries(self):
        """The same below another entry, where libdw walks through them by itself."""
        abbreviations, unit = debug_sections(0)[0], bytes([1]) + struct.pack("<QI", 0, 1 << 20) + bytes([3])
        abbreviations = (*abbreviations[:3], abbreviations[3][:-1] + bytes([3, 0x39, 1, 0, 0, 0]), 0, 0)
        unit = struct.pack("<HIB", 4, 0, 8) + unit + bytes([2]) * 1000000 + b"\0\0"
        library = elf(self.path("lib.so"), [
            abbreviations, (".debug_info", 1, 0, struct.pack("<I", len(unit)) + unit, 0, 0)])
        self.cost("report", "-q", self.trace("t", (library, range(0x1000, 0x5000, 4))), cpu=10 if not SANITIZED else 60)

    def test_files_of_a_line_table(self):
        """Each of 20,000 entries is a file in a directory with a name of 100,000 bytes."""
        library = elf(self.path("lib.so"), directory_sections(100000, 20000))
        trace = self.trace("t", (library, [0x1001]))
        self.expect_memory(self.cost("report", "-q", trace, cpu=10), 128 * MIB)

    def test_lines_of_a_table_that_is_in_proportion(self):
        library = elf(self.path("lib.so"), directory_sections(10, 10))
        done = subprocess.run([CUPOOL, "report", "-q", "-f", "json", self.trace("t", (library, [0x1003]))],
                              capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(done.stdout)["frames"][0]["file"], "/dddddddddd/a")

    def test_units_that_share_abbreviations(self):
        """Each of 4,000 units has them for itself."""
        for count, split in ((4000, None), (1000, "split.dwo")):
            elf(self.path("split.dwo"), unit_sections(1, 12000, ""))
            library = elf(self.path("lib.so"), unit_sections(count, 12000 if split is None else 0, split))
            trace = self.trace("t", (library, range(4097, 4097 + 16 * count, 16)))
            self.expect_memory(self.cost("report", "-q", trace, cpu=20), 256 * MIB)

    def lifetimes(self, name, rows):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write("id,lower,upper,size\n")
            file.writelines(f"{number},{begin},{end},{size}\n" for number, (begin, end, size) in enumerate(rows))
        return self.path(name)

    def replayed(self, trace, *words):
        done = subprocess.run([CUPOOL, "replay", "-q", "-f", "json", *words, trace], capture_output=True, text=True,
                              check=True)
        return {row["policy"]: row for row in json.loads(done.stdout)["traces"][0]["policies"]}

    def test_lists_that_are_merged_again_and_again(self):
        """RMM's pool merges the lists of free blocks of two streams: the long one stays where it is."""
        count, row = 1 << 14, "0,00:00:00.1,{},0x{:x},{},0x{:x}\n"
        with open(self.path("log"), "w", encoding="ascii") as file:
            file.write("Thread,Time,Action,Pointer,Size,Stream\n")
            file.writelines(row.format("allocate", 4096 + i, 256, 1) for i in range(count - 4))
            file.write(row.format("allocate", 16, 1024, 1))
            file.writelines(row.format("free", 4096 + i, 256, 1) for i in range(0, count - 4, 2))
            file.write(row.format("free", 16, 1024, 1))
            for i in range(count // 2):
                for size in (512, 1024):
                    file.writelines(row.format(action, size, size, 2 - i % 2) for action in ("allocate", "free"))
        self.cost("replay", "-q", "-p", "rmm-pool", self.path("log"), cpu=3)
        row = self.replayed(self.path("log"), "-p", "rmm-pool")["rmm-pool"]
        self.assertTrue(row["completed"])
        self.assertEqual(row["memory_calls"], 15)

    def test_a_device_that_refuses_again_and_again(self):
        """Models return what is idle: they do not look for it among all that is not."""
        count, live = 40000, 12 * MIB
        trace = self.lifetimes("t", [(0, 10 * count, live)] * count + [
            (2 * i + 1, 2 * i + 2, 40 * MIB if i % 2 else MIB) for i in range(count)])
        capacity = str(count * live + 41 * MIB)
        for policy in ("pytorch", "expandable", "async"):
            self.cost("replay", "-q", "-p", policy, "--capacity", capacity, trace, cpu=3)
        self.assertTrue(self.replayed(trace, "-p", "pytorch", "--capacity", capacity)["pytorch"]["completed"])

    def test_a_range_with_thousands_of_holes(self):
        """Each request looks at all of them: the replay is stopped."""
        count, block = 4000, 20 * MIB
        rows = [(i, 5000 if i % 2 == 0 else 50000, block) for i in range(count)]
        rows += [(6000 + i, 6001 + i, block * 3 // 2 + i * block) for i in range(count // 2 - 2)]
        row = self.replayed(self.lifetimes("t", rows), "-p", "expandable", "--capacity", str(count * block))["expandable"]
        self.assertTrue(row["stopped"])
        self.assertGreater(row["refused_event"], 2 * count)

    def test_huge_blocks(self):
        """A replay costs what its events cost, whatever the size of the blocks."""
        few = self.cost("replay", "-q", self.lifetimes("small", [(0, 3, 1000), (1, 4, 1000)]))
        for bits, count in ((47, 2), (46, 3), (40, 200), (37, 1000), (34, 4000)):
            trace = self.lifetimes(f"{bits}", [(i, i + 2, (1 << bits) - 4096 * i) for i in range(count)])
            used = self.cost("replay", "-q", "-p", "cupool", "-p", "native", trace, cpu=20)
            self.expect_memory(used - few, 8 * MIB + 32768 * count)

    def test_huge_blocks_have_their_bytes(self):
        trace = self.lifetimes("one", [(0, 3, 1 << 46), (1, 4, 3 << 40), (5, 6, 1 << 46)])
        for name, row in self.replayed(trace, "-p", "cupool", "-p", "native").items():
            self.assertTrue(row["completed"], name)
            self.assertEqual(row["peak_reserved_bytes"], (1 << 46) + (3 << 40), name)

    def test_tuning_for_huge_blocks(self):
        trace = self.lifetimes("t", [(0, 3, 1 << 47), (1, 4, 1 << 46), (5, 6, 1 << 46)])
        self.expect_memory(self.cost("tune", "-q", trace, cpu=10 if not SANITIZED else 100), 64 * MIB)

    def test_sizes_that_no_device_has(self):
        """Rounded up they would be small, or none at all."""
        trace = Trace(self.path("t"))
        trace.pooled(1 << 34, "")
        for size in (4096, 1 << 48, (1 << 48) + 1, 1 << 63, 2**64 - 512, 2**64 - (2 << 20), 2**64 - 1):
            trace.blocks_of(size, 1)
        trace.close()
        for name, row in self.replayed(self.path("t")).items():
            self.assertFalse(row["completed"], name)
            self.assertIn(row["refused_event"], (2, 4), name)
        trace = Trace(self.path("t"))
        trace.pooled(1 << 34, "")
        trace.blocks_of(2**64 - 1, 1)
        trace.close()
        for name, row in self.replayed(self.path("t")).items():
            self.assertEqual(row["refused_bytes"], 2**63 - 1, name)
        done = subprocess.run([CUPOOL, "replay", "-q", "--devices", self.path("t")], capture_output=True, text=True,
                              check=True)
        self.assertRegex(done.stdout, r"(?m)^H200 .* no +- +-$")

    def test_huge_devices_with_mapped_memory(self):
        """A trace, or the user, may claim a device of any size."""
        trace = self.lifetimes("t", [(i, i + 2, 1 << 45) for i in range(4)])
        for capacity in (1 << 43, 1 << 47, (1 << 63) - 1):
            self.expect_memory(self.cost("replay", "-q", "-p", "mapped", "--capacity", str(capacity), trace, cpu=20),
                               64 * MIB)
        for device in (1 << 43, 1 << 63, (1 << 64) - 1):
            trace = Trace(self.path("claims"))
            trace.pooled(device, "backing:vmm,page:2MiB,reserve:128TiB")
            trace.record(BACKING, context=1, address=1 << 40, value=1 << 46, size=2 * MIB)
            trace.blocks_of(1 << 40, 50)
            trace.close()
            self.expect_memory(self.cost("replay", "-q", self.path("claims"), cpu=20), 64 * MIB)

    def test_comparing_sites_of_other_names(self):
        """Each is looked for by its name and its module, not among all others."""
        trace = self.trace("t", ("/opt/program", [4096]))
        self.cost("check", "--update-baseline", "--baseline", self.path("first"), trace)
        with open(self.path("first"), encoding="utf-8") as file:
            first = json.load(file)

        def sites(name, count, module, function):
            rows = [{**first["sites"][0], "module": f"{module}{i}", "function": function} for i in range(count)]
            with open(self.path(name), "w", encoding="utf-8") as file:
                json.dump({**first, "sites": rows}, file)
            return self.path(name)

        count = 25000 if not SANITIZED else 2000
        for base, new in ((("m", "+0x1"), ("n", "+0x1")), (("m", "+0x1"), ("m", "+0x2")), (("m", "f"), ("n", "f"))):
            self.cost("diff", sites("base", count, *base), sites("new", count, *new), cpu=10, code=self.AnyCode(0, 1))

    class AnyCode:
        """Of a comparison: something grew, or nothing. Of a page: written, or not built in."""
        def __init__(self, *codes):
            self.codes = codes

        def __eq__(self, code):
            return code in self.codes

    def named(self, names, events=0):
        """A trace with an allocation of each function in Python, and pairs of calls of the last."""
        trace = Trace(self.path(f"named{len(names)}"))
        file = trace.text("/opt/app.py")
        for line, name in enumerate(names):
            site = trace.frame(file, trace.text(name), line + 1)
            for kind in [ALLOCATE] + [FREE, ALLOCATE] * (events if line + 1 == len(names) else 0):
                trace.record(kind, api=trace.api, outcome=1, memory=1, size=4096, value=4096, context=1,
                             address=0x7f0000000000 + 4096 * line, site=site)
        trace.close()
        return self.path(f"named{len(names)}")

    def test_lines_far_down_in_a_source(self):
        """Traces of 100 sites, each of which is the last line of a file of empty lines."""
        with open(self.path("app.py"), "wb") as file:
            file.write(b"\n" * (4 * MIB - 1) + b"x")
        os.utime(self.path("app.py"), (0, 0))
        trace = Trace(self.path("t"))
        file = trace.text(self.path("app.py"))
        for number in range(100):
            site = trace.frame(file, trace.text(f"f{number}"), 4 * MIB)
            trace.record(ALLOCATE, api=trace.api, outcome=1, memory=1, size=4096, value=4096, context=1,
                         address=0x7f0000000000 + 4096 * number, site=site)
        trace.close()
        self.cost("report", "-q", "-f", "html", *[self.path("t")] * 16, cpu=8 if not SANITIZED else 60,
                  code=self.AnyCode(0, 2))

    def test_paths_that_lead_to_a_pipe(self):
        """No source, module or debug file is opened to see that it is none: a writer goes on waiting."""
        os.mkfifo(self.path("pipe"))
        for name in ("app.py", "lib.so", "split.dwo"):
            os.symlink("pipe", self.path(name))
        trace = Trace(self.path("t"))
        site = trace.frame(trace.text(self.path("app.py")), trace.text("f"), 1)
        trace.record(ALLOCATE, api=trace.api, outcome=1, memory=1, size=4096, value=4096, context=1, address=4096,
                     site=site)
        trace.allocations(self.path("lib.so"), [4097])
        trace.allocations(elf(self.path("split.so"), split_sections("split.dwo")), [4097])
        trace.close()
        writer = subprocess.Popen(["sh", "-c", f"exec 3>{self.path('pipe')}"])
        self.cost("report", "-q", "-f", "html", self.path("t"), code=self.AnyCode(0, 2))
        self.cost("report", "-q", self.path("app.py"), code=2)
        self.cost("check", "--budget", self.path("app.py"), self.path("t"), code=2)
        try:
            writer.wait(0.2)
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
        self.assertEqual(writer.returncode, -signal.SIGKILL)

    def budget(self, text):
        with open(self.path("t.budget"), "w", encoding="ascii") as file:
            file.write("[budget]\npeak_live = 1 TiB\n" + text)
        return self.path("t.budget")

    def test_globs_and_names_of_a_budget(self):
        """Each of many globs is compared with each of many long names, in linear time, or not at all."""
        trace = self.named(["a" * 3900 + str(i) for i in range(100)])
        most = 10 if not SANITIZED else 60
        for section in ("[ignore]\nsite = ", "[wrappers]\nfunction = "):
            for middle, code in (("", 0), ("?", 2)):
                globs = ("*" + "a" * 170 + middle + f"b{i}" for i in range(100))
                head, key = section.split("\n")
                text = head + "\n" + "".join(f"{key}{glob}\n" for glob in globs)
                self.cost("check", "--budget", self.budget(text), trace, cpu=most, code=code)
                self.assertEqual("too many or too long globs" in self.errors, code == 2, self.errors)

    @unittest.skipIf(SANITIZED, "the sanitizer has its own malloc")
    def test_an_allocation_that_fails(self):
        """No output lacks a part, and no replay takes it for a full device: it is an error."""
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that fails")
        with open(self.path("fail.c"), "w", encoding="ascii") as file:
            file.write(FAILER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("fail.so"), self.path("fail.c")], check=True)
        trace = self.trace("t", ("/opt/program", [4096]))
        rows = self.lifetimes("l", [(i, i + 5, 512) for i in range(9)])

        def run(*words, nth):
            return subprocess.run([CUPOOL, *words], capture_output=True, check=False, text=True,
                                  env={**os.environ, "LD_PRELOAD": self.path("fail.so"), "NTH": str(nth)})

        for words in (["report", "-q", "-f", "json", trace], ["replay", "-q", "-f", "json", "-p", "pytorch", rows]):
            whole, failed = run(*words, nth=0), 0
            last = int(whole.stderr.split()[-1])
            for nth in range(last - 200, last + 100, 8):
                done = run(*words, nth=nth)
                failed += done.returncode != 0
                if done.returncode == 0:
                    self.assertEqual(done.stdout, whole.stdout, (words, nth))
                else:
                    self.assertEqual(done.returncode, 2, (words, nth))
                    self.assertIn("emory", done.stderr)
            self.assertGreater(failed, 0)

    def test_sections_of_a_budget(self):
        """The trace is read once, however many sections there are."""
        trace = self.named([f"f{i}" for i in range(200)], 4000)
        text = "".join(f"[site f{i}]\npeak = 1 TiB\nleaked = 1 TiB\n[phase {i}]\ngrowth = 1 TiB\n"
                       for i in range(1000))
        self.cost("check", "--budget", self.budget(text), trace, cpu=4 if not SANITIZED else 60)
        text = "".join(f"[site {'*' * (i % 64 + 1)}f{'*' * (i // 64 + 1)}]\npeak = 1 TiB\n" for i in range(4000))
        self.cost("check", "--budget", self.budget(text), trace, cpu=10 if not SANITIZED else 60, code=2)
        self.assertIn("too many [site] sections", self.errors)

    def test_a_stack_that_was_cut_makes_no_wrapper(self):
        """Allocators that the module calls, each once with its caller and once without. Their order depends on
        the lines."""
        trace = Trace(self.path("t"))
        file, module, names = trace.text("/opt/app.py"), trace.text("<module>"), []
        for i in range(16):
            names.append(f"alloc_{i}")
            function, line = trace.text(names[-1]), 10 * i + 1
            called = trace.frame(file, function, line, trace.frame(file, module, 100 + 17 * i))
            for site in (called, trace.frame(file, function, line)):
                trace.record(ALLOCATE, api=trace.api, outcome=1, memory=1, size=4096, value=4096, context=1,
                             address=0x7f0000000000 + 4096 * site, site=site)
        trace.close()
        done = subprocess.run([CUPOOL, "report", "-q", "-f", "json", self.path("t")], capture_output=True, text=True,
                              check=True)
        self.assertEqual(sorted(site["function"] for site in json.loads(done.stdout)["sites"]), sorted(names))

    def test_a_trace_with_a_hole_is_not_packed(self):
        trace = self.trace("t", ("/opt/program", [4096]))
        self.cost("pack", "-q", trace, "-o", self.path("small"))
        try:
            os.truncate(trace, 1 << 40)
        except OSError as error:
            self.skipTest(f"no file of a terabyte here: {error}")
        self.cost("report", "-q", trace)
        self.cost("pack", "-q", trace, "-o", self.path("large"), code=2)
        self.assertIn("hole", self.errors)
        self.assertFalse(os.path.exists(self.path("large")))

    def test_a_running_trace_with_a_hole_fills_no_disk(self):
        """A program that runs has a trace of limited size, which is copied before it is read."""
        path = self.path("t")
        trace = Trace(path, pid=os.getpid(), version=2, closed=False)
        trace.allocations("/opt/program", [4096])
        trace.flush()
        trace.file.close()
        try:
            os.truncate(path, 1 << 40)
        except OSError as error:
            self.skipTest(f"no file of a terabyte here: {error}")
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 65536) as _:
            self.cost("report", "-q", path, cpu=20, TMPDIR=self.directory)
            self.cost("report", "-q", path, cpu=20, TMPDIR=self.path("none"))
        self.assertLess(sum(os.stat(self.path(name)).st_blocks for name in os.listdir(self.directory)),
                        16 * MIB // 512)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

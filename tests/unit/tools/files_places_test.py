#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Output files where the system refuses something: calls, space, rights, and names that another user exchanges.
Whatever is refused, the file is whole and nothing else remains, or there is an error and nothing at all.

Parts that need root or a file system of their own are skipped elsewhere. usage:
files_places_test.py CUPOOL PRELOAD
"""
import ctypes
import errno
import os
import platform
import struct
import subprocess
import sys
import unittest

from files_base import Base, CUPOOL, PATIENCE_S, content, mode

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {"x86_64": {"linkat": 265, "renameat2": 316, "unlinkat": 263},
         "aarch64": {"linkat": 37, "renameat2": 276, "unlinkat": 35}}.get(platform.machine(), {})


def refuse(*names):
    """For a child: the kernel refuses these calls from now on, as a container's filter does."""
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    code = [(load, 0, 0, 0)]
    for name in names:
        code += [(equal, 0, 1, CALLS[name]), (give, 0, 0, 0x00050000 | errno.EPERM)]
    code.append((give, 0, 0, 0x7fff0000))
    rows = b"".join(struct.pack("=HBBI", *row) for row in code)
    rows = ctypes.create_string_buffer(rows, len(rows))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(rows)))

    def install():
        if LIBC.prctl(38, 1, 0, 0, 0) or LIBC.prctl(22, 2, program, 0, 0):
            os._exit(99)  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
    install.rows = rows
    return install


@unittest.skipUnless(CALLS, "the numbers of the calls are not known here")
class Refused(Base):
    """Each set of refused calls against each way of writing."""

    REFUSALS = (["linkat"], ["renameat2"], ["linkat", "renameat2"])

    def cupool_refused(self, calls, *arguments):
        done = subprocess.run([CUPOOL, *arguments], cwd=self.directory, text=True, timeout=PATIENCE_S,
                              env={"PATH": os.environ["PATH"],
                                   "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"},
                              capture_output=True, check=False, preexec_fn=refuse(*calls))
        if done.returncode == 99:
            self.skipTest("no filter of calls here")
        return done

    def test_files_are_written_without_the_call(self):
        for calls in self.REFUSALS:
            for name, arguments in self.writers():
                for earlier in (None, 0o640):
                    self.cupool_wanted(name, arguments, earlier)
                    wanted = content(self.path("out")), mode(self.path("out"))
                    os.unlink(self.path("out"))
                    if earlier:
                        self.write("out", "old", earlier)
                    done = self.cupool_refused(calls, *arguments, "out")
                    self.assertEqual(done.returncode, 0, (calls, name, done.stderr))
                    self.assertEqual((content(self.path("out")), mode(self.path("out"))), wanted,
                                     (calls, name, earlier))
                    self.expect_nothing_else("out")
                    os.unlink(self.path("out"))

    def cupool_wanted(self, name, arguments, earlier):
        if earlier:
            self.write("out", "old", earlier)
        self.assertEqual(self.cupool(*arguments, "out").returncode, 0, name)

    def test_nothing_is_overwritten_without_the_call(self):
        self.write("out", "old")
        for calls in self.REFUSALS:
            for name, arguments in self.writers(force=False):
                self.assertEqual(self.cupool_refused(calls, *arguments, "out").returncode, 2, name)
                self.assertEqual(content(self.path("out")), b"old", name)
        self.expect_nothing_else("out")


if __name__ == "__main__":
    unittest.main(argv=[__file__, *sys.argv[3:]])

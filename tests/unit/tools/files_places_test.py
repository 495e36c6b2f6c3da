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
import shutil
import signal
import struct
import subprocess
import sys
import unittest

from files_base import Base, CUPOOL, EVENTS, IS_ROOT, NOBODY, PATIENCE_S, PRELOAD, content, mode

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {"x86_64": {"linkat": 265, "renameat2": 316, "fsync": 74},
         "aarch64": {"linkat": 37, "renameat2": 276, "fsync": 82}}.get(platform.machine(), {})


def refuse(names, error):
    """For a child: the kernel refuses these calls from now on, as a container's filter does."""
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    code = [(load, 0, 0, 0)]
    for name in names:
        code += [(equal, 0, 1, CALLS[name]), (give, 0, 0, 0x00050000 | error)]
    code.append((give, 0, 0, 0x7fff0000))
    rows = b"".join(struct.pack("=HBBI", *row) for row in code)
    rows = ctypes.create_string_buffer(rows, len(rows))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(rows)))

    def install():
        if LIBC.prctl(38, 1, 0, 0, 0) or LIBC.prctl(22, 2, program, 0, 0):
            os._exit(99)  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
    install.rows = rows
    return install


def refused_run(test, calls, *arguments, error=errno.EPERM):
    """Runs the command without these calls."""
    done = subprocess.run([CUPOOL, *arguments], cwd=test.directory, text=True, timeout=PATIENCE_S,
                          env={"PATH": os.environ["PATH"],
                               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"},
                          capture_output=True, check=False, preexec_fn=refuse(calls, error) if calls else None)
    if done.returncode == 99:
        test.skipTest("no filter of calls here")
    return done


def private_mounts():
    """Gives this process mounts of its own; what it mounts is gone with it."""
    if not hasattr(private_mounts, "done"):
        private_mounts.done = (LIBC.unshare(0x20000) == 0 and  # CLONE_NEWNS
                               LIBC.mount(b"none", b"/", None, 0x44000, None) == 0)  # MS_REC | MS_PRIVATE
    return private_mounts.done


@unittest.skipUnless(CALLS, "the numbers of the calls are not known here")
class Refused(Base):
    """Each set of refused calls against each way of writing."""

    REFUSALS = (["linkat"], ["renameat2"], ["linkat", "renameat2"])

    def test_files_are_written_without_the_call(self):
        for calls in self.REFUSALS:
            for name, arguments in self.writers():
                for earlier in (None, 0o640):
                    self.cupool_wanted(name, arguments, earlier)
                    wanted = content(self.path("out")), mode(self.path("out"))
                    os.unlink(self.path("out"))
                    if earlier:
                        self.write("out", "old", earlier)
                    done = refused_run(self, calls, *arguments, "out")
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
                self.assertEqual(refused_run(self, calls, *arguments, "out").returncode, 2, name)
                self.assertEqual(content(self.path("out")), b"old", name)
        self.expect_nothing_else("out")

    def test_what_the_disk_refuses_at_the_end(self):
        """Quotas of a server, for one."""
        for error in (errno.EDQUOT, errno.EIO, errno.ENOSPC):
            for earlier in (False, True):
                if earlier:
                    self.write("out", "old")
                for name, arguments in self.writers():
                    done = refused_run(self, ["fsync"], *arguments, "out", error=error)
                    self.assertEqual(done.returncode, 2, (name, done.stderr))
                    self.assertIn(os.strerror(error), done.stderr, name)
                    self.expect_nothing_else(*["out"] * earlier)
                    if earlier:
                        self.assertEqual(content(self.path("out")), b"old", name)
            os.unlink(self.path("out"))


def acl(**permissions):
    """An access control list as the kernel reads it: user=, other= and group= of the owner, nobody= of NOBODY."""
    tags = {"user": 1, "nobody": 2, "group": 4, "mask": 0x10, "other": 0x20}
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tags[name], permissions[name], NOBODY if name == "nobody" else 0xffffffff)
        for name in tags if name in permissions)


class Rights(Base):
    """Access control lists: of an earlier file, and those that a directory gives to all new ones."""

    ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
    WIDE = acl(user=7, nobody=7, group=7, mask=7, other=7)

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("listed"))
        try:
            os.setxattr(self.path("listed"), self.DEFAULT, self.WIDE)
        except OSError as error:
            self.skipTest(f"no access control lists here: {error}")

    def list_of(self, path):
        return os.getxattr(path, self.ACCESS) if self.ACCESS in os.listxattr(path) else None

    def test_a_directory_widens_no_earlier_file(self):
        for refused in ([], ["linkat"]) if CALLS else ([],):
            for name, arguments in self.writers():
                path = self.write("listed/out", "old")
                os.removexattr(path, self.ACCESS)
                for earlier in (0o640, 0o600, 0o664):
                    os.chmod(path, earlier)
                    done = refused_run(self, refused, *arguments, path)
                    self.assertEqual(done.returncode, 0, (name, done.stderr))
                    self.assertEqual((oct(mode(path)), self.list_of(path)), (oct(earlier), None),
                                     (name, refused))
                os.unlink(path)

    def test_an_earlier_list_is_kept(self):
        for refused in ([], ["linkat"]) if CALLS else ([],):
            for name, arguments in self.writers():
                for directory in (".", "listed"):
                    for wanted in (acl(user=6, nobody=4, group=0, mask=4, other=0),
                                   acl(user=6, nobody=6, group=4, mask=6, other=4)):
                        path = self.write(directory + "/out", "old")
                        os.setxattr(path, self.ACCESS, wanted)
                        before = mode(path)
                        done = refused_run(self, refused, *arguments, path)
                        self.assertEqual(done.returncode, 0, (name, done.stderr))
                        self.assertEqual((mode(path), self.list_of(path)), (before, wanted), (name, refused))
                        os.unlink(path)


@unittest.skipUnless(IS_ROOT, "only root can mount")
class Mounts(Base):
    """File systems that are full, cannot be written, or lie above others, in a mount namespace of the test."""

    def setUp(self):
        super().setUp()
        if not private_mounts():
            self.skipTest("no mount namespace here")
        os.mkdir(self.path("m"))
        self.addCleanup(LIBC.umount2, self.path("m").encode(), 2)  # MNT_DETACH

    def mount(self, kind, data="", flags=0, source="none", place="m"):
        if LIBC.mount(os.path.join(self.directory, source).encode(), self.path(place).encode(),
                      kind and kind.encode(), flags, data.encode()):
            self.skipTest(f"{kind or 'bind'} {data}: {os.strerror(ctypes.get_errno())}")

    def unmount(self):
        LIBC.umount2(self.path("m").encode(), 2)

    def expect_refused(self, words, kept=(), refused=()):
        """All writers fail with these words, and leave what was there."""
        for name, arguments in self.writers():
            for place in {"m/out", *(f"m/{name}" for name in kept)}:
                before = {name: content(self.path("m", name)) for name in kept}
                done = refused_run(self, refused, *arguments, place)
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (name, done.stderr))
                self.assertIn(words, done.stderr, name)
                self.assertEqual({name: content(self.path("m", name)) for name in os.listdir(self.path("m"))},
                                 before, (name, place))

    def fill(self):
        with open(self.path("m/big"), "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def test_no_space(self):
        """At the beginning, and in the middle of a file."""
        self.mount("tmpfs", "size=64k")
        self.write("m/kept", "old")
        self.fill()
        self.expect_refused("No space left", ["kept", "big"])
        self.expect_refused("No space left", ["kept", "big"], ["linkat"] if CALLS else ())
        self.unmount()
        self.mount("tmpfs", "size=16k")
        done = self.cupool("report", "-f", "html", "t.cupool", "-o", "m/out")
        self.assertEqual((done.returncode, os.listdir(self.path("m"))), (2, []), done.stderr)
        done = self.cupool("run", "-o", "m/t.cupool", "--", "true")
        self.assertEqual((done.returncode, os.listdir(self.path("m"))), (0, []), done.stderr)
        self.assertIn("No space left", done.stderr)
        self.assertNotIn("no CUDA call", done.stderr)

    def test_space_for_the_draft_and_not_for_its_copy(self):
        size = len(self.cupool("report", "-f", "html", "t.cupool").stdout.encode())
        self.mount("tmpfs", f"size={size * 3 // 2 // 4096 * 4}k")
        if CALLS:
            done = refused_run(self, ["linkat"], "report", "-f", "html", "t.cupool", "-o", "m/out")
            self.assertEqual((done.returncode, os.listdir(self.path("m"))), (2, []), done.stderr)
            self.assertIn("No space left", done.stderr)
        done = self.cupool("report", "-f", "html", "t.cupool", "-o", "m/out")
        self.assertEqual((done.returncode, os.listdir(self.path("m"))), (0, ["out"]), done.stderr)

    def test_no_inodes(self):
        self.mount("tmpfs", "nr_inodes=1")
        self.expect_refused("No space left")
        self.unmount()
        self.mount("tmpfs", "nr_inodes=2")
        self.write("m/kept", "old")
        self.expect_refused("No space left", ["kept"])

    def test_what_cannot_be_written(self):
        self.mount("tmpfs", flags=1)  # MS_RDONLY
        self.expect_refused("Read-only file system")
        self.unmount()
        os.mkdir(self.path("real"))
        self.write("real/kept", "old")
        self.mount(None, flags=4096, source="real")  # MS_BIND
        self.mount(None, flags=4096 | 32 | 1)  # MS_REMOUNT
        self.expect_refused("Read-only file system", ["kept"])

    def test_a_mounted_file_is_not_replaced(self):
        self.write("real", "old")
        self.write("m/out", "")
        self.mount(None, flags=4096, source="real", place="m/out")
        self.addCleanup(LIBC.umount2, self.path("m/out").encode(), 2)
        self.expect_refused("busy", ["out"])
        self.assertEqual(content(self.path("real")), b"old")

    def test_above_other_file_systems(self):
        """Through a bind mount, and on an overlay over an earlier file."""
        for name in ("low", "up", "work"):
            os.mkdir(self.path(name))
        layers = ",".join(f"{key}dir={self.path(name)}" for key, name in
                          (("lower", "low"), ("upper", "up"), ("work", "work")))
        for kind, data, flags in ((None, "", 4096), ("overlay", layers, 0)):
            self.mount(kind, data, flags, source="up")
            for earlier in (False, True):
                for name, arguments in self.writers():
                    if earlier:
                        self.write("low/out" if kind and not os.path.exists(self.path("low/out"))
                                   else "m/out", "old", 0o640)
                    done = self.cupool(*arguments, "m/out")
                    self.assertEqual((done.returncode, os.listdir(self.path("m"))), (0, ["out"]),
                                     (kind, name, done.stderr))
                    self.assertNotEqual(content(self.path("m/out")), b"old", name)
                    if earlier and name != "report":
                        self.assertEqual(oct(mode(self.path("m/out"))), oct(0o640), name)
                    os.unlink(self.path("m/out"))
            self.unmount()

    def test_without_proc(self):
        """No file can be named through /proc then: each has a name from the beginning."""
        os.rmdir(self.path("m"))
        os.makedirs(self.path("m"))
        wanted = self.cupool("report", "t.cupool").stdout

        def run(*arguments):
            return subprocess.run(
                ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh", CUPOOL, *arguments],
                cwd=self.directory, text=True, capture_output=True, check=False, timeout=PATIENCE_S)

        if run("--version").returncode != 0:
            self.skipTest("no mounts here, or a sanitizer that needs /proc")
        for earlier in (None, 0o640):
            if earlier:
                self.write("m/out", "old", earlier)
            done = run("report", "--force", "t.cupool", "-o", "m/out")
            self.assertEqual((done.returncode, os.listdir(self.path("m"))), (0, ["out"]), done.stderr)
            self.assertEqual(len(content(self.path("m/out"))), len(wanted.encode()))
            self.assertEqual(mode(self.path("m/out")), earlier or 0o644)


class Names(Base):
    """Names that are long or hold odd characters, and names that the kernel makes."""

    def test_long_names(self):
        for name, arguments in self.writers():
            for length, code in ((240, 0), (255, 0), (256, 2)):
                done = self.cupool(*arguments, "n" * length)
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (code, code // 2),
                                 (name, length, done.stderr))
                if code == 0:
                    os.unlink(self.path("n" * length))
        self.expect_nothing_else()

    def test_long_paths(self):
        """Up to the longest that the system takes."""
        deep = ""
        for _ in range(19):
            deep += "d" * 200 + "/"
        os.makedirs(self.path(deep))
        for name, arguments in self.writers():
            for length, code in ((4080 - len(self.directory), 0), (4095, 0), (4096, 2), (9000, 2)):
                detour = (length - len(deep) - 3) // 2
                done = self.cupool(*arguments, (deep + "./" * detour).ljust(length, "o"))
                self.assertEqual(done.returncode, code, (name, length, done.stderr[-200:]))
                self.assertEqual(len(done.stderr.splitlines()), code // 2, name)
            for left in os.listdir(self.path(deep)):
                os.unlink(self.path(deep, left))

    def test_a_directory_that_is_gone(self):
        """Or deeper than any path, where its name is not known."""
        trace = self.path("t.cupool")
        fd = os.open(self.directory, os.O_PATH)
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=fd)
            below = os.open("d" * 200, os.O_PATH, dir_fd=fd)
            os.close(fd)
            fd = below
        self.addCleanup(os.close, fd)
        os.mkdir(self.path("gone"))
        gone = os.open(self.path("gone"), os.O_PATH)
        self.addCleanup(os.close, gone)
        os.rmdir(self.path("gone"))
        for directory, code in ((fd, 0), (gone, 2)):
            for arguments in (["report", trace, "-o", "out"], ["run", "-o", "out", "--", "true"]):
                done = subprocess.run([CUPOOL, *arguments], text=True, capture_output=True, check=False,
                                      env={"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD},
                                      timeout=PATIENCE_S, preexec_fn=lambda at=directory: os.fchdir(at))
                if arguments[0] == "run":
                    self.assertEqual(done.returncode, 125)
                    self.assertRegex(done.stderr, "too long|up to 1023" if directory == fd
                                     else "working directory: No such file")
                else:
                    self.assertEqual(done.returncode, code, done.stderr)
        os.unlink("out", dir_fd=fd)

    def test_odd_characters(self):
        every = list(self.writers())
        for odd in ("a\nb", "\x1b[31m", "a\r\n::error::b", "--force", "%n%p", "%", " ", "*", "\udcff", "\u202eb"):
            for name, arguments in every if odd == "a\nb" else every[:1]:
                self.assertEqual(self.cupool(*arguments, "./" + odd).returncode, 0, (name, odd))
                os.unlink(self.path(odd))
                done = self.cupool(*arguments, f"no/{odd}/x")
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (name, done.stderr))
                self.assertNotRegex(done.stderr, "[\x1b\r\u202e]")
        self.expect_nothing_else()

    def test_links_of_the_kernel_are_not_followed(self):
        """What such a link seems to lead to is a text that describes it: a program, a directory."""
        program = shutil.copy(shutil.which("sleep"), self.path("program"))
        before = content(program)
        process = subprocess.Popen([program, "600"], cwd=self.directory)
        try:
            for name, arguments in self.writers():
                for link in ("exe", "cwd", "root", "ns/mnt", "comm", "status", "oom_score_adj"):
                    done = self.cupool(*arguments, f"/proc/{process.pid}/{link}")
                    self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (name, link))
                    self.assertIn("not a regular file", done.stderr, (name, link))
                self.assertEqual(content(program), before, name)
                self.assertEqual(self.cupool(*arguments, f"/proc/{process.pid}/cwd/out").returncode, 0, name)
                os.unlink(self.path("out"))
        finally:
            process.kill()
            process.wait()
        self.expect_nothing_else("program")


@unittest.skipUnless(IS_ROOT, "only root can make files of another user")
class Namespaces(Base):
    """Links in a user namespace, where the owners outside of it, root among them, look like one."""

    SELF, OTHER = NOBODY - 1, NOBODY - 2
    KINDS = ["-U"], ["-U", "-r"], ["-U", "--map-user=1000"]

    def setUp(self):
        super().setUp()
        for name, permissions in (("shared", 0o1777), ("own", 0o755), ("real", 0o777)):
            os.mkdir(self.path(name))
            os.chmod(self.path(name), permissions)

    def link(self, name, owner):
        os.symlink(self.path("real"), self.path(name))
        os.chown(self.path(name), owner, owner, follow_symlinks=False)

    def inside(self, kind, *command, **environment):
        """Runs a command as an unprivileged user in a user namespace."""
        return subprocess.run(
            ["unshare", *kind, *command], cwd=self.directory, text=True, timeout=PATIENCE_S, capture_output=True,
            check=False, user=self.SELF, group=self.SELF, extra_groups=[],
            env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **environment})

    def written(self, kind, place):
        """What a report and a trace at a place have made."""
        done = self.inside(kind, CUPOOL, "report", "t.cupool", "-o", place)
        self.assertEqual(done.returncode, 0 if os.listdir(self.path("real")) else 2, done.stderr)
        self.inside(kind, "env", "LD_PRELOAD=" + PRELOAD, "true", CUPOOL_TEST_EVENTS=EVENTS,
                    CUPOOL_TRACE=self.path(place + ".cupool"))
        names = sorted(os.listdir(self.path("real")))
        for name in names:
            os.unlink(self.path("real", name))
        return names

    def test_links_of_the_outside(self):
        os.chmod(self.path("t.cupool"), 0o644)
        self.link("own/root", 0)
        self.link("own/other", self.OTHER)
        self.link("shared/other", self.OTHER)
        for kind in self.KINDS:
            if self.inside(kind, "true").returncode != 0:
                continue
            self.assertEqual(self.written(kind, "own/root/x"), ["x", "x.cupool"], kind)
            self.assertEqual(self.written(kind, "own/other/x"), ["x", "x.cupool"], kind)
            self.assertEqual(self.written(kind, "shared/other/x"), [], kind)


@unittest.skipUnless(IS_ROOT, "only root can make files of another user")
class Exchanged(Base):
    """An unprivileged user who exchanges what names lead to while root writes."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("shared"))
        os.chmod(self.path("shared"), 0o1777)
        os.mkdir(self.path("safe"))
        os.mkdir(self.path("shared/d"))
        os.symlink(self.path("safe"), self.path("shared/l"))
        for name in ("shared/d", "shared/l"):
            os.chown(self.path(name), NOBODY, NOBODY, follow_symlinks=False)

    def test_a_trace_goes_through_no_prepared_link(self):
        """The preload finds the link that 'cupool run' has not seen yet."""
        for user, place, code in ((None, "shared/l", 0), (NOBODY, "shared/l", 0), (None, "shared/d", 1)):
            if user:
                os.chown(self.path("safe"), user, user)
            done = subprocess.run(
                ["true"], cwd=self.directory, text=True, capture_output=True, check=False,
                env={"PATH": os.environ["PATH"], "LD_PRELOAD": PRELOAD, "CUPOOL_TEST_EVENTS": EVENTS,
                     "CUPOOL_TRACE": self.path(place, "x"), "ASAN_OPTIONS": "verify_asan_link_order=0"},
                **({"user": user, "group": user, "extra_groups": []} if user else {}))
            self.assertEqual(done.returncode, 0, done.stderr)
            made = os.listdir(self.path(place))
            self.assertEqual(made, ["x"] if code or user else [], place)  # the user's own link is followed
            if user:
                os.unlink(self.path("safe/x"))
            self.assertEqual(os.listdir(self.path("safe")), [])

    def test_the_exit_goes_through_no_exchanged_link(self):
        script = self.write("exchange.py", f"""
import ctypes, os, shutil
shutil.copy("shared/d/x", "safe/x")
assert ctypes.CDLL(None).renameat2(-100, b"shared/d", -100, b"shared/l", 2) == 0
""")
        done = self.cupool("run", "-o", "shared/d/x", "--", sys.executable, script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.islink(self.path("shared/d")))
        self.assertEqual(content(self.path("safe/x")), content(self.path("shared/l/x")))

    def exchange_as_user(self, *pairs):
        """A process of the user that exchanges names until it is killed."""
        pid = os.fork()
        if pid:
            return pid
        try:
            os.chdir(self.path("shared"))
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
            while True:
                for one, other in pairs:
                    LIBC.renameat2(-100, one.encode(), -100, other.encode(), 2)  # RENAME_EXCHANGE
        finally:
            os._exit(1)

    def test_exchanges_all_the_time(self):
        """Whatever the moment of the exchange, files are in the user's directory or nowhere."""
        self.write("safe/out", "precious")
        shutil.copy(self.path("t.cupool"), self.path("safe/trace"))
        before = {name: content(self.path("safe", name)) for name in os.listdir(self.path("safe"))}
        for name, target in (("f", None), ("g", "../safe/out")):
            if target:
                os.symlink(target, self.path("shared", name))
            else:
                self.write("shared/" + name, "theirs")
            os.chown(self.path("shared", name), NOBODY, NOBODY, follow_symlinks=False)
        user = self.exchange_as_user(("d", "l"), ("f", "g"))
        try:
            for _ in range(2):
                for name, arguments in self.writers():
                    for place in ("shared/d/out", "shared/d/new", "shared/f"):
                        done = self.cupool(*arguments, place)
                        self.assertIn(done.returncode, (0, 2), (name, done.stderr))
                for place in ("shared/d/trace", "shared/d/new", "shared/d/%p"):
                    done = self.cupool("run", "-q", "--force", "-o", place, "--", "true")
                    self.assertIn(done.returncode, (0, 125), done.stderr)
                self.assertEqual({name: content(self.path("safe", name))
                                  for name in os.listdir(self.path("safe"))}, before)
        finally:
            os.kill(user, signal.SIGKILL)
            os.waitpid(user, 0)


if __name__ == "__main__":
    unittest.main(argv=[__file__, *sys.argv[3:]])

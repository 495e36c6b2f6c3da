#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tool's treatment of existing files, and of devices, pipes, links and files of another user. Every
writer is tested with each.

The parts about another user run as root against files of an unprivileged one, and as that
one against files of root; elsewhere they are skipped. usage: files_test.py CUPOOL PRELOAD
"""
import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest

from files_base import Base, CUPOOL, EVENTS, IS_ROOT, NOBODY, PATIENCE_S, PRELOAD, content, mode


class Files(Base):
    # files of the user

    def test_mode_of_an_earlier_file(self):
        for earlier, wanted in ((0o4755, 0o755), (0o2755, 0o755), (0o1777, 0o777), (0o6711, 0o711),
                                (0o600, 0o600), (0o640, 0o640), (0o444, 0o444)):
            for name, arguments in self.writers():
                path = self.write("out", "old")
                os.chmod(path, earlier)
                done = self.cupool(*arguments, "out")
                self.assertEqual(done.returncode, 0, (name, done.stderr))
                self.assertEqual(oct(mode(path)), oct(wanted), f"{name} over {earlier:o}")
                self.assertNotEqual(content(path), b"old", name)
                os.unlink(path)
        self.expect_nothing_else()

    def test_mode_of_a_file_with_several_names(self):
        """In a shared directory another user can name any file there that the user lets others write."""
        for earlier, wanted, packed in ((0o666, 0o644, 0o600), (0o777, 0o644, 0o600), (0o640, 0o640, 0o600),
                                        (0o600, 0o600, 0o600), (0o4775, 0o644, 0o600)):
            for name, arguments in self.writers():
                os.link(self.write("real", "old"), self.path("out"))
                os.chmod(self.path("real"), earlier)
                done = self.cupool(*arguments, "out")
                self.assertEqual(done.returncode, 0, (name, done.stderr))
                self.assertEqual(oct(mode(self.path("out"))), oct(packed if name == "pack" else wanted),
                                 f"{name} over {earlier:o}")
                self.assertEqual((content(self.path("real")), oct(mode(self.path("real")))), (b"old", oct(earlier)))
                os.unlink(self.path("out"))
                os.unlink(self.path("real"))
        self.expect_nothing_else()

    @unittest.skipUnless(IS_ROOT, "only root gives files to another group")
    def test_group_of_a_file_with_several_names(self):
        """Its group is allowed no more than anybody."""
        for name, arguments in self.writers():
            os.umask(0o027)
            os.link(self.write("real", "old"), self.path("out"))
            os.chown(self.path("real"), -1, NOBODY)
            os.chmod(self.path("real"), 0o660)
            done = self.cupool(*arguments, "out")
            self.assertEqual(done.returncode, 0, (name, done.stderr))
            status = os.stat(self.path("out"))
            self.assertEqual((status.st_gid, oct(status.st_mode & 0o777)), (os.getegid(), "0o600"), name)
            os.unlink(self.path("out"))
            os.unlink(self.path("real"))

    def test_mode_of_a_new_file(self):
        for mask, wanted in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
            os.umask(mask)
            for name, arguments in self.writers():
                self.assertEqual(self.cupool(*arguments, "out").returncode, 0, name)
                self.assertEqual(oct(mode(self.path("out"))),
                                 oct(0o600 if name == "pack" else wanted), name)
                os.unlink(self.path("out"))

    def test_nothing_is_overwritten_without_force(self):
        for kind in ("file", "link", "dangling"):
            for name, arguments in self.writers(force=False):
                if kind == "file":
                    self.write("out", "old")
                else:
                    if kind == "link":
                        self.write("target", "old")
                    os.symlink("target", self.path("out"))
                done = self.cupool(*arguments, "out")
                if kind == "dangling":  # there is no file to lose
                    self.assertEqual(done.returncode, 0, (name, done.stderr))
                    self.assertTrue(os.path.islink(self.path("out")), name)
                else:
                    self.assertEqual(done.returncode, 2, (name, kind))
                    self.assertIn("--force", done.stderr)
                    self.assertEqual(content(self.path("out")), b"old")
                for made in ("out", "target"):
                    if os.path.lexists(self.path(made)):
                        os.unlink(self.path(made))
        self.expect_nothing_else()

    def test_a_file_that_comes_up_meanwhile_stays(self):
        """A file that appears when the draft is complete and not yet renamed."""
        for name, arguments in self.writers(force=False):
            process = subprocess.Popen([CUPOOL, *arguments, "out"], cwd=self.directory,
                                       env={"PATH": os.environ["PATH"],
                                            "LD_PRELOAD": self.late_library(), "LATE_FILE": self.path("out"),
                                            "ASAN_OPTIONS": "verify_asan_link_order=0"},
                                       stderr=subprocess.PIPE, text=True)
            _, errors = process.communicate(timeout=PATIENCE_S)
            self.assertEqual((process.returncode, content(self.path("out"))), (2, b"late"),
                             (name, errors))
            self.assertIn("exists", errors)
            os.unlink(self.path("out"))
        self.expect_nothing_else("late.so")

    def late_library(self):
        """Creates a file with the name of the output when the draft is synced to disk."""
        library = self.path("late.so")
        if not os.path.exists(library):
            compiler = shutil.which("cc")
            if not compiler:
                self.skipTest("no compiler to make the file with")
            source = self.write("late.c", """
                #include <fcntl.h>
                #include <stdlib.h>
                #include <sys/syscall.h>
                #include <unistd.h>
                int fsync(int fd)
                {
                    int late = open(getenv("LATE_FILE"), O_WRONLY | O_CREAT | O_EXCL, 0644);
                    if (late >= 0 && write(late, "late", 4) != 4)
                        abort();
                    close(late);
                    return (int)syscall(SYS_fsync, fd);
                }
            """)
            subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
            os.unlink(source)
        return library

    def test_own_links_are_followed(self):
        os.mkdir(self.path("elsewhere"))
        for name, arguments in self.writers():
            for target in ("elsewhere/real", self.path("elsewhere", "real"), "./elsewhere/../elsewhere/real"):
                self.write("elsewhere/real", "old", 0o640)
                os.symlink(target, self.path("out"))
                self.assertEqual(self.cupool(*arguments, "out").returncode, 0, name)
                self.assertTrue(os.path.islink(self.path("out")), name)
                self.assertNotEqual(content(self.path("elsewhere/real")), b"old", name)
                os.unlink(self.path("out"))
        os.symlink("loop", self.path("loop"))
        self.assertEqual(self.cupool("report", "--force", "-o", "loop", "t.cupool").returncode, 2)
        self.assertEqual(os.listdir(self.path("elsewhere")), ["real"])

    def test_what_cannot_be_written_is_refused(self):
        os.mkdir(self.path("directory"))
        self.write("file", "old")
        for name, arguments in self.writers():
            for place in ("directory", "directory/", ".", "..", "/", "", "file/", "file/x", "no/x",
                          "directory/..", "x" * 300, "/proc/version/x", "/proc/self/fd/9999"):
                done = self.cupool(*arguments, place)
                self.assertEqual(done.returncode, 2, (name, place))
                self.assertEqual(len(done.stderr.splitlines()), 1, (name, place, done.stderr))
        self.assertEqual(content(self.path("file")), b"old")
        self.expect_nothing_else("directory", "file")

    # devices and pipes

    def test_devices_are_written_into(self):
        for name, arguments in self.writers():
            for device in (self.device("null"), self.device("full")):
                os.symlink(device, self.path("out"))
                for place in (device, "out"):
                    done = self.cupool(*arguments, place)
                    self.assertEqual(done.returncode, 0 if device.endswith("null") else 2,
                                     (name, place, done.stderr))
                    self.assertTrue(stat.S_ISCHR(os.stat(device).st_mode), name)
                os.unlink(self.path("out"))
        self.expect_nothing_else(*self.devices())

    def test_standard_output_by_name(self):
        for place in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            done = self.cupool("report", "-f", "csv", "-o", place, "t.cupool")
            self.assertEqual((done.returncode, done.stderr), (0, ""), place)
            self.assertTrue(done.stdout.startswith("trace,pid"), place)

    def test_closed_standard_streams(self):
        """Their numbers do not become those of other files, and a program has them closed."""
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
            for place, sign in (("/dev/stdout", " >"), ("/proc/self/fd/1", " >"), ("/dev/fd/2", " 2>"), ("/dev/fd/3", "")):
                code = 2 if sign in " " + closed else 0
                done = self.shell(f'"$0" report -f csv -o {place} t.cupool {closed}', CUPOOL)
                self.assertEqual(done.returncode, code, (closed, place, done.stderr))
                if code and "2>" not in closed:
                    self.assertIn(f"{place}: Bad file descriptor", done.stderr, closed)
            names = 'for i in 0 1 2; do [ -e /proc/self/fd/$i ] && s="$s$i"; done; echo "$s" >"$1"'
            for words in ("", f'"{CUPOOL}" run -q -o r%p -- '):
                self.shell(f"{words}sh -c '{names}' sh {'open' if words else 'bare'} {closed}")
            self.assertEqual(content(self.path("open")), content(self.path("bare")), closed)

    def shell(self, text, *words):
        return subprocess.run(["sh", "-c", text, *words], cwd=self.directory, text=True, capture_output=True,
                              env={"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD, "CUPOOL_TEST_EVENTS": EVENTS,
                                   "ASAN_OPTIONS": "verify_asan_link_order=0"},
                              timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL)

    def test_pipes(self):
        """A pipe without a reader is an error after a short time at most; one with a reader is
        written."""
        for name, arguments in self.writers():
            os.mkfifo(self.path("pipe"))
            done = self.cupool(*arguments, "pipe")
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("pipe", done.stderr)
            got = []
            reader = threading.Thread(target=lambda: got.append(content(self.path("pipe"))))
            reader.start()
            done = self.cupool(*arguments, "pipe")
            reader.join(PATIENCE_S)
            self.assertEqual(done.returncode, 0, (name, done.stderr))
            self.assertTrue(stat.S_ISFIFO(os.lstat(self.path("pipe")).st_mode), name)
            self.assertGreater(len(got[0]), 0, name)
            os.unlink(self.path("pipe"))

    def test_a_limit_of_file_sizes_is_an_error(self):
        """The signal of the limit would end the command without a word, in the middle of a file."""
        for name, arguments in self.writers():
            process = subprocess.run(
                [CUPOOL, *arguments, "out"], cwd=self.directory, text=True, timeout=PATIENCE_S,
                env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "verify_asan_link_order=0"},
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)))
            self.assertEqual(process.returncode, 2, (name, process.stderr))
            self.assertIn("File too large", process.stderr, name)
        self.expect_nothing_else()

    def test_nothing_is_left_of_a_killed_writer(self):
        """The file has no name until it is whole, where the file system allows that."""
        try:
            os.close(os.open(self.directory, os.O_TMPFILE | os.O_WRONLY, 0o600))
        except OSError as error:
            self.skipTest(f"every file has a name here: {error}")
        for name, arguments in self.writers():
            process = subprocess.Popen([CUPOOL, *arguments, "out"], cwd=self.directory, stderr=subprocess.PIPE,
                                       env={"PATH": os.environ["PATH"], "LD_PRELOAD": self.killing_library(),
                                            "ASAN_OPTIONS": "verify_asan_link_order=0"},
                                       stdout=subprocess.DEVNULL)
            process.communicate(timeout=PATIENCE_S)
            self.assertEqual(process.returncode, -signal.SIGKILL, name)
        self.expect_nothing_else("killing.so")

    def killing_library(self):
        """Kills the process when the draft is written to the disk."""
        library = self.path("killing.so")
        if not os.path.exists(library):
            compiler = shutil.which("cc")
            if not compiler:
                self.skipTest("no compiler to make the file with")
            source = self.write("killing.c", """
                #include <signal.h>
                #include <unistd.h>
                int fsync(int fd)
                {
                    return kill(getpid(), SIGKILL);
                }
            """)
            subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
            os.unlink(source)
        return library

    # a record's place

    def test_run_replaces_records_only(self):
        os.mkfifo(self.path("pipe"))
        os.symlink("t.cupool", self.path("link"))
        os.mkdir(self.path("directory"))
        self.write("precious", "not a trace " * 100)
        before = content(self.path("t.cupool"))
        for place in ("pipe", "link", "directory", "precious", self.device("null"), self.device("full")):
            for force in ([], ["--force"]):
                done = self.cupool("run", *force, "-o", place, "--", "true")
                self.assertEqual(done.returncode, 125, (place, done.stderr))
        self.assertEqual(content(self.path("t.cupool")), before)
        self.assertTrue(os.path.islink(self.path("link")))
        self.expect_nothing_else("pipe", "link", "directory", "precious", *self.devices())

    def test_traces_beside_devices(self):
        """A pattern may hide the name until the program runs."""
        os.mkfifo(self.path("pipe"))
        for pattern, place in (("%q{PLACE}", "pipe"), ("/dev/%q{PLACE}", "null")):
            done = self.cupool("run", "-o", pattern, "--", "true", PLACE=place)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("not a file name", done.stderr)
            self.assertNotIn("no CUDA call", done.stderr)
        self.expect_nothing_else("pipe")
        self.assertEqual([name for name in os.listdir("/dev") if name.startswith("null.")], [])

    def test_a_trace_that_could_not_be_made(self):
        done = self.cupool("run", "-o", "no%q{X}/t.cupool", "--", "true")
        self.assertEqual(done.returncode, 0)
        self.assertIn("No such file or directory", done.stderr)
        self.assertNotIn("no CUDA call", done.stderr)
        done = subprocess.run(
            [CUPOOL, "run", "-o", "limited.cupool", "--", "true"], cwd=self.directory, text=True,
            env={"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD, "CUPOOL_TEST_EVENTS": EVENTS,
                 "ASAN_OPTIONS": "verify_asan_link_order=0"}, capture_output=True, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
        self.assertIn("File too large", done.stderr)
        self.assertNotIn("no CUDA call", done.stderr)
        self.expect_nothing_else()

    # inputs

    def test_inputs_are_regular_files_of_bounded_length(self):
        os.mkfifo(self.path("pipe"))
        self.write("huge", "")
        os.truncate(self.path("huge"), 20 << 30)
        os.mkfifo(self.path("program"), 0o755)
        odd = ["pipe", "huge", "/dev/zero", "/dev/stdin", "/proc/self/pagemap", "/proc/kmsg",
               self.directory]
        for place in odd:
            for arguments in (["report", place], ["pack", "-o", "x", place], ["diff", place, "t.cupool"],
                              ["diff", "t.cupool", place], ["check", "--budget", place, "t.cupool"],
                              ["check", "--budget", "b", place],
                              ["check", "--budget", "b", "--baseline", place, "t.cupool"]):
                done = self.cupool(*arguments)
                self.assertEqual(done.returncode, 2, (arguments, done.stdout))
                self.assertEqual(len(done.stderr.splitlines()), 1, (arguments, done.stderr))
                self.assertLess(len(done.stderr), 1000, arguments)
            done = self.cupool("options", CUPOOL_CONF=place)
            self.assertLess(len(done.stderr), 1000, place)
        self.assertEqual(self.cupool("doctor", "--static", "--", "./program").returncode, 2)
        self.expect_nothing_else("pipe", "huge", "program")

    def test_configuration_is_bounded(self):
        self.write("long", "# 45678\n" * 8192)
        done = self.cupool("options", CUPOOL_CONF="long")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.write("long", "# 45678\n" * 8192 + "\n")
        done = self.cupool("options", CUPOOL_CONF="long")
        self.assertEqual(done.returncode, 2)
        self.assertIn("64 KiB", done.stderr)
        self.write("bad", "x = 1\n" * 10000)
        for environment in ({"CUPOOL_CONF": "bad"}, {"CUPOOL": ",".join(["x:1"] * 10000)},
                            {f"CUPOOL_X{i}": "1" for i in range(10000)}):
            done = self.cupool("options", **environment)
            lines = done.stderr.splitlines()
            self.assertEqual((done.returncode, len(lines)), (2, 11))
            self.assertIn("9990 more", lines[-1])

    def test_a_zero_byte_is_not_the_end_of_a_line(self):
        """In the middle, in a comment, in the last line, in each line of UTF-16, and in a hole."""
        for number, text in ((2, "mode = observe\nlimit = 1\0GiB\n"), (1, "limit = 1GiB # a\0b\n"),
                             (2, "\nlimit = 1GiB\0"), (1, "\0limit = 1GiB"), (1, "\0" * 40000)):
            self.write("conf", text)
            for arguments, code in ((["options"], 2), (["run", "--config", "conf", "--", "true"], 125)):
                done = self.cupool(*arguments, CUPOOL_CONF="conf" if code == 2 else "")
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (code, 1), done.stderr)
                self.assertIn(f"conf:{number}: ignored because of a zero byte", done.stderr)
                self.assertNotIn("\0", done.stderr)
                if code == 2:
                    self.assertRegex(done.stdout, r"(?m)^limit +0 ")
                    self.assertRegex(done.stdout, r"(?m)^mode +" + ("observe" if "observe" in text else "pool"))
        with open(self.path("conf"), "wb") as file:
            file.write(("limit = 1\n" * 100).encode("utf-16-le"))
        for arguments in (["options"], ["run", "--config", "conf", "--", "true"]):
            done = self.cupool(*arguments, CUPOOL_CONF="conf" if len(arguments) == 1 else "")
            self.assertEqual(len(done.stderr.splitlines()), 11, done.stderr)

        for number, text in ((2, "[budget]\npeak_live = 1\0 TiB\n"), (3, "[budget]\npeak_live = 1TiB\n#\0"),
                             (1, "\0"), (1, "\0" * 4096), (2, "[budget]\npeak_live = 1TiB\0"),
                             (1, "[budget\0x]\n"), (1, "".join(f"{c}\0" for c in "[budget]\n"))):
            done = self.cupool("check", "--budget", self.write("nul", text), "t.cupool")
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (text, done.stderr))
            self.assertIn(f"nul:{number}: zero byte", done.stderr)
        self.assertIn("no budget in this file", self.cupool("check", "--budget", self.write("nul", ""),
                                                            "t.cupool").stderr)
        self.assertEqual(self.cupool("check", "--update-baseline", "--baseline", "base", "t.cupool").returncode, 0)
        whole = content(self.path("base")).decode()
        for text in (whole + "\0", whole.replace('"schema"', '"sch\0ema"'), whole.replace('"schema"', '"sch\\u0000ema"'),
                     whole.replace("{", "{\0", 1)):
            done = self.cupool("check", "--baseline", self.write("nul", text), "--budget", "b", "t.cupool")
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (text, done.stderr))
        lifetimes = "id,lower,upper,size\n0,0,10,4096\n"
        rmm = "Thread,Time,Action,Pointer,Size,Stream\n1,10:00:00.000001,allocate,0x7f0000000000,256,0x0\n"
        for good in (lifetimes, rmm):
            self.assertEqual(self.cupool("replay", self.write("nul.csv", good)).returncode, 0)
            for bad in (good[:-1] + "\0", good + "\0", good[:-1] + "\0,5\n", good.replace(",", "\0,", 1)):
                done = self.cupool("replay", self.write("nul.csv", bad))
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), (bad, done.stderr))


@unittest.skipUnless(IS_ROOT, "only root can make files of another user")
class Foreign(Base):
    """The same as root with files prepared by an unprivileged user, and vice versa."""

    def shared(self, name="shared"):
        os.mkdir(self.path(name))
        os.chmod(self.path(name), 0o1777)
        return self.path(name)

    def give(self, path, user=NOBODY):
        os.chown(path, user, user, follow_symlinks=False)
        return path

    def test_a_prepared_file_does_not_lend_its_mode(self):
        self.shared()
        for prepared in (0o4755, 0o6777, 0o2777, 0o666, 0o777):
            for name, arguments in self.writers():
                path = self.give(self.write("shared/out", "#!/bin/sh\n"))
                os.chmod(path, prepared)
                with open(path, "r+b") as kept:  # as its owner may
                    done = self.cupool(*arguments, "shared/out")
                    self.assertEqual(done.returncode, 0, (name, done.stderr))
                    self.assertEqual(kept.read(), b"#!/bin/sh\n", "written into a file others hold")
                status = os.lstat(path)
                self.assertEqual((status.st_uid, oct(stat.S_IMODE(status.st_mode))),
                                 (0, oct(0o600 if name == "pack" else 0o644)), name)
                os.unlink(path)

    def test_prepared_links_are_not_followed(self):
        """Links at the end of a path, and inside it."""
        self.shared()
        os.mkdir(self.path("safe"))
        for name, arguments in self.writers():
            for target, place in (("safe/victim", "shared/out"), ("safe/new", "shared/out"),
                                  ("safe", "shared/out/victim"), ("safe", "shared/out/new")):
                self.write("safe/victim", "precious")
                link = self.path("shared", "out")
                os.symlink(self.path(target), link)
                self.give(link)
                done = self.cupool(*arguments, place)
                self.assertEqual(done.returncode, 2, (name, target, place))
                self.assertIn("another user's symbolic link", done.stderr, name)
                self.assertEqual(os.listdir(self.path("safe")), ["victim"])
                self.assertEqual(content(self.path("safe/victim")), b"precious")
                os.unlink(link)

    def test_records_go_through_no_prepared_link(self):
        self.shared()
        os.mkdir(self.path("safe"))
        link = self.path("shared", "out")
        os.symlink(self.path("safe"), link)
        self.give(link)
        for place in ("shared/out/new", "shared/out/%e.%p.cupool", "shared/out/%p/new", "shared/out"):
            done = self.cupool("run", "-q", "-o", place, "--", "true")
            self.assertEqual(done.returncode, 125, (place, done.stderr))
            self.assertIn("another user's symbolic link", done.stderr, place)
            self.assertEqual(os.listdir(self.path("safe")), [], place)

    def test_links_of_a_user_in_the_users_own_directory(self):
        """Without a sticky bit, root does not follow either."""
        os.mkdir(self.path("home"))
        self.give(self.path("home"))
        self.write("victim", "precious")
        os.symlink(self.path("victim"), self.path("home/out"))
        self.give(self.path("home/out"))
        for name, arguments in self.writers():
            self.assertEqual(self.cupool(*arguments, "home/out").returncode, 2, name)
            self.assertEqual(content(self.path("victim")), b"precious", name)
        # A link to a pipe or a device is a link.
        os.unlink(self.path("home/out"))
        os.symlink(self.device("null"), self.path("home/out"))
        self.give(self.path("home/out"))
        self.assertEqual(self.cupool("report", "--force", "-o", "home/out", "t.cupool").returncode, 2)

    def test_prepared_pipes(self):
        self.shared()
        pipe = self.path("shared/pipe")
        os.mkfifo(pipe)
        self.give(pipe)
        for name, arguments in self.writers():
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            done = self.cupool(*arguments, "shared/pipe")
            self.assertEqual((done.returncode, os.read(reader, 10)), (2, b""), name)
            os.close(reader)

    def test_an_unprivileged_user_among_files_of_root(self):
        shared = self.shared()
        os.chmod(self.path("t.cupool"), 0o644)
        for name, arguments in self.writers():
            path = self.write("shared/out", "root's", 0o666)
            done = self.cupool(*arguments, "shared/out", user=NOBODY)
            self.assertEqual((done.returncode, content(path)), (2, b"root's"), name)
            self.assertEqual(os.listdir(shared), ["out"], name)
            os.unlink(path)

    # records

    def plant(self, name, pid, owner):
        """A trace that begins in a second and claims to be of a process."""
        path = self.path("shared", name)
        shutil.copy(self.path("t.cupool"), path)
        with open(path, "r+b") as file:
            file.seek(16)
            file.write(struct.pack("<QI", (time.time_ns() + 10**9), pid))
        return self.give(path, owner)

    def test_planted_records_are_not_believed(self):
        self.shared()
        planted = self.plant("true.1.cupool", 1, NOBODY)
        before = content(planted)
        done = self.cupool("run", "-o", "shared/%e.%p.cupool", "--", "true",
                           CUPOOL_TEST_EVENTS="")
        self.assertEqual(done.returncode, 0)
        self.assertIn("other users", done.stderr)
        self.assertEqual(content(planted), before)
        done = self.cupool("run", "-o", "shared/%e.%p.cupool", "--", "true")
        self.assertNotIn("programs recorded", done.stderr)
        self.assertEqual(content(planted), before)

    def test_the_exit_goes_into_no_planted_record(self):
        """The program plants files with its own pid, in many ways, and records nothing."""
        self.shared()
        script = self.write("plant.sh", """
            cp t.cupool shared/x.$$.cupool
            python3 - shared/x.$$.cupool $$ <<'END'
import os, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    file.seek(16)
    file.write(struct.pack("<QI", time.time_ns() + 10**9, int(sys.argv[2])))
kind, path = os.environ["KIND"], sys.argv[1]
if kind == "foreign":
    os.chown(path, 65534, 65534)
elif kind == "link":
    os.rename(path, "victim")
    os.symlink(os.path.abspath("victim"), path)
elif kind == "hardlink":
    os.rename(path, "victim")
    os.link("victim", path)
elif kind == "pipe":
    os.unlink(path)
    os.mkfifo(path)
END
        """)
        for kind in ("foreign", "link", "hardlink", "pipe"):
            done = self.cupool("run", "-o", "shared/x.%p.cupool", "--", "sh", script, KIND=kind,
                               CUPOOL_TEST_EVENTS="")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("peak", done.stderr, kind)
            for name in [self.path("shared", name) for name in os.listdir(self.path("shared"))] + [
                    self.path("victim")]:
                if os.path.isfile(name):
                    self.assertEqual(len(content(name)), os.path.getsize(self.path("t.cupool")), kind)
                if os.path.lexists(name):
                    os.unlink(name)

    def test_run_does_not_replace_records_of_others(self):
        self.shared()
        planted = self.plant("t.cupool", 1, NOBODY)
        done = self.cupool("run", "--force", "-o", "shared/t.cupool", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertTrue(os.path.exists(planted))


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unittest.main(argv=[__file__, *sys.argv[3:]])

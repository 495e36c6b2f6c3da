# SPDX-License-Identifier: MIT
"""`cupool report --pid` reports a running program as it is now, and does not disturb it."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

import preload
import report_schema

MACHINE = preload.Machine(preload.arguments(__doc__).build)
PROGRAM = pathlib.Path(__file__).parent / "programs" / "live_program.py"
PATIENCE_S = 240  # until a result counts as missing
MIB = 1 << 20
# Allocates and frees in threads, until a line on stdin.
BUSY = """
import ctypes, sys, threading, time
runtime = ctypes.CDLL("libcudart.so.13")
stop = False
assert runtime.cudaFree(None) == 0
def churn():
    kept = []
    while not stop:
        pointer = ctypes.c_void_p()
        assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(4096)) == 0
        kept.append(pointer)
        if len(kept) > 50:
            assert runtime.cudaFree(kept.pop(0)) == 0
        else:
            time.sleep(0.01)
threads = [threading.Thread(target=churn) for _ in range(2)]
for thread in threads: thread.start()
print("busy", flush=True)
sys.stdin.readline()
stop = True
for thread in threads: thread.join()
print("fine", flush=True)
"""


class Running(unittest.TestCase):
    def setUp(self):
        self.place = MACHINE.scratch / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *command, options="", **extra):
        """A preloaded program that waits for commands; it ends normally with its input."""
        environment = MACHINE.environment(preload=True, CUPOOL=options, **extra)
        process = subprocess.Popen(command or [sys.executable, PROGRAM], env=environment,
                                   cwd=self.place, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.stack.callback(self.stop, process)
        return process

    def stop(self, process):
        if process.stdin.closed:
            return
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE_S), 0)
        process.stdout.close()

    def report(self, *words, **extra):
        return subprocess.run([MACHINE.cupool, "report", *map(str, words)], text=True,
                              capture_output=True, timeout=PATIENCE_S, **extra)

    def figures(self, *words):
        done = self.report(*words, "-f", "json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertEqual(report_schema.errors(report), [])
        return report

    def refused(self, *words, **extra):
        done = self.report(*words, **extra)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_a_recorded_program(self):
        process = self.start(options="trace:t.cupool")
        for blocks in (3, 5):
            preload.order(process, f"hold {blocks} {MIB}")
            report = self.figures("--pid", process.pid)
            self.assertTrue(report["process"]["running"])
            self.assertFalse(report["process"]["complete"])
            self.assertEqual(report["process"]["pid"], process.pid)
            self.assertEqual(report["trace"], str(self.place / "t.cupool"))
        self.assertEqual(report["summary"]["leaked_blocks"], 8)
        self.assertEqual(report["summary"]["leaked_bytes"], 8 * MIB)
        text = self.report("--pid", process.pid).stdout
        for words in ("still running", "snapshot: ", "Live now", " NOW\n"):
            self.assertIn(words, text)
        for words in ("incomplete", "leak", "Leak", "LEAK", "never freed", "exit status", "ended"):
            self.assertNotIn(words, text.replace("no leak", ""))
        markdown = self.report("--pid", process.pid, "-f", "markdown").stdout
        self.assertIn("still running", markdown)
        self.assertIn("| Live now | 8.0 MiB", markdown)
        self.assertNotIn("Leaks", markdown)
        for form in ("html", "csv", "openmetrics", "perfetto", "folded"):
            done = self.report("--pid", process.pid, "-f", form, "-o", self.place / form)
            self.assertEqual((done.returncode, done.stderr), (0, ""), form)
        page = re.sub("<script.*?</script>", "", (self.place / "html").read_text(), flags=re.S)
        for words in ("still running", "<strong>Snapshot:</strong>", "<dt>Live now</dt>",
                      ">Live now</h2>", ">Live now</h3>", ">Now</th>"):
            self.assertIn(words, page)
        for words in ("is incomplete", "<dt>Leaks", ">Leaks<", ">Leaked<", ">Never freed</h3>"):
            self.assertNotIn(words, page)
        # By file name the result is the same; the program was not disturbed and ends normally.
        self.assertTrue(self.figures(self.place / "t.cupool")["process"]["running"])
        preload.order(process, "drop")
        self.stop(process)
        report = self.figures(self.place / "t.cupool")
        self.assertFalse(report["process"]["running"])
        self.assertTrue(report["process"]["complete"])
        self.assertEqual(report["summary"]["leaked_blocks"], 0)
        self.assertIn("no such process", self.refused("--pid", process.pid))

    def test_other_names_of_the_trace(self):
        """A trace with newlines and blanks in its name, a renamed one, one in shared memory."""
        for name in ("a b\nc (deleted)x.cupool", "plain"):
            process = self.start(CUPOOL_TRACE=name)
            preload.order(process, f"hold 2 {MIB}")
            report = self.figures("--pid", process.pid)
            self.assertEqual(report["summary"]["leaked_blocks"], 2)
            (self.place / name).rename(self.place / "renamed")
            report = self.figures("--pid", process.pid)
            self.assertEqual(report["trace"], str(self.place / "renamed"))
            self.assertTrue(self.figures(self.place / "renamed")["process"]["running"])
            self.stop(process)

    def test_a_copy_is_of_no_running_program(self):
        process = self.start(options="trace:t.cupool")
        preload.order(process, f"hold 2 {MIB}")
        (self.place / "copy").write_bytes((self.place / "t.cupool").read_bytes())
        report = self.figures(self.place / "copy")
        self.assertFalse(report["process"]["running"])
        text = self.report(self.place / "copy").stdout
        self.assertIn("trace is incomplete: the process ended without closing it", text)
        # How long the program went on is in no trace; only `cupool run` adds when it ended.
        for form in ("text", "markdown", "html"):
            self.assertRegex(self.report(self.place / "copy", "-f", form).stdout,
                             r"ran [0-9.]+ m?s until its last call")
        self.stop(process)
        self.assertNotIn("last call", self.report(self.place / "t.cupool").stdout)

    def test_a_program_that_closed_its_descriptors(self):
        script = ("import ctypes, os, sys\n"
                  "runtime, pointer = ctypes.CDLL('libcudart.so.13'), ctypes.c_void_p()\n"
                  "assert runtime.cudaMalloc(ctypes.byref(pointer), 4096) == 0\n"
                  "os.closerange(3, 1024)\nprint('closed', flush=True)\nsys.stdin.readline()\n")
        process = self.start(sys.executable, "-c", script, options="trace:t.cupool")
        process.stdout.readline()
        self.assertEqual(self.figures("--pid", process.pid)["summary"]["allocations"], 1)

    def test_a_busy_program(self):
        """Reports while threads write block after block, to a growing trace and to one of limited
        size."""
        for options in ("trace:t.cupool", "trace:u.cupool,trace_max:8MiB"):
            process = self.start(sys.executable, "-c", BUSY, options=options)
            process.stdout.readline()
            allocations = 0
            for _ in range(4):
                report = self.figures("--pid", process.pid)
                self.assertTrue(report["process"]["running"])
                self.assertEqual(report["recording"]["unmatched_frees"], 0, options)
                live = report["summary"]["allocations"] - report["summary"]["frees"]
                self.assertLessEqual(abs(live), 120, options)
                self.assertGreaterEqual(report["summary"]["allocations"], allocations)
                allocations = report["summary"]["allocations"]
            self.assertGreater(allocations, 0)
            process.stdin.write("\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "fine\n")
            self.stop(process)

    def test_children_are_their_own(self):
        script = ("import ctypes, os, sys\n"
                  "runtime, pointer = ctypes.CDLL('libcudart.so.13'), ctypes.c_void_p()\n"
                  "assert runtime.cudaMalloc(ctypes.byref(pointer), 4096) == 0\n"
                  "child = os.fork()\n"
                  "if child == 0: sys.stdin.readline(); os._exit(0)\n"
                  "print(child, flush=True)\nsys.stdin.readline()\nos.waitpid(child, 0)\n")
        process = self.start(sys.executable, "-c", script, options="trace:t.cupool")
        child = int(process.stdout.readline())
        self.assertIn("no CUDA function yet", self.refused("--pid", child))
        self.assertEqual(self.figures("--pid", process.pid)["summary"]["allocations"], 1)

    def test_the_launcher_of_a_program(self):
        """The pid that a shell knows may be that of `cupool run`, or of a script."""
        words = [str(MACHINE.cupool), "run", "--sim", "-q", "-o", "t.cupool", "-O", "live:off", "--"]
        for command in (words, ["sh", "-c", 'exec 3<&0; "$@" <&3 & wait', "sh", *words]):
            process = subprocess.Popen([*command, sys.executable, str(PROGRAM)], cwd=self.place,
                                       env=MACHINE.environment(), text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.stack.callback(self.stop, process)
            preload.order(process, f"hold 3 {MIB}")
            report = self.figures("--pid", process.pid)
            self.assertEqual(report["summary"]["leaked_blocks"], 3)
            self.assertNotEqual(report["process"]["pid"], process.pid)
            self.stop(process)
            (self.place / "t.cupool").unlink()

    def test_a_program_that_is_not_recorded(self):
        process = self.start(options=f"live:{self.place}", CUPOOL_LIVE=self.place)
        preload.order(process, f"hold 3 {MIB}")
        done = self.report("--pid", process.pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("is not recorded", done.stdout)
        self.assertRegex(done.stdout, r"requested +3\.0 MiB")
        self.report("--pid", process.pid, "-o", self.place / "out.txt")
        self.assertIn("requested", (self.place / "out.txt").read_text())
        for words in (("-f", "json"), ("-f", "html"), ("--from", "1s"), ("--anonymize",)):
            self.assertIn("not recorded", self.refused("--pid", process.pid, *words))
        self.stop(process)

    def test_a_trace_that_was_removed(self):
        process = self.start(options="trace:t.cupool", CUPOOL_LIVE=self.place)
        preload.order(process, f"hold 3 {MIB}")
        (self.place / "t.cupool").unlink()
        done = self.report("--pid", process.pid)
        self.assertIn("was removed", done.stdout)
        self.assertRegex(done.stdout, r"requested +3\.0 MiB")

    def test_nothing_to_report(self):
        process = self.start(options="live:off")
        preload.order(process, f"hold 3 {MIB}")
        self.assertIn("neither a trace nor a live page", self.refused("--pid", process.pid))
        foreign = subprocess.Popen(["sleep", "600"])
        self.stack.callback(foreign.wait)
        self.stack.callback(foreign.kill)
        self.assertIn("not running under cupool", self.refused("--pid", foreign.pid))
        for words in (("--pid", "x"), ("--pid", "0"), ("--pid", "-1"), ("--pid", "")):
            self.assertIn("not a process id", self.refused(*words))
        self.assertIn("not both", self.refused("--pid", foreign.pid, "t.cupool"))
        self.assertIn("no such process", self.refused("--pid", 2 ** 29))

    def test_a_process_that_ended_and_was_not_waited_for(self):
        process = self.start(options="trace:t.cupool")
        preload.order(process, f"hold 3 {MIB}")
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        state = ""
        while state != "Z" and time.monotonic() < deadline:
            state = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1][0]
        self.assertIn("has ended", self.refused("--pid", process.pid))
        self.assertFalse(self.figures(self.place / "t.cupool")["process"]["running"])
        process.stdin.close()
        process.wait()
        process.stdout.close()

    @unittest.skipUnless(os.geteuid() == 0, "another user can be had by root alone")
    def test_a_process_of_another_user(self):
        process = self.start(options=f"trace:t.cupool,live:{self.place}")
        preload.order(process, f"hold 3 {MIB}")
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
        if subprocess.run([MACHINE.cupool, "--version"], capture_output=True, **nobody).returncode:
            self.skipTest("the build directory is not readable by others")
        self.assertIn("another user", self.refused("--pid", process.pid, **nobody))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

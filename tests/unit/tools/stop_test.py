#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`cupool run` stops and goes on with its program, whatever comes in between.

usage: stop_test.py CUPOOL PRELOAD INSTANT
INSTANT is a library (signal_instant.c) that sends cupool a signal in an instant that is otherwise a
matter of luck. Where a signal is lost, cupool is seen to be stopped, or running, for good.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PATIENCE_S = 120  # until something counts as never
CUPOOL, PRELOAD, INSTANT = (os.path.abspath(path) for path in sys.argv[1:4])


class Stop(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="cupool-stop-")
        self.addCleanup(self.directory.cleanup)

    def start(self, program, instant=None):
        """Starts a program under cupool, in a group of their own."""
        environment = {"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD,
                       "ASAN_OPTIONS": "verify_asan_link_order=0"}
        if instant:
            environment.update(LD_PRELOAD=INSTANT, INSTANT=instant)
        process = subprocess.Popen(
            [CUPOOL, "run", "-q", "--mode", "off", "--", sys.executable, "-c",
             "import os, signal, sys, time\n" + program], cwd=self.directory.name, env=environment,
            stdout=subprocess.PIPE, text=True, preexec_fn=os.setpgrp)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.returncode is None and os.killpg(process.pid, signal.SIGKILL))
        return process

    def event(self, process, options=0):
        """What happens to cupool next: the signal that stops it (a name), or its exit code."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG | options)
            if pid and os.WIFSTOPPED(status):
                return signal.Signals(os.WSTOPSIG(status)).name
            if pid and os.WIFCONTINUED(status):
                return "continued"
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode
            time.sleep(0.01)
        return "nothing"

    def file(self, name):
        with open(os.path.join(self.directory.name, name), "w", encoding="ascii"):
            pass

    def test_continued_in_the_instant_of_the_stop(self):
        for stop in ("SIGTSTP", "SIGTTIN", "SIGTTOU"):
            process = self.start(f"os.kill(os.getpid(), signal.{stop})\nsys.exit(7)", "stop")
            self.assertEqual(self.event(process), 7, stop)

    def test_group_stopped_and_continued_at_once(self):
        """The stop signal is over before cupool knows that the group got it, too.

        The program blocks it: otherwise cupool may see its stop first, and stop rightly. If cupool
        passes it on, the program stops in the end."""
        process = self.start("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTSTP])\n"
                             "print('on', flush=True)\n"
                             "while not os.path.exists('end'): time.sleep(0.02)\n"
                             "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTSTP])\n"
                             "sys.exit(7)", "over")
        self.assertEqual(process.stdout.readline(), "on\n")
        os.killpg(process.pid, signal.SIGTSTP)
        time.sleep(0.5)  # enough for a wrong stop; nothing is waited for
        self.file("end")
        self.assertEqual(self.event(process), 7)

    def test_stopped_in_the_instant_of_going_on(self):
        process = self.start("os.kill(os.getpid(), signal.SIGTTIN)\nprint('on', flush=True)\n"
                             "while not os.path.exists('end'): time.sleep(0.02)\nsys.exit(7)", "again")
        self.assertEqual(self.event(process), "SIGTTIN")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.event(process), "SIGTSTP")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.stdout.readline(), "on\n")
        self.file("end")
        self.assertEqual(self.event(process), 7)

    def test_stopped_before_it_is_executed(self):
        process = self.start("sys.exit(7)", "execute")
        self.assertEqual(self.event(process), "SIGSTOP")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.event(process), 7)

    def test_program_alone_goes_on_or_ends(self):
        for last, code in ((signal.SIGCONT, 7), (signal.SIGKILL, 137)):
            for stop in ("SIGTSTP", "SIGSTOP"):
                process = self.start(f"print(os.getpid(), flush=True)\n"
                                     f"os.kill(os.getpid(), signal.{stop})\nsys.exit(7)")
                program = int(process.stdout.readline())
                self.assertEqual(self.event(process), stop)
                os.kill(program, last)
                self.assertEqual(self.event(process), code, f"{stop}, {last}")

    def test_program_alone_goes_on_in_the_instant_of_the_stop(self):
        process = self.start("os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(7)", "lost")
        event = self.event(process)
        self.assertEqual(self.event(process) if event == "SIGSTOP" else event, 7)

    def test_continued_once(self):
        """The helper that watches the program adds no signal of its own to that of the group."""
        process = self.start("signal.signal(signal.SIGCONT, lambda *_: os.write(1, b'on\\n'))\n"
                             "signal.signal(signal.SIGPWR, lambda *_: os._exit(7))\n"
                             "os.kill(os.getpid(), signal.SIGTSTP)\nwhile True: time.sleep(0.02)", "slow")
        self.assertEqual(self.event(process), "SIGTSTP")
        os.killpg(process.pid, signal.SIGCONT)
        self.assertEqual(process.stdout.readline(), "on\n")
        process.send_signal(signal.SIGPWR)  # forwarded after any SIGCONT
        self.assertEqual(self.event(process), 7)
        self.assertEqual(process.stdout.read(), "")

    def test_program_without_its_first_thread(self):
        """It is stopped though /proc shows its first thread as ended."""
        process = self.start("import ctypes, threading, platform\n"
                             "def stop():\n"
                             "    while open(f'/proc/{os.getpid()}/stat').read().split(') ')[1][0] != 'Z':\n"
                             "        time.sleep(0.01)\n"
                             "    os.kill(os.getpid(), signal.SIGTSTP)\n    os._exit(7)\n"
                             "threading.Thread(target=stop).start()\n"
                             "ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)")
        self.assertEqual(self.event(process), "SIGTSTP")
        time.sleep(0.5)  # enough for a wrong look at it; nothing is waited for
        self.assertEqual(os.waitpid(process.pid, os.WCONTINUED | os.WNOHANG), (0, 0))
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.event(process), 7)

    def test_signal_after_the_end(self):
        """It was for the program, and leaves its exit status."""
        self.assertEqual(self.event(self.start("sys.exit(7)", "end")), 7)

    def test_program_alone_stops_again(self):
        """cupool follows each time, and continues nothing by itself."""
        process = self.start("signal.signal(signal.SIGCONT, lambda *_: print('on', flush=True))\n"
                             "print(os.getpid(), flush=True)\nfor i in range(3):\n"
                             "    os.kill(os.getpid(), signal.SIGTSTP)\n"
                             "    while not os.path.exists(str(i)): time.sleep(0.02)\nsys.exit(7)")
        program = int(process.stdout.readline())
        for i in range(3):
            self.assertEqual(self.event(process), "SIGTSTP")
            os.kill(program, signal.SIGCONT)
            self.assertEqual(self.event(process, os.WCONTINUED), "continued")
            self.file(str(i))
        self.assertEqual(self.event(process), 7)
        self.assertEqual(process.stdout.read(), "on\n" * 3)

    def test_dispositions_are_the_programs_own(self):
        def prepare():
            signal.signal(signal.SIGTSTP, signal.SIG_IGN)

        program = "import signal; print([int(signal.getsignal(n)) for n in (20, 21, 22)])"
        done = [subprocess.run([*words, sys.executable, "-c", program], cwd=self.directory.name,
                               env={"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD},
                               stdout=subprocess.PIPE, preexec_fn=prepare, check=True).stdout
                for words in ([], [CUPOOL, "run", "-q", "--mode", "off", "--"])]
        self.assertEqual(*done)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

# SPDX-License-Identifier: MIT
"""`cupool top`: sites, share of the device and history on a screen of any size, its keys, plain
output without a screen, and the terminal's state after every kind of end."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

import preload

sys.path.append("/usr/lib/python3/dist-packages")  # of Debian, for another interpreter
try:
    import pyte
except ImportError:
    pyte = None

MACHINE = preload.Machine(preload.arguments(__doc__).build)
PATIENCE_S = 240  # until a result counts as missing
MIB = 1 << 20
# "grow N" keeps N MiB more; "churn" allocates often and keeps nothing.
PROGRAM = """
import ctypes, sys, time
runtime = ctypes.CDLL("libcudart.so.13")
kept = []
def allocate(size):
    pointer = ctypes.c_void_p()
    assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
    return pointer
def zz_kept_blocks(count):
    return [allocate(1 << 20) for _ in range(count)]
def aa_short_lived():
    for _ in range(100):
        assert runtime.cudaFree(allocate(4096)) == 0
for line in sys.stdin:
    order, *numbers = line.split()
    kept += zz_kept_blocks(int(numbers[0])) if order == "grow" else []
    aa_short_lived()
    for _ in range(2):
        time.sleep(0.15)
        runtime.cudaFree(allocate(512))
    print(len(kept), flush=True)
"""


class Terminal:
    """A command on a terminal, and its screen."""

    def __init__(self, command, columns=100, lines=30, term="linux", **environment):
        self.output, self.status = b"", None
        self.screen = pyte.Screen(columns, lines) if pyte else None
        self.stream = pyte.ByteStream(self.screen) if pyte else None
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        environment = {**os.environ, "TERM": term, "LC_ALL": "C.UTF-8", **environment}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, env=environment, start_new_session=True)

    def resize(self, columns, lines):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if self.screen:
            self.screen.resize(lines, columns)

    def pump(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            part = os.read(self.master, 65536)
            self.output += part
            if self.stream:
                self.stream.feed(part)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, shown):
        """Waits until a function of the screen's text returns true."""
        deadline = time.monotonic() + PATIENCE_S
        while not shown(self.text() if self.screen else self.output.decode(errors="replace")):
            assert time.monotonic() < deadline, f"not shown:\n{self.text() if self.screen else self.output}"
            self.pump(0.1)

    def key(self, key):
        os.write(self.master, key)

    def write_blocks(self, key):
        """Blocks the output, presses a key, and waits until the command is stuck writing."""
        termios.tcflow(self.slave, termios.TCOOFF)
        self.key(key)
        deadline, sleeps = time.monotonic() + PATIENCE_S, 0
        while sleeps < 3:
            assert time.monotonic() < deadline, "the key was not taken"
            taken = not struct.unpack("i", fcntl.ioctl(self.slave, termios.FIONREAD, bytes(4)))[0]
            state = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1][0]
            sleeps = sleeps + 1 if taken and state == "S" else 0
            time.sleep(0.01)

    def write_goes_on(self):
        termios.tcflow(self.slave, termios.TCOON)

    def end(self):
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.pump(0.1)
        while select.select([self.master], [], [], 0)[0]:
            self.pump(0)
        after = termios.tcgetattr(self.slave)
        os.close(self.master)
        os.close(self.slave)
        return self.process.returncode, after == self.before


class Top(unittest.TestCase):
    def setUp(self):
        self.place = MACHINE.scratch / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        (self.place / "program.py").write_text(PROGRAM)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, blocks, trace=True):
        number = len(list(self.place.iterdir()))
        environment = MACHINE.environment(preload=True, CUPOOL_LIVE=self.place,
                                          CUPOOL_TRACE=self.place / f"{number}.cupool" if trace else "")
        process = subprocess.Popen([sys.executable, "program.py"], env=environment, cwd=self.place,
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.stop, process)
        preload.order(process, f"grow {blocks}")
        return process

    @staticmethod
    def stop(process):
        if not process.stdin.closed:
            process.stdin.close()
            process.wait(PATIENCE_S)
            process.stdout.close()

    def command(self, *words):
        return [str(MACHINE.cupool), "top", "--from", str(self.place), *map(str, words)]

    def plain(self, *words, **environment):
        done = subprocess.run(self.command(*words), text=True, capture_output=True,
                              timeout=PATIENCE_S, env={**os.environ, **environment})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_plain(self):
        process = self.start(12)
        text = self.plain(process.pid, "-d", "5")
        self.assertRegex(text, r"device 0 +\d+\.\d MiB  \[[#.]+\]  0\.0 % of 140\.0 GiB")
        rows = text[text.index("sites as of"):].splitlines()
        self.assertRegex(rows[1], r"SITE +NOW +PEAK +BLOCKS +ALLOCATIONS")
        self.assertRegex(rows[2], r"program\.py:\d+ zz_kept_blocks\S* +12\.0 MiB +12\.0 MiB +12 +12$")
        self.assertRegex(rows[3], r"program\.py:\d+ \S+ +0 B")
        by_count = self.plain(process.pid, "-d", "5", "--sort", "allocations")
        self.assertLess(by_count.index("aa_short_lived"), by_count.index("zz_kept_blocks"))
        by_name = self.plain(process.pid, "-d", "5", "--sort", "name")
        self.assertLess(by_name.index("zz_kept_blocks"), by_name.index("aa_short_lived"))  # the line
        self.assertNotIn("SITE", self.plain(process.pid, "--no-sites"))
        for columns in (40, 60, 80):
            for line in self.plain(process.pid, "-d", "5", COLUMNS=str(columns)).splitlines():
                self.assertLessEqual(len(line), columns, line)

    def test_plain_history(self):
        process = self.start(4)
        reader = subprocess.Popen(self.command(process.pid, "-d", "0.3", "-n", "4"), text=True,
                                  stdout=subprocess.PIPE)
        for _ in range(3):
            preload.order(process, "grow 4")
        text, _ = reader.communicate(timeout=PATIENCE_S)
        self.assertEqual(text.count("requested"), 4)
        self.assertEqual(len(re.findall(r"history +[\u2581-\u2588]{2,4}\n", text)), 3, text)

    def test_reasons_for_no_sites(self):
        process = self.start(2, trace=False)
        self.assertIn("no sites: the program is not recorded", self.plain(process.pid, "-d", "5"))

    def test_another_pid_namespace(self):
        """In a namespace the program has another pid, which may belong to another program
        outside."""
        inside = ["unshare", "--pid", "--fork", "--kill-child"]
        if subprocess.run([*inside, "true"], capture_output=True).returncode:
            self.skipTest("no PID namespace can be made")
        environment = MACHINE.environment(CUPOOL_LIVE=self.place, CUPOOL_TRACE=self.place / "t.cupool")
        process = subprocess.Popen(
            [*inside, "env", f"LD_PRELOAD={MACHINE.environment(preload=True)['LD_PRELOAD']}",
             sys.executable, "program.py"],
            env=environment, cwd=self.place, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.stop, process)
        preload.order(process, "grow 7")
        text = self.plain("-d", "5")
        self.assertRegex(text, r"zz_kept_blocks\S* +7\.0 MiB", text)

    def test_bad_words(self):
        for words, expected in ((("--sort", "x"), "allocations"), (("--sort",), "--sort")):
            done = subprocess.run(self.command(*words), text=True, capture_output=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(expected, done.stderr)

    def dumb(self, term):
        process = self.start(3)
        terminal = Terminal(self.command(process.pid, "-d", "0.2"), term=term, LC_ALL="C")
        deadline = time.monotonic() + PATIENCE_S
        while terminal.output.count(b"history") < 2 and time.monotonic() < deadline:
            terminal.pump(0.1)
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), (0, True))
        self.assertIn(b"zz_kept_blocks", terminal.output)
        self.assertRegex(terminal.output, rb"history +[@#]+\r")
        self.assertTrue(all(sign < 128 for sign in terminal.output))
        self.assertNotIn(b"\033", terminal.output)

    def test_terminals_without_a_screen(self):
        for term in ("dumb", "no-such-terminal", ""):
            self.dumb(term)

    @unittest.skipUnless(pyte, "python3-pyte is not installed")
    def test_the_screen_and_its_keys(self):
        process = self.start(12)
        terminal = Terminal(self.command(process.pid, "-d", "0.3"))
        # Output may be part of a screen: wait for everything that is checked.
        terminal.until(lambda text: all(words in text for words in (
            "zz_kept_blocks", "aa_short", "history", "of 140.0 GiB", "q quit  h help  sorted by bytes")))
        text = terminal.text()
        self.assertLess(text.index("zz_kept"), text.index("aa_short"))
        terminal.key(b"a")
        terminal.until(lambda text: "sorted by allocations" in text and
                       text.find("aa_short") < text.find("zz_kept"))
        terminal.key(b"p")
        terminal.until(lambda text: "sorted by peak" in text and
                       text.find("zz_kept") < text.find("aa_short"))
        terminal.key(b"h")
        terminal.until(lambda text: text.startswith("Keys") and "zz_kept" not in text)
        terminal.key(b"x")
        terminal.until(lambda text: text.startswith("Keys"))  # an unknown key
        terminal.key(b"h")
        terminal.until(lambda text: "zz_kept" in text)
        preload.order(process, "grow 5")  # sites are read again
        terminal.until(lambda text: re.search(r"zz_kept\S+ +17\.0 MiB", text))
        terminal.key(b"q")
        self.assertEqual(terminal.end(), (0, True))

    @unittest.skipUnless(pyte, "python3-pyte is not installed")
    def test_small_screens_and_other_sizes(self):
        process = self.start(12)
        terminal = Terminal(self.command(process.pid, "-d", "3600"), columns=30, lines=6)
        terminal.until(lambda text: "q quit" in text and "requested" in text and "12.0 MiB" in text)
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.until(lambda text: "zz_kept" in text and "[###" in text)
        terminal.key(b"q")
        self.assertEqual(terminal.end(), (0, True))

    @unittest.skipUnless(pyte, "python3-pyte is not installed")
    def test_the_list(self):
        small, large = self.start(2), self.start(9)
        terminal = Terminal(self.command("-d", "0.3"))
        terminal.until(lambda text: f"> {large.pid}" in text and str(small.pid) in text and
                       re.search(r"PID +REQUESTED +PEAK +RESERVED +DEVICE", text))
        text = terminal.text()
        self.assertLess(text.index(str(large.pid)), text.index(str(small.pid)))
        terminal.key(b"j")
        terminal.until(lambda text: f"> {small.pid}" in text)
        terminal.key(b"\r")
        terminal.until(lambda text: text.startswith(str(small.pid)) and "zz_kept" in text)
        terminal.key(b"\x1b")
        terminal.until(lambda text: str(large.pid) in text)
        terminal.key(b"\r")
        terminal.until(lambda text: text.startswith(str(small.pid)))
        self.stop(small)  # back to the list, with one program left
        terminal.until(lambda text: text.startswith(str(large.pid)))
        terminal.key(b"q")
        self.assertEqual(terminal.end(), (0, True))

    def test_the_terminal_is_given_back(self):
        process = self.start(2)
        for number, wanted in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM),
                               (signal.SIGHUP, -signal.SIGHUP), (signal.SIGSEGV, -signal.SIGSEGV),
                               (signal.SIGABRT, -signal.SIGABRT)):
            terminal = Terminal(self.command(process.pid, "-d", "3600"), term="xterm")
            terminal.until(lambda text: "requested" in text)
            terminal.process.send_signal(number)
            self.assertEqual(terminal.end(), (wanted, True), number)
            at = terminal.output.rfind(b"\033[?1049h")
            self.assertGreater(terminal.output.rfind(b"\033[?1049l"), at, number)
            self.assertGreater(terminal.output.rfind(b"\033[?25h"), at, number)

    @unittest.skipUnless(pyte, "python3-pyte is not installed")
    def test_a_signal_between_two_waits(self):
        """A signal arrives while the command writes, before it waits again: the command ends at
        once, not at the next update."""
        process = self.start(2)
        for number, wanted in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM),
                               (signal.SIGHUP, -signal.SIGHUP)):
            terminal = Terminal(self.command(process.pid, "-d", "3600", "--no-sites"))
            terminal.until(lambda text: "q quit" in text)
            terminal.write_blocks(b"h")
            terminal.process.send_signal(number)
            terminal.write_goes_on()
            self.assertEqual(terminal.end(), (wanted, True), number)

    def test_the_program_ends(self):
        process = self.start(2)
        terminal = Terminal(self.command(process.pid, "-d", "0.2"), term="xterm")
        terminal.until(lambda text: "requested" in text)
        self.stop(process)
        self.assertEqual(terminal.end(), (0, True))
        self.assertTrue(terminal.output.rstrip().endswith(b"The program has ended."), terminal.output)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)

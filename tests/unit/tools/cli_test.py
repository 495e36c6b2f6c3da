#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The cupool command from outside: exit codes, messages, files.

Runs the built binary with a preload library that writes a known trace (preload_sample.c), so
neither a device nor the pool is needed. usage: cli_test.py CUPOOL PRELOAD EXPECTED_JSON
With CUPOOL_TEST_UPDATE set, EXPECTED_JSON is written instead of compared.
"""
import functools
import glob
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))

import report_schema  # noqa: E402

PATIENCE_S = 120  # until a result counts as missing
CUPOOL, PRELOAD, EXPECTED = (os.path.abspath(path) for path in sys.argv[1:4])


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Cli(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="cupool-cli-")
        self.addCleanup(self.directory.cleanup)
        self.environment = {
            "PATH": os.environ["PATH"],
            "CUPOOL_LIBRARY": PRELOAD,
            "ASAN_OPTIONS": "verify_asan_link_order=0",  # some tests preload other libraries
        }

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def cupool(self, *arguments, **environment):
        result = subprocess.run(
            [CUPOOL, *arguments], cwd=self.directory.name, text=True, timeout=PATIENCE_S,
            env={**self.environment, **environment}, capture_output=True)
        self.assertNotIn("\033", result.stdout + result.stderr, "no colour off a terminal")
        return result

    def assert_error(self, result, code, *words):
        """One line on stderr that begins with cupool and contains the words."""
        self.assertEqual(result.returncode, code, f"{result.args}: {result.stderr}")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("cupool"), lines[0])
        for word in words:
            self.assertIn(word, lines[0])

    def record(self, name="t.cupool", *command):
        result = self.cupool("run", "-q", "-o", name, "--", *(command or ("true",)))
        self.assertEqual(result.stderr, "")
        return self.path(name)

    # main

    def test_no_verb(self):
        result = self.cupool()
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage: cupool", result.stderr)

    def test_unknown_verb(self):
        self.assert_error(self.cupool("fly"), 2, "fly", "no such verb", "--help")
        self.assert_error(self.cupool("help", "fly"), 2, "fly", "no such verb")

    def test_help_and_version(self):
        for arguments in (["--help"], ["-h"], ["help"]):
            result = self.cupool(*arguments)
            self.assertEqual(result.returncode, 0)
            for verb in ("run", "report", "options", "doctor"):
                self.assertIn(f"\n  {verb} ", result.stdout)
        for verb in ("run", "report", "options", "doctor"):
            result = self.cupool("help", verb)
            self.assertEqual(result.returncode, 0)
            self.assertIn("Examples:", result.stdout)
            self.assertEqual(self.cupool(verb, "--help").stdout, result.stdout)
        self.assertRegex(self.cupool("--version").stdout, r"^cupool \d+\.\d+\.\d+\n$")

    def test_exit_codes_are_those_of_the_help(self):
        """All exit codes listed in help texts occur, and no others."""
        path, more = self.record(), self.path("more.cupool")
        self.cupool("run", "-q", "-o", more, "--", "true", CUPOOL_TEST_SITES="9")
        for name, limit in (("wide", "1 TiB"), ("narrow", "1 B")):
            with open(self.path(name), "w") as file:
                file.write(f"[budget]\npeak_live = {limit}\n")
        open(self.path("data"), "w").close()
        with open(self.path("helped.csv"), "w") as file:  # just above the border of a size class
            file.write("id,lower,upper,size\n" +
                       "".join(f"{i},{i},{i + 400},520\n" for i in range(600)))
        with open(self.path("lone.csv"), "w") as file:
            file.write("id,lower,upper,size\n1,0,2,1048576\n")
        escaping = self.path("privileged")
        shutil.copy("/bin/true", escaping)
        os.chmod(escaping, 0o4755)
        empty = self.path("empty")
        os.mkdir(empty)
        run = ("run", "-q", "--")
        cases = {
            "run": {"N": (7, [*run, "sh", "-c", "exit 7"]),
                    "128+N": (128 + 9, [*run, "sh", "-c", "kill -9 $$"]),
                    "125": (125, ["run"]), "126": (126, [*run, "./data"]),
                    "127": (127, [*run, "./missing"])},
            "report": {"0": (0, ["report", path]), "2": (2, ["report", "missing"])},
            "diff": {"0": (0, ["diff", path, path]), "1": (1, ["diff", path, more]),
                     "2": (2, ["diff", path])},
            "check": {"0": (0, ["check", "--budget", "wide", path]),
                      "1": (1, ["check", "--budget", "narrow", path]),
                      "2": (2, ["check", "--budget", "missing", path])},
            "replay": {"0": (0, ["replay", "lone.csv"]),
                       "1": (1, ["replay", "--capacity", "1024", "lone.csv"]),
                       "2": (2, ["replay", "missing"])},
            "tune": {"0": (0, ["tune", "--for", "memory", "helped.csv"]),
                     "1": (1, ["tune", "lone.csv"]), "2": (2, ["tune", "missing"])},
            "pack": {"0": (0, ["pack", "-o", "small.zst", path]),
                     "2": (2, ["pack", "-o", "small.zst", "missing"])},
            "top": {"0": (0, ["top", "--help"]),  # of a program: tests/endtoend/live.py
                    "2": (2, ["top", "--from", empty])},
            "metrics": {"0": (0, ["metrics", "--from", empty]), "2": (2, ["metrics", "--port"])},
            "options": {"0": (0, ["options"]), "2": (2, ["options", "extra"])},
            "doctor": {"0": (0, ["doctor"]), "1": (1, ["doctor", "--", escaping]),
                       "2": (2, ["doctor", "--static", "--", "./missing"])}}
        verbs = re.findall(r"(?m)^  ([a-z]+) {2,}", self.cupool("--help").stdout)
        self.assertEqual(sorted(cases), sorted(verbs))
        for verb, codes in cases.items():
            rows = self.cupool("help", verb).stdout.split("Exit codes:\n")[1].split("\n\n")[0]
            self.assertEqual([row.split()[0] for row in rows.splitlines()], list(codes), verb)
            for wanted, arguments in codes.values():
                result = self.cupool(*arguments)
                if "not built in" not in result.stderr:
                    self.assertEqual(result.returncode, wanted, f"{arguments}: {result.stderr}")

    # run

    def test_run_passes_the_exit_code_on(self):
        for code in (0, 1, 2, 77, 125, 255):
            result = self.cupool("run", "-q", "--", "sh", "-c", f"exit {code}")
            self.assertEqual((result.returncode, result.stderr), (code, ""))

    def test_run_passes_output_through(self):
        result = self.cupool("run", "-q", "--", "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((result.stdout, result.stderr), ("out\n", "err\n"))

    def test_run_ended_by_signal(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
            result = self.cupool("run", "-q", "--", "sh", "-c", f"kill -{int(number)} $$")
            self.assertEqual(result.returncode, 128 + number)

    def test_run_forwards_signals(self):
        script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
        process = subprocess.Popen(
            [CUPOOL, "run", "-q", "--", "sh", "-c", script], cwd=self.directory.name,
            env=self.environment, stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
        self.assertEqual((output, process.returncode), ("caught\n", 7))

    def test_run_group_signals_arrive_once(self):
        """The last signal goes to the command only and ends the program. The command forwards the
        earlier ones before it, because lower numbers go first."""
        program = ("import os, signal, time\ncount = {}\ndef handler(number, _):\n"
                   "    count[number] = count.get(number, 0) + 1\n    os.write(1, b'got %d\\n' % number)\n"
                   "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGPWR):\n"
                   "    signal.signal(n, handler)\n"
                   "os.write(1, b'ready\\n')\nwhile signal.SIGPWR not in count: time.sleep(0.02)\n")
        for to_group in (True, False):
            for first in (signal.SIGTERM, signal.SIGINT):
                process = subprocess.Popen(
                    [CUPOOL, "run", "-q", "--", sys.executable, "-c", program], cwd=self.directory.name,
                    env=self.environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
                self.assertEqual(process.stdout.readline(), "ready\n")
                for number in (first, signal.SIGUSR1):
                    (os.killpg if to_group else os.kill)(process.pid, number)
                self.assertEqual(sorted(process.stdout.readline() for _ in range(2)),
                                 sorted(f"got {int(number)}\n" for number in (first, signal.SIGUSR1)))
                process.send_signal(signal.SIGPWR)
                output, _ = process.communicate(timeout=PATIENCE_S)
                self.assertEqual((output, process.returncode), (f"got {int(signal.SIGPWR)}\n", 0))

    def test_run_passes_job_control_on(self):
        """Stop and continue, sent to the command only or to the group: the program gets one of
        each."""
        program = ("import os, signal, time\ncount = {}\ndef handler(number, _):\n"
                   "    count[number] = count.get(number, 0) + 1\n"
                   "    os.write(1, b'got %d\\n' % number)\n"
                   "for n in (signal.SIGCONT, signal.SIGUSR1): signal.signal(n, handler)\n"
                   "os.write(1, b'ready\\n')\nwhile signal.SIGUSR1 not in count: time.sleep(0.02)\n"
                   "print('continued', count[signal.SIGCONT])\n")
        for to_group in (True, False):
            for stop in (signal.SIGTSTP, signal.SIGSTOP, None):
                process = subprocess.Popen(
                    [CUPOOL, "run", "-q", "--", sys.executable, "-c", program], cwd=self.directory.name,
                    env=self.environment, stdout=subprocess.PIPE, text=True, preexec_fn=os.setpgrp)
                send = functools.partial(os.killpg if to_group else os.kill, process.pid)
                self.assertEqual(process.stdout.readline(), "ready\n")
                if stop:
                    send(stop)
                    _, status = os.waitpid(process.pid, os.WUNTRACED)
                    self.assertEqual(os.WSTOPSIG(status), stop)
                send(signal.SIGCONT)
                self.assertEqual(process.stdout.readline(), f"got {int(signal.SIGCONT)}\n")
                send(signal.SIGUSR1)
                output, _ = process.communicate(timeout=PATIENCE_S)
                self.assertEqual((output.splitlines()[-1], process.returncode), ("continued 1", 0))

    def test_run_reaches_a_program_in_a_group_of_its_own(self):
        """As a shell, which is not in the group that the signals are sent to."""
        program = ("import os, signal\nos.setpgid(0, 0)\n"
                   "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
                   "os.write(1, b'ready\\n')\nos.kill(os.getpid(), signal.SIGSTOP)\n"
                   "os.write(1, b'continued\\n')\nwhile True: signal.pause()\n")
        process = subprocess.Popen(
            [CUPOOL, "run", "-q", "--", sys.executable, "-c", program], cwd=self.directory.name,
            env=self.environment, stdout=subprocess.PIPE, text=True, preexec_fn=os.setpgrp)
        self.assertEqual(process.stdout.readline(), "ready\n")
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        self.assertEqual(os.WSTOPSIG(status), signal.SIGSTOP)
        os.killpg(process.pid, signal.SIGCONT)
        self.assertEqual(process.stdout.readline(), "continued\n")
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 7)

    def test_run_leaves_dispositions_alone(self):
        program = ("import signal; print([int(signal.getsignal(n)) for n in"
                   " (signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2)], signal.pthread_sigmask(0, []))")

        def prepare():
            for number in (signal.SIGCHLD, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

        outputs = [subprocess.run([*command, sys.executable, "-c", program], cwd=self.directory.name,
                                  env=self.environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S,
                                  preexec_fn=prepare, check=True).stdout
                   for command in ([], [CUPOOL, "run", "-q", "--"])]
        self.assertEqual(*outputs)
        self.assertIn("[1, 1, 0]", outputs[0])

    def test_run_outlives_its_messages(self):
        """A summary that nobody reads changes neither the program nor its exit status."""
        ignored = [signal.SIGPIPE, signal.SIGXFSZ]

        def prepare(at, limit=None):
            for number in ignored:
                signal.signal(number, at)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        def run(*words, stderr, **how):
            return subprocess.run([*words, "sh", "-c", "grep SigIgn: /proc/self/status; exit 7"], stderr=stderr,
                                  cwd=self.directory.name, env=self.environment, stdout=subprocess.PIPE,
                                  timeout=PATIENCE_S, check=False, restore_signals=False,
                                  preexec_fn=functools.partial(prepare, **how))

        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)
        for at in (signal.SIG_DFL, signal.SIG_IGN):
            bare = run(stderr=writer, at=at)
            done = run(CUPOOL, "run", "--", stderr=writer, at=at)
            self.assertEqual((done.returncode, done.stdout), (7, bare.stdout), at)
            self.assertEqual(run(CUPOOL, "run", "--fly", stderr=writer, at=at).returncode, 125)
        with open(self.path("messages"), "w") as file:
            done = run(CUPOOL, "run", "--fly", stderr=file, at=signal.SIG_DFL, limit=0)
        self.assertEqual(done.returncode, 125)

    def test_run_refuses_bad_values(self):
        for words, named in ((("--mode", "foo"), "off|observe|pool"), (("-O", "mode:bad"), "off|observe|pool"),
                             (("-O", "speed:11"), "known options")):
            self.assert_error(self.cupool("run", *words, "--", "sh", "-c", "echo x"), 125, named)

    def test_profiles_that_are_not_there(self):
        for verb, code in (("run", 125), ("doctor", 2)):
            for profile in ("none", "\033[31mred\n::error::x"):
                result = self.cupool(verb, f"--sim={profile}", "--", "true")
                if "no simulated device" in result.stderr:
                    self.skipTest("no simulated device")
                self.assert_error(result, code, "no such profile")
                self.assertNotIn("\n::", result.stderr)

    def test_profiles_that_are_no_files(self):
        os.mkfifo(self.path("pipe"))
        with open(self.path("long"), "w") as file:
            file.write("# 45678\n" * 8193)
        for verb, code in (("run", 125), ("doctor", 2)):
            for profile in ("./pipe", "./", "/dev/zero", "/dev/null", "./long"):
                result = self.cupool(verb, f"--sim={profile}", "--", "true")
                if "no simulated device" in result.stderr:
                    self.skipTest("no simulated device")
                self.assert_error(result, code, "no such profile")
        with open(self.path("own"), "w") as file:
            file.write("[device]\n")
        result = self.cupool("run", "-q", "--sim=./own", "--", "sh", "-c", "cd /; echo $SIMGPU_PROFILE")
        self.assertEqual(result.stdout, os.path.realpath(self.path("own")) + "\n")

    def doctor(self, *program, stdout=subprocess.PIPE):
        os.makedirs(self.path("tmp"), exist_ok=True)
        return subprocess.Popen([CUPOOL, "doctor", "--", *program], cwd=self.directory.name, text=True, stdout=stdout,
                                env={**self.environment, "TMPDIR": self.path("tmp")}, stderr=subprocess.PIPE)

    def test_doctor_leaves_nothing_behind(self):
        """No directory of an earlier run, when nobody reads, or the program leaves files beside its trace."""
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as broken:
            process = self.doctor("true", stdout=broken)
            process.communicate(timeout=PATIENCE_S)
        self.assertIn(process.returncode, (2, -signal.SIGPIPE))
        self.assertEqual(os.listdir(self.path("tmp")), [])
        process = self.doctor("sh", "-c", "echo $PPID >$(dirname $CUPOOL_TRACE)/other; ls -d $TMPDIR/*")
        self.assertIn(self.path("tmp/cupool-doctor-"), process.communicate(timeout=PATIENCE_S)[0])
        self.assertEqual((process.returncode, os.listdir(self.path("tmp"))), (0, []))

    def test_doctor_removes_only_its_own_files(self):
        """Where everybody may rename, another directory may take the place of its own."""
        os.makedirs(self.path("kept"))
        open(self.path("kept/file"), "w").close()
        process = self.doctor("sh", "-c", f"d=$(dirname $CUPOOL_TRACE); mv $d $d.moved; ln -s {self.path('kept')} $d")
        process.communicate(timeout=PATIENCE_S)
        self.assertEqual(os.listdir(self.path("kept")), ["file"])
        moved = glob.glob(self.path("tmp/*.moved"))
        self.assertEqual([os.listdir(name) for name in moved], [[]])

    def test_doctor_that_is_interrupted(self):
        """Says so, instead of blaming the preload and running the program again."""
        for words in ("exec sleep 600", "trap 'exit 143' TERM; while :; do sleep 0.05; done"):
            process = self.doctor("sh", "-c", f"echo run >>runs; {words}")
            while process.poll() is None and not (os.path.exists(self.path("runs")) and read(self.path("runs"))):
                time.sleep(0.01)
            process.terminate()
            output, errors = process.communicate(timeout=PATIENCE_S)
            self.assertEqual((process.returncode, errors.count("\n")), (2, 1), output)
            self.assertIn("interrupted: signal 15", errors)
            self.assertNotIn("verdict", output)
            self.assertEqual((read(self.path("runs")), os.listdir(self.path("tmp"))), (b"run\n", []))
            os.unlink(self.path("runs"))

    def test_doctor_that_is_interrupted_by_several_signals(self):
        """As timeout(1) does: SIGCONT follows, for programs that are stopped."""
        process = self.doctor(sys.executable, "-c",
                              "import os, signal, time\ngot = []\n"
                              "for n in (15, 18): signal.signal(n, lambda *_: got.append(os.write(1, b'got\\n')))\n"
                              "open('runs', 'w').write('run\\n')\nwhile len(got) < 2: time.sleep(0.01)\n"
                              "signal.signal(15, signal.SIG_DFL)\nos.kill(os.getpid(), 15)")
        while process.poll() is None and not (os.path.exists(self.path("runs")) and read(self.path("runs"))):
            time.sleep(0.01)
        process.terminate()
        while process.stdout.readline() not in ("got\n", ""):
            pass
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 2, output)
        self.assertIn("interrupted: signal 15", errors)

    def test_doctor_of_a_program_that_ends_as_by_any_signal(self):
        """What the command alone gets, as SIGCHLD, is no interruption."""
        for number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGTERM):
            done = self.cupool("doctor", "--", "sh", "-c", f"exit {128 + number}")
            self.assertNotIn("interrupted", done.stderr, number)

    def test_doctor_that_is_interrupted_in_the_second_run(self):
        process = self.doctor("sh", "-c", "[ -e runs ] || { echo run >runs; exit 3; }; echo again >>runs; exec sleep 600")
        while process.poll() is None and not (os.path.exists(self.path("runs")) and b"again" in read(self.path("runs"))):
            time.sleep(0.01)
        process.terminate()
        output, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 2, output)
        self.assertIn("interrupted: signal 15", errors)
        self.assertNotIn("verdict", output)

    def test_output_that_cannot_be_written(self):
        for arguments in (("--version",), ("--help",), ("help", "run"), ("options",),
                          ("options", "--markdown"), ("doctor",), ("top", "--help")):
            with open("/dev/full", "w") as full:
                done = subprocess.run([CUPOOL, *arguments], env=self.environment, stdout=full,
                                      stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("standard output: No space left on device", done.stderr)

    def test_run_program_missing_or_not_executable(self):
        self.assert_error(self.cupool("run", "--", "./missing"), 127, "./missing", "not found")
        open(self.path("data"), "w").close()
        self.assert_error(self.cupool("run", "--", "./data"), 126, "./data", "Permission denied")
        self.assertEqual(glob.glob(self.path("*.cupool")), [])

    def test_run_bad_arguments(self):
        self.assert_error(self.cupool("run"), 125, "no program")
        self.assert_error(self.cupool("run", "--fly", "--", "true"), 125, "--fly", "--help")
        self.assert_error(self.cupool("run", "-o"), 125, "-o", "value")
        self.assert_error(self.cupool("run", "-O", "mode", "--", "true"), 125, "mode", "KEY:VALUE")
        self.assert_error(self.cupool("run", "-o", "no/such/t", "--", "true"), 125, "no/such",
                          "No such file")

    def test_run_bad_options(self):
        result = self.cupool("run", "-q", "--mode", "fast", "--", "true")
        self.assert_error(result, 125, "--mode", "fast", "off|observe|pool")
        result = self.cupool("run", "-q", "-O", "speed:11", "--", "true")
        self.assert_error(result, 125, "speed", "large_waste")
        result = self.cupool("run", "-O", "strict:1", "-O", "speed:11", "--", "sh", "-c", "echo x")
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assertIn("speed", result.stderr)
        result = self.cupool("run", "--", "sh", "-c", "echo x", CUPOOL="strict:1,mode:fast")
        self.assertEqual((result.returncode, result.stdout), (125, ""))

    def test_run_sets_the_environment(self):
        result = self.cupool(
            "run", "-q", "--mode", "observe", "-O", "fill:poison", "--", "sh", "-c",
            "echo $CUPOOL_MODE $CUPOOL_FILL $CUPOOL_TRACE; echo $LD_PRELOAD",
            LD_PRELOAD="libm.so.6")
        values, preload = result.stdout.splitlines()
        self.assertEqual(values, f"observe poison {self.path('%e.%p.cupool')}")
        self.assertEqual(preload, f"{PRELOAD}:libm.so.6")

    def test_run_default_name_and_summary(self):
        result = self.cupool("run", "--", "true")
        files = glob.glob(self.path("true.*.cupool"))
        self.assertEqual(len(files), 1)
        self.assertEqual(stat.S_IMODE(os.stat(files[0]).st_mode), 0o600)
        self.assertIn("peak 4.6 MiB", result.stderr)
        self.assertIn("simulated device", result.stderr)
        self.assertEqual(result.stderr.splitlines()[-1],
                         f"cupool: next: cupool report {os.path.basename(files[0])}")

    def test_run_finds_traces_with_a_dot_in_front(self):
        """By the program's name, or a variable; not those of the folders '.' and '..' of a pattern."""
        shutil.copy(shutil.which("true"), self.path(".program"))
        for pattern, name in (("%e.cupool", ".program.cupool"), ("%q{NAME}", ".variable"),
                              (".%e/%q{NAME}", "..program/.variable"), ("%q{FOLDER}/t", ".folder/t"),
                              ("%q{FOLDER}/%e/%q{NAME}", ".folder/.program/.variable"), ("{a,b}/%e", "{a,b}/.program"),
                              ("%q{FOLDER}/{[a]\\*,b}/%e", ".folder/{[a]\\*,b}/.program")):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            result = self.cupool("run", "-o", pattern, "--", "./.program", NAME=".variable", FOLDER=".folder")
            self.assertIn("peak 4.6 MiB", result.stderr, pattern)
            self.assertNotIn("programs recorded", result.stderr, pattern)
            self.assertEqual(self.report(self.path(name))["process"]["exit_status"], 0, pattern)
        os.makedirs(self.path("below/x"))
        result = self.cupool("run", "-o", "below/%q{NAME}/u", "--", "sh", "-c",
                             f"LD_PRELOAD={PRELOAD} CUPOOL_TRACE={self.path('u')} env", NAME="x")
        self.assertTrue(os.path.exists(self.path("u")), result.stderr)
        self.assertNotIn("programs recorded", result.stderr)

    def test_run_refuses_bad_patterns(self):
        for pattern in ("%", "a%z", "%q{", "%q{}", "%q", "%P", "%q{" + "V" * 300 + "}"):
            for words in (("-o", pattern), ("-O", f"trace:{pattern}")):
                self.assert_error(self.cupool("run", "-q", *words, "--", "sh", "-c", "echo x"), 125, "placeholder")

    def test_run_quotes_the_next_command(self):
        result = self.cupool("run", "-o", "it's here.cupool", "--", "true")
        command = result.stderr.splitlines()[-1].split("next: ", 1)[1]
        report = subprocess.run(command.replace("cupool", CUPOOL, 1), shell=True, text=True,
                                cwd=self.directory.name, capture_output=True, timeout=PATIENCE_S)
        self.assertEqual(report.returncode, 0, report.stderr)

    def test_run_never_overwrites_without_force(self):
        path = self.record("t.cupool")
        before = read(path)
        self.assert_error(self.cupool("run", "-o", "t.cupool", "--", "true"), 125, "t.cupool",
                          "exists", "--force")
        self.assertEqual(read(path), before)
        result = self.cupool("run", "-q", "-o", "t.cupool", "--force", "--", "sh", "-c", "exit 4")
        self.assertEqual(result.returncode, 4)
        self.assertEqual(self.report(path)["process"]["exit_status"], 4)

    def test_run_force_spares_what_is_no_record(self):
        with open(self.path("precious"), "w") as file:
            file.write("not a trace " * 100)
        os.mkdir(self.path("folder"))
        for name in ("precious", "folder", "/dev/null", ""):
            for more in ((), ("--force",)):  # which is no advice here
                result = self.cupool("run", "-o", name, *more, "--", "true")
                self.assert_error(result, 125, name, "give another name")
                self.assertNotIn("--force", result.stderr)
        self.assertIn(b"not a trace", read(self.path("precious")))

    def test_run_several_processes(self):
        result = self.cupool("run", "--", "sh", "-c", "env true; true")
        # sh, env, and true in the process of env have different names
        self.assertEqual(len(glob.glob(self.path("*.cupool"))), 3)
        self.assertRegex(result.stderr, r"3 programs recorded: highest peak(.|\n)*\ncupool: pid")

    def test_run_directory_with_percent_and_glob_signs(self):
        odd = self.path("100% [a]*")
        os.mkdir(odd)
        result = subprocess.run([CUPOOL, "run", "--", "true"], cwd=odd, text=True, timeout=PATIENCE_S,
                                env=self.environment, capture_output=True)
        self.assertIn("next: cupool report true.", result.stderr)
        self.assertEqual(len(os.listdir(odd)), 1)

    def test_run_explains_a_missing_record(self):
        result = self.cupool("run", "--", "true", CUPOOL_TEST_SILENT="1")
        self.assert_error(result, 0, "no trace", "cupool doctor -- true")
        for words, told in ((("sh", "-c", "true", "it's"), r"-- sh -c true 'it'\''s'"),
                            (("true", "x" * 2000), "-- true ARGUMENTS")):
            result = self.cupool("run", "--", *words, CUPOOL_TEST_SILENT="1")
            self.assert_error(result, 0, "no trace", told)
        result = self.cupool("run", "-O", "trace:off", "--", "true")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_run_without_library_or_device(self):
        self.assert_error(self.cupool("run", "--", "true", CUPOOL_LIBRARY="/nonexistent.so"), 125,
                          "/nonexistent.so", "CUPOOL_LIBRARY")
        os.mkfifo(self.path("pipe.so"))
        self.assert_error(self.cupool("run", "--", "true", CUPOOL_LIBRARY=self.path("pipe.so")), 125,
                          "pipe.so", "CUPOOL_LIBRARY")

    def test_run_records_a_killed_program(self):
        result = self.cupool("run", "-o", "t.cupool", "--", "sh", "-c", "kill -9 $$",
                             CUPOOL_TEST_ABANDON="1")
        self.assertEqual(result.returncode, 128 + 9)
        self.assertIn("trace is incomplete", result.stderr)
        report = self.report(self.path("t.cupool"))
        self.assertEqual(report["process"]["exit_status"], 128 + 9)
        self.assertFalse(report["process"]["complete"])
        self.assertEqual(report["summary"]["allocations"], 3)

    # report

    def report(self, *paths):
        result = self.cupool("report", "--format", "json", *paths)
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report_schema.errors(report), [])
        return report

    def stable(self, report):
        """Without values that differ between runs or builds."""
        report["trace"] = os.path.basename(report["trace"])
        process = report["process"]
        process.update(pid=0, start_realtime_ns=0, duration_ns=0)
        report["recording"]["file_bytes"] = 0

        def scrub(value):
            if isinstance(value, dict):
                for key in ("build_id", "offset"):
                    if value.get(key) is not None:
                        value[key] = 0
                for key in ("module", "path"):
                    if value.get(key):
                        value[key] = os.path.basename(value[key])
                for item in value.values():
                    scrub(item)
            elif isinstance(value, list):
                for item in value:
                    scrub(item)

        scrub(report)
        return report

    def test_report_json_is_as_expected(self):
        report = self.stable(self.report(self.record("t.cupool", "sh", "-c", "exit 3")))
        text = json.dumps(report, indent=1, sort_keys=True) + "\n"
        if os.environ.get("CUPOOL_TEST_UPDATE"):
            with open(EXPECTED, "w") as file:
                file.write(text)
        self.maxDiff = None
        with open(EXPECTED) as file:
            self.assertEqual(text, file.read())

    def test_report_json_is_sorted_and_repeatable(self):
        path = self.record()
        first = self.cupool("report", "--format", "json", path).stdout
        self.assertEqual(first, self.cupool("report", "--format", "json", path).stdout)
        self.assertEqual(list(json.loads(first)), sorted(json.loads(first)))

    def test_report_text_fits_a_page(self):
        result = self.cupool("report", self.record())
        lines = result.stdout.splitlines()
        self.assertLessEqual(len(lines), 45)
        self.assertLessEqual(max(map(len, lines)), 100, result.stdout)
        for words in ("simulated device", "At its peak the program used 4.6 MiB",
                      "Fragmentation", "8 with the pool, 6 without", "pinned", "sample_emit",
                      "Invalid frees  1", "585.9 KiB in 1 block"):
            self.assertIn(words, result.stdout)

    def test_report_breakdowns(self):
        path = self.record()
        for by, words in (("library", "preload_sample.so"), ("size", "up to 4.0 MiB"),
                          ("api", "cudaMalloc"), ("site", "describe")):
            result = self.cupool("report", "--by", by, path)
            self.assertIn(words, result.stdout)
        result = self.cupool("report", "--top", "1", path)
        self.assertIn("[1 more: --top 2]", result.stdout)
        self.assertEqual(json.loads(self.cupool("report", "-f", "json", "--top", "1", path).stdout)
                         ["recording"]["rows_left_out"]["site"], 1)

    def test_report_several(self):
        paths = [self.record("a.cupool"), self.record("b.cupool")]
        report = self.report(*paths)
        self.assertEqual(report["schema"], "cupool.reports/1")
        self.assertEqual([one["trace"] for one in report["reports"]], paths)
        self.assertIn("b.cupool ==", self.cupool("report", *paths).stdout)

    def test_report_bad_arguments(self):
        path = self.record()
        self.assert_error(self.cupool("report"), 2, "no trace")
        self.assert_error(self.cupool("report", "-f", "xml", path), 2, "xml", "text, json, ")
        self.assert_error(self.cupool("report", "--by", "mood", path), 2, "mood", "library")
        for count in ("0", "-1", "x", "1x", ""):
            self.assert_error(self.cupool("report", "--top", count, path), 2, "--top")

    def test_report_bad_files(self):
        self.assert_error(self.cupool("report", "missing"), 2, "missing", "No such file")
        self.assert_error(self.cupool("report", "."), 2, "not a regular file")
        path = self.record()
        data = read(path)
        for name, change, words in (
                ("empty", lambda: b"", ["empty"]),
                ("short", lambda: data[:47], ["not a cupool trace"]),
                ("text", lambda: b"hello " * 100, ["magic"]),
                ("version", lambda: data[:8] + b"\x63" + data[9:], ["version 99"]),
                ("flipped", lambda: data[:65536 + 100] + bytes([data[65636] ^ 1]) + data[65637:],
                 ["checksum", "at byte 65536"])):
            with open(self.path(name), "wb") as file:
                file.write(change())
            self.assert_error(self.cupool("report", name), 2, name, *words)

    def test_report_of_a_cut_trace(self):
        path = self.record()
        os.truncate(path, os.path.getsize(path) - 70000)
        result = self.cupool("report", path)
        self.assertEqual(result.returncode, 0)
        self.assertIn("trace is incomplete: ", result.stdout)
        self.assertFalse(self.report(path)["recording"]["complete"])

    def test_report_to_a_file(self):
        path = self.record()
        self.assertEqual(self.cupool("report", "-f", "json", "-o", "r.json", path).stdout, "")
        json.loads(read(self.path("r.json")))
        self.assert_error(self.cupool("report", "-o", "r.json", path), 2, "r.json", "--force")
        self.assertEqual(self.cupool("report", "-o", "r.json", "--force", path).returncode, 0)
        self.assertIn(b"At its peak", read(self.path("r.json")))
        self.assert_error(self.cupool("report", "-o", "no/such/r", path), 2, "no/such/r")
        self.assertEqual(glob.glob(self.path("*.part")), [])

    def test_report_to_a_full_disk(self):
        path = self.record()
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "w") as full:
            result = subprocess.run([CUPOOL, "report", path], stdout=full, text=True, timeout=PATIENCE_S,
                                    env=self.environment, stderr=subprocess.PIPE)
        self.assert_error(result, 2, "No space left")

    # options

    def test_options(self):
        result = self.cupool("options", CUPOOL="mode:observe", CUPOOL_LIMIT="10%")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"mode +observe +CUPOOL +pool")
        self.assertRegex(result.stdout, r"limit +10% +CUPOOL_LIMIT +0")
        self.assertRegex(result.stdout, r"reuse +deferred +built-in")
        result = self.cupool("options", CUPOOL_MODE="fast")
        self.assert_error(result, 2, "CUPOOL_MODE", "fast", "off|observe|pool")
        self.assert_error(self.cupool("options", "extra"), 2, "extra")

    def test_options_markdown(self):
        lines = self.cupool("options", "--markdown", CUPOOL_MODE="off").stdout.splitlines()
        self.assertEqual(lines[0], "| option | accepted | default | meaning |")
        self.assertTrue(lines[2].startswith("| `mode` | off\\|observe\\|pool | `pool` |"))
        for line in lines:
            self.assertEqual(line.replace("\\|", "").count("|"), 5, line)

    # doctor

    def test_doctor(self):
        result = self.cupool("doctor")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"preload +\S+preload_sample.so, loads")
        self.assertRegex(result.stdout, r"driver +")
        result = self.cupool("doctor", CUPOOL_LIBRARY="/nonexistent.so")
        self.assertEqual(result.returncode, 2)
        self.assertIn("CUPOOL_LIBRARY", result.stdout)

    def test_doctor_runs_a_program(self):
        result = self.cupool("doctor", "--", "sh", "-c", "exit 3")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("exit status 3", result.stdout)
        self.assertIn("cudaMalloc (runtime API): 3 allocations", result.stdout)
        self.assertEqual(os.listdir(self.directory.name), [])

    def test_doctor_static(self):
        result = self.cupool("doctor", "--static", "--", "sh", "-c", "echo ran")
        self.assertEqual(result.returncode, 0)
        self.assertNotIn("ran", result.stdout.split())

    def test_doctor_program_that_escapes(self):
        shell = self.path("privileged")
        with open("/bin/true", "rb") as source, open(shell, "wb") as target:
            target.write(source.read())
        os.chmod(shell, 0o4755)
        result = self.cupool("doctor", "--", shell)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("setuid", result.stdout)
        self.assert_error(self.cupool("doctor", "--static", "--", "./missing"), 2, "./missing")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])

# SPDX-License-Identifier: MIT
"""Runs programs as a user would, bare or under cupool, on the simulated device.

Everything is found in the build directory given by --build; each test gets a directory of its own.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import report_schema  # noqa: E402
import sanitizer  # noqa: E402

# The parent of the tests may ignore these (nohup, a shell's background job), which programs
# inherit.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

SKIP = 77
SCHEMA_MOST = 1 << 20  # bytes of a report up to which it is validated against the schema, which is
                       # slow


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=0, help="how many seeded runs")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def free_port():
    """A port that no outgoing connection and no other test takes before the server has it."""
    for number in range(12000):
        port = 20000 + (16 * os.getpid() + number) % 12000  # between neighbours
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    return fail("no free port")


class Machine:
    """A build tree with its simulated device, and a scratch directory."""

    def __init__(self, build):
        self.build = build.resolve()
        self.cupool = self.build / "tools" / "cupool"
        self.library = self.build / "shim" / "libcupool.so"
        self.simgpu = self.build / "tests" / "simgpu"
        self.workloads = self.build / "tests" / "workloads"
        self.scripts = pathlib.Path(__file__).resolve().parents[1] / "workloads"
        # A test may leave a mount there.
        self.temporary = tempfile.TemporaryDirectory(prefix="cupool-test-", ignore_cleanup_errors=True)
        self.scratch = pathlib.Path(self.temporary.name)

    def program(self, name, *words):
        """The command of a workload by name; Python scripts run under the interpreter."""
        if name.endswith(".py"):
            return [sys.executable, str(self.scripts / name), *words]
        path = self.workloads / name
        if not path.exists():
            skip(f"{name} was not built (nvcc is needed)")
        return [str(path), *words]

    def environment(self, preload=False, **extra):
        env = {key: value for key, value in os.environ.items()
               if not key.startswith(("CUPOOL", "SIMGPU", "CUDA"))}
        env["LD_LIBRARY_PATH"] = str(self.simgpu)
        env.update(sanitizer.environment(str(self.library) if preload else ""))
        env.update({key: str(value) for key, value in extra.items()})
        return env

    def run(self, command, preload=False, **extra):
        """Runs a command; extra words are environment variables."""
        env = self.environment(preload, **extra)
        return subprocess.run(command, env=env, cwd=self.scratch, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=600, check=False)

    def record(self, command, trace, *options, **extra):
        """Runs a command under `cupool run --sim`."""
        return self.run([str(self.cupool), "run", "--sim", "--force", "-o", str(trace), *options,
                         "--", *command], **extra)

    def report(self, trace):
        done = self.run([str(self.cupool), "report", str(trace), "--format", "json"])
        if done.returncode != 0:
            fail(f"cupool report: exit {done.returncode}: {done.stderr.decode().strip()}")
        report = json.loads(done.stdout)
        if len(done.stdout) < SCHEMA_MOST:
            expect_equal(f"{trace}: schema", report_schema.errors(report), [])
        return report


def order(process, line):
    """Sends a command to a program that waits for commands, and waits until it is done."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    if not process.stdout.readline():
        raise AssertionError(f"the program ended at {line}")


def expect_no_memory_errors(machine, workloads, option_sets, **extra):
    """Programs without memory errors: none is found, and the output is the same as bare."""
    for name, words in workloads:
        if not (machine.workloads / name).exists():
            continue
        program = machine.program(name, *words)
        bare = machine.run(program)
        for options in option_sets:
            trace = machine.scratch / f"{name}{'-'.join(options)}.cupool"
            done = machine.record(program, trace, "-q", *options, **extra)
            expect_equal(f"{name}: exit", done.returncode, bare.returncode)
            expect_equal(f"{name}: output", done.stdout, bare.stdout)
            expect_equal(f"{name}: errors", machine.report(trace)["memory_errors"], [])


class CallLog:
    """The simulated device's own log of calls (SIMGPU_LOG)."""

    def __init__(self, path):
        self.calls = []
        self.virtual_ns = 0
        for line in pathlib.Path(path).read_text().splitlines():
            fields = line.split("\t")
            if len(fields) < 5:
                continue
            self.virtual_ns = max(self.virtual_ns, int(fields[2]))
            values = dict(field.split("=", 1) for field in fields[5:] if "=" in field)
            self.calls.append((fields[3], fields[4], values))
        if not self.calls:
            fail(f"{path}: the simulated device logged no call")

    def count(self, *names):
        return sum(1 for name, _, _ in self.calls if name in names)

    def device_memory(self):
        """(allocations, frees, peak bytes, bytes live at the end) of ordinary device memory."""
        live, allocations, frees, current, peak = {}, 0, 0, 0, 0
        for name, result, values in self.calls:
            if result not in ("0", "CUDA_SUCCESS"):
                continue
            if name == "cuMemAlloc_v2":
                size = int(values["bytes"], 0)
                live[int(values["ptr"], 0)] = size
                allocations += 1
                current += size
                peak = max(peak, current)
            elif name == "cuMemFree_v2" and int(values["ptr"], 0):
                frees += 1
                current -= live.pop(int(values["ptr"], 0))
        return allocations, frees, peak, current


def fail(message):
    print(f"FAILED: {message}")
    sys.exit(1)


def expect(condition, message):
    if not condition:
        fail(message)


def expect_equal(what, actual, wanted):
    expect(actual == wanted, f"{what}: {actual!r}, wanted {wanted!r}")

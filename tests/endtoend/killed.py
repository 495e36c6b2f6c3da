# SPDX-License-Identifier: MIT
"""A program killed in the middle leaves a trace with every complete record. The report states that
it is incomplete, and before the kill that the program is running."""

import json
import random
import signal
import subprocess
import sys
import time

import preload


def start(machine, command, trace):
    env = machine.environment(preload=True, CUPOOL=f"trace:{trace}")
    return subprocess.Popen(command, env=env, cwd=machine.scratch, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def allocations_of(machine, trace):
    """The report of the trace, once the file is one."""
    done = machine.run([str(machine.cupool), "report", str(trace), "-f", "json"])
    return json.loads(done.stdout)["summary"]["allocations"] if done.returncode == 0 else 0


def wait_for_records(machine, trace, process):
    """Waits until an allocation is recorded; the moment depends on progress, not on time."""
    while process.poll() is None and not allocations_of(machine, trace):
        time.sleep(0.001)


SLEEPER = """import ctypes, sys
runtime, block = ctypes.CDLL('libcudart.so.13'), ctypes.c_void_p()
runtime.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(1 << 20))
print('ready', flush=True)
sys.stdin.read()
"""


def check_running(machine):
    trace = machine.scratch / "running.cupool"
    env = machine.environment(preload=True, CUPOOL=f"trace:{trace}")
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], env=env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    preload.expect_equal("sleeper", process.stdout.readline(), b"ready\n")
    during, now = (machine.run([str(machine.cupool), "report", *traces]).stdout
                   for traces in ([str(trace)], [str(trace)] * 2))
    process.kill()
    process.communicate()
    after = machine.run([str(machine.cupool), "report", str(trace)]).stdout
    for text, said, unsaid in ((during, b"is still running", b"without closing it"),
                               (after, b"without closing it", b"is still running")):
        preload.expect(said in text and unsaid not in text, f"{said}: {text}")
    # The head of a job, too, calls blocks leaked only where the programs ended by themselves.
    killed = machine.run([str(machine.cupool), "report", "-f", "markdown", str(trace), str(trace)])
    for text, said in ((now, b" NOW "), (killed.stdout, b"| live at the end |")):
        preload.expect(said in text and b"leaked" not in text.lower(), f"{said}: {text}")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    print(f"seed {options.seed}")
    choose = random.Random(options.seed)
    # More tokens than any machine can finish before the kill.
    command = machine.program("churn", "--ops", "1000000000", "--seed", "7")
    for number in range(options.runs or 5):
        trace = machine.scratch / f"killed.{number}.cupool"
        process = start(machine, command, trace)
        wait_for_records(machine, trace, process)
        time.sleep(choose.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        preload.expect_equal("exit", process.wait(), -signal.SIGKILL)
        report = machine.report(trace)
        preload.expect(not report["process"]["complete"], "the trace claims to be complete")
        preload.expect(report["summary"]["allocations"] > 0, "no allocation could be read")
        text = machine.run([str(machine.cupool), "report", str(trace)])
        preload.expect_equal("text report: exit", text.returncode, 0)
        preload.expect(b"incomplete" in text.stdout.lower(), "no warning in the text report")
        print(f"run {number}: {report['summary']['allocations']} allocations read")
    check_running(machine)


main()

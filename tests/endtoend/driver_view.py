# SPDX-License-Identifier: MIT
"""The driver's own view through CUPTI: exact, joined with the records of the trace, and harmless
where CUPTI is not available."""

import os
import re
import signal
import subprocess
import sys
import time

import preload

TINYLLM = ("tinyllm", "--tokens", "16", "--seed", "7")
MIB = 1 << 20


def recorded(machine, name, command, *options, **extra):
    """(what the run printed, its report)."""
    trace = machine.scratch / f"{name}.cupool"
    done = machine.record(command, trace, *options, **extra)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    return done.stdout, machine.report(trace)


def text_of(machine, name):
    done = machine.run([str(machine.cupool), "report", str(machine.scratch / f"{name}.cupool")])
    preload.expect_equal(f"{name}: text report", done.returncode, 0)
    return done.stdout.decode()


def check_exact(machine, mode, **extra):
    """CUPTI's bytes equal those in the device's own log, and all are accounted for."""
    name = f"exact.{mode}.{len(extra)}"
    log = machine.scratch / f"{name}.log"
    _, report = recorded(machine, name, machine.program(*TINYLLM), "--mode", mode,
                         SIMGPU_LOG=log, **extra)
    allocations, frees, peak, _ = preload.CallLog(log).device_memory()
    calls = preload.CallLog(log)
    pinned = calls.count("cuMemHostAlloc", "cuMemAllocHost_v2"), calls.count("cuMemFreeHost")
    driver = report["driver"]
    preload.expect_equal(f"{name}: state", report["recording"]["cupti"]["state"], "on")
    preload.expect(report["recording"]["cupti"]["whole"], f"{name}: something is missing")
    preload.expect_equal(f"{name}: allocations", driver["allocations"], allocations + pinned[0])
    preload.expect_equal(f"{name}: frees", driver["frees"], frees + pinned[1])
    preload.expect_equal(f"{name}: peak", driver["peak_bytes"], peak)
    preload.expect_equal(f"{name}: peak by the trace", report["summary"]["peak_driver_bytes"], peak)
    preload.expect_equal(f"{name}: unaccounted", report["summary"]["unaccounted_bytes"], 0)
    preload.expect_equal(f"{name}: libraries", driver["unaccounted_libraries"], [])
    last = report["timeline"][-1]
    preload.expect_equal(f"{name}: last point", last["driver_total_bytes"], last["driver_bytes"])
    preload.expect("0 B unaccounted" in text_of(machine, name), f"{name}: not in the text")
    print(f"{name}: {driver['allocations']} allocations, {peak} B at most")


def rows_of(page, caption):
    """(first words, figures…) of each row of a table."""
    if f"<caption>{caption}" not in page:
        return None
    table = page.split(f"<caption>{caption}")[1].split("</table>")[0]
    return [(re.sub("<[^>]*>", "", row.split("<td")[1].partition(">")[2]),
             [int(value) for value in re.findall(r'<td data-v="(\d+)">', row)])
            for row in table.split("<tr>")[2:]]


def check_page(machine, name, driver):
    """The HTML report has the driver's figures of the JSON report."""
    done = machine.run([str(machine.cupool), "report", "-f", "html",
                        str(machine.scratch / f"{name}.cupool")])
    if b"not built in" in done.stderr:
        return
    page = done.stdout.decode()
    preload.expect("never called cuMemGetInfo" not in page,
                   f"{name}: the page has no view of the driver")
    row = driver["unaccounted_libraries"][0]
    preload.expect_equal(f"{name}: the page's libraries", rows_of(page, "Unaccounted memory"), [
        ("libhidden.so", [row[key] for key in
                          ("peak_bytes", "live_bytes", "allocations", "requested_bytes")])])
    preload.expect(row["path"] in page, f"{name}: the page has no path")
    pool = driver["pools"][0]
    preload.expect_equal(f"{name}: the page's pools", rows_of(page, "Stream-ordered pools"), [
        ("0", [pool[key] for key in ("device", "peak_bytes", "peak_used_bytes", "bytes",
                                     "used_bytes", "trims")])])


def check_hidden(machine, mode):
    """Memory from an unhooked call of the driver is unaccounted, to the byte, with its library."""
    program = str(machine.build / "tests" / "endtoend" / "hidden")
    name = f"hidden.{mode}"
    _, report = recorded(machine, name, [program, str(5 * MIB), "1000", "0", "3000000"],
                         "--mode", mode)
    peak = 5 * MIB + 3000000
    driver = report["driver"]
    preload.expect_equal(f"{name}: unaccounted", report["summary"]["unaccounted_bytes"], peak)
    preload.expect_equal(f"{name}: at the end", driver["unaccounted_end_bytes"], peak)
    preload.expect_equal(f"{name}: calls", driver["unaccounted_allocations"], 3)
    row, = driver["unaccounted_libraries"]
    preload.expect(row["path"].endswith("libhidden.so"), f"{name}: blamed {row['path']}")
    preload.expect_equal(f"{name}: its bytes", row["requested_bytes"], peak + 1000)
    preload.expect_equal(f"{name}: last point", report["timeline"][-1]["unaccounted_bytes"], peak)
    preload.expect("libhidden.so" in text_of(machine, name), f"{name}: the text names no library")
    pool, = driver["pools"]
    preload.expect_equal(f"{name}: pool in use at most", pool["peak_used_bytes"], 4 * MIB)

    check_page(machine, name, driver)

    name = f"open.{mode}"
    _, report = recorded(machine, name, [program], "--mode", mode)
    preload.expect_equal(f"{name}: unaccounted", report["summary"]["unaccounted_bytes"], 0)
    print(f"hidden, {mode}: {peak} B unaccounted, none without")


def check_refusals(machine):
    """Each way to lack CUPTI: the program's output is the same, and the report states the
    reason."""
    broken = machine.scratch / "broken"
    broken.mkdir()
    library = (machine.simgpu / "libcupti.so.13").read_bytes()
    preload.expect(b"\0libc.so.6\0" in library, "cannot make a library that does not load")
    for name in ("libcupti.so.13", "libcupti.so.12"):  # needs a library that does not exist
        (broken / name).write_bytes(library.replace(b"\0libc.so.6\0", b"\0libx.so.6\0"))
    for entry in machine.simgpu.iterdir():  # the rest of the simulated device
        if not entry.name.startswith("libcupti"):
            (broken / entry.name).symlink_to(entry)
    foreign = machine.scratch / "foreign"
    foreign.mkdir()
    for entry in machine.simgpu.iterdir():
        if not entry.name.startswith("libcupti"):
            (foreign / entry.name).symlink_to(entry)
    preload.expect(b"\0simgpu_cupti\0" in library, "the simulated CUPTI has no mark")
    (foreign / "libcupti.so.13").write_bytes(
        library.replace(b"\0simgpu_cupti\0", b"\0simgpu_nobody"[:13] + b"\0"))
    program = machine.program(*TINYLLM)
    bare = machine.run(program)
    cases = {
        "foreign": ("NVIDIA's CUPTI with a simulated driver", {"LD_LIBRARY_PATH": str(foreign)}),
        "no_library": ("not found", {"LD_LIBRARY_PATH": str(broken)}),
        "taken": ("another CUPTI client", {"SIMGPU_CUPTI_FAULT":
                  "cuptiSubscribe:1:MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED"}),
        "denied": ("no permission", {"SIMGPU_CUPTI_FAULT":
                   "cuptiActivityEnable:0:INSUFFICIENT_PRIVILEGES"}),
        "version": ("(version 12)", {"SIMGPU_CUPTI_VERSION": "12"}),
        "failed": ("(CUPTI error 999)", {"SIMGPU_CUPTI_FAULT": "cuptiSubscribe:1:UNKNOWN"}),
    }
    for state, (words, extra) in cases.items():
        trace = machine.scratch / f"{state}.cupool"
        done = machine.run(program, preload=True, CUPOOL=f"trace:{trace}", **extra)
        preload.expect_equal(f"{state}: exit", done.returncode, bare.returncode)
        preload.expect_equal(f"{state}: output", (done.stdout, done.stderr),
                             (bare.stdout, bare.stderr))
        report = machine.report(trace)
        preload.expect_equal(f"{state}: state", report["recording"]["cupti"]["state"], state)
        preload.expect(report["driver"] is None, f"{state}: figures of the driver")
        preload.expect(words in text_of(machine, state), f"{state}: {words!r} is not in the text")
    for option, extra in (("off", {}), ("auto", {"SIMGPU_CUPTI_FAULT":
                                                 "cuptiActivityEnable:2:NOT_COMPATIBLE"})):
        trace = machine.scratch / f"option.{option}.cupool"
        done = machine.run(program, preload=True, CUPOOL=f"trace:{trace},cupti:{option}", **extra)
        preload.expect_equal(f"{option}: output", done.stdout, bare.stdout)
        cupti = machine.report(trace)["recording"]["cupti"]
        preload.expect_equal(f"{option}: state", cupti and cupti["state"],
                             None if option == "off" else "on")
    print(f"refusals: {', '.join(cases)}")


def check_clients(machine):
    """Another client in the program gets everything it gets bare, first or second, by any entry
    point."""
    program = str(machine.build / "tests" / "endtoend" / "cupti_client")
    for when, state in (("first", "taken"), ("second", "gave_way")):
        for how in ("linked", "loaded", "default"):
            command = [program, when, how]
            bare = machine.run(command)
            preload.expect_equal(f"{command}: bare exit", bare.returncode, 0)
            output, report = recorded(machine, f"client.{when}.{how}", command, "--mode", "observe")
            preload.expect_equal(f"{when} {how}: output", output, bare.stdout)
            cupti = report["recording"]["cupti"]
            preload.expect_equal(f"{when} {how}: state", cupti["state"], state)
            if when == "second":
                preload.expect(cupti["whole"], f"{when} {how}: something was lost")
                preload.expect_equal(f"{when} {how}: before it gave way",
                                     report["driver"]["allocations"], 200)
    # With cupti:on the subscription is kept, and CUPTI refuses the other client.
    output, report = recorded(machine, "client.on", [program, "second", "linked"], "--mode",
                              "observe", "--option", "cupti:on")
    preload.expect(output.startswith(b"subscribe 39\n"), f"on: {output}")
    print("clients: first and second, three ways to call")


def check_kill(machine):
    """Killed: flushed records are in the report, which states that the rest is missing."""
    trace = machine.scratch / "kill.cupool"
    env = machine.environment(preload=True, CUPOOL=f"trace:{trace}")
    command = machine.program("tinyllm", "--tokens", "60000", "--seed", "7")
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, cwd=machine.scratch)
    while process.poll() is None and not (trace.exists() and
                                          os.stat(trace).st_blocks * 512 > 4 * MIB):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    preload.expect_equal("kill: exit", process.wait(), -signal.SIGKILL)
    report = machine.report(trace)
    preload.expect_equal("kill: state", report["recording"]["cupti"]["state"], "on")
    preload.expect(not report["recording"]["cupti"]["whole"], "kill: claims to be whole")
    preload.expect_equal("kill: unaccounted", report["summary"]["unaccounted_bytes"], 0)
    text = text_of(machine, "kill")
    preload.expect("still holds the last records" in text, "kill: no warning")
    preload.expect("Driver's view  partial: " in text, "kill: the driver's view claims to be whole")
    print(f"killed: {report['driver']['allocations']} allocations of the driver read")


NO_CONTEXT = """
import ctypes
assert ctypes.CDLL("libcudart.so.13").cudaMalloc(ctypes.byref(ctypes.c_void_p()), 0) == 0
"""


def check_no_context(machine):
    """A program that made no context leaves nothing with CUPTI."""
    _, report = recorded(machine, "none", [sys.executable, "-c", NO_CONTEXT])
    preload.expect_equal("none: devices", report["device"], [])
    preload.expect(report["recording"]["cupti"]["whole"], "none: something was lost")


def check_drift(machine):
    """CUPTI's clock and the trace's drift apart: its records stay before the peak they led to."""
    _, report = recorded(machine, "drift", [
        str(machine.build / "tests" / "endtoend" / "cupti_client"), "first", "drift"])
    driver, reserved = report["driver"], report["summary"]["at_peak_reserved_bytes"]
    preload.expect_equal("drift: allocations", driver["allocations"], 2)
    preload.expect_equal("drift: at the peak", driver["at_peak_bytes"], reserved)
    print("drift: at the peak as at the end")


FORKS = """
import ctypes, os, sys
runtime = ctypes.CDLL("libcudart.so.13")
pointer = ctypes.c_void_p()
print("parent", runtime.cudaMalloc(ctypes.byref(pointer), 5 << 20), flush=True)
child = os.fork()
if child == 0:
    print("child", runtime.cudaMalloc(ctypes.byref(pointer), 5 << 20), flush=True)
    sys.exit(7)
print("child ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print("parent", runtime.cudaFree(pointer), flush=True)
"""


def check_fork(machine):
    """A child leaves CUPTI and the trace to its parent, also when it runs the exit handlers."""
    command = [sys.executable, "-c", FORKS]
    bare = machine.run(command)
    preload.expect_equal("fork: bare exit", bare.returncode, 0)
    output, report = recorded(machine, "fork", command, "--mode", "observe")
    preload.expect_equal("fork: output", output, bare.stdout)
    preload.expect(report["recording"]["cupti"]["whole"], "fork: something was lost")
    preload.expect_equal("fork: driver", (report["driver"]["allocations"],
                                          report["driver"]["frees"]), (1, 1))
    print("forked")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if not (machine.simgpu / "libcupti.so.13").exists():
        preload.skip("the toolkit has no CUPTI headers, so there is no simulated CUPTI")
    for mode in ("observe", "pool"):
        check_exact(machine, mode)
        check_exact(machine, mode, SIMGPU_CUPTI_VERSION="26")
        check_hidden(machine, mode)
    check_refusals(machine)
    check_no_context(machine)
    check_drift(machine)
    check_clients(machine)
    check_fork(machine)
    check_kill(machine)


main()

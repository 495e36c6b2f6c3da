# SPDX-License-Identifier: MIT
"""The tensor cache and transfers: a program on each kind of device, bare and preloaded, and with a
driver without the batched call; then with a fault at each of its driver calls."""

import collections
import concurrent.futures
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

# Tested positions of one call: the first ones, and some of the rest.
FIRST, REST = 4, 4
# A failed free leaves its memory in an undefined state. Nothing waits for a context that cannot be
# entered. Queries before the device exists belong to another test.
LEFT_OUT = {"cuInit", "cuCtxPopCurrent_v2", "cuCtxGetCurrent", "cuCtxGetDevice", "cuDeviceGet",
            "cuDriverGetVersion", "cuThreadExchangeStreamCaptureMode"}


def programs(machine, program):
    kernels = (machine.build / "tests" / "simgpu" / "twins" / "kernels.so").exists() and \
        (machine.build / "kernels" / "kernels.fatbin").exists()
    env = {"CUPOOL_TEST_KERNELS": "1"} if kernels else {}
    slow = {"SIMGPU_DELAY_US": "300:7"}  # work is slow, each unit with another duration
    for what, command, preloaded, more in (("host memory", [program, "--host"], False, {}),
                                           ("bare", [program], False, {}),
                                           ("bare, slow", [program], False, slow),
                                           ("preloaded", [program], True, {})):
        done = machine.run(command, preload=preloaded, **env, **more)
        preload.expect(done.returncode == 0 and done.stdout == b"ok\n",
                       f"{what}: exit {done.returncode}: {done.stderr.decode()[-600:]}")
    print("transfer_program: host memory, bare, slow, preloaded" + (", with kernels" if kernels else ""))


def beside(machine):
    """Captures, contexts, devices and drivers; only its owner can read the calibration."""
    program = str(machine.build / "tests" / "engine" / "capture_program")
    for what, preloaded in (("bare", False), ("preloaded", True)):
        folder = machine.scratch / f"calibration-{what}"
        done = machine.run([program, str(folder)], preload=preloaded, SIMGPU_DEVICES=2)
        preload.expect(done.returncode == 0 and done.stdout == b"ok\n",
                       f"capture_program {what}: exit {done.returncode}: {done.stderr.decode()[-600:]}")
        (file,) = folder.iterdir()
        preload.expect_equal("calibration: modes", [path.stat().st_mode & 0o777 for path in (folder, file)],
                             [0o700, 0o600])
    print("capture_program: bare, preloaded; the calibration was kept")


def calls_made(machine, program):
    """Counts of each driver function."""
    log = machine.scratch / "calls.log"
    done = machine.run([program], SIMGPU_LOG=log)
    preload.expect_equal("logged run: exit", done.returncode, 0)
    return collections.Counter(name for name, *_ in preload.CallLog(log).calls
                               if name.startswith("cu"))


def faults_of(calls):
    for name, count in sorted(calls.items()):
        if name in LEFT_OUT:
            continue
        positions = set(range(1, min(count, FIRST) + 1))
        positions |= {1 + count * at // REST for at in range(REST)} - {count + 1}
        for position in sorted(positions):
            yield name, position, ("OUT_OF_MEMORY", "UNKNOWN")[position % 2]


def faults(machine, program):
    def run(fault):
        rule = ":".join(map(str, fault))
        done = machine.run([program, "--faults"], SIMGPU_FAULT=rule)
        return rule, done

    wanted = list(faults_of(calls_made(machine, program)))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for rule, done in pool.map(run, wanted):
            preload.expect(done.returncode == 0,
                           f"SIMGPU_FAULT={rule}: exit {done.returncode}: "
                           f"{done.stderr.decode(errors='replace')[-400:]}")
    preload.expect(len(wanted) > 60, f"only {len(wanted)} faults")
    print(f"faults: {len(wanted)} at {len({name for name, *_ in wanted})} functions")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    program = str(machine.build / "tests" / "engine" / "transfer_program")
    programs(machine, program)
    beside(machine)
    faults(machine, program)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Tests tuning: promises are kept, and settings that do not help are left out.

A program runs, is tuned from its trace, and runs again with the file; the figures of the second run
are those that the file promised. Further: histograms that do not fit the built-in classes, halves
of traces against each other, and cases with nothing to gain.
"""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20


def tune(machine, *words, code=0):
    done = machine.run([str(machine.cupool), "tune", *map(str, words)])
    preload.expect_equal(f"tune {words[0]}: {done.stderr.decode().strip()}: exit", done.returncode,
                         code)
    return done.stdout.decode()


def check(machine, conf, trace, code=0, *words):
    done = machine.run([str(machine.cupool), "check", *words, "--config", str(conf), str(trace)])
    preload.expect_equal(f"check: {done.stdout.decode()}{done.stderr.decode()}: exit",
                         done.returncode, code)
    return done.stdout.decode() + done.stderr.decode()


def replay(machine, trace, *policies):
    words = [word for policy in policies for word in ("-p", policy)]
    done = machine.run([str(machine.cupool), "replay", "-q", "--format", "json", *words,
                        str(trace)])
    preload.expect_equal(f"replay: {done.stderr.decode()}: exit", done.returncode, 0)
    found = json.loads(done.stdout)["traces"][0]
    return found["peak_requested_bytes"], found["policies"]


def settings(conf):
    """The settings of a file, as `key:value,key:value`."""
    lines = [line.split("#")[0] for line in conf.read_text().splitlines()]
    return ",".join(f"{key.strip()}:{value.strip()}" for key, _, value in
                    (line.partition("=") for line in lines if "=" in line))


def lifetimes(machine, name, rows):
    path = machine.scratch / name
    path.write_text("id,lower,upper,size\n" +
                    "".join(f"{i},{a},{b},{size}\n" for i, (a, b, size) in enumerate(rows)))
    return path


def promises(machine):
    """A run with the file keeps its promises; other runs are recognised."""
    program = machine.program("tinyllm", "--tokens", "64", "--seed", "7")
    trace = machine.scratch / "tinyllm.cupool"
    mapped = machine.program("churn", "--threads", "1", "--ops", "100")
    mapped_trace = machine.scratch / "mapped.cupool"
    machine.record(mapped, mapped_trace, "-O", "backing:vmm")
    conf = machine.scratch / "mapped.conf"
    tune(machine, "--for", "calls", "-o", conf, mapped_trace)
    preload.expect("reserve:" in settings(conf), f"nothing is kept from the start: {settings(conf)}")
    machine.record(mapped, mapped_trace, "--config", str(conf))
    text = check(machine, conf, mapped_trace)
    preload.expect("promises kept: same requests as tuned for" in text, text)
    print(f"mapped memory: {settings(conf)}: {text.splitlines()[1]}")
    # Without mapped memory there are no promises.
    machine.record(mapped, mapped_trace, "--config", str(conf), SIMGPU_SET="reserve_max=1MiB")
    preload.expect("could not be mapped" in check(machine, conf, mapped_trace, 2), "no mapped memory")

    bare = machine.run(program).stdout
    machine.record(program, trace)
    for goal in ("memory", "balanced"):
        conf = machine.scratch / f"{goal}.conf"
        table = tune(machine, "--for", goal, "-o", conf, trace)
        again = machine.scratch / f"{goal}.cupool"
        done = machine.record(program, again, "--config", str(conf))
        preload.expect_equal(f"{goal}: the output", done.stdout, bare)
        text = check(machine, conf, again)
        preload.expect("promises kept: same requests as tuned for" in text, text)
        first = conf.read_text()
        tune(machine, "--for", goal, "-o", conf, trace)
        preload.expect_equal(f"{goal}: the same file again", conf.read_text(), first)
        print(f"{goal}: {settings(conf)}: {text.splitlines()[0]}; {text.splitlines()[1]}")
        preload.expect("nothing to gain" not in table, table)

    # Broken promises, runs without the file, and files without promises.
    conf.write_text(re.sub(r"(reserved_from|reserved_to|reserved)=\d+", r"\1=4096", first))
    preload.expect("FAILED: reserved" in check(machine, conf, again, 1), "a lie passes")
    conf.write_text(re.sub(r" (calls_from|calls_to|calls)=\d+", r" \1=2", first))
    preload.expect("FAILED: driver calls" in check(machine, conf, again, 1), "a lie passes")
    conf.write_text(first)
    preload.expect("different options" in check(machine, conf, trace, 2), "a run without the file")
    conf.write_text("growth = 100\n")
    preload.expect("no promises" in check(machine, conf, again, 2), "a file without promises")
    text = check(machine, machine.scratch / "none.conf", again, 2)
    preload.expect("No such file" in text, f"a missing file: {text}")
    done = machine.record(program, again, "--config", str(machine.scratch / "none.conf"))
    preload.expect_equal("a file that is not there: exit", done.returncode, 125)
    conf.write_text("classes = 640\n")
    done = machine.record(program, again, "--config", str(conf))
    preload.expect_equal("a bad option in the file: exit", done.returncode, 125)

    # A run with other requests has weaker limits, and --strict refuses it.
    conf.write_text(first)
    other = machine.program("tinyllm", "--tokens", "48", "--seed", "9")
    machine.record(other, again, "--config", str(conf))
    preload.expect("requests differ" in check(machine, conf, again, 2, "--strict"), "strict")


def classes(machine):
    """Sizes just above the borders of the built-in classes."""
    small = [(step, step + 2000, size) for step in range(0, 4000, 2) for size in (520, 1040)]
    trace = lifetimes(machine, "small.csv", small)
    conf = machine.scratch / "small.conf"
    tune(machine, "--for", "memory", "-o", conf, trace)
    requested, (before, after) = replay(machine, trace, "cupool", f"cupool+{settings(conf)}")
    lost = [row["peak_allocated_bytes"] - requested for row in (before, after)]
    preload.expect(2 * lost[1] <= lost[0], f"rounding {lost[0]} -> {lost[1]}: less than half is won")
    preload.expect(after["peak_reserved_bytes"] <= before["peak_reserved_bytes"], "at what cost")
    print(f"520 and 1,040 B: rounding {lost[0]} -> {lost[1]} B, {settings(conf)}")

    # With large blocks, too: the mapped backing serves these, the classes serve the small ones.
    rows = [(step, step + 400, size) for step in range(0, 800, 4)
            for size in (520, 1040, 33 * KIB, 21 * MIB // 10)]
    mixed = lifetimes(machine, "mixed.csv", rows)
    requested, (before, after) = replay(machine, mixed, "cupool", f"mapped+{settings(conf)}")
    lost = [row["peak_allocated_bytes"] - requested for row in (before, after)]
    preload.expect(2 * lost[1] <= lost[0], f"rounding {lost[0]} -> {lost[1]}: less than half is won")
    print(f"520 B to 2.1 MiB: rounding {lost[0]} -> {lost[1]} B with mapped memory and these classes")

    # A program runs correctly with the classes.
    program = machine.program("churn", "--threads", "2", "--ops", "300", "--most", "40000")
    bare = machine.run(program)
    tuned = machine.run(program, preload=True, CUPOOL_CLASSES="512:768:1280:5888:9984:21248")
    preload.expect_equal("churn with other classes", tuned.stdout, bare.stdout)


def slabs(machine):
    """Bursts of many blocks of one size; the remaining ones keep large slabs from returning."""
    draw, rows, time = random.Random(3), [], 0
    for burst in range(24):
        size = (9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32)[burst % 12] * KIB
        for block in range(160):
            time += 1
            rows.append((time, time + (draw.randint(100, 400) if block % 11 else 6000), size))
    trace = lifetimes(machine, "bursts.csv", rows)
    conf = machine.scratch / "bursts.conf"
    tune(machine, "--for", "memory", "-o", conf, trace)
    _, (before, after) = replay(machine, trace, "cupool", f"cupool+{settings(conf)}")
    preload.expect("slab:64KiB" in settings(conf), f"no smaller slabs: {settings(conf)}")
    preload.expect(after["peak_reserved_bytes"] <= 3 * before["peak_reserved_bytes"] // 4,
                   f"{before['peak_reserved_bytes']} -> {after['peak_reserved_bytes']} B reserved")
    print(f"bursts: reserved {before['peak_reserved_bytes'] / MIB:.0f} -> "
          f"{after['peak_reserved_bytes'] / MIB:.0f} MiB, {settings(conf)}")


def halves(machine):
    """A file from one half of a trace does not worsen the other half."""
    for seed in range(1, 4):
        draw = random.Random(seed)
        sizes = [draw.choice((600, 1100, 5000, 9000, 40 * KIB, 300 * KIB, 3 * MIB, 9 * MIB))
                 for _ in range(12)]
        rows = [[(t, t + draw.randint(5, 400), draw.choice(sizes) + 16 * draw.randint(0, 3))
                 for t in range(1500)] for _ in range(2)]
        one, other = (lifetimes(machine, f"half{seed}{i}.csv", rows[i]) for i in range(2))
        conf = machine.scratch / f"half{seed}.conf"
        done = machine.run([str(machine.cupool), "tune", "-o", str(conf), str(one)])
        preload.expect(done.returncode in (0, 1), done.stderr.decode())
        if not settings(conf):
            continue
        _, (before, after) = replay(machine, other, "cupool", f"cupool+{settings(conf)}")
        print(f"half {seed}: {settings(conf)}: the other half: reserved "
              f"{before['peak_reserved_bytes'] / MIB:.0f} -> "
              f"{after['peak_reserved_bytes'] / MIB:.0f} MiB, calls {before['driver_calls']} -> "
              f"{after['driver_calls']}")
        preload.expect(after["peak_reserved_bytes"] <= 1.01 * before["peak_reserved_bytes"],
                       "more memory in the other half")
        preload.expect(after["driver_calls"] <= 1.01 * before["driver_calls"] + 1,
                       "more calls in the other half")


def nothing(machine):
    """If nothing helps, nothing is set, and the exit code shows it."""
    trace = lifetimes(machine, "one.csv", [(0, 10, MIB)])
    conf = machine.scratch / "one.conf"
    preload.expect("nothing to gain" in tune(machine, "-o", conf, trace, code=1), "no verdict")
    preload.expect_equal("settings", settings(conf), "")
    text = tune(machine, "--capacity", "512KiB", trace, code=1)
    preload.expect("no setting completes" in text and "driver calls" not in text, text)

    # A setting that helps only one of the traces is not written, nor one that harms the trace kept
    # back.
    small = machine.scratch / "small.csv"
    tune(machine, "--for", "memory", small)
    tune(machine, "--for", "memory", small, trace, code=1)
    exact = lifetimes(machine, "exact.csv", [(step, step + 2000, 512) for step in range(0, 3000, 2)] +
                      [(step, step + 2000, 1024) for step in range(0, 3000, 2)])
    text = tune(machine, "--for", "memory", "--keep-back", exact, small, code=1)
    preload.expect("validation trace worse" in text, text)
    tune(machine, "--for", "memory", "--keep-back", small, small)
    done = machine.run([str(machine.cupool), "tune", str(small), "--for", "speed"])
    preload.expect_equal("an unknown goal: exit", done.returncode, 2)


def on_terminal(command):
    """Exit code, and output to a terminal as stderr."""
    leader, follower = os.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    text = b""
    try:
        while part := os.read(leader, 1 << 12):
            text += part
    except OSError:  # the end of a terminal after its other side closed
        pass
    os.close(leader)
    return process.wait(), text.decode()


def progress(machine):
    """On a terminal a line shows the progress, and is erased at the end."""
    # Enough requests for the line to appear at any replay speed.
    trace = lifetimes(machine, "many.csv", [(step, step + 20, 512) for step in range(5000)])
    command = [str(machine.cupool), "tune", "--for", "memory", str(trace)]
    code, text = on_terminal(command)
    preload.expect(code in (0, 1), text)
    preload.expect(re.search(r"tuning: +\d+ %, \d+ s left", text), f"no progress: {text!r}")
    preload.expect(text.endswith("\r\x1b[K"), f"the line stays: {text!r}")
    preload.expect_equal("with -q", on_terminal([*command, "-q"]), (code, ""))


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    classes(machine)
    slabs(machine)
    nothing(machine)
    progress(machine)
    halves(machine)
    promises(machine)


main()

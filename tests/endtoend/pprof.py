# SPDX-License-Identifier: MIT
"""The pprof report read by pprof itself, from Debian's package of Go: its figures equal those of
the JSON report."""

import glob
import re
import shutil
import subprocess

import packages
import preload

COLUMNS = ["inuse_objects/count", "inuse_space/bytes", "exit_objects/count", "exit_space/bytes",
           "alloc_objects/count", "alloc_space/bytes"]
TOTALS = {"inuse_space": "peak_requested_bytes", "exit_objects": "leaked_blocks",
          "exit_space": "leaked_bytes", "alloc_objects": "allocations",
          "alloc_space": "requested_bytes"}


def pprof(machine):
    """The command, installed or unpacked; None: not available."""
    inside = "usr/lib/go-*/pkg/tool/*/pprof"
    installed = [shutil.which("pprof"), *glob.glob("/" + inside)]
    names = packages.debian_depends("golang-go", "golang-1")
    return next(filter(None, installed), None) or next(
        filter(None, (packages.debian_file(machine.build, name, inside) for name in names)), None)


class Reader:
    def __init__(self, machine, command, profile):
        self.machine, self.command, self.profile = machine, command, profile

    def ask(self, *words):
        done = subprocess.run([self.command, *words, self.profile], cwd=self.machine.scratch,
                              capture_output=True, text=True, timeout=120,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(self.machine.scratch)})
        preload.expect_equal(f"pprof {words}: {done.stderr}", done.returncode, 0)
        return done.stdout

    def raw(self):
        """(the names of columns, [(values, frames)], mappings)."""
        parts = re.split(r"(?m)^(?:Samples|Locations|Mappings):?\n", self.ask("-raw"))
        lines = parts[1].splitlines()
        columns = [name.removesuffix("[dflt]") for name in lines[0].split()]
        locations = {}
        for line in parts[2].splitlines():
            number, frame = re.fullmatch(r" *(?:(\d+): 0x[0-9a-f]+ M=\d+)? *(.*)", line).groups()
            last = number or last
            locations.setdefault(last, []).append(frame)
        samples = []
        for line in lines[1:]:
            match = re.fullmatch(r" *([\d ]+): ([\d ]+)", line)
            if match:  # the others are labels
                samples.append(([int(value) for value in match[1].split()],
                                [locations[number] for number in match[2].split()]))
        return columns, samples, parts[3].splitlines()

    def total(self, index):
        """The total that -top prints, in its smallest unit."""
        text = self.ask("-top", f"-sample_index={index}",
                        *(["-unit=B"] if index.endswith("space") else []))
        return int(re.search(r"of (\d+)B? total", text)[1]) if "% of" in text else 0


def check(machine, command, name, program, innermost):
    trace = machine.scratch / f"{name}.cupool"
    done = machine.record(machine.program(*program), trace)
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    report = machine.report(trace)
    profile = machine.scratch / f"{name}.pb.gz"
    machine.run([str(machine.cupool), "report", "-f", "pprof", "-o", str(profile), str(trace)])
    reader = Reader(machine, command, str(profile))

    columns, samples, mappings = reader.raw()
    preload.expect_equal(f"{name}: columns", columns, COLUMNS)
    preload.expect_equal(f"{name}: stacks", len(samples), len(report["stacks"]))
    sums = [sum(values[i] for values, _ in samples) for i in range(len(columns))]
    for column, total in zip(columns, sums):
        kind = column.split("/")[0]
        if kind in TOTALS:
            preload.expect_equal(f"{name}: {kind}", total, report["summary"][TOTALS[kind]])
        preload.expect_equal(f"{name}: -top: {kind}", reader.total(kind), total)
    for (values, frames), stack in zip(samples, report["stacks"]):
        preload.expect_equal(f"{name}: values of a stack", values[2:], [
            stack[key] for key in ("leaked_blocks", "leaked_bytes", "allocations",
                                   "requested_bytes")])
        preload.expect_equal(f"{name}: depth", sum(map(len, frames)), len(stack["frames"]))
    files = {frame["module"] for stack in report["stacks"] for frame in stack["frames"]}
    for file in files:
        preload.expect(any(f" {file} " in f"{line} " for line in mappings),
                       f"{name}: no mapping of {file}: {mappings}")
    leak = max(samples, key=lambda sample: sample[0][3])[1]
    preload.expect(any(innermost in frame for frames in leak for frame in frames),
                   f"{name}: {innermost} is not in {leak}")
    traces = [part.split() for part in reader.ask("-traces", "-sample_index=exit_space")
              .split("-----------+-")[1:]]
    preload.expect([part for part in traces if "128kB" in part and innermost in part],
                   f"{name}: the leak is not among {traces}")
    print(f"{name}: {len(samples)} stacks, {dict(zip(columns, sums))}")


def check_several(machine, command):
    """Samples of two traces differ in a label."""
    traces = [str(machine.scratch / f"{name}.cupool") for name in ("native", "python")]
    profile = machine.scratch / "both.pb.gz"
    machine.run([str(machine.cupool), "report", "-f", "pprof", "-o", str(profile), *traces])
    reader = Reader(machine, command, str(profile))
    text = reader.ask("-tags", "-sample_index=alloc_objects")
    for trace in traces:
        count = machine.report(trace)["summary"]["allocations"]
        preload.expect(re.search(rf"(?m)^ *{count}\.0 \([\d.]+%\): {re.escape(trace)}$", text),
                       f"tags: {count} of {trace}: {text}")
    alone = reader.ask("-raw", f"-tagfocus=trace={re.escape(traces[0])}")
    preload.expect_equal("focused", alone.count("trace:["),
                         len(machine.report(traces[0])["stacks"]))


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    command = pprof(machine)
    if not command:
        preload.skip("pprof is not installed, and Debian's package of Go cannot be fetched")
    check(machine, command, "native", ("leaky", "--leak"), "service::Cache::keep")
    check(machine, command, "python", ("leaky.py", "--leak"), "Cache.keep")
    check_several(machine, command)


main()

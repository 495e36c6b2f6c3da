# SPDX-License-Identifier: MIT
"""A trace with trace_max never exceeds it, and its report has the figures of the whole run.

The same deterministic program is recorded with and without a limit; the reports must be equal
except for the timeline, which in a limited trace covers only the kept events, and the sites' own
peaks, which are upper bounds if a site has several stacks.
"""

import json
import os
import pathlib
import subprocess
import struct
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import figures  # noqa: E402
import preload  # noqa: E402

MIB = 1 << 20
# About the recording itself: its completeness.
OF_RECORDING = ("events", "file_bytes", "folded_events", "forgotten_events", "kept_from_ns",
                "torn_carries")


def site_peaks(report):
    return [(site.pop("peak_bytes"), site.pop("peak_blocks")) for site in report["sites"]]


def comparable(report):
    report = {key: value for key, value in report.items() if key not in PARTS}
    report["recording"] = {key: value for key, value in report["recording"].items()
                           if key not in OF_RECORDING}
    for key in ("pid", "start_realtime_ns", "duration_ns"):
        report["process"].pop(key)
    return report


# Results from the kept events only: phases and growth are detected in whole runs, and findings are
# based on them.
PARTS = ("timeline", "trace", "growth", "phases", "plateau", "findings")


class SizeWatch(threading.Thread):
    """Watches a file's size while it is written."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.highest, self.done = path, 0, False

    def run(self):
        while not self.done:
            try:
                self.highest = max(self.highest, os.stat(self.path).st_size)
            except FileNotFoundError:
                pass

    def finish(self):
        self.done = True
        self.join()
        return max(self.highest, os.stat(self.path).st_size)


def make(machine, name, events, threads, limit):
    trace = machine.scratch / name
    watch = SizeWatch(trace)
    watch.start()
    done = machine.run([str(machine.build / "tests" / "scale" / "make_trace"), str(trace),
                        str(events), str(threads), str(limit)])
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    highest = watch.finish()
    preload.expect(not limit or highest <= limit, f"{name}: {highest} B, the limit is {limit}")
    return trace


def check_written(machine, events, threads, limit):
    """Traces of one writer with synthetic times: every figure must be the same."""
    whole = machine.report(make(machine, f"whole.{threads}.{limit}", events, threads, 0))
    trace = make(machine, f"cut.{threads}.{limit}", events, threads, limit)
    cut = machine.report(trace)
    recording = cut["recording"]
    preload.expect(recording["complete"], "the limited trace is not complete")
    preload.expect(recording["folded_events"] > events / 2, "hardly an event was folded")
    preload.expect_equal("folded and kept events", recording["folded_events"] +
                         recording["events"], whole["recording"]["events"])
    bounds = zip(site_peaks(whole), site_peaks(cut))
    preload.expect(all(true <= bound for pair in bounds for true, bound in zip(*pair)),
                   "a site's peak exceeds its bound")
    found = figures.differences(comparable(whole), comparable(cut))
    preload.expect(not found, "the limited trace's figures differ:\n" + "\n".join(found[:10]))
    # In the kept part the levels equal those of the whole run: the opening balance is right.
    levels = {point["t_ns"]: point for point in whole["timeline"]}
    shared = [point for point in cut["timeline"] if point["t_ns"] in levels]
    preload.expect(len(shared) > 2, f"{len(shared)} moments to compare")
    for point in shared:
        preload.expect_equal("levels", point, levels[point["t_ns"]])
    for form in ("text", "markdown", "html"):
        done = machine.run([str(machine.cupool), "report", "-f", form, str(trace)])
        preload.expect(b"were dropped (trace_max)" in done.stdout, f"{form}: no statement")
    print(f"{threads} threads, {limit} B: {recording['folded_events']} of "
          f"{whole['recording']['events']} events folded, figures equal")


def check_program(machine):
    """A real program: its totals equal those of the run without a limit."""
    bench = machine.build / "tests" / "bench" / "hook_bench"
    command = [str(bench), "--live", "300", "--steps", "60000"]
    reports = []
    for limit in (0, 2 * MIB):
        trace = machine.scratch / f"program.{limit}.cupool"
        done = machine.record(command, trace, "--mode", "observe", "-q", "-O",
                              f"trace_max:{limit}", "-O", "cupti:off")
        preload.expect_equal(f"hook_bench: {done.stderr[-300:]}", done.returncode, 0)
        preload.expect(not limit or trace.stat().st_size <= limit, "the trace exceeds its limit")
        reports.append(machine.report(trace))
    for report in reports:
        site_peaks(report)
    whole, cut = (figures.without_times(comparable(report)) for report in reports)
    preload.expect(reports[1]["recording"]["folded_events"] > 0, "nothing was folded")
    # Counters are recorded each second, so their number depends on the clock.
    found = figures.differences(whole, cut)
    preload.expect(not found, "the limited run's figures differ:\n" + "\n".join(found[:10]))
    print(f"hook_bench: {whole['summary']['allocations']} allocations, figures equal")


def check_too_many_live(machine):
    """Live blocks that do not fit: recording stops with a reason, and the trace can be read."""
    trace = machine.scratch / "live.cupool"
    command = [str(machine.build / "tests" / "bench" / "hook_bench"), "--live", "60000",
               "--steps", "60000"]
    done = machine.record(command, trace, "--mode", "observe", "-q", "-O", f"trace_max:{MIB}")
    preload.expect_equal("too many live blocks: exit", done.returncode, 0)
    preload.expect(trace.stat().st_size <= MIB, "the trace exceeds its limit")
    report = machine.report(trace)
    preload.expect(not report["process"]["complete"], "the trace claims to be complete")
    preload.expect(report["recording"]["stop_errno"] != 0, "the trace does not say why it stops")
    print("too many live blocks: recording stopped")


def crc32c(data):
    checksum = 0xffffffff
    for byte in data:
        checksum = CRC_ROW[(checksum ^ byte) & 255] ^ checksum >> 8
    return checksum ^ 0xffffffff


def crc_row(number):
    for _ in range(8):
        number = number >> 1 ^ (0x82f63b78 if number & 1 else 0)
    return number


CRC_ROW = [crc_row(number) for number in range(256)]
BLOCK, SLOT = 65536, 64
# The end of a live block in a carry: its memory, its space, whether the driver made it, whether it
# counts, and its device; its thread follows. The third and the fourth are booleans.
LIVE_END = b"\x01\x01\x00\x01" + bytes(2)


def expect_damage(machine, trace, data, what):
    trace.write_bytes(data)
    done = machine.run([str(machine.cupool), "report", str(trace)])
    preload.expect_equal(f"a damaged carry: {done.stderr}", done.returncode, 2)
    preload.expect(what in done.stderr, f"a damaged carry: {done.stderr}")


def check_truth(machine):
    """A boolean other than 0 or 1 is refused, although the checksum is right."""
    trace = machine.scratch / "truth.cupool"
    done = machine.run([str(machine.build / "tests" / "scale" / "make_trace"), str(trace),
                        "100000", "1", str(2 * MIB)])
    preload.expect_equal(f"make_trace: {done.stderr}", done.returncode, 0)
    sound = bytearray(trace.read_bytes())
    for place in (2, 3):
        data, changed = bytearray(sound), 0
        for begin in range(BLOCK, len(data) - BLOCK + 1, BLOCK):
            magic, _, _, count, _, carry = struct.unpack_from("<6I", data, begin)
            end = begin + SLOT + count * SLOT
            at = data.find(LIVE_END, begin + 2 * SLOT, end) if magic and carry else -1
            if at < 0:
                continue
            data[at + place] = 62
            expect_damage(machine, trace, data, b"checksum")
            struct.pack_into("<I", data, begin + 16, crc32c(data[begin + SLOT:end]))
            changed += 1
        preload.expect(changed > 0, "no live block in the carry")
        expect_damage(machine, trace, data, b"early events")
    print("booleans of 62: refused")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check_written(machine, 300000, 1, 2 * MIB)
    check_written(machine, 300000, 1, 5 * MIB + 12345)
    check_written(machine, 300000, 4, 5 * MIB)
    check_program(machine)
    check_too_many_live(machine)
    check_truth(machine)


main()

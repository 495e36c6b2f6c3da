# SPDX-License-Identifier: MIT
"""The text report: no line exceeds the requested width, in any section; cut text ends in an
ellipsis and keeps the line number; failures, invalid frees, memory errors and steps name their
sites; figures in brackets are explained."""

import re
import sys
import unicodedata

import preload

WIDTHS = (40, 60, 80, 100, 120)
KIB = 1024
PROGRAM = '''
import ctypes, sys
runtime, cupool = ctypes.CDLL("libcudart.so.13"), ctypes.CDLL(None)
def allocate(size):
    pointer = ctypes.c_void_p()
    return pointer if runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0 else None
def ask_for_far_too_much_memory_with_a_name_that_is_longer_than_most_lines_are_wide():
    return allocate(1 << 50)
def work_of_a_step(count):
    for pointer in [allocate(1000 * (i + 1)) for i in range(count)]:
        runtime.cudaFree(pointer)
def free_twice(pointer):
    runtime.cudaFree(pointer)
    runtime.cudaFree(pointer)
PHASE = "decode \u65e5\u672c\u8a9e of a phase whose name is longer than the column it stands in".encode()
kept = [allocate(1 << 20) for _ in range(5)]
cupool.cupool_phase_begin(PHASE)
for step in range(20):
    cupool.cupool_step(ctypes.c_ulonglong(step))
    work_of_a_step(9 if step == 7 else 3)
cupool.cupool_phase_end(PHASE)
for _ in range(3):
    ask_for_far_too_much_memory_with_a_name_that_is_longer_than_most_lines_are_wide()
free_twice(allocate(4096))
runtime.cudaFree(ctypes.c_void_p(0x12345600))
buffer = allocate(1000)
runtime.cudaMemset(ctypes.c_void_p(buffer.value + 990), 0, ctypes.c_size_t(20))
runtime.cudaFree(buffer)
'''


def columns(line):
    return sum(0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
               for sign in line)


class Report:
    def __init__(self, machine, *traces):
        self.machine, self.traces = machine, traces

    def text(self, width, *words):
        done = self.machine.run([str(self.machine.cupool), "report", *map(str, self.traces), *words],
                                COLUMNS=width)
        preload.expect_equal(f"report {words}: {done.stderr}", done.returncode, 0)
        return done.stdout.decode()

    def check_widths(self):
        for words in ((), ("--by", "phase"), ("--by", "stack"), ("--by", "caller"),
                      ("--by", "library"), ("--by", "api"), ("--from", "10%")):
            for width in WIDTHS:
                text = self.text(width, *words)
                wide = [line for line in text.splitlines() if columns(line) > width]
                preload.expect_equal(f"{words}, {width} columns: too wide", wide, [])
                for first, last in (("SITE", "LEAKED"), ("PHASE", "PEAK"), ("JOB", "LEAKED")):
                    header = re.search(rf"^{first} .*", text, re.M)
                    preload.expect(not header or last in header.group(),
                                   f"{words}, {width} columns: a table is broken: {header}")
                preload.expect("\x01" not in text, f"{words}: the mark is printed")

    def check_cuts(self):
        """A location that is cut has its line number and an ellipsis."""
        cut = 0
        for width in WIDTHS:
            for line in self.text(width).splitlines():
                if "\u2026" not in line:
                    continue
                cut += 1
                if ".py" in line and not line.startswith(("/", " ")):
                    preload.expect(re.search(r"\.py:\d+", line), f"{width}: lost its line: {line}")
        preload.expect(cut > 3, f"{cut} lines are cut")


def section(text, title):
    """The lines of a section, without the column of titles."""
    found = re.search(rf"^{title} *\n?((?:.*\n)(?: {{15}}.*\n)*)", text, re.M)
    preload.expect(found, f"no {title!r} in\n{text}")
    return re.sub(r"\s+", " ", found.group(1))


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    script, trace = machine.scratch / "text_report_program.py", machine.scratch / "t.cupool"
    script.write_text(PROGRAM)
    done = machine.record([sys.executable, str(script)], trace, "-O", "guard:redzone")
    preload.expect_equal(f"the program: {done.stderr.decode()}", done.returncode, 0)
    report = Report(machine, trace)
    report.check_widths()
    report.check_cuts()
    Report(machine, trace, trace).check_widths()  # ranks of a job

    text = report.text(160)
    program = PROGRAM.splitlines()
    line = {name: program.index(name) + 1 for name in program}
    far = "ask_for_far_too_much_memory_with_a_name_that_is_longer_than_most_lines_are_wide"
    preload.expect(f"failed: 3, the first for 1.0 PiB, by text_report_program.py:"
                   f"{line['    return allocate(1 << 50)']} {far}" in section(text, "Allocations"),
                   f"the site of failures: {section(text, 'Allocations')}")
    frees = section(text, "Invalid frees")
    freed = line["def free_twice(pointer):"] + 2
    preload.expect(f"1 by text_report_program.py:{freed} free_twice" in frees, frees)
    preload.expect(f"allocated by text_report_program.py:{line['free_twice(allocate(4096))']}" in frees,
                   frees)
    preload.expect("already freed by" in frees, frees)
    preload.expect("no known allocation at this address" in frees, frees)
    steps = section(text, "Most per step")
    preload.expect("9 allocations by text_report_program.py" in steps and "work_of_a_step" in steps
                   and "in 20 steps" in steps, steps)
    for legend in ("in parentheses, most driver calls", "In parentheses: the module"):
        preload.expect(legend in text, f"no legend {legend!r} in\n{text}")
    findings = text[text.index("Findings"):text.index("\nPeak ")]
    preload.expect(f"{far} failed to allocate 1.0 PiB" in findings, findings)
    preload.expect("Invalid write: overrun of a block of 1000 B" in findings,
                   findings)
    kinds = [row["kind"] for row in machine.report(trace)["findings"]]
    preload.expect_equal("kinds", kinds[:3], ["out of memory", "invalid free", "memory error"])
    print("text reports are correct in all widths")


main()

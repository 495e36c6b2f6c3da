# SPDX-License-Identifier: MIT
"""Reports for sharing: with --anonymize no format of report, diff and check contains a folder, a command
line, the name of a phase, a build-id or the name of a trace; the figures are the same."""

import gzip
import json
import pathlib
import re
import shutil
import sys

import preload

# Each is planted in exactly one place of a trace.
SECRETS = {
    "folder": "private-folder-of-alice", "argument": "--token=xyzzy-4711", "phase": "phase-of-bob",
    "trace": "host-gpu17-of-carol", "program": "private-programs-of-dave",
    "module": "private-modules-of-eve", "mark": "mark-of-mallory"}
FIGURES = ("summary", "sizes", "apis", "memory", "device", "lifetimes", "timeline", "counters",
           "steps", "process.duration_ns")

SCRIPT = """
import ctypes, sys
runtime = ctypes.CDLL("libcudart.so.13")
runtime.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
runtime.cudaFree.argtypes = [ctypes.c_void_p]
cupool = ctypes.CDLL(None)

def take(size):
    block = ctypes.c_void_p()
    runtime.cudaMalloc(ctypes.byref(block), size)
    return block

kept = [take(9 << 20)]
cupool.cupool_phase_begin(b"PHASE")
for step in range(12):
    cupool.cupool_step(ctypes.c_ulonglong(step))
    runtime.cudaFree(take(300000))
    kept.append(take(5000))
cupool.cupool_mark(b"MARK")
cupool.cupool_phase_end(b"PHASE")
pages = [take(512 << 10) for _ in range(64)]
for page in pages[1::2]:
    runtime.cudaFree(page)
runtime.cudaFree(ctypes.c_void_p(kept[0].value + 512))
take(1 << 45)
if len(sys.argv) > 2:
    hidden = ctypes.CDLL(sys.argv[2])
    hidden.hidden_allocate(ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(3 << 20))
runtime.cudaDeviceSynchronize()
"""


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings_of(item)


def build_ids(value):
    if isinstance(value, dict) and value.get("build_id"):
        yield value["build_id"]
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            yield from build_ids(item)


class Subject:
    """Two traces full of secrets, in a folder with a secret name."""

    def __init__(self, machine):
        self.machine = machine
        self.folder = machine.scratch / SECRETS["folder"]
        programs, modules = self.folder / SECRETS["program"], self.folder / SECRETS["module"]
        programs.mkdir(parents=True)
        modules.mkdir()
        script = programs / "serve.py"
        script.write_text(SCRIPT.replace("PHASE", SECRETS["phase"]).replace("MARK",
                                                                            SECRETS["mark"]))
        library = machine.build / "tests" / "endtoend" / "libhidden.so"
        self.command = [sys.executable, str(script), SECRETS["argument"]]
        if library.exists():
            shutil.copy(library, modules)
            self.command.append(str(modules / library.name))
        shutil.copy(machine.workloads / "leaky", programs / "service")
        self.traces = [self.record("script", *self.command),
                       self.record("program", str(programs / "service"), "--leak")]

    def record(self, name, *command):
        trace = self.folder / f"{SECRETS['trace']}.{name}.cupool"
        done = self.machine.record(command, trace, "-q")
        preload.expect_equal(f"{name}: {done.stderr.decode()}", done.returncode, 0)
        return str(trace)

    def cupool(self, *words, code=0):
        done = self.machine.run([str(self.machine.cupool), *words])
        preload.expect_equal(f"{words}: {done.stderr.decode()}", done.returncode, code)
        return gzip.decompress(done.stdout) if done.stdout[:2] == b"\x1f\x8b" else done.stdout

    def private(self):
        """Texts that no output may contain: the secrets, and every folder and build-id of plain
        reports."""
        found = {text.encode() for text in SECRETS.values()}
        for trace in self.traces:
            plain = self.machine.report(trace)
            found |= {one.encode() for one in build_ids(plain)}
            for text in strings_of(plain):
                found |= {str(parent).encode() + b"/" for parent in pathlib.Path(text).parents
                          if text.startswith("/") and str(parent) != "/"}
        return found


def expect_none(what, output, private):
    preload.expect(output, f"{what}: no output")
    for text in private:
        preload.expect(text not in output, f"{what}: {text.decode()!r} is in it")


def formats_of(subject):
    """Every format that the help lists and this build has."""
    help_text = subject.cupool("report", "--help").decode()
    rows = re.findall(r"(?m)^  ([a-z]+) +(.*)$", help_text.split("Formats:\n")[1].split("\n\n")[0])
    preload.expect(len(rows) >= 9, f"formats: {rows}")
    return [name for name, help_line in rows if "not built in" not in help_line]


def check_report(subject, private):
    told = set()
    for name in formats_of(subject):
        for traces in (subject.traces[:1], subject.traces[1:], subject.traces):
            for more in ([], ["--by", "library"], ["--by", "phase"]) if name in ("text", "markdown") \
                    else ([],):
                words = ["report", "-f", name, *more, *traces]
                plain = subject.cupool(*words)
                expect_none(f"{words}", subject.cupool(*words, "--anonymize"), private)
                told |= {text for text in private if text in plain}
    # Without the option, some format contains each of them; otherwise it was not planted.
    preload.expect_equal("planted", private - told, set())
    output = subject.folder / "given.json"
    subject.cupool("report", "-f", "json", "--anonymize", "-o", str(output), *subject.traces)
    expect_none("to a file", output.read_bytes(), private)
    phase = subject.cupool("report", "--anonymize", "--phase", SECRETS["phase"], subject.traces[0])
    expect_none("of a phase", phase, private)
    preload.expect(b"only phase anon-" in phase, f"of a phase: {phase.decode()}")
    print(f"report: {len(private)} texts, none in any form")


def figure_of(report, name):
    for part in name.split("."):
        report = report[part]
    return report


def check_figures(subject):
    """Figures, sites and functions are the same as without --anonymize; paths are file names
    only."""
    for trace in subject.traces:
        plain, given = (json.loads(subject.cupool("report", "-f", "json", *more, trace))
                        for more in ([], ["--anonymize"]))
        for name in FIGURES:
            preload.expect_equal(f"the same {name}", figure_of(given, name), figure_of(plain, name))
        for rows in ("sites", "growth", "fragmentation_sites", "postmortems", "libraries", "stacks"):
            preload.expect_equal(f"rows of {rows}", len(given[rows]), len(plain[rows]))
        for mine, theirs in zip(plain["sites"], given["sites"]):
            for key in ("function", "line", "offset", "allocations", "leaked_bytes"):
                preload.expect_equal(f"site: {key}", theirs[key], mine[key])
            for key in ("module", "file"):
                preload.expect_equal(f"site: {key}", theirs[key],
                                     mine[key] and pathlib.Path(mine[key]).name)
        preload.expect_equal("trace", given["trace"], "trace 1")
    names = [phase["name"] for phase in given["phases"]]
    preload.expect(not any(name.startswith("anon-") for name in names),
                   f"phases that were found keep their names: {names}")


def check_packed(subject):
    """An anonymized trace, and an anonymized report of the original, have the same hashes."""
    packed = subject.folder / "packed.zst"
    done = subject.machine.run([str(subject.machine.cupool), "pack", "--anonymize", "-o",
                                str(packed), subject.traces[0]])
    if b"not built in" in done.stderr:
        return
    of_record = subject.machine.report(packed)
    of_report = json.loads(subject.cupool("report", "-f", "json", "--anonymize", subject.traces[0]))
    preload.expect_equal("command", of_record["process"]["command"],
                         of_report["process"]["command"])
    preload.expect_equal("phases", [phase["name"] for phase in of_record["phases"]],
                         [phase["name"] for phase in of_report["phases"]])
    preload.expect(set(build_ids(of_report)) <= set(build_ids(of_record)), "build-ids")


def check_gates(subject, private):
    base = subject.record("again", *subject.command)
    for name in ("text", "json", "markdown"):
        words = ["diff", "-f", name, base, subject.traces[1]]
        preload.expect(SECRETS["trace"].encode() in subject.cupool(*words, code=1), "diff: plain")
        expect_none(f"diff {name}", subject.cupool(*words, "--anonymize", code=1), private)
    budget, baseline, junit, markdown = (subject.folder / f"{SECRETS['trace']}.{kind}"
                                         for kind in ("budget", "json", "xml", "md"))
    budget.write_text("[budget]\npeak_live = 1\npeak_live_growth = +0%\n")
    # The warning that the baseline was made with other [ignore]d sites names the baseline.
    other = subject.folder / "other.budget"
    other.write_text("[budget]\npeak_live = 1 TiB\n[ignore]\nsite = nothing-of-mine\n")
    subject.cupool("check", "--budget", str(other), "--baseline", str(baseline),
                   "--update-baseline", subject.traces[1])
    words = ["check", "--budget", str(budget), "--baseline", str(baseline), "--junit", str(junit),
             "--markdown", str(markdown), "--github", subject.traces[0]]
    subject.cupool(*words, code=1)
    preload.expect(SECRETS["trace"] in junit.read_text(), "check: plain")
    # File names are kept, also of the budget and the baseline, so these are not searched for.
    private = private - {SECRETS["trace"].encode()}
    text = subject.cupool(*words, "--anonymize", code=1)
    for what, output in (("text", text), ("junit", junit.read_bytes()),
                         ("markdown", markdown.read_bytes())):
        expect_none(f"check {what}", output, private)
        preload.expect(f"{SECRETS['trace']}.script" not in output.decode(), f"check {what}: trace")
        preload.expect(b"trace 1" in output, f"check {what}: {output.decode()}")
    preload.expect(f"{baseline.name}: made with a different" in junit.read_text(), "check: the warning")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if not (machine.workloads / "leaky").exists():
        preload.skip("the simulated runtime was not built")
    subject = Subject(machine)
    private = subject.private()
    check_report(subject, private)
    check_figures(subject)
    check_packed(subject)
    check_gates(subject, private)


main()

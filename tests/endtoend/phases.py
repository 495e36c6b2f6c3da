# SPDX-License-Identifier: MIT
"""A program's own phases reach the report (cupool.h, NVTX, a signal) and do not change its behaviour. Phase
budgets, windows, ranks."""

import json
import pathlib
import sys

import preload


def phases_of(report):
    return {phase["name"]: phase for phase in report["phases"]}


def recorded(machine, name, *words, options=(), **extra):
    trace = machine.scratch / f"{name}.cupool"
    program = machine.program("annotated", *words)
    bare = machine.run(program)
    done = machine.record(program, trace, "-q", *options, **extra)
    preload.expect_equal(f"{name}: exit", done.returncode, bare.returncode)
    preload.expect_equal(f"{name}: output", done.stdout, bare.stdout)
    preload.expect_equal(f"{name}: stderr", done.stderr, bare.stderr)
    return trace, machine.report(trace)


def check_steps(machine):
    trace, report = recorded(machine, "steps", "steps", "40", "leak")
    phases = phases_of(report)
    preload.expect_equal("phases", sorted(phases), ["decode", "load", "loaded"])
    decode = phases["decode"]
    preload.expect_equal("source", decode["source"], "api")
    preload.expect_equal("allocations", decode["allocations"], 80)
    preload.expect_equal("steps", decode["steps"]["count"], 40)
    preload.expect_equal("a step", decode["steps"]["allocations_max"], 2)
    preload.expect_equal("growth", decode["growth_bytes"], 40 * 5000)
    preload.expect_equal("opening", decode["opening_requested_bytes"], 8 << 20)
    preload.expect_equal("sites that grow", len(report["growth"]), 1)
    growth = report["growth"][0]
    preload.expect(abs(growth["blocks_per_step"] - 1) < 0.01, f"growth: {growth}")
    text = machine.run([str(machine.cupool), "report", str(trace)]).stdout.decode()
    preload.expect("1 per step" in text and "decode" in text, text)
    preload.expect("\033[" not in text, "colour without a terminal")

    _, clean = recorded(machine, "clean", "steps", "40")
    preload.expect_equal("without the leak", clean["growth"], [])
    _, plain = recorded(machine, "plain", "plain", "400", "leak")
    preload.expect_equal("nothing said", [phase["source"] for phase in plain["phases"]
                                          if phase["source"] != "detected"], [])
    return trace


def check_window(machine, trace):
    def report(*words):
        return machine.run([str(machine.cupool), "report", str(trace), *words, "-f", "json"])

    window = json.loads(report("--phase", "decode").stdout)
    preload.expect_equal("allocations inside", window["summary"]["allocations"], 80)
    preload.expect_equal("opening", window["window"]["opening_requested_bytes"], 8 << 20)
    preload.expect_equal("leaked inside", window["summary"]["leaked_bytes"], 40 * 5000)
    halves = [json.loads(report(*words).stdout)["summary"]["allocations"]
              for words in (("--to", "50%"), ("--from", "50%"))]
    preload.expect_equal("both halves", sum(halves), 81)
    for words in (("--phase", "none"), ("--from", "2h"), ("--from", "2", "--to", "1"),
                  ("--phase", "decode", "--to", "1")):
        done = report(*words)
        preload.expect(done.returncode == 2 and done.stderr.count(b"\n") == 1 and not done.stdout,
                       f"{words}: exit {done.returncode}: {done.stderr}")


def check_budget(machine, trace):
    budget = machine.scratch / "phases.budget"

    def check(text, *words):
        budget.write_text(text)
        return machine.run([str(machine.cupool), "check", "--budget", str(budget), *words,
                            str(trace)])

    within = check("[phase decode]\ndevice_allocs_per_step = 2\npeak_live = 9 MiB\n"
                   "driver_calls_per_step = 9\ngrowth = 200000\ndevice_allocs = 80\n", "--strict")
    preload.expect_equal("within", within.returncode, 0)
    over = check("[phase dec*]\ndevice_allocs_per_step = 0\n")
    preload.expect_equal("over", over.returncode, 1)
    preload.expect(b"phase dec*: device_allocs_per_step: measured 2, allowed 0" in over.stdout,
                   over.stdout)
    # The site to look at first is one of the phase, and of driver calls one that made some.
    hints = check("[phase load]\ndevice_allocs = 0\n[phase decode]\ngrowth = 0\npeak_live = 0\n"
                  "[budget]\ndriver_calls = 0\n").stdout.decode().splitlines()
    for line, site in zip(hints, ("steps_run (annotated) 1", "leaky (annotated) 195.3 KiB",
                                  "steps_run (annotated) 8.0 MiB", "step (annotated) 3")):
        preload.expect(line.endswith(site), f"not {site}: {line}")
        preload.expect_equal(f"its range: {line}", "most in the phase: " in line,
                             line.startswith("phase "))
    nothing = check("[phase prefill]\ngrowth = 0\n", "--strict")
    preload.expect_equal("no such phase, strictly", nothing.returncode, 2)
    bad = check("[phase decode]\npeak = 1\n")
    preload.expect(bad.returncode == 2 and b"device_allocs_per_step" in bad.stderr, bad.stderr)
    window = check("[budget]\nallocations = 80\n", "--phase", "decode")
    preload.expect_equal("a budget of a phase alone", window.returncode, 0)


def check_diff(machine, trace):
    """Comparison of a single phase; unknown phases, and inputs without times, are refused."""
    def diff(*words):
        return machine.run([str(machine.cupool), "diff", *map(str, words)])

    def allocations(*words):
        done = diff("--format", "json", *words, trace, trace)
        preload.expect_equal(f"diff {words}: {done.stderr}", done.returncode, 0)
        return json.loads(done.stdout)["metrics"]["allocations"]["new"]

    window = machine.run([str(machine.cupool), "report", str(trace), "--format", "json",
                          "--phase", "decode"])
    wanted = json.loads(window.stdout)["summary"]["allocations"]
    preload.expect_equal("diff: of a phase", allocations("--phase", "decode"), wanted)
    preload.expect(allocations() > wanted, "diff: the whole run has more than a phase")
    preload.expect_equal("diff: from the end", allocations("--from", "100%"), 0)
    done = diff("--phase", "none", trace, trace)
    preload.expect(done.returncode == 2 and b"no such phase" in done.stderr, done.stderr)
    baseline = machine.scratch / "diff.baseline"
    machine.run([str(machine.cupool), "check", "--baseline", str(baseline), "--update-baseline",
                 str(trace)])
    preload.expect_equal("diff: baseline and trace", diff(baseline, trace).returncode, 0)
    done = diff("--phase", "decode", baseline, trace)
    preload.expect(done.returncode == 2 and b"whole run" in done.stderr, done.stderr)


def check_nvtx(machine):
    _, report = recorded(machine, "nvtx", "nvtx", "20")
    phases = phases_of(report)
    preload.expect_equal("NVTX phases", sorted(phases),
                         ["engine: decode", "load", "loaded", "weights", "whole"])
    preload.expect_equal("sources", {phase["source"] for phase in phases.values()}, {"nvtx"})
    preload.expect_equal("ranges", phases["engine: decode"]["count"], 20)
    preload.expect_equal("each is a step", phases["engine: decode"]["steps"]["allocations_max"], 2)
    preload.expect_equal("a range of ids", phases["whole"]["allocations"], 41)
    _, off = recorded(machine, "nvtx-off", "nvtx", "20", options=("-O", "nvtx:off"))
    preload.expect_equal("NVTX off", [phase for phase in off["phases"]
                                      if phase["source"] == "nvtx"], [])
    library = machine.workloads / "nvtx_library.so"
    trace = machine.scratch / "library.cupool"
    machine.record(machine.program("annotated", "library", str(library)), trace, "-q")
    preload.expect("inside a library" in phases_of(machine.report(trace)), "no range of a library")
    # A tool that is already attached keeps NVTX.
    other = machine.record(machine.program("annotated", "nvtx", "3"), machine.scratch / "o.cupool",
                           "-q", NVTX_INJECTION64_PATH=str(library))
    preload.expect_equal("with another tool", other.returncode, 0)
    preload.expect_equal("its ranges", [phase for phase in
                                        machine.report(machine.scratch / "o.cupool")["phases"]
                                        if phase["source"] == "nvtx"], [])


def check_signal(machine):
    _, report = recorded(machine, "signal", "signal", options=("-O", "mark_signal:usr2"))
    phases = phases_of(report)
    preload.expect("SIGUSR2" in phases, "no mark")
    preload.expect_equal("marks", phases["SIGUSR2"]["count"], 2)
    preload.expect_equal("source", phases["SIGUSR2"]["source"], "signal")
    _, silent = recorded(machine, "signal-off", "signal")
    preload.expect("SIGUSR2" not in phases_of(silent), "a mark without the option")


# Names that are no UTF-8, no text, nothing, or have no text; numbers of other types. Prints what fails.
ODD = """import ctypes, fractions, importlib.util, sys
spec = importlib.util.spec_from_file_location("marks", sys.argv[1])
marks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(marks)
class Bare:
    __str__ = __int__ = lambda self: 1 // 0
for name in ("lone \\udc80", b"bytes \\xff", "nul \\0", "", None, 7, "n" * 1000000, 10 ** 5000, Bare()):
    for function in (marks.phase_begin, marks.mark, marks.phase_end):
        try:
            function(name)
        except Exception as error:
            print(function.__name__, type(name), error)
for number in (-1, 1 << 70, 2.5, float("nan"), float("inf"), fractions.Fraction(7, 2), None, "three", Bare()):
    try:
        marks.step(number)
    except Exception as error:
        print("step", type(number), error)
with marks.phase("whole"):
    block = ctypes.c_void_p()
    print(ctypes.CDLL("libcudart.so.13").cudaMalloc(ctypes.byref(block), 4096))
marks.mark("after")
"""


def check_python(machine):
    """Marks of a program in Python: whatever it passes, it runs as without us."""
    if not (machine.simgpu / "libcudart.so.13").exists():
        return
    marks = pathlib.Path(__file__).resolve().parents[2] / "python" / "cupool" / "preload.py"
    command, trace = [sys.executable, "-c", ODD, str(marks)], machine.scratch / "marks.cupool"
    bare, done = machine.run(command), machine.record(command, trace, "-q")
    preload.expect_equal("marks: as without", (done.returncode, done.stdout, done.stderr), (0, b"0\n", b""))
    preload.expect_equal("marks: without", (bare.returncode, bare.stdout, bare.stderr), (0, b"0\n", b""))
    phases = phases_of(machine.report(trace))
    preload.expect_equal("marks: allocations", phases["whole"]["allocations"], 1)
    preload.expect_equal("memory at a mark", [phases["after"][f"{level}_requested_bytes"]
                                              for level in ("opening", "peak")], [4096, 4096])
    preload.expect("lone ?" in phases and "None" in phases, f"marks: {ascii(list(phases))[:300]}")


OUTSIDE = """
import ctypes
runtime, cupool = ctypes.CDLL("libcudart.so.13"), ctypes.CDLL(None)
pointer = ctypes.c_void_p()
def turn():
    assert runtime.cudaMalloc(ctypes.byref(pointer), 4096) == 0 and runtime.cudaFree(pointer) == 0
for _ in range(100):
    turn()
for number in range(4):
    cupool.cupool_step(ctypes.c_ulonglong(number))
    {}
"""


def check_outside_steps(machine):
    """Only allocations in steps count per step."""
    if not (machine.simgpu / "libcudart.so.13").exists():
        return
    for name, inside, words in (("outside", "pass", "100 times, with"),
                                ("inside", "turn()", "104 times, 1 per step, with")):
        trace = machine.scratch / f"{name}.cupool"
        machine.record([sys.executable, "-c", OUTSIDE.format(inside)], trace, "-q")
        finding = machine.report(trace)["findings"][0]
        preload.expect_equal(f"{name}: kind", finding["kind"], "repeated allocation")
        preload.expect(words in finding["text"], f"{name}: {finding['text']}")


def check_ranks(machine):
    traces = []
    for rank, tokens in enumerate((16, 16, 200, 16)):
        traces.append(str(machine.scratch / f"rank{rank}.cupool"))
        machine.record(machine.program("tinyllm", "--tokens", str(tokens), "--seed", "7"),
                       traces[-1], "-q", RANK=rank, WORLD_SIZE=4)
    traces = [traces[3], traces[1], traces[2], traces[0]]
    done = machine.run([str(machine.cupool), "report", "-f", "json", *traces])
    job = json.loads(done.stdout)["job"]
    preload.expect_equal("ranks", [rank["rank"] for rank in job["ranks"]], [3, 1, 2, 0])
    preload.expect_equal("by order", job["ranks_by_order"], False)
    peak = job["figures"]["peak_requested_bytes"]
    preload.expect_equal("unlike the others", peak["outlier_rank"], 2)
    preload.expect_equal("sum", peak["sum"],
                         sum(rank["peak_requested_bytes"] for rank in job["ranks"]))
    preload.expect_equal("mean, to the byte", peak["mean"], peak["sum"] / 4)
    for form, words in (("text", "outlier: rank 2: peak"), ("markdown", "## Job"),
                        ("html", "Outlier:")):
        done = machine.run([str(machine.cupool), "report", "-f", form, *traces])
        if form == "html" and b"not built in" in done.stderr:
            continue
        preload.expect(words in done.stdout.decode(), f"{form}: no {words}")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    trace = check_steps(machine)
    check_window(machine, trace)
    check_budget(machine, trace)
    check_diff(machine, trace)
    check_nvtx(machine)
    check_signal(machine)
    check_python(machine)
    check_outside_steps(machine)
    check_ranks(machine)


main()

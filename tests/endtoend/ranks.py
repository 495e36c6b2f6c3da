# SPDX-License-Identifier: MIT
"""Several programs in one run, by a launcher, a script, or one after the other: the summary of
`run` covers all their traces; ranks are named only if a launcher set them."""

import re
import sys

import preload

LAUNCHER = """#!/bin/sh
for rank in 2 0 3 1; do
    {variables} {program} &
done
wait
"""
LAUNCHERS = {
    "mpi": "OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=4",
    "torchrun": "RANK=$rank WORLD_SIZE=4 LOCAL_RANK=$rank",
    "slurm": "SLURM_PROCID=$rank SLURM_NTASKS=4",
}


def launched(machine, name, variables):
    place = machine.scratch / name
    place.mkdir()
    script = place / "launch"
    program = f"{machine.build}/tests/endtoend/usual_O2 $(test $rank = 3 && echo leak || echo clean)"
    script.write_text(LAUNCHER.format(variables=variables, program=program))
    script.chmod(0o755)
    done = machine.run([str(machine.cupool), "run", "--sim", "-o", f"{place}/%e.%p.cupool", "--",
                        str(script)])
    preload.expect_equal(f"{name}: exit", done.returncode, 0)
    traces = sorted(map(str, place.glob("*.cupool")))
    preload.expect_equal(f"{name}: records", len(traces), 4)
    return done.stderr.decode(), traces


def report(machine, traces, *words):
    return machine.run([str(machine.cupool), "report", *traces, *words]).stdout.decode()


def check_launchers(machine):
    for name, variables in LAUNCHERS.items():
        summary, traces = launched(machine, name, variables)
        preload.expect("4 programs recorded: highest peak 50.4 MiB (rank 3, pid" in summary,
                       f"{name}: together: {summary}")
        preload.expect("; never freed 38.1 MiB in total" in summary, f"{name}: {summary}")
        preload.expect(re.findall(r"rank (\d), pid \d+", summary[summary.index("\n"):])
                       == ["0", "1", "2", "3"], f"{name}: not all, or not in order: {summary}")
        line, = (line for line in summary.splitlines() if line.startswith("cupool: rank 3"))
        preload.expect("prefix_cache_insert leaks" in line, f"{name}: {line}")
        named = summary[summary.index("next: cupool report"):].split()[3:]
        preload.expect_equal(f"{name}: next", sorted(word.rsplit("/", 1)[1] for word in named),
                             [trace.rsplit("/", 1)[1] for trace in traces])
        text = report(machine, traces)
        preload.expect_equal(f"{name}: rows", sorted(re.findall(r"(?m)^rank (\d) ", text)),
                             ["0", "1", "2", "3"])
        preload.expect("trace 1" not in text and "no ranks" not in text, f"{name}: {text[:800]}")


def check_without_ranks(machine):
    summary, traces = launched(machine, "script", "")
    preload.expect("4 programs recorded: highest peak 50.4 MiB (pid" in summary, summary)
    preload.expect(len(re.findall(r"(?m)^cupool: pid \d+ ", summary)) == 3, summary)
    text, markdown = report(machine, traces), report(machine, traces, "-f", "markdown")
    for what, shown in (("summary", summary), ("text", text), ("markdown", markdown)):
        preload.expect(not re.search(r"\branks? \d", shown), f"{what} names a rank:\n{shown[:1500]}")
    preload.expect_equal("rows", re.findall(r"(?m)^trace (\d) ", text), ["1", "2", "3", "4"])
    preload.expect("no ranks recorded" in text, text[:800])
    # Two traces with the same rank: one is a child's, not a rank.
    summary, traces = launched(machine, "same", "RANK=0 WORLD_SIZE=2")
    text = report(machine, traces)
    preload.expect_equal("rows", re.findall(r"(?m)^trace (\d) ", text), ["1", "2", "3", "4"])


ONE = """import ctypes
runtime, block = ctypes.CDLL("libcudart.so.13"), ctypes.c_void_p()
runtime.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(1 << 20))
"""


def check_words(machine):
    """Counts of one are in the singular, and a command is cut between characters."""
    place = machine.scratch / "words"
    place.mkdir()
    (place / "one.py").write_text(ONE)
    for shift in range(2):
        words = "x" * shift + "\u00e9" * 60
        done = machine.run([str(machine.cupool), "run", "--sim", "-o", f"{place}/%p.{shift}.cupool", "--",
                            "/bin/sh", "-c", f"{sys.executable} {place}/one.py {words} & "
                            f"{sys.executable} {place}/one.py {words}; wait"])
        summary = done.stderr.decode()
        preload.expect_equal("programs", summary.count("1 allocation"), 2)
        preload.expect(not re.search(r"\b1 (allocation|driver call|block)s", summary), summary)
        preload.expect("\ufffd" not in summary, f"cut in a character: {summary}")


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    check_launchers(machine)
    check_without_ranks(machine)
    check_words(machine)
    print("all traces are summarised; ranks are those of launchers")


main()

# SPDX-License-Identifier: MIT
"""Checks that the cost of a record does not depend on the size and shape of the trace.

Traces of many shapes (make_shape) of RECORDS and of 16 times as many records are read: the larger
one may take 4 times its share of processor time, memory and output. Quadratic cost would take 16
times its share. Nothing is compared with a clock of another run.

--table prints records per second of each shape for 10,000, 100,000 and 1,000,000 records, as
docs/trace-format.md has it; --shape NAME looks at one.
"""

import argparse
import hashlib
import os
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

GROWTH = 16
MARGIN = 4
RECORD_BYTES = 2048  # of memory per additional record
# Shapes for the other formats, which print sites, with fewer records.
OF_SITES = ("deep", "wide", "modules", "python", "long path", "segments", "phases")
FORMS = ("text", "html", "folded", "pprof", "csv", "markdown", "openmetrics", "perfetto")
SITES_RECORDS, RECORDS = 2000, 10000
SANITIZED = bool(os.environ.get("LD_PRELOAD") or "asan" in os.environ.get("MESON_BUILD_ROOT", ""))
BUDGET = "[budget]\npeak_live = 100 TiB\n[site *]\nleaked = 100 TiB\n"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--shape")
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


class Costs:
    """Resources used by a command on traces."""

    def __init__(self, machine, words, most_seconds=None, out=None):
        def bound():
            seconds = int(most_seconds) + 2
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

        out = pathlib.Path(out or machine.scratch / "out")
        with open(out, "wb") as file:
            process = subprocess.Popen([str(machine.cupool), *map(str, words)], stdout=file,
                                       stderr=subprocess.PIPE, env=machine.environment(),
                                       preexec_fn=bound if most_seconds else None)
            errors = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
        preload.expect(status == 0, f"{words}: status {status}: {errors[:500]!r}")
        self.seconds = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * 1024
        self.bytes = out.stat().st_size
        self.out = out


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def make(machine, shape, records):
    path = machine.scratch / f"{shape.replace(' ', '_')}.{records}"
    if not path.exists():
        subprocess.run([str(machine.build / "tests" / "scale" / "make_shape"), shape,
                        str(records), str(path)], check=True)
    return path


def words_of(machine, form, path):
    if form == "check":
        budget = machine.scratch / "budget.ini"
        budget.write_text(BUDGET)
        return ["check", "--budget", budget, path]
    if form == "diff":
        return ["diff", path, path]
    if form == "window":
        return ["report", "-q", "-f", "json", "--from", "10%", "--to", "90%", path]
    if form == "phase":
        return ["report", "-q", "-f", "json", "--phase", "decode", path]
    return ["report", "-q", "-f", form, path]


def seconds_allowed(few):
    return MARGIN * GROWTH * max(few.seconds, 0.004)


def expect_flat(name, few, many, records):
    """`few` of `records` records, `many` of GROWTH times as many."""
    print(f"{name:28} {few.seconds:6.2f} s {many.seconds:6.2f} s {many.memory >> 20:5} MiB "
          f"{many.bytes / 1e6:7.1f} MB", flush=True)
    preload.expect(many.seconds <= seconds_allowed(few),
                   f"{name}: {GROWTH} times the records took {many.seconds:.2f} s after "
                   f"{few.seconds:.2f} s")
    preload.expect(SANITIZED or many.memory - few.memory <=
                   RECORD_BYTES * (GROWTH - 1) * records,
                   f"{name}: {many.memory} B of memory after {few.memory}")
    preload.expect(many.bytes <= MARGIN * GROWTH * few.bytes,
                   f"{name}: {many.bytes} B of output after {few.bytes}")


def check_shape(machine, shape):
    of_sites = shape in OF_SITES
    forms = [("json", SITES_RECORDS if of_sites else RECORDS)]
    forms += [(form, SITES_RECORDS) for form in FORMS if of_sites]
    forms += [(form, SITES_RECORDS) for form in ("check", "diff", "window")]
    forms += [("phase", 2 * RECORDS)] if shape == "openings" else []
    for form, records in forms:
        few = Costs(machine, words_of(machine, form, make(machine, shape, records)))
        # A run that would take too long is ended there.
        many = Costs(machine, words_of(machine, form, make(machine, shape, GROWTH * records)),
                     seconds_allowed(few))
        expect_flat(f"{shape}: {form}", few, many, records)


def check_seeds(machine):
    """Each process draws another seed for its tables, with the same output."""
    for shape in ("contexts", "modules", "python", "kinds"):
        path = make(machine, shape, SITES_RECORDS)
        for form in ("json", "html", "pprof"):
            digests = {digest_of(Costs(machine, words_of(machine, form, path)).out)
                       for _ in range(3)}
            preload.expect_equal(f"{shape}: {form}: outputs", len(digests), 1)


def check_ranks(machine):
    """Many traces in one report."""
    path = make(machine, "pairs", 1000)
    few, many = (Costs(machine, ["report", "-q", "-f", "json", *[path] * ranks])
                 for ranks in (8, 8 * GROWTH))
    expect_flat("ranks", few, many, 1000 * 8)


def check_hole(machine):
    """A file of kilobytes with a length of a terabyte."""
    path = make(machine, "pairs", 1000)
    few = Costs(machine, ["report", "-q", path])
    try:
        os.truncate(path, 1 << 40)
    except OSError as error:
        print(f"no file of a terabyte here: {error}")
        return
    many = Costs(machine, ["report", "-q", path])
    expect_flat("hole", few, many, 1000)
    path.unlink()


def table(machine, shapes):
    sizes = (10000, 100000, 1000000)
    print("| shape | " + " | ".join(f"{size:,}" for size in sizes) +
          " | bytes of memory a record |")
    print("|---|" + "--:|" * (len(sizes) + 1))
    for shape in shapes:
        cells, costs = [], []
        for size in sizes:
            path = make(machine, shape, size)
            costs.append(Costs(machine, words_of(machine, "json", path), out="/dev/null"))
            cells.append(f"{size / max(costs[-1].seconds, 0.001) / 1000:,.0f}")
            path.unlink()
        grown = max(0, costs[-1].memory - costs[0].memory) / (sizes[-1] - sizes[0])
        print(f"| {shape} | " + " | ".join(cells) + f" | {grown:,.0f} |", flush=True)


def main():
    options = parse_arguments()
    machine = preload.Machine(options.build)
    shapes = subprocess.run([str(machine.build / "tests" / "scale" / "make_shape")],
                            stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    shapes = [options.shape] if options.shape else shapes
    if options.table:
        table(machine, shapes)
        return
    for shape in shapes:
        check_shape(machine, shape)
        for file in machine.scratch.glob("*.[0-9]*"):
            file.unlink()
    check_seeds(machine)
    check_ranks(machine)
    check_hole(machine)


main()

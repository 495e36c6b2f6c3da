# SPDX-License-Identifier: MIT
"""Checks the rows of the tables: every kind of record is written, read, described, and present in the
fuzzer's seeds; every option is set by some test."""

import re
import sys

import tree

sys.path[:0] = [str(tree.ROOT / "tests" / folder) for folder in ("conformance", "fuzz")]

import squeeze  # noqa: E402
from trace import Trace, names  # noqa: E402

EVENTS = tree.ROOT / "cupti" / "format" / "events.def"
# Not tested: it has one value.
NO_CHOICE = {"backing"}
problems = []


def text_of(*patterns):
    return "\n".join((tree.ROOT / name).read_text() for name in tree.files(*patterns))


def seeded():
    """Kinds of record in the corpus; damaged seeds do not count."""
    kinds = set()
    for name in tree.files("tests/fuzz/corpus/trace/*.slots"):
        try:
            trace = Trace.of(squeeze.spread((tree.ROOT / name).read_bytes()), EVENTS)
        except KeyError:
            continue
        kinds |= {trace.kinds[record.kind] for record in trace.records}
    return kinds


events = names(EVENTS, "TRACE_EVENT").values()
described = (tree.ROOT / "docs" / "trace-format.md").read_text()
writers = text_of("shim/*.c", "cupti/activity/*.c", "cupti/write/*.c")
readers = text_of("tools/*.c", "cupti/read/*.[ch]", "cupti/replay/*.[ch]")
seeds = seeded()
for event in events:
    constant = rf"TRACE_EVENT_{event}\b"
    problems += [f"cupti/format/events.def: {event}: {text}" for text, holds in (
        ("nothing writes it", re.search(constant, writers)),
        ("nothing reads it", re.search(constant, readers)),
        ("docs/trace-format.md has no row for it", re.search(rf"^\| \d+ \| {event} \|", described,
                                                            re.M)),
        ("tests/fuzz/corpus/trace has no seed with it", event in seeds)) if not holds]

options = re.findall(r"^OPTION\((\w+),", (tree.ROOT / "shim" / "options" / "options.def").read_text(), re.M)
tests = text_of("tests/*.py", "tests/*.c", "tests/*meson.build")
for option in options:
    if option not in NO_CHOICE and not re.search(rf"\b{option}:|\bCUPOOL_{option.upper()}\b|\"{option}\"", tests):
        problems.append(f"shim/options/options.def: {option}: no test sets it")
if not options:
    problems.append("shim/options/options.def could not be read")
tree.finish("tables", problems, len(events) + len(options))

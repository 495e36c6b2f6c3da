#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Open questions for hardware beside the conformance matrix, and the devices that answered them:
the table of docs/transparency.md, made from the parts of driver_facts, from roster.py and from the
results.

usage: awaited.py write
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import guards  # noqa: E402
import results  # noqa: E402
import roster  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "transparency.md"
BEGIN, END = "<!-- awaited: begin -->\n", "<!-- awaited: end -->\n"


def fact_parts():
    source = (HERE / "driver_facts.cu").read_text()
    return re.findall(r'\{"(\w+)", facts_\w+\}', source)


def records():
    """All JSON files of real devices."""
    found = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))]
    return [record for record in found if not record.get("simulated")]


def fact_machines(part, known):
    return [f"{record['device']}, driver {record.get('driver', record['driver_version'])}, "
            f"{record['date']}" for record in known
            if record.get("schema") == "cupool.driver-facts/1"
            and (part == "machine" or record.get(part)) and f"{part}_unexpected" not in record]


def run_machines(part, name, known):
    machines = []
    for record in known:
        outputs = {run["output"] for run in record.get("runs", [])
                   if record["schema"] == results.RUNS and (run["part"], run["name"]) == (part, name)}
        if outputs == {"reference", "equal"}:
            machines.append(record["machine"])
    return machines


def rows(known):
    for part in fact_parts():
        yield "driver facts", part, fact_machines(part, known)
    for name, *_ in roster.WORKLOADS:
        yield "workload", name, run_machines("workloads", name, known)
    for name in (*guards.titles(), *roster.GUARDED):
        yield "guards", name, run_machines("guards", name, known)
    for name, *_ in roster.CLIENT_ROWS:
        yield "client", name, run_machines("clients", name, known)


def table():
    lines = ["| kind | what | on hardware |", "|---|---|---|"]
    lines += [f"| {kind} | {name} | {'; '.join(machines) or 'not yet'} |"
              for kind, name, machines in rows(records())]
    return "\n".join(lines) + "\n"


def problems():
    """For tests/checks/check_docs.py: errors in the table, and its number of rows."""
    shown = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    wrong = [] if shown == table() else [
        "docs/transparency.md: the table of what awaits hardware is not what "
        "`tests/gpu/awaited.py write` writes"]
    return wrong, shown.count("\n") - 2


def main():
    if sys.argv[1:] != ["write"]:
        sys.exit(__doc__.strip())
    before, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of docs/transparency.md: results of each conformance program through each route.

  matrix.py run [ARGUMENTS OF runner.py] --record FILE [--machine "DEVICE, driver VERSION, DATE"]
      runs all programs through all routes, bare and in each mode of runner.py, and records
      whether they were equal. Without --device it runs on hardware, named by --machine.
  matrix.py write FILE
      writes the table of a recorded result into the document.

Rows come from programs.def and from the first sentence of each program, so there is one list.
Results from hardware are read from tests/gpu/results/*-conformance.json.
"""

import argparse
import json
import pathlib
import re
import sys

import runner

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "transparency.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"
# Columns, and the routes of each.
COLUMNS = {
    "dynamic": ["dynamic", "extension", "deepbind"],
    "dlsym": ["dlsym", "dlsym-12", "dlvsym"],
    "static": ["static"],
    "driver": ["driver", "driver-dlsym"],
    "getproc 4": ["proc4"],
    "getproc 5": ["proc5", "entry-point", "entry-point-old"],
    "per-thread": ["per-thread", "driver-per-thread", "entry-point-per-thread"],
}
SIGNS = {"equal": "=", "differs": "**differs**", "skipped": "–"}


def programs():
    """Name and first sentence of each program."""
    listed = re.findall(r"^PROGRAM\((\w+), (\w+)\)", (HERE / "programs.def").read_text(), re.M)
    return {name: sentence(HERE / "programs" / folder / f"{name}.c") for folder, name in listed}


def sentence(path):
    comment = re.findall(r"/\*(.*?)\*/", path.read_text(), re.S)[1]
    text = " ".join(re.sub(r"^\s*\* ?", "", line, flags=re.M) for line in comment.splitlines())
    return re.split(r"(?<=[.])\s", " ".join(text.split()))[0].rstrip(".").replace("|", "/")


def outcome(suite, program, path, route):
    bare = suite.run(path, program, route)
    if bare[0] == runner.SKIPPED:
        return "skipped"
    equal = bare[0] == 0 and all(suite.run(path, program, route, chosen) == bare
                                 for chosen in runner.MODES.values())
    return "equal" if equal else "differs"


def record(options):
    suite = runner.Suite(options)
    found = {name: {route: outcome(suite, name, path, route) for path, route in suite.routes()}
             for name in programs()}
    pathlib.Path(options.record).write_text(json.dumps(
        {"schema": "cupool.conformance/1", "machine": options.machine, "programs": found},
        indent=1, sort_keys=True) + "\n")
    return int(any("differs" in routes.values() for routes in found.values()))


def cell(routes, column):
    """One sign for the routes of a column: different if any differs, else equal if any ran."""
    seen = {routes[route] for route in COLUMNS[column] if route in routes}
    for kind in ("differs", "equal", "skipped"):
        if kind in seen:
            return SIGNS[kind]
    return "not run"


def confirmed(name):
    """Hardware with the same results."""
    machines = []
    for path in sorted((ROOT / "tests" / "gpu" / "results").glob("*-conformance.json")):
        result = json.loads(path.read_text())
        routes = result["programs"].get(name, {}).values()
        if not result.get("simulated") and "equal" in routes and "differs" not in routes:
            machines.append(result["machine"])
    return "; ".join(machines) or "not yet"


def table(result):
    titles = ["program", "what it shows", *COLUMNS, "on hardware"]
    lines = [" | ".join(["", *titles, ""]).strip(), "|---" * len(titles) + "|"]
    for name, text in programs().items():
        routes = result["programs"].get(name, {})
        cells = [f"`{name}`", text, *(cell(routes, column) for column in COLUMNS), confirmed(name)]
        lines.append(" | ".join(["", *cells, ""]).strip())
    return "\n".join(lines) + "\n"


def write(options):
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table(json.loads(pathlib.Path(options.record).read_text()))
                        + END + rest.split(END)[1])
    return 0


def problems():
    """Errors in the table of the document, for tests/checks/check_docs.py."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$",
                      DOCUMENT.read_text().split(BEGIN)[1].split(END)[0], re.M)
    shown, wanted = {name: text for name, text, _ in rows}, programs()
    found = [f"docs/transparency.md: no row for {name}" for name in wanted if name not in shown]
    found += [f"docs/transparency.md: a row for {name}, which is no program" for name in shown
              if name not in wanted]
    found += [f"docs/transparency.md: the row of {name} does not say what the program says"
              for name, text in shown.items() if wanted.get(name, text) != text]
    found += [f"docs/transparency.md: {name}: {cells}" for name, _, cells in rows
              if "differs" in cells or "not run" in cells]
    return found, len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = runner.arguments(verbs.add_parser("run"))
    run.add_argument("--record", required=True)
    run.add_argument("--machine", default="simulated device")
    verbs.add_parser("write").add_argument("record")
    options = parser.parse_args()
    return record(options) if options.verb == "run" else write(options)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The files of a run: JSON written as it progresses, and Markdown made from it.

  NAME.json              driver_facts
  NAME-conformance.json  for tests/conformance/matrix.py: each program through each route
  NAME-runs.json         workloads, guards, clients, engine: outputs compared, times and their ratios
  NAME-transfers.json    results of transfer_bench
  NAME-codecs.json       results of codec_device_bench: the codecs' kernels against the host
  NAME.md                all results for readers

NAME is DEVICE-DRIVER-DATE.
"""

import json
import os
import re

CONFORMANCE = "cupool.conformance/1"
RUNS = "cupool.gpu-runs/1"
TRANSFERS = "cupool.transfers/1"
CODECS = "cupool.codecs/1"


class Book:
    """All results of one device, driver and day."""

    def __init__(self, directory, facts, place, resume):
        driver = facts.get("driver", facts["driver_version"])
        self.title = f"{facts['device']}, driver {driver}, {facts['date']}"
        self.name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{facts['device']}-{driver}-{facts['date']}")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.markdown_path = directory / f"{self.name}.md"
        self.facts = facts
        self.write("", facts)
        self.programs = self.read("-conformance", CONFORMANCE, "programs", {}) if resume else {}
        self.runs = self.read("-runs", RUNS, "runs", []) if resume else []
        self.transfers = self.read("-transfers", TRANSFERS, "rows", []) if resume else []
        self.codecs = self.read("-codecs", CODECS, "figures", {}) if resume else {}
        self.simulated = place.simulated

    def path(self, suffix):
        return self.directory / f"{self.name}{suffix}.json"

    def read(self, suffix, schema, key, default):
        try:
            found = json.loads(self.path(suffix).read_text())
        except (OSError, ValueError):
            return default
        return found[key] if found.get("schema") == schema else default

    def write(self, suffix, content):
        """Writes a file atomically: a run may end at any moment."""
        path = self.path(suffix)
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(beside, path)

    def add_program(self, program, routes):
        self.programs[program] = self.programs.get(program, {}) | routes
        self.write("-conformance", {"schema": CONFORMANCE, "machine": self.title,
                                    "simulated": self.simulated, "programs": self.programs})

    def has_run(self, part, name):
        return any(run["part"] == part and run["name"] == name for run in self.runs)

    def add_runs(self, runs):
        self.runs += runs
        self.write("-runs", {"schema": RUNS, "machine": self.title, "simulated": self.simulated,
                             "runs": self.runs})

    def add_transfers(self, rows):
        self.transfers = rows
        self.write("-transfers", {"schema": TRANSFERS, "machine": self.title,
                                  "simulated": self.simulated, "rows": rows})

    def add_codecs(self, figures):
        self.codecs = figures
        self.write("-codecs", {"schema": CODECS, "machine": self.title,
                               "simulated": self.simulated, "figures": figures})

    def write_markdown(self):
        parts = [f"# {self.title}", facts_text(self.facts), conformance_text(self.programs),
                 runs_text(self.runs), transfers_text(self.transfers), codecs_text(self.codecs)]
        self.markdown_path.write_text("\n\n".join(part for part in parts if part) + "\n")


def facts_text(facts):
    """The main facts, and everything unexpected."""
    lines = ["The driver's facts are in the JSON file beside this one."]
    for name, value in facts.items():
        if name.endswith("_unexpected"):
            lines += ["", f"Unexpected in {name[:-len('_unexpected')]}:", ""]
            lines += [f"- {entry['call']} ({entry['times']} times)" for entry in value]
        elif value is None:
            lines += ["", f"The part {name} ended badly; nothing is known of it."]
    return "\n".join(lines)


def conformance_text(programs):
    if not programs:
        return ""
    lines = ["## Conformance", "", "Bare, observed and pooled compared, through each route.", "",
             "| program | equal | skipped | differs |", "|---|---|---|---|"]
    for name, routes in programs.items():
        kinds = {kind: [route for route, found in routes.items() if found == kind]
                 for kind in ("equal", "skipped", "differs")}
        lines.append(f"| `{name}` | {len(kinds['equal'])} routes | {len(kinds['skipped'])} | "
                     f"{', '.join(kinds['differs']) or '–'} |")
    return "\n".join(lines)


def runs_text(runs):
    if not runs:
        return ""
    lines = ["## Programs", "",
             "Outputs compared with the bare run. Times: the median of all turns, and of the ratio "
             "to the bare run of the same turn.", "",
             "| part | program | mode | output | time (ms) | ratio |", "|---|---|---|---|---|---|"]
    for run in runs:
        time = f"{run['median_us'] / 1000:.1f} | {run['ratio']:.3f}" if run.get("ratio") else "– | –"
        reason = f": {run['reason']}" if run.get("reason") else ""
        said = (run["output"] + reason).replace("|", "/")
        lines.append(f"| {run['part']} | {run['name']} | {run['mode']} | {said} | {time} |")
    return "\n".join(lines)


def transfers_text(rows):
    """GB/s by size, one column per method and direction."""
    if not rows:
        return ""
    columns = list(dict.fromkeys((row["way"], row["direction"]) for row in rows))
    found = {(row["fragment_bytes"], row["way"], row["direction"]): row["bytes_per_s"] / 1e9
             for row in rows}
    lines = ["## Transfers", "", "8 MiB in fragments of one size, GB/s (`transfer_bench`).", "",
             "| fragment | " + " | ".join(f"{way} {direction}" for way, direction in columns) + " |",
             "|---|" + "---|" * len(columns)]
    for size in sorted({row["fragment_bytes"] for row in rows}):
        cells = [f"{found[(size, *column)]:.2f}" if (size, *column) in found else "–"
                 for column in columns]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def codecs_text(figures):
    if not figures:
        return ""
    lines = ["## Codecs", "",
             "Traffic of the kernels, GB/s and share of a copy inside the device's memory "
             f"({figures['copy_bytes_per_s'] / 1e9:.0f} GB/s); `codec_device_bench`.", "",
             "| codec | part | direction | GB/s | of a copy | bytes |", "|---|---|---|---|---|---|"]
    for row in figures["rows"]:
        lines.append(f"| {row['codec']} | {row['part']} | {row['direction']} | "
                     f"{row['bytes_per_s'] / 1e9:.1f} | {row['share_of_copy']:.0%} | "
                     f"{'as the host' if row['equal'] else '**other than the host**'} |")
    return "\n".join(lines)

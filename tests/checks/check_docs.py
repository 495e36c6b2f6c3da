# SPDX-License-Identifier: MIT
"""Checks that the documents agree with options, verbs, exit codes and conformance programs.

usage: check_docs.py CUPOOL
"""

import re
import subprocess
import sys

import tree

sys.path.insert(0, str(tree.ROOT / "tests" / "conformance"))
sys.path.insert(0, str(tree.ROOT / "tests" / "gpu"))

import awaited  # noqa: E402
import matrix  # noqa: E402

cupool = sys.argv[1]
problems = []


def output(*arguments):
    return subprocess.run([cupool, *arguments], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


options = (tree.ROOT / "docs" / "options.md").read_text()
table = output("options", "--markdown").strip()
if table not in options:
    problems.append("docs/options.md: the option table is not what `cupool options --markdown` prints")

verbs = re.findall(r"^  (?:cupool )?([a-z]+)\s{2,}", output("--help"), re.MULTILINE)
cli = (tree.ROOT / "docs" / "cli.md").read_text()
problems += [f"docs/cli.md: the verb {verb} is not described" for verb in verbs
             if f"cupool {verb}" not in cli]

# Exit codes: the table equals the help texts.
codes = [f"| `{verb}` | {code} | {meaning} |" for verb in verbs for code, meaning in
         (line.split(None, 1) for line in
          output(verb, "--help").split("Exit codes:\n")[1].split("\n\n")[0].splitlines())]
told = re.findall(r"^\| `.*", cli.split("## Exit codes\n")[1].split("\n## ")[0], re.MULTILINE)
problems += [f"docs/cli.md: exit codes: {row}: not in both the table and the help"
             for row in sorted(set(codes) ^ set(told))]

# Links to files of the tree must exist.
checked = 0
for name in tree.files("*.md"):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (tree.ROOT / name).read_text()):
        checked += 1
        if not ((tree.ROOT / name).parent / target).exists():
            problems.append(f"{name}: the link to {target} leads nowhere")

# Files named in the architecture exist, and each of a newcomer's questions names at most two.
architecture = (tree.ROOT / "docs" / "architecture.md").read_text()
paths = ["/" + path for path in tree.files("*")]
named = re.findall(r"`([\w./-]+\.(?:c|h|def|py|md|in))`", architecture)
for name in sorted(set(named) - {"NAME_kernels.c"}):
    checked += 1
    if not any(path.endswith("/" + name) for path in paths):
        problems.append(f"docs/architecture.md: there is no {name}")
for row in re.findall(r"^\| .*\? \| .*", architecture.split("## Seven questions\n")[1].split("\n## ")[0],
                      re.MULTILINE):
    checked += 1
    if len(re.findall(r"`[^`]*/[^`]*`", row)) > 2:
        problems.append(f"docs/architecture.md: more than two files to open: {row}")

for document in (matrix, awaited):
    wrong, rows = document.problems()
    problems += wrong
    checked += rows
tree.finish("docs", problems, len(verbs) + checked)

# SPDX-License-Identifier: MIT
"""What the documents say of options, verbs and conformance programs is what those say.

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


readme = (tree.ROOT / "README.md").read_text()
table = output("options", "--markdown").strip()
if table not in readme:
    problems.append("README.md: the option table is not what `cupool options --markdown` prints")

verbs = re.findall(r"^  (?:cupool )?([a-z]+)\s{2,}", output("--help"), re.MULTILINE)
cli = (tree.ROOT / "docs" / "cli.md").read_text()
problems += [f"docs/cli.md: the verb {verb} is not described" for verb in verbs
             if f"cupool {verb}" not in cli]

# Links to files of the tree must lead somewhere.
checked = 0
for name in tree.files("*.md"):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (tree.ROOT / name).read_text()):
        checked += 1
        if not ((tree.ROOT / name).parent / target).exists():
            problems.append(f"{name}: the link to {target} leads nowhere")
for document in (matrix, awaited):
    wrong, rows = document.problems()
    problems += wrong
    checked += rows
tree.finish("docs", problems, len(verbs) + checked)

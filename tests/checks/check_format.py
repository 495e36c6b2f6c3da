# SPDX-License-Identifier: MIT
"""Checks that sources are formatted by .clang-format and keep the rules of .editorconfig."""

import shutil
import subprocess

import tree

if not shutil.which("clang-format"):
    tree.skip("clang-format is not installed")

sources = tree.files("*.c", "*.h", "*.cu", "*.cc")
problems = []
for start in range(0, len(sources), 20):
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources[start:start + 20]],
                          cwd=tree.ROOT, stderr=subprocess.PIPE, text=True, check=False)
    problems += [line for line in done.stderr.splitlines() if "error:" in line]

texts = tree.files("*.c", "*.h", "*.cu", "*.cc", "*.def", "*.py", "*meson.build", "tools/*")
for name in texts:
    data = (tree.ROOT / name).read_bytes()
    if data and not data.endswith(b"\n"):
        problems.append(f"{name}: no newline at the end")
    for number, line in enumerate(data.split(b"\n"), 1):
        if line != line.rstrip() or b"\t" in line and not name.endswith((".py", "debian/rules")):
            problems.append(f"{name}:{number}: white space at the end of the line, or a tab")
tree.finish("format", problems, len(sources))

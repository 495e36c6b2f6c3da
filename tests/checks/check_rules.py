# SPDX-License-Identifier: MIT
"""Rules that a search can check: licence lines, no way to end the host process from inside the preload, no
unfinished marks, files of a readable length, messages in the terms of the trade, tests that remove
their directories.

usage: check_rules.py [--root DIR]
"""

import argparse
import pathlib
import re

import tree

SOURCES = ("*.c", "*.h", "*.cu", "*.cc", "*.def", "*.py", "*meson.build")
# All of cupti/ except the reader, which runs only in the tools.
PRELOAD = ("shim/*.c", "pool/*.c", *(f"cupti/{folder}/*.c" for folder in (
    "base", "format", "stack", "replay", "write", "activity", "live")))
ENDS_HOST = re.compile(r"(?<![\w.])(exit|_exit|abort|quick_exit|raise)\s*\(")
PRINTS = re.compile(r"(?<!\w)(printf|puts|fprintf|perror|syslog)\s*\(")
UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX|HA" + r"CK)\b")
MAX_LINES = 800
# A file that is opened without waiting may be any, also a terminal, which must not become that of the process.
TAKES_TERMINAL = re.compile(r"\bopen(?:at)?\((?=[^;]*O_NONBLOCK)(?![^;]*O_NOCTTY)")
LEAVES_FILES = re.compile(r"\bmkdtemp\((?!dir=)")
# Texts that a user reads: string literals of more than one word. The HTML report is not covered yet.
SPEAKS = ("tools/*.c", "tools/*.h", "shim/*.c", "pool/*.c", "engine/*.c", "cupti/read/*.c")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)* (?:[^"\\\n]|\\.)*)"')
DIALECT = re.compile(r"\b(whose|of which|told|figures?|never was|gave way|nobody|in place of|no cupool trace|"
                     r"to the end of the run|again and again|all together|went past)\b")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--root", type=pathlib.Path, default=tree.ROOT)
tree.ROOT = parser.parse_args().root
problems = []
names = tree.files(*SOURCES)
for name in names:
    lines = (tree.ROOT / name).read_text().splitlines()
    if "SPDX-License-Identifier: MIT" not in "\n".join(lines[:2]):
        problems.append(f"{name}: no SPDX line at the top")
    if len(lines) > MAX_LINES and not name.endswith(".def"):
        problems.append(f"{name}: {len(lines)} lines, more than {MAX_LINES}")
    problems += [f"{name}:{number}: unfinished mark" for number, line in enumerate(lines, 1)
                 if UNFINISHED.search(line)]
for name in tree.files(*PRELOAD):
    for number, line in enumerate((tree.ROOT / name).read_text().splitlines(), 1):
        code = line.split("/*")[0].split(" * ")[0]
        if ENDS_HOST.search(code):
            problems.append(f"{name}:{number}: the preload must never end its host")
        if PRINTS.search(code):
            problems.append(f"{name}:{number}: the preload must not print through stdio")
for name in tree.files("tools/*.c", "shim/*.c", "cupti/*.c"):
    if TAKES_TERMINAL.search((tree.ROOT / name).read_text()):
        problems.append(f"{name}: open with O_NOCTTY what may be a terminal")
for name in tree.files("tests/*.py", "tests/clients/suites", "tests/mutants/run"):
    text = (tree.ROOT / name).read_text()
    if LEAVES_FILES.search(text) and "rmtree" not in text:
        problems.append(f"{name}: remove the directory: tempfile.TemporaryDirectory does")
for name in tree.files(*SPEAKS):
    for number, line in enumerate((tree.ROOT / name).read_text().splitlines(), 1):
        code = re.sub(r"/\*.*|^ \*.*", "", line)
        problems += [f"{name}:{number}: say it in the terms of the trade: {found[0]!r}"
                     for text in LITERAL.findall(code) if (found := DIALECT.search(text))]
tree.finish("rules", problems, len(names))

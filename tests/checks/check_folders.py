# SPDX-License-Identifier: MIT
"""A folder holds between two and 35 source files: more is sorted into sub-folders, a single one
joins a neighbour.

usage: check_folders.py [--root DIR]
"""

import argparse
import collections
import pathlib

import tree

MOST = 35
SOURCES = ("c", "h", "cc", "cpp", "cu", "cuh", "py", "def", "js", "css")
# Folders with one file by design, and the reason.
SINGLE = {
    "include": "the public header, as it is installed",
    "python": "a Python package: its folders are its own",
    "python/tests": "found by pytest",
    "tests/mutants": "the table of mutants beside its command",
    "tools/manual": "makes the manual pages; no part of the command",
}


def folder_problems(counts):
    for folder, count in sorted(counts.items()):
        if count > MOST:
            yield f"{folder}/: {count} source files; at most {MOST}, sort them into sub-folders"
        elif count == 1 and folder not in SINGLE:
            yield f"{folder}/: a single source file; let it join a neighbour"
        elif count != 1 and folder in SINGLE:
            yield f"{folder}/: {count} source files; it is no exception any more"


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--root", type=pathlib.Path, default=tree.ROOT)
tree.ROOT = parser.parse_args().root
counted = collections.Counter(name.rpartition("/")[0] or "."
                              for name in tree.files(*(f"*.{suffix}" for suffix in SOURCES)))
tree.finish("folders", list(folder_problems(counted)), len(counted))

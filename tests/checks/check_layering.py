# SPDX-License-Identifier: MIT
"""Checks that includes and calls go only in the permitted directions (layers.py, docs/architecture.md), and that
no folders form a cycle.

usage: check_layering.py [--root DIR] [BUILD_DIRECTORY]

Includes are read from the sources, calls from the objects of a build: a source that refers to a symbol uses
the file that defines it. Without a build directory only includes are checked.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess

import layers
import tree

# Functions of the C library that the preload defines as well.
INTERPOSED = {"dlsym", "dlvsym"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def includes_of(root, name):
    """(line number, header) of every include."""
    for number, line in enumerate((root / name).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def include_problems(root, name, edges):
    module = layers.module_of(name)
    for number, header in includes_of(root, name):
        where = f"{name}:{number}"
        if header.startswith("tests/") and not module.startswith("tests/"):
            yield f"{where}: nothing outside tests/ includes {header}"
        elif module in layers.CUDA_FREE and re.match(r"cu(da|pti)\w*\.h", header):
            yield f"{where}: {module}/ must not include the CUDA header {header}"
        elif layers.module_of(header):
            problem = layers.permitted(name, header)
            if problem:
                yield f"{where}: {problem}"
            edges.add((name, header))


def objects_of(root, build):
    """(source, object file) of the sources that belong to a module."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        source = os.path.relpath(source, root)
        output = pathlib.Path(entry["directory"]) / entry["output"]
        # Test programs compile sources of the tree too; they add nothing.
        of_test = entry["output"].startswith("tests/") and not source.startswith("tests/")
        if layers.module_of(source) and output.exists() and not of_test:
            yield source, output


def symbols_of(objects):
    """(defined, needed): sources by the symbol they define, symbols by the source that needs them."""
    defined, needed = collections.defaultdict(set), collections.defaultdict(set)
    by_object = {str(path): source for source, path in objects}
    if not by_object:
        return defined, needed
    listed = subprocess.run(["nm", "-A", "-P", *by_object], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    for line in listed.splitlines():
        place, _, rest = line.partition(": ")
        name, kind = rest.split()[:2]
        source = by_object[place]
        if kind == "U":
            needed[source].add(name)
        elif kind.isupper():
            defined[name].add(source)
    return defined, needed


def definition_of(source, candidates):
    """The source that defines a symbol: one of the same module if there is one. Files under tests/ are linked
    with nothing outside, and have functions of the same names."""
    def rank(candidate):
        return layers.module_of(candidate) != layers.module_of(source), candidate
    if not source.startswith("tests/"):
        candidates = {each for each in candidates if not each.startswith("tests/")}
    return min(candidates, key=rank, default=None)


def call_problems(root, build, edges):
    defined, needed = symbols_of(objects_of(root, build))
    for source, names in sorted(needed.items()):
        for name in sorted(names - INTERPOSED):
            target = definition_of(source, defined.get(name, ()))
            if target is None or target == source:
                continue
            problem = layers.permitted(source, target)
            if problem:
                yield f"{source}: {problem}, which defines {name}"
            edges.add((source, target))


def circle_problems(edges):
    """Folders that use each other: the shortest cycle, with a file for each step."""
    steps = {}
    for source, target in sorted(edges):
        here, there = layers.place_of(source), layers.place_of(target)
        if here and there and here != there:
            steps.setdefault((here, there), (source, target))
    circle = layers.circle(steps)
    if circle:
        yield "circle: " + " -> ".join("/".join(place) for place in circle + circle[:1])
        for step in zip(circle, circle[1:] + circle[:1]):
            yield "  {} uses {}".format(*steps[step])


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--root", type=pathlib.Path, default=tree.ROOT)
parser.add_argument("build", nargs="?", type=pathlib.Path)
arguments = parser.parse_args()
tree.ROOT = arguments.root
names = [name for module in layers.MODULES
         for name in tree.files(f"{module}/*.[ch]", f"{module}/*.def", f"{module}/*.in")]
used = set()
problems = [problem for name in names for problem in include_problems(arguments.root, name, used)]
if arguments.build:
    problems += call_problems(arguments.root, arguments.build, used)
problems += circle_problems(used)
tree.finish("layering", problems, len(names))

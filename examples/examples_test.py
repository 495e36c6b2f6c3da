# SPDX-License-Identifier: MIT
"""Runs the commands of README.md and looks for the lines that it shows.

usage: examples_test.py --build DIR

A ```sh block is run, one command a line; each line of the ```text block after it must begin a line
of what the commands printed, spaces at its front aside.
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
# The one command that is meant to fail: cupool check over its budget.
EXPECTED = {"check": 1}


def run(command, build):
    """(output, problems) of one command, with the build directory in place of build/."""
    words = [re.sub(r"^build/", f"{build}/", word) for word in shlex.split(command)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    wanted = EXPECTED.get(words[1], 0)
    problems = [] if done.returncode == wanted else [
        f"{command}: exit code {done.returncode}, not {wanted}", *done.stdout.splitlines()]
    return done.stdout.replace(f"{build}/", "build/"), problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    build = parser.parse_args().build
    printed, problems, compared = "", [], 0
    for kind, text in BLOCK.findall((ROOT / "examples" / "README.md").read_text()):
        if kind == "sh":
            printed = ""
            for command in text.splitlines():
                output, trouble = run(command, build)
                printed += output
                problems += trouble
            continue
        lines = [line.strip() for line in printed.splitlines()]
        for line in text.splitlines():
            compared += 1
            if not any(found.startswith(line) for found in lines):
                problems.append(f"not printed: {line}\nprinted was:\n{printed}")
    print("\n".join(problems))
    print(f"{compared} lines compared, {len(problems)} problems")
    return 1 if problems or not compared else 0


sys.exit(main())

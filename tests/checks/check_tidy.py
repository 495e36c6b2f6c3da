# SPDX-License-Identifier: MIT
"""Runs clang-tidy, with the narrow list of .clang-tidy, on the installed parts.

usage: check_tidy.py BUILD_DIRECTORY [--whole]

The analyzer explores a fifteenth of its usual number of nodes per function; --whole lifts that
limit.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

import tree

if not shutil.which("clang-tidy"):
    tree.skip("clang-tidy is not installed")

build = pathlib.Path(sys.argv[1])
BOUND = [] if "--whole" in sys.argv else [
    f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=15000")]
known = {os.path.normpath(os.path.join(entry["directory"], entry["file"]))
         for entry in json.loads((build / "compile_commands.json").read_text())}
sources = [name for name in tree.files("engine/*.c", "kernels/*.c", "shim/*.c", "pool/*.c", "cupti/*.c",
                                        "tools/*.c")
           if str(tree.ROOT / name) in known]


def findings(name):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), *BOUND, name], cwd=tree.ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "error:" in line]


with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
    problems = [line for lines in workers.map(findings, sources) for line in lines]
tree.finish("tidy", sorted(set(problems)), len(sources))

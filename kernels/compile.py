#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles device code and records the output of ptxas for each kernel: compile.py REPORT COMMAND...

REPORT gets registers, stack and spills of every kernel and architecture; the test kernels-resources reads it.
All other compiler output is printed.
"""

import subprocess
import sys

report, *command = sys.argv[1:]
run = subprocess.run([*command, "-Xptxas", "-v"], text=True, stdout=subprocess.PIPE,
                     stderr=subprocess.STDOUT)
lines = run.stdout.splitlines(keepends=True)
NOTES = ("ptxas info", "    ")
with open(report, "w") as out:
    out.writelines(line for line in lines if line.startswith(NOTES))
sys.stderr.writelines(line for line in lines if run.returncode or not line.startswith(NOTES))
sys.exit(run.returncode)

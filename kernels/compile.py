#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles device code and keeps what ptxas says of each kernel: compile.py REPORT COMMAND...

REPORT gets registers, stack and spills of every kernel and architecture; the test
kernels-resources reads it. Anything else that the compiler prints is printed.
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

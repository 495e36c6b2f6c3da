# SPDX-License-Identifier: MIT
"""Tests the check `layering`: a valid tree passes, and a planted include, call or cycle fails.

usage: layering_test.py CC...
"""

import json
import subprocess
import sys

import layers
from planted import checked, expect, finish, planted

CC = sys.argv[1:]
MODULE = "tests/simgpu/driver"
FOLDERS = [folder for folder in layers.MODULES[MODULE] if folder != "."]
LOW, HIGH = f"{MODULE}/{FOLDERS[0]}", f"{MODULE}/{FOLDERS[-1]}"


def header(*included):
    return "".join(f'#include "{name}"\n' for name in included)


def include_of(*included):
    """The status and output for a tree in which LOW/low.h includes these."""
    with planted({f"{LOW}/low.h": header(*included), f"{HIGH}/high.h": header(f"{LOW}/low.h")}) as root:
        return checked("layering", root)


def call_of(low, high):
    """Likewise for objects: the text of LOW/low.c and of HIGH/high.c."""
    sources = {f"{LOW}/low.c": low, f"{HIGH}/high.c": high}
    with planted(sources) as root:
        commands = []
        for name in sources:
            output = name.replace("/", "_") + ".o"
            subprocess.run([*CC, "-c", root / name, "-o", root / output], check=True)
            commands.append({"directory": str(root), "file": name, "output": output})
        (root / "compile_commands.json").write_text(json.dumps(commands))
        return checked("layering", root, root)


expect("a tree in order", include_of(), 0)
expect("an include upward and the cycle it closes", include_of(f"{HIGH}/high.h"), 1,
       f"{LOW}/low.h:1: {LOW}/ lies below {HIGH}/", "circle: ", f"{LOW}/low.h uses {HIGH}/high.h",
       f"{HIGH}/high.h uses {LOW}/low.h")
with planted({f"{MODULE}/nowhere/a.h": header(f"{LOW}/low.h"), f"{LOW}/low.h": ""}) as tree:
    expect("a folder without a layer", checked("layering", tree), 1, "is not among the layers")
with planted({"pool/base/a.h": header("tests/simgpu/simgpu.h")}) as tree:
    expect("an include of tests/", checked("layering", tree), 1, "nothing outside tests/ includes")
with planted({"pool/base/a.h": "#include <cuda.h>\n"}) as tree:
    expect("CUDA in the pool", checked("layering", tree), 1, "must not include the CUDA header")
with planted({"pool/base/a.h": header("shim/options/b.h"), "shim/options/b.h": ""}) as tree:
    expect("the pool uses the shim", checked("layering", tree), 1, "pool/ must not use shim/options/b.h")

DOWN = "void low(void);\nvoid high(void);\nvoid high(void) { low(); }\n"
expect("calls in order", call_of("void low(void);\nvoid low(void) { }\n", DOWN), 0)
expect("a call upward and the cycle it closes",
       call_of("void low(void);\nvoid high(void);\nvoid low(void) { high(); }\n", DOWN), 1,
       f"{LOW}/low.c: {LOW}/ lies below {HIGH}/", "which defines high", "circle: ")
finish()

# SPDX-License-Identifier: MIT
"""Includes go only in the permitted directions (docs/architecture.md)."""

import re

import tree

# What each folder may include of the others, and which single headers besides.
PERMITTED = {
    "pool": set(),  # pool/kv/: the public types, see below
    "cupti": set(),
    "include": set(),
    "kernels": set(),
    "engine": {"include", "kernels", "pool"},
    "shim": {"include", "pool", "cupti", "kernels"},
    "tools": {"pool", "cupti"},
}
# The option table is a user interface that the wrapper and the preload share; statistics.def names
# the counters of a trace.
EXCEPTIONS = {*(("pool/kv", f"include/cupool/{name}.h") for name in ("identity", "kv", "sequence")),
              ("tools", "shim/options/options.h"), ("tools", "shim/options/options.def"),
              ("tools", "shim/resolve/hooks.def")}
CUDA_FREE = {"pool", "tools", "cupti"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def problems_of(name):
    folder, within = name.split("/")[0], name.rpartition("/")[0]
    for number, line in enumerate((tree.ROOT / name).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        target = header.split("/")[0]
        where = f"{name}:{number}"
        if target in PERMITTED and "/" in header:
            if target != folder and target not in PERMITTED[folder] \
                    and (folder, header) not in EXCEPTIONS and (within, header) not in EXCEPTIONS:
                yield f"{where}: {folder}/ must not include {header}"
        elif target == "tests":
            yield f"{where}: nothing outside tests/ includes {header}"
        elif folder in CUDA_FREE and re.match(r"cu(da|pti)", header):
            yield f"{where}: {folder}/ must not include the CUDA header {header}"


names = [name for folder in PERMITTED for name in tree.files(f"{folder}/*.[ch]", f"{folder}/*.def")]
tree.finish("layering", [problem for name in names for problem in problems_of(name)], len(names))

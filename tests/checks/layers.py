# SPDX-License-Identifier: MIT
"""The layers of the tree: which folder may include and call which (docs/architecture.md).

A module is a folder of the top level, or the simulated driver. Inside a module, each sub-folder may
use itself and those before it in the list; "." is the module's own folder.
"""

import collections

MODULES = {
    "pool": [".", "base", "heap", "backing", "core", "kv", "tensor", "transfer", "tier"],
    "cupti": ["base", "format", "stack", "replay", "write", "activity", "read", "live"],
    "shim": ["options", "resolve", "context", "memory", "share", "observe", "backend", "guard", ".",
             "hooks", "entry"],
    "kernels": ["device", "fill", "copy", "codec", "."],
    "include": [".", "cupool"],
    "engine": [".", "tier"],
    "tools": ["base", "base/file", "trace", "symbols", "analysis/series", "analysis", "replay", "tune",
              "report/base", "report/html", "report", "budget", "live", "launch", "cli"],
    "tests/simgpu/driver": ["base", "device", "memory", "context", "module", "work", "api/memory",
                            "api/work", "api/context", "api"],
}
# Other modules that each module may use.
USES = {
    "engine": {"include", "kernels", "pool"},
    "shim": {"include", "pool", "cupti", "kernels"},
    "tools": {"pool", "cupti"},
    "kernels": {"include"},
    "tests/simgpu/driver": {"tests/simgpu"},
}
# Exceptions between modules: the types of the KV pool are public; the options are a user interface that the
# wrapper and the preload share; and `cupool doctor` names the hooked functions.
SHARED = {*(("pool", f"include/cupool/{name}.h")
            for name in ("identity", "kv", "sequence", "tensor", "transfer")),
          ("tools", "shim/options/"), ("tools", "shim/resolve/hooks.def")}
# Modules that must not include a header of CUDA.
CUDA_FREE = {"pool", "tools", "cupti"}


def module_of(path):
    """The module that a path below the root lies in, or None."""
    return max((name for name in MODULES if path.startswith(name + "/")), key=len, default=None)


def place_of(path):
    """(module, sub-folder) of a file; sub-folder "." for the module's own folder."""
    module = module_of(path)
    if module is None:
        return None
    inside = path[len(module) + 1:]
    return module, inside.rpartition("/")[0] or "."


def permitted(source, target):
    """Whether a file may use another: an error in words, or None."""
    here, there = place_of(source), place_of(target)
    if here is None or there is None or here == there:
        return None
    if here[0] != there[0]:
        if there[0] in USES.get(here[0], ()) or any(
                here[0] == module and target.startswith(path) for module, path in SHARED):
            return None
        return f"{here[0]}/ must not use {target}"
    layers = MODULES[here[0]]
    for module, folder in (here, there):
        if folder not in layers:
            return f"{module}/{folder}/ is not among the layers of tests/checks/layers.py"
    if layers.index(there[1]) > layers.index(here[1]):
        return f"{here[0]}/{here[1]}/ lies below {there[0]}/{there[1]}/ and must not use {target}"
    return None


def circle(edges):
    """The shortest cycle among directed edges, as a list of nodes, or None."""
    after = collections.defaultdict(set)
    for source, target in edges:
        after[source].add(target)
    best = None
    for start in sorted(after):
        paths = collections.deque([[start]])
        seen = {start}
        while paths:
            path = paths.popleft()
            if best and len(path) >= len(best):
                break
            if start in after[path[-1]]:
                best = path
                break
            for node in sorted(after[path[-1]] - seen):
                seen.add(node)
                paths.append(path + [node])
    return best

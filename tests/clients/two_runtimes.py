# SPDX-License-Identifier: MIT
"""Runtimes of two releases, and a copy of one, in a process: a call and its last error belong to
the library that the pointer was looked up in, or that the caller was linked with."""
import ctypes
import os
import shutil
import sys
import tempfile

paths = {"13": "libcudart.so.13", "12": "libcudart.so.12"}
libraries = {name: ctypes.CDLL(path) for name, path in paths.items()}
with tempfile.TemporaryDirectory() as folder, open("/proc/self/maps", encoding="ascii") as maps:
    real = next(line.split()[-1] for line in maps if line.rstrip().endswith("libcudart.so.12"))
    shutil.copy(real, os.path.join(folder, "libcudart.so.12"))
    libraries["copy"] = ctypes.CDLL(os.path.join(folder, "libcudart.so.12"))
# Linked with 12 and with 13; each jumps to the function, so the visible caller is another module.
for name in ("12", "13"):
    libraries[f"linked {name}"] = ctypes.CDLL(os.path.join(sys.argv[1], f"calls_{name}.so"))

for library in libraries.values():  # all look-ups before all calls
    for function in ("cudaFree", "cudaMalloc", "cudaGetLastError", "cudaMemGetInfo"):
        getattr(library, function, None)


def give(name, pointer):
    library = libraries[name]
    function = library.calls_free if name.startswith("linked") else library.cudaFree
    return function(ctypes.c_void_p(pointer))


for name in libraries:
    result = give(name, 0x1230)
    errors = {other: library.cudaGetLastError() for other, library in libraries.items()
              if not other.startswith("linked")}
    print("bad free by", name, result, "last errors", errors)
for name, library in libraries.items():
    take = library.calls_malloc if name.startswith("linked") else library.cudaMalloc
    pointer = ctypes.c_void_p()
    print(name, "takes", take(ctypes.byref(pointer), ctypes.c_size_t(5000)), bool(pointer),
          "gives", give("13", pointer.value))

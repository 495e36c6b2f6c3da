# SPDX-License-Identifier: MIT
"""One command builds a Debian package, and what it holds runs from where it was unpacked."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import linked_engine

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = ["usr/bin/cupool", "usr/share/man/man1/cupool.1.gz",
            "usr/share/bash-completion/completions/cupool",
            "usr/share/zsh/site-functions/_cupool", "usr/share/cupool/grafana-dashboard.json",
            "usr/share/doc/cupool/copyright", "usr/share/doc/cupool/docs/engine.md",
            "usr/share/doc/cupool/examples/leak.cpp"]

DEVICE_CODE = bytes.fromhex("50ed55ba")  # how an image of nvcc begins
IMAGES = {"libcupool.so": 1, "libcupool-engine.so.0": 2}  # copies and fills; the codecs, too

if not (shutil.which("dpkg-buildpackage") and shutil.which("dh")):
    print("skipped: debhelper is not installed (apt-get install debhelper)")
    sys.exit(77)


def check_device_code(root):
    """The libraries have the kernels that nvcc compiles, not only what the driver does without."""
    for name, count in IMAGES.items():
        library = next(root.rglob(name)).read_bytes()
        assert library.count(DEVICE_CODE) == count, f"{name} lacks its kernels"


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], text=True, check=True,
                          capture_output=True, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}).stdout


SMALL_LINES = 2500  # of disassembly: simgpu_loader.so has 1,500 and three entries


def entries(path):
    """How many functions other modules can enter; at least one."""
    symbols = (line.split() for line in readelf("--dyn-syms", path).splitlines())
    return max(1, len({row[1] for row in symbols
                       if len(row) > 7 and row[3] == "FUNC" and row[6] != "UND"}))


def check_hardening(path):
    """Bound at the start, read-only afterwards, no executable stack, marked for shadow stacks."""
    dynamic, segments = readelf("-d", path), readelf("-l", path)
    assert "BIND_NOW" in dynamic or " NOW" in dynamic, f"{path.name} is bound lazily"
    assert "GNU_RELRO" in segments and "TEXTREL" not in dynamic, f"{path.name} stays writable"
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack, f"{path.name} has an executable stack"
    assert "DYN" in readelf("-h", path), f"{path.name} is not position-independent"
    if platform.machine() == "x86_64":
        assert "SHSTK" in readelf("-n", path), f"{path.name} is not marked for shadow stacks"
        code = subprocess.run(["objdump", "-d", path], text=True, check=True,
                              capture_output=True).stdout
        small = code.count("\n") < SMALL_LINES  # one pad for each entry is all that it needs
        least = entries(path) - 1 if small else 20
        assert code.count("endbr64") > least, f"{path.name} has no landing pads"
        assert not re.search(r"<(dlsym|dlvsym)(@@?(?!plt).*)?>:\n(?!.*endbr64)", code), path.name


built = subprocess.run([ROOT / "tools/package"], text=True, check=True, capture_output=True)
package = ROOT / built.stdout.split()[-1]
with tempfile.TemporaryDirectory(prefix="cupool-package-") as directory:
    root = pathlib.Path(directory)
    subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    for name in EXPECTED:
        assert (root / name).exists(), f"the package lacks {name}"
    told = subprocess.run([root / "usr/bin/cupool", "doctor", "--sim"], text=True, check=True,
                          capture_output=True).stdout
    for name in ("libcupool.so", "cupool/sim/libcuda.so.1"):
        assert f"{root}/usr/lib" in told and name in told, told
    if "--nvcc" in sys.argv:
        check_device_code(root)
    with tempfile.TemporaryDirectory(prefix="cupool-package-") as scratch:
        linked_engine.run_on_simulated_device(root, pathlib.Path(scratch), dict(os.environ),
                                              "--nvcc" in sys.argv)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            check_hardening(path)
depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], text=True, check=True,
                         capture_output=True).stdout
assert "libjansson4" in depends and "cuda" not in depends, depends
print(f"{package.name}: {len(EXPECTED)} files found, its command runs")

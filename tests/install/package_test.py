# SPDX-License-Identifier: MIT
"""One command builds a Debian package, and what it holds runs from where it was unpacked."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = ["usr/bin/cupool", "usr/share/man/man1/cupool.1.gz",
            "usr/share/bash-completion/completions/cupool",
            "usr/share/zsh/site-functions/_cupool", "usr/share/doc/cupool/copyright"]

if not (shutil.which("dpkg-buildpackage") and shutil.which("dh")):
    print("skipped: debhelper is not installed (apt-get install debhelper)")
    sys.exit(77)

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
depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], text=True, check=True,
                         capture_output=True).stdout
assert "libjansson4" in depends and "cuda" not in depends, depends
print(f"{package.name}: {len(EXPECTED)} files found, its command runs")

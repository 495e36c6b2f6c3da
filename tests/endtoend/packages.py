# SPDX-License-Identifier: MIT
"""Programs of other projects for tests, unpacked into the build directory and kept there. They are
not installed, because that needs root and may start a server."""

import glob
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile


def debian_file(build, package, pattern):
    """The file of a Debian package that matches `pattern`, as "usr/bin/*"; None: not available."""
    place = pathlib.Path(build) / "packages"
    place.mkdir(exist_ok=True)
    found = glob.glob(str(place / package / pattern))
    if found or not shutil.which("apt-get"):
        return found[0] if found else None
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        fetched = subprocess.run(["apt-get", "download", package], cwd=scratch, capture_output=True)
        debs = glob.glob(f"{scratch}/*.deb")
        if fetched.returncode or not debs:
            return None
        (place / package).mkdir(exist_ok=True)
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", debs[0]],
                              stdout=subprocess.PIPE) as tar:
            subprocess.run(["tar", "-x", "-C", place / package, "--wildcards", f"./{pattern}"],
                           stdin=tar.stdout, check=True)
    found = glob.glob(str(place / package / pattern))
    return found[0] if found else None


def debian_depends(package, pattern):
    """The packages with a name prefix on which a Debian package depends."""
    if not shutil.which("apt-cache"):
        return []
    told = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True).stdout
    return [words[1] for words in map(str.split, told.splitlines())
            if len(words) == 2 and words[0] == "Depends:" and words[1].startswith(pattern)]


def wheel(build, package, version):
    """The folder of an unpacked wheel from PyPI; None: not available."""
    place = pathlib.Path(build) / "packages" / f"{package}-{version}"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(dir=build) as scratch:
        fetched = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                                  "--only-binary", ":all:", f"{package}=={version}"], cwd=scratch,
                                 capture_output=True)
        wheels = glob.glob(f"{scratch}/*.whl")
        if fetched.returncode or not wheels:
            return None
        place.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(f"{scratch}/unpacked")
        pathlib.Path(f"{scratch}/unpacked").rename(place)
    return place

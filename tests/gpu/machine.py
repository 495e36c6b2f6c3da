# SPDX-License-Identifier: MIT
"""Describes the machine: GPU, build, and properties reported by the driver.

On hardware every program finds the driver and the runtime through a folder of links at the head of
LD_LIBRARY_PATH; otherwise the programs of the build tree would find the simulated device.
"""

import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77


def skip(reason):
    print(f"tests/gpu/run: skipped: {reason}")
    sys.exit(SKIPPED)


def die(reason):
    print(f"tests/gpu/run: {reason}", file=sys.stderr)
    sys.exit(1)


class Place:
    """A build tree and the device its programs meet."""

    def __init__(self, build, simulated):
        self.build = build.resolve()
        self.simulated = simulated
        self.temporary = tempfile.TemporaryDirectory(prefix="cupool-gpu-")
        self.work = pathlib.Path(self.temporary.name)
        self.library = self.build / "shim" / "libcupool.so"
        self.simgpu = self.build / "tests" / "simgpu"
        self.libraries = self.simgpu if simulated else self.work / "libraries"

    def environment(self, own_libraries=False, **extra):
        """Environment of a bare program. own_libraries: it includes its runtime, as wheels do."""
        env = {key: value for key, value in os.environ.items()
               if not key.startswith(("CUPOOL", "SIMGPU")) and key != "LD_PRELOAD"}
        if self.simulated or not own_libraries:
            env["LD_LIBRARY_PATH"] = ":".join(
                filter(None, (str(self.libraries), os.environ.get("LD_LIBRARY_PATH"))))
        return env | extra

    def workload(self, name):
        """The program's path; the simulated device has a static runtime of its own."""
        if self.simulated:
            name = name.replace("_static", "_simstatic")
        folder = ROOT if name.endswith(".py") else self.build
        return folder / "tests" / "workloads" / name


def gpu_or_skip():
    if not (glob.glob("/dev/nvidia[0-9]*") or os.path.exists("/dev/nvidiactl")):
        skip("no NVIDIA GPU: no /dev/nvidia0")
    if not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], capture_output=True,
                                                        check=False).returncode:
        skip("no NVIDIA GPU: nvidia-smi -L fails")


def toolkit_or_skip():
    found = subprocess.run([ROOT / "tools" / "find-cuda", ""], capture_output=True, text=True,
                           check=False)
    if found.returncode:
        skip(f"a GPU, but {found.stderr.strip()}")
    home = pathlib.Path(found.stdout.strip())
    if not (home / "bin" / "nvcc").exists():
        skip(f"a GPU, but no nvcc in {home}/bin")
    return home


def unpacked(debs, into):
    """Environment for a build with the contents of .deb files, without installing them."""
    packages = sorted(debs.glob("*.deb")) if debs else []
    if debs and not packages:
        die(f"{debs}: no .deb file there")
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, into], check=True)
    usr = into / "usr"
    libraries = [str(path.parent) for path in usr.glob("lib/*/*.so*")] + [str(usr / "lib")]
    added = {"PATH": [str(usr / "bin")], "CPATH": [str(usr / "include")],
             "LIBRARY_PATH": sorted(set(libraries)), "LD_LIBRARY_PATH": sorted(set(libraries)),
             "PYTHONPATH": [str(usr / "lib/python3/dist-packages")]}
    return dict(os.environ) if not packages else dict(os.environ) | {
        name: ":".join([*paths, *filter(None, [os.environ.get(name)])])
        for name, paths in added.items()}


def quietly(command, env, what):
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-30:]), file=sys.stderr)
        die(f"{what} failed: {' '.join(map(str, command))}")


def tool(name, module, env):
    found = shutil.which(name, path=env["PATH"])
    return [found] if found else [sys.executable, "-m", module]


def build(options, home):
    """Configures (without the command, which needs more libraries) and builds the programs of the
    parts."""
    tree = options.build or ROOT / "build-gpu"
    env = unpacked(options.debs, tree / "debs")
    if not (tree / "build.ninja").exists():
        quietly([*tool("meson", "mesonbuild.mesonmain", env), "setup", tree, ROOT,
                 "-Dcommand=false", f"-Dtoolkit={home}"], env, "configuring")
    quietly([*tool("ninja", "ninja", env), "-C", tree], env, "building")
    return tree


def driver_path():
    """The real libcuda.so.1, as the loader would find it."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    known = [line.split("=> ")[1] for line in listed.splitlines()
             if line.strip().startswith("libcuda.so.1 ") and "x32" not in line and "=> " in line]
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":") + [
        "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"]
    for path in [os.path.join(folder, "libcuda.so.1") for folder in folders if folder] + known:
        if os.path.exists(path):
            return os.path.realpath(path)
    return skip("a GPU, but no libcuda.so.1")


def link_libraries(place, home):
    place.libraries.mkdir()
    (place.libraries / "libcuda.so.1").symlink_to(driver_path())
    for path in (home / "lib64").glob("libcudart.so.*"):
        (place.libraries / path.name).symlink_to(path.resolve())


def find(options):
    """The machine of this run; without one, prints the reason and exits with 77."""
    if options.simulated:
        place = Place(options.build or ROOT / "build", True)
        if not (place.simgpu / "libcuda.so.1").exists():
            die(f"{place.build}: no simulated device there; build it first")
        return place
    gpu_or_skip()
    home = toolkit_or_skip()
    place = Place(build(options, home), False)
    link_libraries(place, home)
    return place


def facts(place):
    """The output of driver_facts, and whether all expectations held."""
    program = place.build / "tests" / "gpu" / "driver_facts"
    if not program.exists():
        die(f"{program}: not built; nvcc is needed")
    done = subprocess.run([program], env=place.environment(), capture_output=True, text=True,
                          check=False)
    if done.returncode == SKIPPED:
        skip("the driver offers no usable device")
    if done.returncode:
        print(f"tests/gpu/run: driver_facts had unexpected results:\n{done.stderr.strip()}",
              file=sys.stderr)
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        return die(f"driver_facts: status {done.returncode}, {error}")
    if found["simulated"] != place.simulated:
        die(f"the programs met \"{found['device']}\", which is not the device asked for")
    if not place.simulated:
        asked = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader",
                                "-i", "0"], capture_output=True, text=True, check=False)
        found["driver"] = asked.stdout.strip() or str(found["driver_version"])
    return found, done.returncode == 0

# SPDX-License-Identifier: MIT
"""The Python package: its own tests, its wheel in a fresh virtual environment, its example bare and under
cupool run --sim."""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / "python"
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402


def pytest_interpreter():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import pytest"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def own_tests(machine, library):
    python = pytest_interpreter()
    if python is None:
        print("pytest is missing (python3-pytest): the package's own tests were left out")
        return
    env = {**os.environ, "CUPOOL_ENGINE": str(library), "PYTHONPATH": str(PYTHON),
           "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           str(PYTHON / "tests")], env=env, check=False, stdout=subprocess.PIPE,
                          cwd=machine.scratch, text=True)
    preload.expect(done.returncode == 0, done.stdout[-2000:])
    print("pytest:", done.stdout.splitlines()[-1])


def installed(machine, library):
    venv = machine.scratch / "venv"
    # A copy: a build must not write beside the source.
    source = machine.scratch / "source"
    shutil.copytree(PYTHON, source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["CUPOOL_ENGINE"] = str(library)
    subprocess.run([str(venv / "bin" / "pip"), "install", "-q", "--no-index",
                    "--disable-pip-version-check", str(source)], check=True, env=env)
    example = [str(venv / "bin" / "python"), str(PYTHON / "examples" / "paged_requests.py")]
    host = machine.run([*example, "--host"])
    preload.expect_equal("example on host memory: exit", (host.returncode, host.stderr), (0, b""))
    trace = machine.scratch / "example.cupool"
    recorded = machine.record(example, trace)
    preload.expect_equal("example under cupool run --sim: exit", recorded.returncode, 0)
    preload.expect_equal("example under cupool run --sim", recorded.stdout, host.stdout)
    report = machine.report(trace)
    phases = {phase["name"] for phase in report["phases"]}
    preload.expect({"prefill", "decode"} <= phases, f"phases of the record: {phases}")
    print("wheel: installed, example runs on host memory and under cupool run --sim")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    library = machine.build / "engine" / "libcupool-engine.so.0"
    own_tests(machine, library)
    installed(machine, library)


if __name__ == "__main__":
    main()

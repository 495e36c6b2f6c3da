# SPDX-License-Identifier: MIT
"""The Python package: its structures against the headers, its own tests, its wheel in a fresh virtual
environment, its example bare and under cupool run --sim."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / "python"
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

# Each example with the phases that its trace must have.
EXAMPLES = {"paged_requests.py": {"prefill", "decode"}, "tensor_cache.py": {"step"},
            "weights.py": {"load"}}


def pytest_interpreter():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import pytest"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


# Prefixes of names in C that the package omits.
PREFIXES = ("", "kv", "pressure")
# Members with names that are keywords of Python.
KEYWORDS = {("copy", "source"): "from"}


def layouts(machine):
    """Structures of the package have the sizes and offsets of those of the headers."""
    sys.path.insert(0, str(PYTHON))
    sys.dont_write_bytecode = True
    from cupool import _library  # pylint: disable=import-outside-toplevel
    headers = sorted((PYTHON.parent / "include/cupool").glob("*.h"))
    known = {name.replace("_", ""): name for header in headers
             for name in re.findall(r"^struct cupool_(\w+) \{", header.read_text(), re.MULTILINE)}
    lines, wanted = [], []
    for kind in vars(_library).values():
        if not (isinstance(kind, type) and issubclass(kind, ctypes.Structure) and
                kind not in (ctypes.Structure, _library.Structure)):
            continue
        name = next(known[prefix + kind.__name__.lower()] for prefix in PREFIXES
                    if prefix + kind.__name__.lower() in known)
        wanted.append(f"{name} {ctypes.sizeof(kind)}")
        lines.append(f'printf("{name} %zu\\n", sizeof(struct cupool_{name}));')
        for field, *_ in kind._fields_:
            wanted.append(f"{name}.{field} {getattr(kind, field).offset}")
            member = KEYWORDS.get((name, field), field)
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof(struct cupool_{name}, {member}));')
    source, program = machine.scratch / "layouts.c", machine.scratch / "layouts"
    source.write_text("#include <stddef.h>\n#include <stdio.h>\n" +
                      "".join(f'#include "include/cupool/{header.name}"\n' for header in headers) +
                      "int main(void)\n{\n" + "\n".join(lines) + "\n}\n")
    subprocess.run([*os.environ.get("CC", "cc").split(), "-std=gnu11", f"-I{PYTHON.parent}", "-o", program,
                    source], check=True)
    found = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    differ = sorted(set(wanted) ^ set(found.splitlines()))
    preload.expect(not differ, f"the package and the headers differ: {', '.join(differ)}")


# Functions that the package needs no name for: what does the same there, or who calls them.
ELSEWHERE = {
    "codec_crc32c": "BlockCodec checks it", "kv_config_of": "the arguments of KVPool",
    "kv_available_blocks": "KVPool.stats", "kv_free_blocks": "KVPool.stats", "kv_hit_rate": "KVPool.stats",
    "kv_total_blocks": "KVPool.stats", "kv_usage_rate": "KVPool.stats",
    "device_host_allocate": "HostMemory", "device_host_free": "HostMemory",
    "kv_set_lower": "Tiers", "kv_prefetch_loaded": "Tiers",
    "torch_malloc": "torch.cuda.memory.CUDAPluggableAllocator",
    "torch_free": "torch.cuda.memory.CUDAPluggableAllocator",
}


def covers():
    """Every function of the headers is reachable from the package, and every one it declares is called."""
    from cupool import _library  # pylint: disable=import-outside-toplevel
    declared = set()
    for header in (PYTHON.parent / "include/cupool").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        declared |= set(re.findall(r"CUPOOL_API\s[^;{]*?\bcupool_(\w+)\(", text))
    known = set(_library.FUNCTIONS)
    preload.expect_equal("functions without a place in the package", declared - known, set(ELSEWHERE))
    preload.expect_equal("functions that no header declares", known - declared, set())
    code = "".join(path.read_text() for path in (PYTHON / "cupool").glob("*.py"))
    called = set(re.findall(r"\bapi\.(\w+)", code))
    preload.expect_equal("declared, but never called", known - called, set())


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
    # A copy: a build must not write into the source.
    source = machine.scratch / "source"
    shutil.copytree(PYTHON, source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["CUPOOL_ENGINE"] = str(library)
    subprocess.run([str(venv / "bin" / "pip"), "install", "-q", "--no-index",
                    "--disable-pip-version-check", str(source)], check=True, env=env)
    for name, wanted in EXAMPLES.items():
        example = [str(venv / "bin" / "python"), str(PYTHON / "examples" / name)]
        host = machine.run([*example, "--host"])
        preload.expect_equal(f"{name} on host memory: exit", (host.returncode, host.stderr), (0, b""))
        trace = machine.scratch / f"{name}.cupool"
        recorded = machine.record(example, trace)
        preload.expect_equal(f"{name} under cupool run --sim: exit",
                             (recorded.returncode, recorded.stderr[-500:] * (recorded.returncode != 0)),
                             (0, b""))
        preload.expect_equal(f"{name} under cupool run --sim", recorded.stdout, host.stdout)
        phases = {phase["name"] for phase in machine.report(trace)["phases"]}
        preload.expect(wanted <= phases, f"{name}: phases of the record: {phases}")
    reserved(machine, venv)
    print(f"wheel: installed, {len(EXAMPLES)} examples run on host memory and under cupool run --sim")


def reserved(machine, venv):
    """The report of a recorded run names the reservations; the next run has no misses."""
    report = machine.scratch / "tensors.json"
    report.write_text(json.dumps(machine.report(machine.scratch / "tensor_cache.py.cupool")))
    done = machine.run([str(venv / "bin" / "python"), str(PYTHON / "examples" / "tensor_cache.py"),
                        "--host", "--reserve", str(report)])
    preload.expect_equal("tensor_cache.py --reserve REPORT: exit", done.returncode, 0)
    preload.expect(b" 0 misses" in done.stdout, f"misses after a reservation: {done.stdout!r}")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    library = machine.build / "engine" / "libcupool-engine.so.0"
    layouts(machine)
    covers()
    own_tests(machine, library)
    installed(machine, library)


if __name__ == "__main__":
    main()

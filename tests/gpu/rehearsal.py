# SPDX-License-Identifier: MIT
"""tests/gpu/run without a GPU skips with a message; on the simulated device it runs every part,
compares, writes its files, resumes a run, and detects a program with different output.
"""

import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import guards  # noqa: E402
import machine  # noqa: E402
import preload  # noqa: E402
import roster  # noqa: E402

PROGRAMS = ("sizes", "last_error")
ROUTES = ("dynamic", "static", "driver", "dlsym-12")


def interpreter(build):
    """The clients' virtual environment, if it can be created; then two clients run."""
    directory = build / "tests" / "clients" / "venv"
    done = subprocess.run([str(HERE.parent / "clients" / "setup"), str(directory), "60"],
                          capture_output=True, text=True, check=False)
    print(done.stdout.strip())
    return str(directory / "bin" / "python") if done.returncode == 0 else sys.executable


def run(*words, python=sys.executable, **variables):
    env = {name: value for name, value in os.environ.items() if not name.startswith("CUPOOL")}
    return subprocess.run([python, str(HERE / "run"), *map(str, words)], env=env | variables,
                          capture_output=True, text=True, timeout=500, check=False)


def says_no_gpu():
    if glob.glob("/dev/nvidia*"):
        return
    done = run()
    preload.expect_equal("no GPU: exit", done.returncode, preload.SKIP)
    preload.expect("skipped: no NVIDIA GPU" in done.stdout, f"no GPU: said {done.stdout!r}")


def read(folder, suffix):
    found = [path for path in folder.glob(f"*{suffix}")
             if suffix != ".json" or not path.stem.endswith(("-runs", "-conformance", "-transfers", "-codecs"))]
    preload.expect_equal(f"files {suffix}", len(found), 1)
    return found[0].read_text()


def check_runs(runs, has_clients):
    names = {(each["part"], each["name"]) for each in runs}
    wanted = {("workloads", name) for name, _, short in roster.WORKLOADS if short is not None}
    wanted |= {("clients", each[0]) for each in roster.CLIENT_ROWS}
    wanted |= {("engine", name) for name in roster.ENGINE}
    wanted |= {("guards", name) for name in (*guards.titles(), *roster.GUARDED)}
    preload.expect_equal("programs run", names, wanted)
    for each in runs:
        title = f"{each['part']}: {each['name']}, {each['mode']}"
        preload.expect(each["output"] in ("reference", "equal", "skipped"), f"{title}: {each}")
        preload.expect(each["output"] != "skipped" or each["reason"], f"{title}: no reason")
        timed = each["output"] != "skipped" and each["name"] not in guards.titles()
        preload.expect((each.get("ratio", 0) > 0) == timed, f"{title}: {each}")
        may_skip = each["reason"] == "not built" and each["part"] == "engine" or (
            each["part"] == "clients" and not (
                has_clients and each["name"] in ("numba: arrays", "cuda-bindings: driver")))
        preload.expect(may_skip or each["output"] != "skipped", f"{title}: {each}")
    torch = [each for each in runs if each["name"] == "PyTorch: no cache"]
    preload.expect(len(torch) in (1, 3), f"PyTorch: {torch}")


def check_conformance(found):
    preload.expect_equal("conformance", found["programs"],
                         {name: {route: "equal" for route in ROUTES} for name in PROGRAMS})
    preload.expect(found["simulated"], "the conformance results are not marked as simulated")


def check_markdown(text):
    for line in ("# NVIDIA H200 (simulated), driver 13000, ", "## Conformance",
                 "| `sizes` | 4 routes | 0 | – |", "## Programs",
                 "| workloads | churn: static runtime | pool | equal | ",
                 "| guards | guard_errors: overrun of 4194304 B, guard:page | guard:page | equal | ",
                 "| guards | tinyllm | guard:redzone,scrub:poison | equal | ",
                 "| clients | JAX: platform allocator | bare | "):
        preload.expect(line in text, f"no {line!r} in\n{text}")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    preload.expect(all(line.count("|") in (5, 7, 12) for line in rows), f"odd rows in\n{text}")


def unpacks(folder):
    """The compiler, the linker and the shell find the contents of a .deb file."""
    tree = folder / "package"
    for name in ("usr/include/brought.h", "usr/lib/x86_64-linux-gnu/libbrought.so", "usr/bin/bring",
                 "DEBIAN/control"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Package: brought\nVersion: 1\nArchitecture: all\nMaintainer: none <none>\n"
                        "Description: a test\n" if name.endswith("control") else "")
        path.chmod(0o755)
    if not shutil.which("dpkg-deb"):
        return
    (folder / "debs").mkdir()
    subprocess.run(["dpkg-deb", "--build", tree, folder / "debs" / "brought.deb"], check=True,
                   stdout=subprocess.DEVNULL)
    env = machine.unpacked(folder / "debs", folder / "into")
    for name, file in (("CPATH", "brought.h"), ("LIBRARY_PATH", "libbrought.so"), ("PATH", "bring")):
        found = any((pathlib.Path(part) / file).exists() for part in env[name].split(":"))
        preload.expect(found, f"{file} is not on {name}: {env[name]}")


def whole_run(build, folder):
    python = interpreter(build)
    words = ("--simulated", "--build", build, "--results", folder, "--repeats", "1",
             "--routes", ",".join(ROUTES))
    first = run(*words, "--only", "conformance", "--programs", ",".join(PROGRAMS), python=python)
    preload.expect_equal(f"conformance: exit ({first.stderr})", first.returncode, 0)
    second = run(*words, "--only", "workloads,guards,clients,engine", "--resume", python=python)
    preload.expect_equal(f"programs: exit ({second.stdout}{second.stderr})", second.returncode, 0)
    preload.expect(json.loads(read(folder, ".json"))["simulated"],
                   "the facts are not marked as simulated")
    check_conformance(json.loads(read(folder, "-conformance.json")))
    runs = json.loads(read(folder, "-runs.json"))["runs"]
    check_runs(runs, python != sys.executable)
    check_markdown(read(folder, ".md"))
    again = run(*words, "--programs", ",".join(PROGRAMS), "--only", "conformance", "--resume")
    preload.expect_equal("resumed: exit", again.returncode, 0)
    preload.expect_equal("resumed: runs", json.loads(read(folder, "-runs.json"))["runs"], runs)
    print(f"{len(runs)} rows, {sum(each['output'] == 'skipped' for each in runs)} skipped")


def notices(build, folder):
    """A build tree of links with one workload that prints whether it finds cupool."""
    tree = folder / "tree"
    (tree / "tests" / "workloads").mkdir(parents=True)
    (tree / "shim").symlink_to(build / "shim")
    for name in ("simgpu", "gpu", "conformance"):
        (tree / "tests" / name).symlink_to(build / "tests" / name)
    for name, script in (("churn", "echo one $CUPOOL"), ("tinyllm", "exit 3"),
                         ("driver_api", 'test -z "$CUPOOL" && echo well')):
        path = tree / "tests" / "workloads" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    done = run("--simulated", "--build", tree, "--results", folder / "noticed", "--repeats", "2",
               "--only", "workloads", "--programs", "churn,tinyllm,driver_api,driver_dlsym")
    preload.expect_equal(f"notices: exit ({done.stdout})", done.returncode, 1)
    found = [(each["name"], each["mode"], each["output"])
             for each in json.loads(read(folder / "noticed", "-runs.json"))["runs"]]
    preload.expect_equal("notices", found, [
        ("tinyllm", "bare", "failed"), ("churn", "bare", "reference"),
        ("churn", "observe", "differs"), ("churn", "pool", "differs"),
        ("driver_api", "bare", "reference"), ("driver_api", "observe", "failed"),
        ("driver_api", "pool", "failed"), ("driver_dlsym", "bare", "skipped")])


def main():
    build = preload.arguments(__doc__).build.resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cupool-rehearsal-"))
    says_no_gpu()
    unpacks(folder)
    notices(build, folder)
    whole_run(build, folder / "whole")
    shutil.rmtree(folder)


main()

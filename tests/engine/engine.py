# SPDX-License-Identifier: MIT
"""libcupool-engine from outside: its exports, a program on each kind of device bare and preloaded, tinyllm
with and without a pool, and its trace."""

import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402


def exports(machine):
    """The exports are exactly the declarations of the headers, under the version of the map."""
    library = machine.build / "engine" / "libcupool-engine.so.0"
    listed = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    found = {name.split("@")[0] for *_, name in map(str.split, listed.splitlines())}
    versions = {name.split("@@")[1] for *_, name in map(str.split, listed.splitlines())
                if "@@" in name}
    declared = set()
    for header in (HERE.parents[1] / "include" / "cupool").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
        declared |= set(re.findall(r"CUPOOL_API\s[^;{]*?\b(cupool_\w+)\(", text))
    found.discard("CUPOOL_ENGINE_0")
    preload.expect_equal("exported and declared", sorted(found), sorted(declared))
    preload.expect_equal("symbol versions", versions, {"CUPOOL_ENGINE_0"})
    needed = subprocess.run(["readelf", "-d", str(library)], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    preload.expect("libcuda" not in needed, "the library is linked with the driver")
    print(f"exports: {len(found)} functions")


def programs(machine):
    program = str(machine.build / "tests" / "engine" / "device_program")
    for what, command, preloaded in (("host memory", [program, "--host"], False),
                                     ("bare", [program], False), ("preloaded", [program], True)):
        done = machine.run(command, preload=preloaded)
        preload.expect(done.returncode == 0 and done.stdout == b"ok\n",
                       f"{what}: exit {done.returncode}: {done.stderr.decode()[-600:]}")
    env = machine.environment()
    del env["LD_LIBRARY_PATH"]
    done = subprocess.run([program], env=env, check=False, stderr=subprocess.PIPE)
    preload.expect_equal("without a driver: exit", done.returncode, 77)
    print("device_program: host memory, bare, preloaded, without a driver")


def tinyllm(machine):
    words = ["--tokens", "40", "--seed", "5", "--batch", "3"]
    command = machine.program("tinyllm", *words)
    plain = machine.run(command)
    paged = machine.run([*command, "--paged"])
    preload.expect_equal("tinyllm --paged: exit", paged.returncode, 0)
    preload.expect_equal("tinyllm --paged: tokens and logits", paged.stdout, plain.stdout)
    preloaded = machine.run([*command, "--paged"], preload=True)
    preload.expect_equal("tinyllm --paged preloaded", preloaded.stdout, plain.stdout)
    trace = machine.scratch / "paged.cupool"
    recorded = machine.record([*command, "--paged"], trace)
    preload.expect_equal("tinyllm --paged recorded", recorded.stdout, plain.stdout)
    report = machine.report(trace)
    sites = [site for site in report["sites"] if "device_memory_allocate" in json.dumps(site)]
    preload.expect(sites, "the record does not show the pool's memory")
    print("tinyllm: the same bare, paged, preloaded and recorded; the trace shows the pool")


def main():
    options = preload.arguments(__doc__)
    machine = preload.Machine(options.build)
    exports(machine)
    programs(machine)
    tinyllm(machine)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""driver_facts on the simulated device finds the values of the profile, and follows changes of the
profile. So its results from hardware can be put into a profile.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

PROFILES = HERE.parent / "simgpu" / "profiles"
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def profile_values(text):
    """The keys before the section of costs."""
    pairs = re.findall(r"^(\w+) = ([^#\n]*?) *(?:#.*)?$", text.split("[cost]")[0], re.M)
    return {key: number(value) for key, value in pairs}


def number(value):
    found = re.fullmatch(r"(\d+)(\w*)", value)
    return int(found[1]) * UNITS[found[2]] if found and found[2] in UNITS else value


def facts(machine, profile):
    program = machine.build / "tests" / "gpu" / "driver_facts"
    done = machine.run([str(program)], SIMGPU_PROFILE=profile)
    preload.expect_equal(f"{profile}: exit ({done.stderr.decode()})", done.returncode, 0)
    return json.loads(done.stdout)


def succeeded(found):
    return found["code"] == 0


def compare(title, found, profile):
    """Each fact with the value of the profile."""
    for what, fact, wanted in (
            ("device", found["device"], profile["name"]),
            ("driver_version", found["driver_version"], profile["driver_version"]),
            ("compute_capability", found["compute_capability"],
             10 * profile["compute_major"] + profile["compute_minor"]),
            ("total_bytes", found["total_bytes"], profile["memory_bytes"]),
            ("free_bytes", found["free_bytes"], profile["memory_bytes"] - profile["context_bytes"]),
            ("map_offset", succeeded(found["vmm"]["map_at_offset"]), bool(profile["map_offset"])),
            ("unmap_part", succeeded(found["vmm"]["unmap_half_of_mapping"]),
             bool(profile["unmap_part"])),
            ("ctx_record_event", found["events"]["context"] is not None,
             bool(profile["ctx_record_event"]))):
        preload.expect_equal(f"{title}: {what}", fact, wanted)
    odd = [name for name, value in found.items() if name.endswith("_unexpected") or value is None]
    preload.expect_equal(f"{title}: unexpected", odd, [])


def changed(text, key, value):
    made, count = re.subn(rf"^{key} = [^#\n]*", f"{key} = {value} ", text, flags=re.M)
    preload.expect_equal(f"{key} in the profile", count, 1)
    return made


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    for path in sorted(PROFILES.glob("*.ini")):
        compare(path.stem, facts(machine, path.stem), profile_values(path.read_text()))
    text = (PROFILES / "h200.ini").read_text()
    for key, value in (("map_offset", 1), ("unmap_part", 1), ("ctx_record_event", 0),
                       ("memory_bytes", "3GiB"), ("context_bytes", "64MiB")):
        text = changed(text, key, value)
    other = machine.scratch / "other.ini"
    other.write_text(text)
    compare("changed", facts(machine, other), profile_values(text))


main()

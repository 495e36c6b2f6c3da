# SPDX-License-Identifier: MIT
"""Cost of a stitch compared with a growth of the same size: driver calls by kind, and simulated
time, the sum of their costs in the profile (h200), which does not depend on the machine.

Pieces fill four times the block; every second one is freed, and the block is stitched from them. The
ratios are per MiB mapped: free memory next to the gap becomes part of the block as it is."""

import argparse
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import preload  # noqa: E402

PAGES = ("2MiB", "8MiB", "32MiB", "0")
CASES = ((8, 64), (32, 64), (32, 256), (32, 1024))  # MiB: piece, block
KINDS = ("cuMemCreate", "cuMemMap", "cuMemSetAccess", "cuMemUnmap", "cuMemRelease")
MARK = "cuDeviceGetName"


def between_marks(path):
    """(calls by name, simulated ns, MiB mapped) between the last two marks of a log."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line.count("\t") >= 4]
    marks = [index for index, row in enumerate(rows) if row[3] == MARK]
    preload.expect(len(marks) >= 2, f"{path}: no marks")
    first, last = marks[-2:]
    spent = int(rows[last - 1][2]) - int(rows[first][2])
    rows = rows[first + 1:last]
    values = (dict(field.split("=", 1) for field in row[5:] if "=" in field)
              for row in rows if row[3] == "cuMemMap")
    mapped = sum(int(value["bytes"], 0) for value in values) >> 20
    return collections.Counter(row[3] for row in rows), spent, mapped


def measure(machine, what, page, piece, block):
    log = machine.scratch / "stitch.log"
    log.unlink(missing_ok=True)
    done = machine.run([str(machine.build / "tests/bench/stitch_bench"), what, str(piece), str(block)],
                       preload=True, CUPOOL=f"backing:vmm,page:{page}", SIMGPU_LOG=log,
                       SIMGPU_PROFILE="h200")
    title = f"page:{page}, {block} MiB in pieces of {piece}"
    preload.expect_equal(f"{title}: exit ({done.stderr.decode()})", done.returncode, 0)
    stitched = int(done.stdout) >> 20
    calls, spent, mapped = between_marks(log)
    # Free memory next to the gap becomes part of the block as it is; a part smaller than a handle
    # is new.
    preload.expect(mapped >= block // 2 and (0 < stitched <= mapped if what == "stitch" else not stitched),
                   f"{title}, {what}: stitched {stitched} MiB, mapped {mapped} MiB")
    return {**{kind: calls[kind] for kind in KINDS}, "calls": sum(calls[kind] for kind in KINDS),
            "others": sum(calls.values()) - sum(calls[kind] for kind in KINDS), "ns": spent,
            "mib": mapped, "stitched": stitched}


def words(row):
    return " ".join(f"{row[kind]:>7}" for kind in KINDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path)
    machine = preload.Machine(parser.parse_args().build)
    print(f"{'page':>5} {'piece':>5} {'block':>5} {'':6} {'mapped':>6} {'stitched':>8} "
          f"{'create':>7} {'map':>7} {'access':>7} {'unmap':>7} {'release':>7} {'others':>6} {'us':>9} {'calls':>6} {'time':>6}")
    for page in PAGES:
        for piece, block in CASES:
            rows = {what: measure(machine, what, page, piece, block) for what in ("grow", "stitch")}
            for what, row in rows.items():
                ratios = [row[name] / row["mib"] * rows["grow"]["mib"] / rows["grow"][name]
                          for name in ("calls", "ns")]
                print(f"{page:>5} {piece:>5} {block:>5} {what:6} {row['mib']:>6} "
                      f"{row['stitched']:>8} {words(row)} {row['others']:>6} "
                      f"{row['ns'] / 1000:>9.1f} {ratios[0]:>6.2f} {ratios[1]:>6.2f}")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""cupool pack: every verb reads its output, -d restores the same bytes, damage and bombs are one line of
error, and --anonymize removes every name."""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "endtoend"))

import figures  # noqa: E402
import preload  # noqa: E402

MIB = 1 << 20
FOOTER = struct.Struct("<IBI")
TABLE_MAGIC = 0x8f92eab1


def cupool(machine, *words):
    return machine.run([str(machine.cupool), *map(str, words)])


def expect_line(what, done, *words):
    lines = done.stderr.decode().strip().splitlines()
    preload.expect_equal(f"{what}: exit", done.returncode, 2)
    preload.expect(len(lines) == 1 and all(word in lines[0] for word in words),
                   f"{what}: {lines} does not contain {words}")
    print(f"{what}: {lines[0]}")


def reports(machine, trace):
    report = machine.report(trace)
    report.pop("trace")
    return report


def check_round_trip(machine, trace):
    packed = machine.scratch / (trace.name + ".zst")
    done = cupool(machine, "pack", trace)
    if b"not built in" in done.stderr:
        preload.skip("cupool was built without libzstd")
    preload.expect_equal(f"pack: {done.stderr}", done.returncode, 0)
    preload.expect_equal("mode", packed.stat().st_mode & 0o7777, 0o600)
    preload.expect(packed.stat().st_size * 3 < trace.stat().st_size,
                   f"packed to {packed.stat().st_size} B")
    found = figures.differences(reports(machine, trace), reports(machine, packed))
    preload.expect(not found, f"the packed trace has another report: {found[:5]}")
    expect_line("no overwriting", cupool(machine, "pack", trace), "--force")
    preload.expect_equal("forced", cupool(machine, "pack", "--force", trace).returncode, 0)
    plain = machine.scratch / f"plain.{trace.name}"
    done = cupool(machine, "pack", "-d", packed, "-o", plain)
    preload.expect_equal(f"unpack: {done.stderr}", done.returncode, 0)
    preload.expect(plain.read_bytes() == trace.read_bytes(), "unpacking gives other bytes")
    preload.expect_equal("diff", cupool(machine, "diff", trace, packed).returncode, 0)
    print(f"{trace.stat().st_size} B packed to {packed.stat().st_size} B")
    return packed


def check_damage(machine, packed):
    data = packed.read_bytes()

    def report(name, content):
        path = machine.scratch / name
        path.write_bytes(content)
        return cupool(machine, "report", path)

    expect_line("cut", report("cut.zst", data[:len(data) // 2]), "cut", "byte")
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x10
    done = report("flipped.zst", bytes(flipped))
    preload.expect_equal("a flipped bit: exit", done.returncode, 2)
    expect_line("frames that are not there",
                report("frames.zst", data[:-9] + FOOTER.pack(1 << 31, 0, TABLE_MAGIC)), "frames")
    frames = FOOTER.unpack(data[-9:])[0]
    rows = bytearray(data[-9 - 8 * frames:-9])
    rows[4:8] = struct.pack("<I", 1 << 31)
    expect_line("a frame too large", report("large.zst", data[:-9 - 8 * frames] + bytes(rows) +
                                            data[-9:]), "frame")


def check_bomb(machine):
    """A frame of zeros repeated: a few MiB that claim to be many GiB."""
    zeros, trace = machine.scratch / "zeros", machine.scratch / "zeros.zst"
    source = machine.scratch / "abandoned.cupool"
    preload.expect(make(machine, source.name, 2000).exists(), "no trace")
    with open(source, "ab") as out:  # unused blocks, as after a kill
        out.truncate(2 * MIB)
    preload.expect_equal("pack", cupool(machine, "pack", source, "-o", trace).returncode, 0)
    data = trace.read_bytes()
    frames = FOOTER.unpack(data[-9:])[0]
    table = [struct.unpack_from("<II", data, len(data) - 9 - 8 * (frames - i))
             for i in range(frames)]
    first, last = table[0][0], table[-1]
    body = data[sum(row[0] for row in table[:-1]):][:last[0]]
    count = 200000
    rows = [table[0]] + [last] * count
    size = 8 * len(rows) + 9
    bomb = (data[:first] + body * count + struct.pack("<II", 0x184d2a5e, size) +
            b"".join(struct.pack("<II", *row) for row in rows) +
            FOOTER.pack(len(rows), 0, TABLE_MAGIC))
    zeros.write_bytes(bomb)
    expect_line("bomb", cupool(machine, "report", zeros), "thousandfold")


def check_anonymize(machine):
    secret = "secret-model-name"
    trace, shared = machine.scratch / "secret.cupool", machine.scratch / "shared.cupool.zst"
    done = machine.record(machine.program("ctypes_runtime.py", secret), trace, "-q")
    preload.expect(secret.encode() in trace.read_bytes(), "the command line is not in the trace")
    done = cupool(machine, "pack", "--anonymize", trace, "-o", shared)
    preload.expect_equal(f"anonymize: {done.stderr}", done.returncode, 0)
    plain = machine.scratch / "shared.cupool"
    preload.expect_equal("unpack", cupool(machine, "pack", "-d", shared).returncode, 0)
    data = plain.read_bytes()
    for word in (secret, "/usr", "python", ".so", sys.executable):
        preload.expect(word.encode() not in data, f"{word!r} is still there")
    before, after = machine.report(trace), machine.report(shared)
    preload.expect(after["process"]["command"].startswith("anon-"), "the command was not replaced")
    preload.expect(after["process"]["complete"], "the anonymous trace is not complete")
    for key in ("summary", "sizes", "apis", "device", "memory"):
        preload.expect_equal(key, after[key], before[key])
    again = machine.scratch / "again.zst"
    cupool(machine, "pack", "--anonymize", trace, "-o", again)
    preload.expect(again.read_bytes() == shared.read_bytes(), "hashes are not stable")


def make(machine, name, events, limit=0):
    trace = machine.scratch / name
    done = machine.run([str(machine.build / "tests" / "scale" / "make_trace"), str(trace),
                        str(events), "2", str(limit)])
    preload.expect_equal(f"make_trace: {done.stderr}", done.returncode, 0)
    return trace


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    packed = check_round_trip(machine, make(machine, "whole.cupool", 200000))
    check_round_trip(machine, make(machine, "limited.cupool", 200000, 3 * MIB))
    check_damage(machine, packed)
    check_bomb(machine)
    check_anonymize(machine)


main()

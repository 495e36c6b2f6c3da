# SPDX-License-Identifier: MIT
"""Bad input: one clear line, the right exit code, and the program itself unharmed."""

import os
import subprocess

import preload


def expect_line(what, done, exit_code, *words, wanted_lines=1):
    """One line on stderr that contains every word; no traceback, no crash."""
    text = done.stderr.decode()
    preload.expect_equal(f"{what}: exit", done.returncode, exit_code)
    lines = text.strip().splitlines()
    preload.expect(len(lines) == wanted_lines, f"{what}: wanted {wanted_lines} line(s): {lines}")
    for word in words:
        preload.expect(word in text, f"{what}: {text.strip()!r} does not say {word!r}")
    print(f"{what}: {lines[0]}")


def check_programs(machine, llm, bare):
    run = [str(machine.cupool), "run", "--sim"]
    expect_line("program not found", machine.run([*run, "--", "./no-such-program"]), 127,
                "no-such-program")
    unreadable = machine.scratch / "unreadable"
    unreadable.write_text("not a program")
    unreadable.chmod(0o644)
    expect_line("program not executable", machine.run([*run, "--", str(unreadable)]), 126,
                "unreadable")
    expect_line("no program", machine.run([*run, "--"]), 125, "run")

    profile = machine.scratch / "profile.ini"
    profile.write_text("no profile\n")
    expect_line("a line of a profile", machine.run([*run, "-q", f"--sim={profile}", "--", *llm]), 0,
                "profile.ini:1", "no profile")

    done = machine.run(llm, preload=True, CUPOOL="mode:pool,colour:red")
    preload.expect_equal("unknown option: stdout", done.stdout, bare.stdout)
    expect_line("unknown option", done, 0, "colour")
    done = machine.run(llm, preload=True, CUPOOL="mode:sideways")
    preload.expect_equal("bad value: stdout", done.stdout, bare.stdout)
    expect_line("bad value", done, 0, "mode", "sideways", "observe")
    refused = machine.run([*run, "-O", "mode:sideways", "--", *llm])
    expect_line("bad value on the command line", refused, 125, "sideways")
    strict = machine.run([*run, "-O", "strict:1", "--", *llm], CUPOOL="mode:sideways")
    expect_line("strict", strict, 125, "sideways", "strict:1", wanted_lines=2)


def check_missing_driver(machine, llm):
    """Without a driver the program fails as it does bare."""
    lonely = machine.scratch / "runtime-only"
    lonely.mkdir()
    for name in os.listdir(machine.simgpu):
        if name.startswith("libcudart.so."):
            (lonely / name).symlink_to(machine.simgpu / name)
    results = [machine.run(llm, preload=preloaded, LD_LIBRARY_PATH=lonely)
               for preloaded in (False, True)]
    preload.expect(results[0].returncode != 0, "tinyllm runs without a driver")
    preload.expect_equal("missing driver", (results[1].returncode, results[1].stderr),
                         (results[0].returncode, results[0].stderr))
    print("missing driver:", results[0].stderr.decode().strip().splitlines()[-1])


def check_traces(machine, llm):
    trace = machine.scratch / "good.cupool"
    preload.expect_equal("record", machine.record(llm, trace, "-q").returncode, 0)
    data = trace.read_bytes()
    report = [str(machine.cupool), "report"]

    def reported(name, content):
        path = machine.scratch / name
        path.write_bytes(content)
        return machine.run([*report, str(path)])

    truncated = reported("truncated.cupool", data[:len(data) - len(data) // 3])
    preload.expect_equal("truncated: exit", truncated.returncode, 0)
    preload.expect(b"incomplete" in truncated.stdout.lower(), "truncated: no warning")
    corrupt = bytearray(data)
    for offset in range(65536 + 64 + 640, 65536 + 64 + 1280):
        corrupt[offset] ^= 0x5A
    expect_line("corrupted", reported("corrupt.cupool", bytes(corrupt)), 2, "65536")
    expect_line("another version", reported("version.cupool", data[:8] + b"\x63" + data[9:]), 2,
                "version")
    expect_line("not a trace", reported("text.cupool", b"hello\n" * 20000), 2, "not a cupool trace")
    expect_line("empty", reported("empty.cupool", b""), 2, "empty.cupool")
    expect_line("missing", machine.run([*report, "missing.cupool"]), 2, "missing.cupool")
    expect_line("unknown format", machine.run([*report, str(trace), "--format", "papyrus"]), 2,
                "papyrus", "json")
    expect_line("no overwriting",
                machine.run([str(machine.cupool), "run", "--sim", "-o", str(trace), "--", *llm]),
                125, "--force")


def check_full_disk(machine, llm, bare):
    """A file system without room stops the recording, not the program."""
    mount = machine.scratch / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(mount)],
                             stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode != 0:
        print("full disk: not tried, mounting a small file system is not permitted")
        return
    try:
        done = machine.run(llm, preload=True, CUPOOL=f"trace:{mount}/full.cupool")
        preload.expect_equal("full disk: exit", done.returncode, 0)
        preload.expect_equal("full disk: stdout", done.stdout, bare.stdout)
        wrapped = machine.run([str(machine.cupool), "run", "--sim", "-o", f"{mount}/two.cupool",
                               "--", *llm])
        preload.expect_equal("full disk, wrapped: exit", wrapped.returncode, 0)
        preload.expect(b"No space left" in wrapped.stderr, "full disk: the wrapper does not say so")
    finally:
        subprocess.run(["umount", str(mount)], check=False)
    print("full disk: the program is unharmed")


def check_unwritable(machine, llm, bare):
    """A directory that cannot be written: /proc, because root can write everywhere else."""
    done = machine.run(llm, preload=True, CUPOOL="trace:/proc/nowhere.cupool")
    preload.expect_equal("read-only: exit", done.returncode, 0)
    preload.expect_equal("read-only: stdout", done.stdout, bare.stdout)
    wrapped = machine.run([str(machine.cupool), "run", "--sim", "-o", "/proc/nowhere.cupool", "--",
                           *llm])
    preload.expect(b"/proc/nowhere.cupool" in wrapped.stderr,
                   "read-only directory: the wrapper does not name the file")
    print("read-only directory:", wrapped.stderr.decode().strip().splitlines()[0])


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    llm = machine.program("tinyllm", "--tokens", "16", "--seed", "7")
    bare = machine.run(llm)
    preload.expect_equal("bare", bare.returncode, 0)
    check_programs(machine, llm, bare)
    check_missing_driver(machine, llm)
    check_traces(machine, llm)
    check_full_disk(machine, llm, bare)
    check_unwritable(machine, llm, bare)


main()

# SPDX-License-Identifier: MIT
"""Commands and names that are too long are cut between characters, wherever the cut falls."""

import sys

import preload

LETTERS = "日本語öé🧠"
PAGE_COMMAND = slice(64, 576)  # of the live page
REPLACEMENT = "\ufffd"
# Prints the live page's command.
PROGRAM = """
import ctypes, glob, sys
memory = ctypes.c_void_p()
assert ctypes.CDLL('libcudart.so.13').cudaMalloc(ctypes.byref(memory), 4096) == 0
cupool = ctypes.CDLL(sys.argv[2])
cupool.cupool_phase_begin(sys.argv[3].encode()); cupool.cupool_phase_end(sys.argv[3].encode())
page, = glob.glob(sys.argv[1] + '/*/live.*')
print(open(page, 'rb').read()[%d:%d].split(b'\\0')[0].hex())
""" % (PAGE_COMMAND.start, PAGE_COMMAND.stop)


def expect_cut(title, text, whole, room):
    """The text is a prefix of the whole, less than one character shorter than the room."""
    preload.expect(REPLACEMENT not in text and whole.startswith(text),
                   f"{title}: not cut between characters: ...{text[-12:]!r}")
    used = len(text.encode())
    preload.expect(room - 4 < used <= room, f"{title}: {used} of {room} bytes")


def check(machine, shift):
    trace = machine.scratch / f"cut{shift}.cupool"
    live = machine.scratch / f"live{shift}"
    live.mkdir()
    phase = "p" * shift + LETTERS * 40
    script = machine.scratch / "cut.py"
    script.write_text(PROGRAM)
    command = [sys.executable, script.name, str(live), str(machine.library), phase, LETTERS * 400]
    done = machine.run(command, preload=True, CUPOOL=f"trace:{trace},live:{live}")
    preload.expect_equal(f"shift {shift}: {done.stderr.decode()}", done.returncode, 0)
    report = machine.report(trace)
    whole = " ".join(command)
    expect_cut(f"trace, shift {shift}", report["process"]["command"], whole, 4095)
    page = bytes.fromhex(done.stdout.decode()).decode()  # fails if it is not UTF-8
    expect_cut(f"live page, shift {shift}", page, whole, 511)
    text = machine.run([str(machine.cupool), "report", str(trace)]).stdout.decode()
    preload.expect(REPLACEMENT not in text, f"shift {shift}: a character is cut in\n{text}")
    names = [row["name"] for row in report["phases"]]
    preload.expect_equal(f"shift {shift}: phases", len(names), 1)
    expect_cut(f"phase, shift {shift}", names[0], phase, 255)


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    for shift in range(len("日本".encode())):
        check(machine, shift)
    print("cut between characters at every place")


main()

# SPDX-License-Identifier: MIT
"""Hostile environments: whatever the system refuses, the program runs as it does bare.

Each case runs the same program bare and preloaded, in the same environment; exit status, output and
errors must be equal, except for one line with the reason why there is no trace.
"""

import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile

import preload

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import sanitizer  # noqa: E402

MIB = 1 << 20
NO_TRACE = re.compile(rb"cupool: no trace: [^\n]*\n")
# Numbers of this architecture; skipped on others.
SYSTEM_CALLS = {"membarrier": 324, "memfd_create": 319, "rseq": 334, "fallocate": 285,
                "getrandom": 318, "flock": 73, "madvise": 28, "poll": 7}
# It looks up a function and calls none, so the device, with its memory in a file, does not start.
ASKS = "import ctypes; print(bool(ctypes.CDLL('libcudart.so.13').cudaMalloc))"
# After a line of input its trace grows beyond the first MiB, which is reserved at once.
GROWS = """import ctypes, sys
runtime, block = ctypes.CDLL('libcudart.so.13'), ctypes.c_void_p()
def pairs(count):
    for _ in range(count):
        assert runtime.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(4096)) == 0
        assert runtime.cudaFree(block) == 0
pairs(10)
print('begun', flush=True)
sys.stdin.readline()
pairs(20000)
print('done')
"""


class Place:
    """The program and its command."""

    def __init__(self, machine):
        self.machine = machine
        self.command = machine.program("churn", "--ops", "200", "--seed", "3")

    def run(self, preloaded, command=None, prepare=None, options="", unset=(), **streams):
        environment = self.machine.environment(preload=preloaded)
        if preloaded:
            environment["CUPOOL"] = options
        for name in unset:
            environment.pop(name, None)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        done = subprocess.run(command or self.command, env=environment, cwd=self.machine.scratch,
                              preexec_fn=prepare, timeout=300, check=False, **streams)
        return done.returncode, done.stdout, done.stderr

    def compare(self, title, trace="here.%p.cupool", options="mode:pool", **how):
        """Runs both. Returns the message of the preloaded run about its trace."""
        bare = self.run(False, **how)
        done = self.run(True, options=f"{options},trace:{trace}", **how)
        preload.expect(bare[0] == 0, f"{title}: the bare program ends with {bare[0]}")
        said = NO_TRACE.findall(done[2] or b"")
        heard = (done[0], done[1], NO_TRACE.sub(b"", done[2] or b"", count=1))
        preload.expect_equal(title, heard, (bare[0], bare[1], bare[2] or b""))
        print(f"{title}: as bare{'; ' + said[0].decode().strip() if said else ''}")
        return said


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


def check_limits(place):
    """Limits of address space, data, descriptors."""
    for which in ("RLIMIT_AS", "RLIMIT_DATA"):
        number = getattr(resource, which)
        # The lowest limit with which the bare program runs may be marginal; higher ones are not.
        enough = [mib for mib in (256, 1024, 4096, 16384, 65536, 262144, 1048576)
                  if place.run(False, prepare=limit(number, mib * MIB))[0] == 0]
        preload.expect(len(enough) > 1, f"{which}: the bare program never runs")
        for mib in enough[1:3]:
            place.compare(f"{which} {mib} MiB", prepare=limit(number, mib * MIB))
    for most in (8, 12, 20):
        if place.run(False, prepare=limit(resource.RLIMIT_NOFILE, most))[0] == 0:
            place.compare(f"RLIMIT_NOFILE {most}", prepare=limit(resource.RLIMIT_NOFILE, most))


def no_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_pipe():
    _, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(65536))
    except BlockingIOError:
        os.set_blocking(writer, True)
    return writer


def defaults():
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def check_standard_error(place):
    """A message without a reader neither ends nor blocks the program."""
    for title, stream in (("nobody reads", no_reader()), ("a full pipe", full_pipe())):
        place.compare(f"standard error, {title}", trace="/nowhere/x.cupool", prepare=defaults,
                      options="mode:pool,colour:red", stderr=stream)
        os.close(stream)

    def file_full():
        defaults()
        limit(resource.RLIMIT_FSIZE, 4)()

    with tempfile.TemporaryFile() as stream:
        stream.write(b"full")
        stream.flush()
        place.compare("standard error, a file at its limit", prepare=file_full,
                      command=[sys.executable, "-c", ASKS], options="mode:pool,colour:red",
                      stderr=stream)


def mounted(*words):
    return subprocess.run(["mount", *map(str, words)], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def check_file_systems(place):
    """Directories that cannot be written, are full, or vanish; no /proc, no /dev/shm."""
    place.compare("a directory that is not there", trace="/nowhere/x.cupool")
    place.compare("not a directory", trace="/dev/null/x.cupool")
    place.compare("a live directory that is not there", options="mode:pool,live:/nowhere,ipc:/nowhere")
    for inside in ("umount -l /proc", "mount -t tmpfs none /proc", "mount -t tmpfs none /dev/shm; "
                   "mount -o remount,ro /dev/shm"):
        words = ["unshare", "-m", "sh", "-c", f"({inside}) || exit 77; exec \"$@\"", "sh"]
        if place.run(False, command=[*words, "true"])[0] != 0:
            print(f"{inside}: not tried, it is not permitted here")
            continue
        place.compare(inside, command=[*words, *place.command], trace="%e.%p.cupool")
    many = [str(place.machine.build / "tests/conformance/conformance_linked"), "churn", "dynamic"]
    for size, options in (("64k", ""), ("1m", ""), ("1536k", ""), ("1200k", ",trace_max:1MiB"),
                          ("1m", ",trace_max:64MiB")):
        mount = pathlib.Path(tempfile.mkdtemp(dir=place.machine.scratch))
        if not mounted("-t", "tmpfs", "-o", f"size={size}", "none", mount):
            print("full disk: not tried, mounting a small file system is not permitted")
            break
        try:
            place.compare(f"a disk of {size}{options}", command=many, trace=f"{mount}/t.cupool",
                          options=f"mode:pool{options}")
        finally:
            subprocess.run(["umount", mount], check=True)


def check_words_of_a_full_disk(place):
    """If nothing could be recorded, the summary makes no statement about the program."""
    mount = pathlib.Path(tempfile.mkdtemp(dir=place.machine.scratch))
    if not mounted("-t", "tmpfs", "-o", "size=64k", "none", mount):
        return
    try:
        done = place.machine.record(place.command, mount / "t.cupool")
        report = place.machine.run([str(place.machine.cupool), "report", str(mount / "t.cupool")])
    finally:
        subprocess.run(["umount", mount], check=True)
    text = (done.stderr + report.stdout + report.stderr).decode()
    preload.expect("No space left on device" in text, f"a full disk: {text}")
    for word in ("allocated no device memory", "no device memory was allocated", "no CUDA call"):
        preload.expect(word not in text, f"a full disk: {text}")


def check_system_calls(place):
    """A container that forbids system calls of the library."""
    if os.uname().machine != "x86_64":
        print("forbidden system calls: not tried on this architecture")
        return
    forbid = str(place.machine.build / "tests" / "endtoend" / "forbid")
    for name, number in SYSTEM_CALLS.items():
        command = [forbid, str(number), *place.command]
        status = place.run(False, command=command)[0]
        if status == 77:
            print("forbidden system calls: not tried, the kernel permits no filter")
            return
        if status != 0:
            print(f"without {name}: not tried, the bare program does not run")
            continue
        place.compare(f"without {name}", command=command)


def check_environment(place):
    place.compare("an environment without HOME", unset=("HOME", "XDG_RUNTIME_DIR", "TMPDIR", "PATH"))


def check_options_file(place):
    """An option file that is no regular file: the program does not wait for a pipe, nor read for
    ever."""
    pipe = place.machine.scratch / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero", place.machine.scratch):
        environment = place.machine.environment(preload=True, CUPOOL_CONF=path)
        done = subprocess.run(place.command, env=environment, cwd=place.machine.scratch,
                              capture_output=True, timeout=120, check=False)
        preload.expect_equal(f"{path}: status", done.returncode, 0)
        preload.expect(done.stderr.count(b"\n") == 1 and b"CUPOOL_CONF" in done.stderr,
                       f"{path}: {done.stderr}")
        print(done.stderr.decode().strip())


def check_removed(place):
    """A trace that is deleted or replaced, or loses its directory, while the program writes it."""
    program = [sys.executable, "-c", GROWS]
    bare = subprocess.run(program, env=place.machine.environment(), input=b"\n", capture_output=True,
                          timeout=300, check=False)
    for how in ("rm {}", "mv {} {}.old", "rm {} && mkdir {}", "rm {} && mkfifo {}",
                "rm -r $(dirname {})", "chmod 0 {}"):
        folder = pathlib.Path(tempfile.mkdtemp(dir=place.machine.scratch))
        trace = folder / "t.cupool"
        environment = place.machine.environment(preload=True, CUPOOL=f"trace:{trace}")
        process = subprocess.Popen(program, env=environment, cwd=place.machine.scratch, bufsize=0,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        begun = process.stdout.readline()
        preload.expect(trace.exists(), f"{how}: no trace")
        subprocess.run(how.format(*[trace] * 4), shell=True, check=True)
        output, errors = process.communicate(b"\n", timeout=300)
        preload.expect_equal(how, (process.returncode, begun + output, errors),
                             (0, bare.stdout, bare.stderr))
        moved = folder / "t.cupool.old"
        preload.expect(not moved.exists() or moved.stat().st_size > MIB,
                       f"{how}: the trace never grew")
        print(f"while it runs, {how.format('TRACE', 'TRACE')}: as bare")


def check_static_memory(place):
    """With --sim, too, the loader has room for the thread-local memory of another preloaded library."""
    library = place.machine.build / "tests/endtoend/thread_memory.so"
    trace = place.machine.scratch / "thread_memory.cupool"
    for tunables in ("", "glibc.malloc.check=0"):
        done = place.machine.record([sys.executable, "-c", ASKS], trace, "-q", LD_PRELOAD=library,
                                    GLIBC_TUNABLES=tunables)
        preload.expect_equal(f"thread-local memory, tunables {tunables!r}: {done.stderr}",
                             (done.returncode, done.stdout), (0, b"True\n"))
        preload.expect(b"static TLS" not in done.stderr, f"thread-local memory: {done.stderr}")


def main():
    place = Place(preload.Machine(preload.arguments(__doc__).build))
    if sanitizer.active():
        preload.skip("a sanitizer's runtime does not run in such environments")
    for check in (check_standard_error, check_options_file, check_environment, check_limits,
                  check_file_systems, check_words_of_a_full_disk, check_system_calls, check_removed,
                  check_static_memory):
        check(place)


main()

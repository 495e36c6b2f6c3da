# SPDX-License-Identifier: MIT
"""A real Valkey or Redis server as a tier: blocks go there and return; the server is stopped, killed and
restarted under load, its entries are corrupted; no wrong block is served, requests continue, and the
statistics show it.

usage: tier_server.py --build DIR
"""

import argparse
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

NAMES = ("valkey-server", "redis-server")


def redis(path, *words):
    """One command by hand; the answer's first line, or its content if it is a string."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        connection.sendall(b"*%d\r\n" % len(parts) +
                           b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        stream = connection.makefile("rb")
        return answer(stream)


def answer(stream):
    line = stream.readline().rstrip(b"\r\n")
    if line.startswith(b"$"):
        size = int(line[1:])
        return None if size < 0 else stream.read(size + 2)[:-2]
    if line.startswith(b"*"):
        return [answer(stream) for _ in range(int(line[1:]))]
    if line.startswith(b"-"):
        raise RuntimeError(line.decode())
    return line[1:]


class Server:
    def __init__(self, program, folder):
        self.program, self.folder, self.path = program, folder, folder / "socket"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "--port", "0", "--unixsocket", str(self.path), "--save", "", "--dir",
             str(self.folder), "--loglevel", "warning"], stdout=subprocess.DEVNULL)
        for _ in range(1000):
            try:
                if redis(self.path, "PING") == b"PONG":
                    return
            except OSError:
                time.sleep(0.01)
        sys.exit("the server does not answer")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Engine:
    def __init__(self, program, address, port=0, timeout_ms=4000):
        self.process = subprocess.Popen([program, "serve", str(address), str(port), str(timeout_ms)],
                                        text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, requests):
        self.process.stdin.write(f"{requests}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the engine ended: {self.process.wait()}")
        figures = json.loads(line)
        if figures["wrong"]:
            sys.exit(f"wrong blocks were served: {figures}")
        return figures

    def until(self, reached, what):
        """Requests until the statistics show it; their number, not a time, is the bound."""
        for _ in range(2000):
            figures = self.run(1)
            if reached(figures):
                return figures
            time.sleep(0.005)
        sys.exit(f"it did not happen: {what}: {figures}")

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"the engine ended with {self.process.returncode}")


def went_and_came(engine, server):
    """Blocks go to the server and come back."""
    first = engine.run(60)
    assert first["stored"] > 0 and first["loaded"] > 0 and first["unavailable"] == 0, first
    keys = redis(server.path, "KEYS", "cupool:*")
    assert len(keys) > 20, len(keys)
    return first


def killed_and_back(engine, server):
    """The server is killed under load, stays down, and restarts empty."""
    server.kill()
    away = engine.run(40)
    assert away["requests"] and away["unavailable"] > 0, away
    server.start()
    before = away["stored"]
    engine.until(lambda seen: seen["stored"] > before and seen["available"], "stores go on")
    loaded = engine.run(0)["loaded"]
    engine.until(lambda seen: seen["loaded"] > loaded, "loads go on")


def stopped(engine, server):
    """A server that neither answers nor closes: a call ends with its deadline."""
    server.process.send_signal(signal.SIGSTOP)
    before = engine.run(0)["unavailable"]
    engine.until(lambda seen: seen["unavailable"] > before, "the call ended")
    server.process.send_signal(signal.SIGCONT)
    loaded = engine.run(0)["loaded"]
    engine.until(lambda seen: seen["loaded"] > loaded, "loads go on")


def killed_in_the_middle(engine, server, times):
    """Requests run while the server is killed and restarted repeatedly."""
    for _ in range(times):
        engine.process.stdin.write("30\n")
        engine.process.stdin.flush()
        time.sleep(0.01)
        server.kill()
        server.start()
        figures = json.loads(engine.process.stdout.readline())
        assert figures["wrong"] == 0, figures
    before = engine.run(0)["loaded"]
    engine.until(lambda seen: seen["loaded"] > before, "loads go on")


def spoilt(engine, server):
    """Entries that were changed, cut or exchanged on the server are refused, and computed again."""
    engine.run(40)
    keys = sorted(redis(server.path, "KEYS", "cupool:*"))
    contents = [redis(server.path, "GET", key) for key in keys]
    for at, key in enumerate(keys):
        content = bytearray(contents[at])
        if at % 5 == 0:
            content[len(content) // 2] ^= 1
        elif at % 5 == 1:
            content = content[:-9]
        elif at % 5 == 2:
            content = bytearray(contents[at - 1])
        elif at % 5 == 3:
            content = bytearray(b"x" * 4_000_000 if at == 3 else b"")
        else:
            redis(server.path, "DEL", key)
            redis(server.path, "RPUSH", key, "a list")
            continue
        redis(server.path, "SET", key, bytes(content))
    before = engine.run(0)
    after = engine.run(100)
    assert after["corrupt"] > before["corrupt"], after
    later = engine.until(lambda seen: seen["loaded"] > after["loaded"], "new entries are served")
    assert later["wrong"] == 0


def impostor(program, folder):
    """A peer that is not a server: silence, noise, an endless reply. Requests continue."""
    path = folder / "impostor"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    listener.settimeout(0.02)
    engine = Engine(program, path, timeout_ms=150)
    before = _peak(engine)
    answers = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-7\r\n", b"*1000000000\r\n",
               b"$99999999999\r\n", b"*200000000\r\n" + b":1\r\n" * 200_000, b"*1\r\n" * 40,
               b"+OK\r\n" * 100, b"$4000000\r\n" + b"y" * 4_000_000,
               b"\0" * 10000]
    for reply in answers:
        connections, deadline = [], time.monotonic() + 20
        while not connections and time.monotonic() < deadline:  # until the engine asks again
            engine.process.stdin.write("1\n")
            engine.process.stdin.flush()
            while time.monotonic() < deadline and not _readable(engine.process.stdout):
                try:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    connection.settimeout(0.05)
                    try:
                        connection.recv(1 << 16)
                        connection.sendall(reply)
                    except OSError:
                        pass
                except socket.timeout:
                    pass
            figures = json.loads(engine.process.stdout.readline())
            assert figures["wrong"] == 0 and figures["loaded"] == 0, figures
        assert connections, "the engine does not ask again"
        for connection in connections:
            connection.close()
    assert figures["unavailable"] > 0, figures
    grown = _peak(engine) - before
    assert grown < 1 << 30, f"a reply made the engine allocate {grown >> 20} MiB"
    engine.end()


def named(program):
    """A host's name: connects to its address; a resolver without an answer holds nobody up."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(60)
        engine = Engine(program, "localhost", listener.getsockname()[1], timeout_ms=150)
        engine.process.stdin.write("1\n")
        engine.process.stdin.flush()
        connection, _ = listener.accept()
        connection.close()
        engine.process.stdout.readline()
        engine.end()
    engine = Engine(program, "silent.invalid", timeout_ms=20)
    engine.process.stdin.write("3\n")
    engine.process.stdin.flush()
    waited = 0
    while not _readable(engine.process.stdout):
        waited += 1
        if waited == 3000:
            engine.process.kill()
            sys.exit("a look-up of the server's name holds the engine")
    figures = json.loads(engine.process.stdout.readline())
    assert figures["unavailable"] > 0 and figures["loaded"] == 0, figures
    engine.end()


def _peak(engine):
    """Most bytes of address space that the engine has had."""
    status = pathlib.Path(f"/proc/{engine.process.pid}/status").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:"))


def _readable(stream):
    import select
    return bool(select.select([stream], [], [], 0.01)[0])


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--build", type=pathlib.Path, required=True)
arguments = parser.parse_args()
found = next((path for path in map(shutil.which, NAMES) if path), None)
program = str(arguments.build / "tests/engine/tier_program")
if not found:
    print("neither valkey-server nor redis-server is installed")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="cupool-server-") as name:
    below = Server(found, pathlib.Path(name))
    probe = subprocess.run([program, "serve", str(below.path), "0", "100"], input="", text=True,
                           stderr=subprocess.PIPE)
    if "error -95" in probe.stderr:
        print("built without hiredis")
        sys.exit(77)
    above = Engine(program, below.path)
    absent = above.run(20)
    assert absent["unavailable"] > 0 and absent["loaded"] == 0, absent
    below.start()
    try:
        above.until(lambda seen: seen["stored"] > 0, "the first store")
        above.end()
        above = Engine(program, below.path)
        went_and_came(above, below)
        killed_and_back(above, below)
        stopped(above, below)
        killed_in_the_middle(above, below, 5)
        spoilt(above, below)
        above.end()
        impostor(program, pathlib.Path(name))
        named(program)
    finally:
        below.kill()
print(f"{pathlib.Path(found).name}: blocks went and returned; killed, stopped, corrupted and impersonated, "
      "it served no wrong block")

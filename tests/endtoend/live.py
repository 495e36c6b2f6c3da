# SPDX-License-Identifier: MIT
"""Statistics of a running program: `cupool top`, `cupool metrics`, and a Prometheus that scrapes
them."""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import packages
import preload

sys.path.append("/usr/lib/python3/dist-packages")  # of Debian, for another interpreter
try:
    from prometheus_client.openmetrics import parser
except ImportError:
    preload.skip("python3-prometheus-client is not installed")

MACHINE = preload.Machine(preload.arguments(__doc__).build)
PROGRAM = pathlib.Path(__file__).parent / "programs" / "live_program.py"
PATIENCE_S = 240  # until a result counts as missing


def prometheus():
    """Prometheus, installed or unpacked from Debian's package."""
    return (shutil.which("prometheus") or
            packages.debian_file(MACHINE.build, "prometheus", "usr/bin/prometheus"))


class Live(unittest.TestCase):
    def setUp(self):
        self.place = MACHINE.scratch / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, live=True, **environment):
        """A preloaded program that waits for commands. Its pid is the interpreter's."""
        environment = MACHINE.environment(preload=True, **environment)
        if live:
            environment["CUPOOL_LIVE"] = str(self.place)
        process = subprocess.Popen([sys.executable, PROGRAM], env=environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        if process.stdin.closed:
            return
        process.stdin.close()
        process.wait(PATIENCE_S)
        process.stdout.close()

    def cupool(self, *words):
        return subprocess.run([MACHINE.cupool, *words, "--from", self.place], text=True,
                              capture_output=True, timeout=PATIENCE_S,
                              env={**os.environ, "COLUMNS": "1000"})

    def metrics(self, *words):
        """Samples by name and labels, read by the parser of prometheus_client."""
        told = self.cupool("metrics", *words)
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        return self.samples(told.stdout)

    @staticmethod
    def samples(text):
        return {(sample.name, *sorted(sample.labels.items())): sample.value
                for family in parser.text_string_to_metric_families(text)
                for sample in family.samples}

    def figure(self, samples, name, pid, **labels):
        found = [value for (key, *pairs), value in samples.items()
                 if key == name and {"pid": str(pid), **labels}.items() <= dict(pairs).items()]
        self.assertEqual(len(found), 1, f"{name} {labels}: {sorted(samples)}")
        return found[0]

    def pages(self):
        return [path.name for path in self.place.glob("cupool-*/*")]

    @staticmethod
    def page_of(process):
        return f"live.{process.pid}.{os.stat('/proc/self/ns/pid').st_ino}"

    def test_a_burst_is_seen_while_the_program_idles(self):
        process = self.start()
        for order, total in ((f"burst 1 {3 << 20}", 3), (f"burst 20 {3 << 20}", 63),
                             (f"burst 40 {100 << 20}", 4063), ("shed", 0)):
            preload.order(process, order)
            live = self.figure(self.metrics(), "cupool_pool_live_requested_bytes", process.pid)
            self.assertEqual(live, total << 20, order)

    def test_a_burst_of_small_blocks_is_seen(self):
        process = self.start()
        preload.order(process, f"burst 20000 {1 << 20}")
        live = self.figure(self.metrics(), "cupool_pool_live_requested_bytes", process.pid)
        self.assertAlmostEqual(live / (20000 << 20), 1, delta=0.02)

    def test_the_end_of_a_context_is_seen(self):
        process = self.start()
        for order, total in ((f"burst 3 {100 << 20}", 300 << 20), ("reset", 0), (f"burst 1 {3 << 20}", 3 << 20),
                             ("reset", 0)):
            preload.order(process, order)
            metrics = self.metrics()
            self.assertEqual(self.figure(metrics, "cupool_process_requested_bytes", process.pid), total, order)

    def test_a_program_that_allocates_once_appears(self):
        process = self.start()
        preload.order(process, "burst 1 1000")
        self.assertEqual(self.pages(), [self.page_of(process)])
        live = self.figure(self.metrics(), "cupool_pool_live_requested_bytes", process.pid)
        self.assertEqual(live, 1000)

    def test_processes_of_one_pid_are_told_apart(self):
        process = self.start()
        preload.order(process, "hold 1 1000000")
        page = next(self.place.glob("cupool-*/live.*"))
        twin = page.with_name(f"live.{process.pid}.7")
        data = bytearray(page.read_bytes())
        offset = 8 + 4 + 4 + 8 + 3 * 8 + 2 * 4 + 4  # struct live_page: pid_namespace
        self.assertEqual(int.from_bytes(data[offset:offset + 4], "little"),
                         os.stat("/proc/self/ns/pid").st_ino & 0xffffffff)
        data[offset:offset + 4] = (7).to_bytes(4, "little")
        twin.touch(mode=0o600)
        with open(twin, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # valid while its process lives
            file.write(data)
            file.flush()
            pids = {dict(labels)["pid"] for name, *labels in self.metrics() if name == "cupool_process_info"}
        self.assertEqual(pids, {f"{process.pid}@7", self.page_of(process)[5:].replace(".", "@")})

    def test_figures_follow_the_program(self):
        process = self.start()
        preload.order(process, "hold 10 1000000")
        held = self.metrics()
        self.assertEqual(self.figure(held, "cupool_pool_live_requested_bytes", process.pid), 1e7)
        self.assertEqual(self.figure(held, "cupool_pool_live_blocks", process.pid), 10)
        preload.order(process, "drop")
        preload.order(process, "pin 65536")
        dropped = self.metrics(str(process.pid))
        self.assertEqual(self.figure(dropped, "cupool_pool_live_requested_bytes", process.pid), 0)
        self.assertEqual(
            self.figure(dropped, "cupool_pool_live_requested_peak_bytes", process.pid),
            1e7 + 512)
        self.assertEqual(self.figure(dropped, "cupool_passed_bytes", process.pid, memory="pinned"),
                         65536)

    def test_physical_memory_stays_while_it_is_mapped(self):
        process = self.start()
        preload.order(process, f"map {8 << 20} 1")
        preload.order(process, f"map {2 << 20} 2")
        held = self.metrics()
        for memory, size in (("physical", 8), ("host_physical", 2), ("mapping", 10)):
            self.assertEqual(self.figure(held, "cupool_passed_bytes", process.pid, memory=memory),
                             size << 20)
        preload.order(process, "unmap")
        gone = self.metrics()
        for memory in ("physical", "host_physical", "mapping"):
            self.assertEqual(self.figure(gone, "cupool_passed_bytes", process.pid, memory=memory), 0)

    def test_memory_outside_the_pool_has_a_peak_and_a_device(self):
        for mode, mapped in (("observe", 0), ("pool", 100)):
            other = self.start(CUPOOL_MODE=mode)
            process = self.start(CUPOOL_MODE=mode, SIMGPU_DEVICES="2")
            if mapped:
                preload.order(process, f"map {mapped << 20} 1")
            for order in (f"burst 1 {300 << 20}", "device 1", f"burst 1 {200 << 20}"):
                preload.order(process, order)
            held = self.metrics(str(process.pid))
            self.assertEqual(self.figure(held, "cupool_process_requested_bytes", process.pid),
                             500 + mapped << 20)
            for device, least in (("0", 300 + mapped), ("1", 200)):
                used = self.figure(held, "cupool_device_used_bytes", process.pid, device=device)
                self.assertGreaterEqual(used, least << 20)
                self.assertLess(used, least + 8 << 20)  # the segment of the small blocks
            text = self.cupool("top", str(process.pid)).stdout
            if mode == "observe":
                self.assertRegex(text, r"device 0 +300\.0 MiB [^\n]*\n +device 1 +200\.0 MiB ")
                self.assertRegex(text, r"requested +500\.0 MiB +\[#+\] +peak 500\.0 MiB")
            else:  # peaks of two contexts may have been at different times
                self.assertRegex(text, r"requested +500\.0 MiB +\[[#.]+\] +peak at most 500\.0 MiB")
            if mapped:
                preload.order(process, "unmap")
            preload.order(process, "shed")
            gone = self.metrics(str(process.pid))
            self.assertEqual(self.figure(gone, "cupool_process_requested_bytes", process.pid), 0)
            peak = self.figure(gone, "cupool_process_requested_peak_bytes", process.pid)
            self.assertGreaterEqual(peak, 500 + mapped << 20)
            self.assertLess(peak, 501 + mapped << 20)  # small blocks
            # The other process has more, but its peak is less.
            preload.order(other, f"burst 1 {100 << 20}")
            for order, pids in (("peak", [process.pid, other.pid]), ("bytes", [other.pid, process.pid])):
                rows = [line.split() for line in self.cupool("top", "--sort", order).stdout.splitlines()]
                self.assertEqual([int(row[0]) for row in rows[1:]], pids, (mode, order))
                by_pid = {int(row[0]): row[1:5] for row in rows[1:]}
                self.assertEqual(by_pid[process.pid], ["0", "B", f"{500 + mapped}.0", "MiB"])
                self.assertEqual(by_pid[other.pid], ["100.0", "MiB", "100.0", "MiB"])
            self.stop(process)
            self.stop(other)

    def test_only_levels_with_a_peak_have_one(self):
        preload.order(self.start(), "burst 10 1000000")
        names = {name for name, *_ in self.metrics()}
        levels = {"cupool_pool_largest_free", "cupool_pool_metadata", "cupool_pool_reserved"}
        self.assertEqual({name for name in levels if name + "_bytes" in names}, levels)
        self.assertEqual({name for name in levels if name + "_peak_bytes" in names},
                         {"cupool_pool_reserved"})

    def test_several_processes_are_told_apart(self):
        processes = [self.start(), self.start()]
        for count, process in enumerate(processes, 1):
            preload.order(process, f"hold {count} 4096")
        samples = self.metrics()
        for count, process in enumerate(processes, 1):
            self.assertEqual(self.figure(samples, "cupool_pool_live_blocks", process.pid), count)
        told = self.cupool("top").stdout.splitlines()
        self.assertEqual(len(told), 3, told)
        self.assertEqual(sorted(int(line.split()[0]) for line in told[1:]),
                         sorted(process.pid for process in processes))

    def test_top_shows_one_process(self):
        process = self.start()
        preload.order(process, "hold 3 1048576")
        told = self.cupool("top", str(process.pid), "--count", "2", "--delay", "0.1")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertEqual(len(re.findall(r"requested +3\.0 MiB", told.stdout)), 2, told.stdout)
        self.assertIn("live_program.py", told.stdout)
        self.assertIn("allocations/s", told.stdout)

    def test_top_on_a_terminal_ends_with_q(self):
        process = self.start()
        preload.order(process, "hold 3 1048576")
        child, terminal = pty.fork()
        if child == 0:
            os.environ["TERM"] = "xterm"
            os.execv(MACHINE.cupool, ["cupool", "top", "--from", str(self.place)])
        shown, deadline = "", time.monotonic() + PATIENCE_S
        while "requested" not in shown and time.monotonic() < deadline:
            shown += os.read(terminal, 65536).decode()
        os.write(terminal, b"q")
        with contextlib.suppress(OSError):  # the terminal is closed
            while part := os.read(terminal, 65536):
                shown += part.decode()
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertRegex(shown, r"requested\S*3\.0 MiB|requested +3\.0 MiB")

    def test_a_page_ends_with_its_process_however_it_ends(self):
        for end in ("exit", "kill", "fork"):
            process = self.start()
            preload.order(process, "hold 1 4096")
            if end == "fork":
                preload.order(process, "fork")
                self.assertEqual(self.pages(), [self.page_of(process)])
            if end == "kill":
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE_S)
                self.assertEqual(self.pages(), [self.page_of(process)])
            else:
                self.stop(process)
            told = self.cupool("top")
            self.assertEqual(told.returncode, 2, told.stdout)
            self.assertEqual(len(told.stderr.splitlines()), 1, told.stderr)
            self.assertIn("cupool run", told.stderr)
            self.assertEqual(self.pages(), [], end)

    def test_without_the_option_there_is_no_page(self):
        process = self.start(live=False)
        preload.order(process, "hold 1 4096")
        self.assertEqual(self.pages(), [])

    def test_pages_are_the_owners_and_damaged_ones_are_passed_over(self):
        process = self.start()
        preload.order(process, "hold 1 4096")
        directory, = self.place.iterdir()
        page, = directory.iterdir()
        self.assertEqual(directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual(page.stat().st_mode & 0o777, 0o600)
        with open(page, "r+b") as file:  # a count far beyond the page
            file.seek(48)
            file.write(b"\xff" * 8)
        self.assertNotIn(f'pid="{process.pid}"', self.cupool("metrics").stdout)
        directory.chmod(0o755)
        told = self.cupool("metrics")
        self.assertEqual(told.returncode, 0)
        self.assertIn(f"{directory} is not a private directory of yours", told.stderr)
        directory.chmod(0o700)

    def test_a_name_that_is_taken(self):
        """Another directory is used and read, and the user who took the first is named."""
        taken = self.place / f"cupool-{os.geteuid()}"
        taken.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(taken, 65534, -1)
        else:
            taken.chmod(0o755)
        process = self.start()
        preload.order(process, "hold 2 4096")
        self.assertEqual(list(taken.iterdir()), [])
        told = self.cupool("metrics")
        self.assertEqual(self.figure(self.samples(told.stdout), "cupool_pool_live_blocks",
                                     process.pid), 2)
        self.assertIn(str(taken), told.stderr)
        self.assertIn("belongs to user 65534" if os.geteuid() == 0 else "yours alone", told.stderr)
        self.assertIn(str(taken), self.cupool("top", "--count", "1").stderr)
        run = MACHINE.run([str(MACHINE.cupool), "run", "--sim", "-O", f"live:{self.place}",
                           "-o", str(self.place / "t.cupool"), "--", "true"])
        self.assertIn(str(taken), run.stderr.decode())
        doctor = MACHINE.run([str(MACHINE.cupool), "doctor"], CUPOOL_LIVE=str(self.place))
        self.assertIn(str(taken), doctor.stdout.decode())
        self.stop(process)
        self.assertEqual([path for path in self.place.rglob("live.*")], [])

    def serve(self, *words, at="127.0.0.1"):
        server = subprocess.Popen(
            [MACHINE.cupool, "metrics", "--listen", f"{at}:0", "--from", self.place, *words],
            stderr=subprocess.PIPE, text=True)
        self.stack.callback(self.interrupt, server)
        line = server.stderr.readline()
        self.assertIn(at, line)
        if "built without" in line:
            self.skipTest(line)
        return int(re.search(r"//(?:[\d.]+|\[[\da-f:]+\]):(\d+)/metrics", line).group(1))

    @staticmethod
    def interrupt(server):
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0
        server.stderr.close()

    def test_the_server_answers_what_it_should(self):
        process = self.start()
        preload.order(process, "hold 2 4096")
        address = f"http://127.0.0.1:{self.serve()}"
        with urllib.request.urlopen(address + "/metrics") as answer:
            self.assertTrue(answer.headers["Content-Type"].startswith(
                "application/openmetrics-text; version=1.0.0"))
            samples = self.samples(answer.read().decode())
        self.assertEqual(self.figure(samples, "cupool_pool_live_blocks", process.pid), 2)
        for path, body, code in (("/", None, 404), ("/metrics", b"x", 405)):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address + path, data=body)
            self.assertEqual(refused.exception.code, code)
            refused.exception.close()

    def test_an_address_of_ipv6(self):
        """With or without brackets: the printed address can be queried."""
        with socket.socket(socket.AF_INET6) as free:
            try:
                free.bind(("::1", 0))
            except OSError as error:
                self.skipTest(f"no IPv6 here: {error}")
        for at in ("[::1]", "::1"):
            with urllib.request.urlopen(f"http://[::1]:{self.serve(at=at)}/metrics") as answer:
                self.assertEqual(answer.status, 200)

    def answered(self, port, *hosts, version="1.1"):
        """The status of the response to a request with these names."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            names = "".join(f"Host: {host}\r\n" for host in hosts)
            connection.sendall(f"GET /metrics HTTP/{version}\r\n{names}\r\n".encode())
            return int(connection.makefile("rb").readline().split()[1])

    def test_the_server_answers_to_its_names_only(self):
        """Protection against DNS rebinding by a page in a browser."""
        port = self.serve("--allow-host", "gpu7.example", "--allow-host", "gpu7")
        for host in ("127.0.0.1", f"127.0.0.1:{port}", "localhost", "LocalHost:80", "[::1]:9",
                     "gpu7", "gpu7.example", f"GPU7.example.:{port}", "10.1.2.3:9"):
            self.assertEqual(self.answered(port, host), 200, host)
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "gpu7.evil",
                     "localhost.evil", "localhost:80@evil", "127.0.0.1 evil", "", "[::1]evil", ":1",
                     "127.0.0.1:evil", "[::1", "[", "[]", "."):
            self.assertIn(self.answered(port, host), (400, 403), host)
        self.assertIn(self.answered(port, "localhost", "evil.example"), (400, 403))
        self.assertIn(self.answered(port, "evil.example", "localhost"), (400, 403))
        self.assertIn(self.answered(port, version="1.0"), (400, 403))
        self.assertEqual(self.answered(port, "localhost", version="1.0"), 200)

    def test_slow_clients_do_not_hold_the_server(self):
        """All connections are taken by clients that keep sending and never finish."""
        port = self.serve()
        full, stop = threading.Event(), threading.Event()

        def trickle():
            clients = [socket.create_connection(("127.0.0.1", port), PATIENCE_S) for _ in range(32)]
            for client in clients:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
            full.set()
            while not stop.wait(0.3):
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.send(b"x")
            for client in clients:
                client.close()

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            full.wait(PATIENCE_S)
            status, deadline = None, time.monotonic() + PATIENCE_S
            while status != 200 and time.monotonic() < deadline:
                with contextlib.suppress(OSError, IndexError):
                    status = self.answered(port, "localhost")
                time.sleep(0.2)
            self.assertEqual(status, 200)
        finally:
            stop.set()
            thread.join()

    def test_prometheus_scrapes_it(self):
        program = prometheus()
        if not program:
            self.skipTest("prometheus is not installed, and its package cannot be fetched")
        process = self.start()
        preload.order(process, "hold 5 4096")
        port = self.serve()
        own = preload.free_port()
        config = self.place / "prometheus.yml"
        config.write_text(json.dumps({"scrape_configs": [{
            "job_name": "cupool", "scrape_interval": "1s", "scrape_timeout": "1s",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
        server = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={self.place / 'data'}",
             f"--web.listen-address=127.0.0.1:{own}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.stack.callback(server.wait, PATIENCE_S)
        self.stack.callback(server.terminate)
        query = urllib.parse.quote(f'cupool_pool_live_blocks{{pid="{process.pid}"}}')
        found, deadline = [], time.monotonic() + PATIENCE_S
        while not found and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):  # not up yet
                with urllib.request.urlopen(
                        f"http://127.0.0.1:{own}/api/v1/query?query={query}") as answer:
                    found = json.load(answer)["data"]["result"]
            time.sleep(0.5)
        self.assertEqual([row["value"][1] for row in found], ["5"])

    def test_a_program_by_the_process_of_its_launcher(self):
        """The pid that a shell or a supervisor knows is that of `cupool run`."""
        process = subprocess.Popen(
            [MACHINE.cupool, "run", "--sim", "-q", "-o", self.place / "t.cupool", "-O",
             f"live:{self.place}", "--", sys.executable, PROGRAM], env=MACHINE.environment(),
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.stop, process)
        preload.order(process, "hold 3 1048576")
        told = self.cupool("top", str(process.pid))
        self.assertRegex(told.stdout, r"requested +3\.0 MiB", told.stderr)
        self.assertEqual({name: value for (name, *_), value in self.metrics(str(process.pid)).items()}
                         ["cupool_pool_live_blocks"], 3)

    def test_bad_arguments_are_one_line(self):
        for words, expected in ((["top", "x"], "one process id"), (["top", "--delay", "-1"], "seconds"),
                                (["top", "--count", "0"], "from 1"), (["top", "1", "2"], "one process"),
                                (["top", "1"], "no statistics of process 1"),
                                (["metrics", "1"], "no statistics of process 1"),
                                (["metrics", "x"], "one process id"),
                                (["metrics", str((1 << 32) + 1)], "one process id"),
                                (["metrics", "--listen", "nowhere"], "HOST:PORT"),
                                (["metrics", "--listen", "127.0.0.1:99999"], "65535"),
                                (["metrics", "--listen", "127.0.0.1:"], "HOST:PORT"),
                                (["metrics", "--listen", "127.0.0.1:-1"], "HOST:PORT"),
                                (["metrics", "--listen", "127.0.0.1:1x"], "HOST:PORT"),
                                (["metrics", "--listen", "127.0.0.1:http"], "HOST:PORT"),
                                (["metrics", "--listen", "256.0.0.1:1"], "256.0.0.1")):
            told = self.cupool(*words)
            self.assertEqual((told.returncode, told.stdout), (2, ""), words)
            self.assertEqual(len(told.stderr.splitlines()), 1, told.stderr)
            self.assertIn(expected, told.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)

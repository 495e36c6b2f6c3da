#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The HTML report in a browser: it opens from a file, its scripts run without a complaint, its
tables sort, its chart tells the peak of a range. Skipped where there is no Chromium.

usage: html_browser_test.py CUPOOL PRELOAD
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

CUPOOL, PRELOAD = (os.path.abspath(path) for path in sys.argv[1:3])
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="cupool-html-", ignore_cleanup_errors=True)
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        environment = {"PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD,
                       "ASAN_OPTIONS": "verify_asan_link_order=0",
                       "CUPOOL_TEST_COMMAND": "</title></script><script>document.title='taken'"
                                              "</script><img src=x onerror=document.title='taken'>"}
        for command in (["run", "-q", "-o", "t.cupool", "--", "true"],
                        ["report", "-f", "html", "-o", "r.html", "t.cupool"]):
            subprocess.run([CUPOOL, *command], cwd=cls.directory, env=environment, check=True,
                           timeout=60)

    def load(self, query=""):
        """The page as it is after its scripts ran."""
        result = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={self.directory}/profile", "--enable-logging=stderr", "--dump-dom",
             f"file://{self.directory}/r.html{query}"],
            capture_output=True, text=True, timeout=120, check=False,
            env={"PATH": os.environ["PATH"], "HOME": self.directory})
        self.assertEqual(result.returncode, 0, result.stderr)
        complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual(complaints, [])
        return result.stdout

    def sites(self, page):
        """The column the sites are sorted by, how, and the first column's cells."""
        table = re.search(r'<section id="sites-1">.*?</table>', page, re.DOTALL)[0]
        sorted_by = re.search(r'aria-sort="(\w+)"><button[^>]*>([^<]*)', table)
        cells = re.findall(r"<tr><td[^>]*>([^<+]*)", table)
        return sorted_by[2], sorted_by[1], cells

    def test_loads(self):
        page = self.load()
        self.assertEqual(self.sites(page), ("At peak", "descending", ["describe", "sample_emit"]))
        self.assertIn('type="search"', page)
        self.assertRegex(page, r"<canvas", "the chart is drawn")
        self.assertIn("peak 4.6 MiB after 4 ms", page)
        self.assertNotIn("<title>taken", page)

    def test_sorts(self):
        self.assertEqual(self.sites(self.load("?sort=Allocations")),
                         ("Allocations", "descending", ["sample_emit", "describe"]))
        self.assertEqual(self.sites(self.load("?sort=Site&sort=Site")),
                         ("Site", "descending", ["sample_emit", "describe"]))

    def test_searches(self):
        page = self.load("?search=SAMPLE_e+.so")
        table = re.search(r'<section id="sites-1">.*?</table>', page, re.DOTALL)[0]
        self.assertEqual(re.findall(r'<tr hidden=""><td[^>]*>([^<+]*)', table), ["describe"])
        self.assertIn(">1 of 2<", table)

    def test_range_has_its_own_peak(self):
        page = self.load("?range=0.0025,0.0035")
        self.assertIn("From 2.5 ms to 3.5 ms: peak 1.6 MiB after 3 ms, 2.0 MiB held", page)
        self.assertIn("Show all", page)


if __name__ == "__main__":
    if not BROWSER:
        print("no Chromium: install the package chromium")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`cupool check` and `cupool diff` from outside.

Most traces are written by a preload library from a script of the test (preload_script.c), so that
every figure is known; the last tests record a real program on the simulated device.
usage: gates_test.py CUPOOL PRELOAD PRELOAD_SHIFTED [TINYLLM]
"""
import glob
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

CUPOOL, PRELOAD, SHIFTED = (os.path.abspath(path) for path in sys.argv[1:4])
TINYLLM = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None

MIB = 1 << 20
# At the peak: alpha 10 MiB, beta 4 MiB; 1 MiB of beta is never freed.
EVENTS = (f"alpha+{8 * MIB} alpha+{2 * MIB} beta+{3 * MIB} beta+{MIB} delta!999999 alpha?1 "
          f"alpha-{8 * MIB} alpha-{2 * MIB} beta-{3 * MIB}")


# After EVENTS (alpha 10 MiB, beta 4 MiB at the peak), many times: enough to drop all but the last events of 1 MiB.
ROUND = f"alpha+{MIB} beta2+{2 * MIB} alpha-{MIB} beta2-{2 * MIB} delta!5 decode< beta+4096 decode> beta-4096"
LIMITED = {"CUPOOL_TEST_ROUND": ROUND, "CUPOOL_TEST_ROUNDS": "4000", "CUPOOL_TEST_LIMIT": str(MIB)}


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Gates(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="cupool-gates-")
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def cupool(self, *arguments, **environment):
        return subprocess.run(
            [CUPOOL, *arguments], cwd=self.directory.name, text=True, timeout=60,
            env={"PATH": os.environ["PATH"], "ASAN_OPTIONS": "verify_asan_link_order=0",
                 **environment},
            capture_output=True)

    def record(self, name, events=EVENTS, library=PRELOAD, **environment):
        result = self.cupool("run", "-q", "--force", "-o", name, "--", "true",
                             CUPOOL_LIBRARY=library, CUPOOL_TEST_EVENTS=events, **environment)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return name

    def budget(self, text, name="t.budget"):
        with open(self.path(name), "w") as file:
            file.write(text)
        return name

    def check(self, code, budget, *arguments, trace="t.cupool"):
        """Runs a check of t.cupool; returns the lines of its output."""
        result = self.cupool("check", "--budget", self.budget(budget), *arguments, trace)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        if code != 2:
            self.assertEqual(result.stderr, "")
        return result.stdout.splitlines()

    def assert_error(self, result, *words):
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def update(self, baseline, trace):
        result = self.cupool("check", "--baseline", baseline, "--update-baseline", trace)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    # check

    def test_within(self):
        self.record("t.cupool")
        lines = self.check(0, "[budget]\npeak_live = 14 MiB\nleaked_at_exit = 1MiB\n"
                           "alloc_failures = 1\ninvalid_frees=1\nallocations = 4\n"
                           "peak_reserved = 0\npeak_driver = 14.0 MiB\ndriver_calls = 8\n"
                           "fragmentation_overhead = 0%\n")
        self.assertEqual(lines, ["t.cupool: within budget: 9 checked"])

    def test_three_over(self):
        self.record("t.cupool")
        lines = self.check(1, "[budget]\npeak_live = 12 MiB\nleaked_at_exit = 0 B\n"
                           "alloc_failures = 0\ninvalid_frees = 1\n")
        self.assertEqual(len(lines), 4)
        module = os.path.basename(PRELOAD)
        self.assertEqual(lines, [
            "peak_live: measured 14.0 MiB, allowed 12.0 MiB, over by 2.0 MiB; "
            f"most: alpha ({module}) 10.0 MiB",
            "leaked_at_exit: measured 1.0 MiB, allowed 0 B, over by 1.0 MiB; "
            f"most: beta ({module}) 1.0 MiB",
            f"alloc_failures: measured 1, allowed 0, over by 1; most: delta ({module}) 1",
            "t.cupool: over budget: 3 of 4"])

    def test_one_byte_over_is_told_apart(self):
        self.record("t.cupool")
        lines = self.check(1, f"[budget]\npeak_live = {14 * MIB - 1}\n")
        self.assertTrue(lines[0].startswith(
            f"peak_live: measured {14 * MIB} B, allowed {14 * MIB - 1} B, over by 1 B;"), lines[0])

    def test_a_share_that_is_just_reached_is_enough(self):
        self.record("t.cupool")
        self.check(0, "[budget]\npool_hits = 0%\n")
        self.check(1, "[budget]\npool_hits = 0.0001%\n")

    def test_least(self):
        self.record("t.cupool")
        lines = self.check(1, "[budget]\npool_hits = 95%\n")
        self.assertEqual(lines[0],
                         "pool_hits: measured 0 %, allowed at least 95 %, under by 95 %; "
                         f"most: alpha ({os.path.basename(PRELOAD)}) 2")

    def test_sites(self):
        self.record("t.cupool")
        self.check(0, "[site alpha]\npeak = 10 MiB\nleaked = 0\n[site be*]\npeak=4MiB\n"
                   "leaked = 1 MiB\n[site preload_*.so]\npeak = 14 MiB\n")
        lines = self.check(1, "[site alpha]\npeak = 9 MiB\nleaked = 0\n[site be*]\nleaked = 0\n"
                           "[site preload_*.so]\npeak = 13 MiB\n")
        self.assertEqual(lines, [
            "site alpha: peak: measured 10.0 MiB, allowed 9.0 MiB, over by 1.0 MiB; "
            "most: alpha (preload_script.so) 10.0 MiB",
            "site be*: leaked: measured 1.0 MiB, allowed 0 B, over by 1.0 MiB; "
            "most: beta (preload_script.so) 1.0 MiB",
            "site preload_*.so: peak: measured 14.0 MiB, allowed 13.0 MiB, over by 1.0 MiB; "
            "most: alpha (preload_script.so) 10.0 MiB",
            "t.cupool: over budget: 3 of 4"])

    def test_peaks_of_a_set_are_not_summed(self):
        self.record("t.cupool", f"alpha+{MIB} alpha-{MIB} beta+{MIB} beta-{MIB}")
        self.check(0, "[site *.so]\npeak = 1 MiB\n")

    def test_site_that_nothing_fits(self):
        self.record("t.cupool")
        budget = self.budget("[site alhpa]\npeak = 1 MiB\n")
        result = self.cupool("check", "--budget", budget, "t.cupool")
        self.assertEqual(result.returncode, 0)
        self.assertIn("warning: [site alhpa: peak]: no site matches", result.stderr)
        result = self.cupool("check", "--strict", "--budget", budget, "t.cupool")
        self.assertEqual(result.returncode, 2)

    def test_ignored_sites(self):
        self.record("t.cupool")
        self.check(0, "[budget]\npeak_live = 4 MiB\ninvalid_frees = 0\nalloc_failures = 0\n"
                   "peak_driver = 4 MiB\n[ignore]\nsite = al*\nsite = delta\n")
        self.check(0, "[budget]\npeak_live = 0\nleaked_at_exit=0\ndriver_calls = 0\n"
                   f"[ignore]\nsite = {os.path.basename(PRELOAD)}\n")

    def test_malformed_budgets(self):
        self.record("t.cupool")
        for text, words in (
                ("[budget]\npeak_lvie = 1\n", ["t.budget:2:", "peak_lvie", "peak_live, leaked"]),
                ("# c\n\n[budget]\npeak_live = lots\n", ["t.budget:4:", "lots", "1.5 GiB"]),
                ("[budget]\npeak_live = 14 GB\n", ["t.budget:2:", "14 GB"]),
                ("[budget]\npeak_live = -1\n", ["t.budget:2:", "-1"]),
                ("[budget]\npeak_live = 14 GiB # most\n", ["t.budget:2:", "# most"]),
                ("[budget]\nalloc_failures = 1 KiB\n", ["t.budget:2:", "a count"]),
                ("[budget]\npool_hits = 0.95\n", ["t.budget:2:", "0% to 100%"]),
                ("[budget]\npool_hits = 101%\n", ["t.budget:2:", "101%"]),
                ("[budget]\npeak_live = 18446744073709551616\n", ["t.budget:2:"]),
                ("[budget]\npeak_live_growth = 105%\n",
                 ["t.budget:2:", "+5%, not 105%", "+3%, min 64 MiB"]),
                ("[budget]\npeak_live_growth = +5\n", ["t.budget:2:", "+3%"]),
                ("[budget]\npeak_live_growth = +5%, 64 MiB\n", ["t.budget:2:", "smallest growth"]),
                ("[budget]\npeak_live_growth = +5%, min 64 MB\n", ["t.budget:2:", "64 MB"]),
                ("[budget]\npeak_live_growth = +nan%\n", ["t.budget:2:"]),
                ("[budget]\npool_hits_growth = +5%\n", ["t.budget:2:", "unknown key"]),
                ("[budget]\npeak_live = 1\npeak_live = 2\n", ["t.budget:3:", "twice"]),
                ("[budget]\npeak_live\n", ["t.budget:2:", "KEY = VALUE"]),
                ("[budget]\nallocations = 1\n  peak_live = 2\n", ["t.budget:3:"]),
                ("peak_live = 1\n", ["t.budget:1:", "outside any section"]),
                ("[budgets]\n", ["t.budget:1:", "[budgets]", "[site GLOB]"]),
                ("[budget\npeak_live = 1\n", ["t.budget:1:", "]"]),
                ("[site ]\npeak = 1\n", ["t.budget:1:"]),
                ("[site a]\nfrees = 1\n", ["t.budget:2:", "frees", "peak or leaked"]),
                ("[phase decode]\ndevice_alloc_per_step = 0\n",
                 ["t.budget:2:", "device_alloc_per_step", "device_allocs_per_step"]),
                ("[budget]\npeak_live = 1\n[phase]\n", ["t.budget:3:", "[phase GLOB]"]),
                ("[ignore]\nmodule = a\n", ["t.budget:2:", "site = GLOB"]),
                ("[ignore]\nsite = a\n", ["t.budget", "no budget"]),
                ("", ["t.budget", "no budget"]),
                ("[budget]\npeak_live = 1" + " " * 300 + "\n", ["t.budget:2:", "too long"]),
                ("".join(f"[site {i}]\npeak = 1\n" for i in range(4097)),
                 ["t.budget:8194:", "limits: at most 4096"]),
                ("[ignore]\n" + "site = x\n" * 4097, ["t.budget:4098:", "sites to ignore: at most 4096"])):
            with self.subTest(text=text):
                self.assert_error(self.cupool("check", "--budget", self.budget(text), "t.cupool"),
                                  *words)

    def test_most_limits(self):
        """The one that each budget has anyway is not the user's."""
        self.record("t.cupool")
        patterns = ("".join(letter + "*" * stars for letter, stars in zip("alph", counts)) + "a"
                    for counts in itertools.product(range(8), repeat=4))
        self.check(0, "".join(f"[site {pattern}]\npeak = 1 GiB\n" for pattern in patterns))

    def test_long_section_name(self):
        self.record("t.cupool")
        self.check(1, f"[site alpha{'*' * 100}]\npeak = 1\n")

    def test_bad_arguments(self):
        self.record("t.cupool")
        self.budget("[budget]\npeak_live_growth = +3%\n")
        for arguments, words in (
                (["t.cupool"], ["--budget"]),
                (["--budget", "t.budget"], ["one trace"]),
                (["--budget", "t.budget", "t.cupool", "t.cupool"], ["one trace", "2"]),
                (["--budget", "missing", "t.cupool"], ["missing", "No such file"]),
                (["--budget", "t.budget", "missing"], ["--baseline FILE"]),
                (["--update-baseline", "t.cupool"], ["--baseline FILE"]),
                (["--budget", "t.budget", "--baseline", "b.json", "t.cupool"],
                 ["b.json", "No such file", "--update-baseline"]),
                (["--budget", "t.budget", "--baseline", "b.json", "missing"], ["missing"]),
                (["--budget", "t.budget", "--baseline", "b.json", "--phase", "x", "t.cupool"],
                 ["--phase", "a baseline covers a whole run"]),
                (["--baseline", "b.json", "--update-baseline", "--to", "50%", "t.cupool"],
                 ["--to", "a baseline covers a whole run"]),
                (["--config", "t.conf", "--from", "50%", "t.cupool"], ["--from", "--config"]),
                (["--fly", "t.cupool"], ["--fly"])):
            self.assert_error(self.cupool("check", *arguments), *words)
        self.assertFalse(os.path.exists(self.path("b.json")))
        budget = self.budget("[budget]\npeak_live = 1\n")
        result = self.cupool("check", "--budget", budget, "--junit", "no/such.xml", "t.cupool")
        self.assert_error(result, "no/such.xml")
        self.assertIn("peak_live: measured", result.stdout)

    def test_strict_trouble_leaves_the_baseline(self):
        self.record("t.cupool")
        budget = self.budget("[site alhpa]\npeak = 1\n")
        self.assert_error(self.cupool("check", "--strict", "--budget", budget, "--baseline",
                                      "b.json", "--update-baseline", "t.cupool"), "alhpa")
        self.assertFalse(os.path.exists(self.path("b.json")))

    def test_full_disk(self):
        self.record("t.cupool")
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        self.budget("[budget]\npeak_live = 1 GiB\n")
        for arguments in (["check", "--budget", "t.budget"], ["diff", "t.cupool"]):
            with open("/dev/full", "w") as full:
                result = subprocess.run(
                    [CUPOOL, *arguments, "t.cupool"], cwd=self.directory.name, stdout=full,
                    text=True, timeout=60, stderr=subprocess.PIPE)
            self.assertEqual(result.returncode, 2)
            self.assertIn("No space left", result.stderr)
        result = self.cupool("check", "--budget", "t.budget", "--junit", "/dev/full", "t.cupool")
        self.assert_error(result, "/dev/full", "No space left")

    def test_bad_baselines(self):
        self.record("t.cupool")
        self.update("b.json", "t.cupool")
        good = json.loads(read(self.path("b.json")))
        budget = self.budget("[budget]\npeak_live_growth = +3%\n")
        for name, text, words in (
                ("empty", "", ["b.json"]),
                ("cut", read(self.path("b.json"))[:200].decode(), ["b.json:"]),
                ("other", '{"schema": "cupool.report/1"}', ["cupool.report/1"]),
                ("negative", {"metrics": {"peak_live": -1}}, ["peak_live"]),
                ("text", {"sites": [{"module": 3}]}, ["module"]),
                ("lacking", {"metrics": {}}, ["peak_live", "--update-baseline"])):
            with self.subTest(name):
                with open(self.path("b.json"), "w") as file:
                    file.write(text if isinstance(text, str) else json.dumps({**good, **text}))
                self.assert_error(self.cupool("check", "--budget", budget, "--baseline", "b.json",
                                              "t.cupool"), *words)

    # baseline

    def test_baseline_is_repeatable_and_anonymous(self):
        for name in ("a", "b"):
            self.update(f"{name}.json", self.record(f"{name}.cupool"))
        text = read(self.path("a.json"))
        self.assertEqual(text, read(self.path("b.json")))
        baseline = json.loads(text)
        self.assertEqual(text.decode(), json.dumps(baseline, indent=1, sort_keys=True) + "\n")
        self.assertEqual(set(baseline), {"schema", "device", "ignored_sites", "metrics", "sites",
                                         "sites_left_out", "wrappers"})
        self.assertEqual(baseline["metrics"]["peak_live"], 14 * MIB)
        self.assertEqual(baseline["device"], [{"driver_version": "13.0", "name": "Test GPU"}])
        self.assertEqual([site["function"] for site in baseline["sites"]],
                         ["alpha", "beta", "delta"])
        self.assertEqual(baseline["sites"][1]["leaked_bytes"], MIB)
        self.assertNotIn(self.directory.name.encode(), text)
        self.assertEqual(glob.glob(self.path("*.part")), [])

    def test_identical_rerun_passes(self):
        self.update("b.json", self.record("b.cupool"))
        self.record("t.cupool")
        self.check(0, "".join(["[budget]\n"] + [
            f"{key}_growth = +0%\n" for key in ("peak_live", "leaked_at_exit", "allocations",
                                                "driver_calls", "peak_driver")]),
                   "--baseline", "b.json", "--strict")

    def test_growth_needs_both_tolerances(self):
        self.update("b.json", self.record("b.cupool"))
        grown = EVENTS.replace(f"+{3 * MIB}", f"+{3 * MIB + 700000}")  # 4.8 % of the peak
        self.record("t.cupool", grown)
        for growth, code in (("+0%", 1), ("+4.7%", 1), ("+5%", 0), ("+0%, min 700000", 0),
                             ("+0%, min 699999", 1), ("+4%, min 1 MiB", 0),
                             ("+5%, min 1 KiB", 0), ("+4%, min 1 KiB", 1)):
            with self.subTest(growth):
                self.check(code, f"[budget]\npeak_live_growth = {growth}\n", "--baseline",
                           "b.json")

    def test_planted_regression_is_named(self):
        self.update("b.json", self.record("b.cupool"))
        self.record("t.cupool", EVENTS.replace(f"{8 * MIB}", f"{8 * MIB * 105 // 100}"))
        line = self.check(1, "[budget]\npeak_live_growth = +2%, min 64 KiB\n", "--baseline",
                          "b.json")[0]
        self.assertTrue(line.startswith("peak_live_growth: measured +409.6 KiB (+2.9 %, 14.0 MiB "
                                        "to 14.4 MiB), allowed +286.7 KiB (+2%, min 64 KiB), over "
                                        "by 122.9 KiB; grew most: alpha ("), line)

    def test_update_accepts_growth_only(self):
        self.update("b.json", self.record("b.cupool", f"alpha+{MIB}"))
        self.record("t.cupool")
        budget = "[budget]\npeak_live_growth = +0%\nleaked_at_exit = 0\n"
        lines = self.check(1, budget, "--baseline", "b.json", "--update-baseline")
        self.assertEqual(len(lines), 3)
        self.assertIn("leaked_at_exit", lines[0])
        self.check(0, "[budget]\npeak_live_growth = +0%\n", "--baseline", "b.json")

    def test_other_device_or_driver(self):
        self.update("b.json", self.record("b.cupool"))
        budget = self.budget("[budget]\npeak_live_growth = +0%\n")
        arguments = ["check", "--budget", budget, "--baseline", "b.json", "t.cupool"]
        for environment, words in (({"CUPOOL_TEST_DEVICE": "Other GPU"}, "Other GPU, driver 13.0"),
                                   ({"CUPOOL_TEST_DRIVER": "12040"}, "Test GPU, driver 12.4 now")):
            self.record("t.cupool", **environment)
            result = self.cupool(*arguments)
            self.assertEqual(result.returncode, 0)
            self.assertIn("warning: b.json: device or driver differs: Test GPU, driver 13.0 before",
                          result.stderr)
            self.assertIn(words, result.stderr)
            self.assert_error(self.cupool(*arguments, "--strict"), words)

    def test_other_ignore(self):
        self.update("b.json", self.record("t.cupool"))
        budget = self.budget("[budget]\npeak_live_growth = +0%\n[ignore]\nsite = alpha\n")
        arguments = ["check", "--budget", budget, "--baseline", "b.json", "t.cupool"]
        self.assertIn("[ignore]", self.cupool(*arguments).stderr)
        self.assert_error(self.cupool(*arguments, "--strict"), "[ignore]")

    # A trace of limited size

    def warned(self, *arguments):
        """Checks with --strict, which must end with 2 if something is warned of; the warnings without it."""
        result = self.cupool("check", *arguments, "t.cupool")
        warnings = result.stderr.splitlines()
        strict = self.cupool("check", "--strict", *arguments, "t.cupool")
        self.assertEqual(strict.returncode, 2 if warnings else result.returncode, strict.stderr)
        return result.returncode, warnings, result.stdout

    def test_sites_of_a_limited_trace(self):
        """Sums of some sites are theirs, also of dropped events; their peak is at most the sum of their peaks."""
        sites = ("[site alpha]\nleaked = 0\npeak = 10 MiB\n[site beta]\nleaked = 1 MiB\n"
                 "[site delta]\npeak = 0\nleaked = 0\n")
        ignoring = ("[budget]\nalloc_failures = 0\ninvalid_frees = 1\nleaked_at_exit = 0\nallocations = 4002\n"
                    "[ignore]\nsite = beta\nsite = delta\n")
        for environment in ({**LIMITED, "CUPOOL_TEST_LIMIT": "0"}, LIMITED):
            self.record("t.cupool", **environment)
            self.check(0, sites, "--strict")
            self.check(0, ignoring, "--strict")
            self.check(1, ignoring.replace("4002", "4001"), "--strict")
            self.check(1, "[site alpha]\npeak = 9 MiB\n", "--strict")
            self.check(1, f"[site beta]\nleaked = {MIB - 1}\n", "--strict")
            self.check(0, "[budget]\npeak_live = 14 MiB\n[site *]\npeak = 14 MiB\n", "--strict")
            self.check(1, f"[site *]\npeak = {14 * MIB - 1}\n", "--strict")
        recording = json.loads(self.cupool("report", "-f", "json", "t.cupool").stdout)["recording"]
        self.assertGreater(recording["folded_events"], 10000)
        # 4 MiB of beta and 2 MiB of its other stack were not live at one time.
        beta = "[site beta]\npeak = {}\n"
        self.check(0, beta.format("6 MiB"), "--strict")
        code, warnings, output = self.warned("--budget", self.budget(beta.format("5 MiB")))
        self.assertEqual((code, len(warnings)), (1, 1))
        self.assertIn("[site beta: peak]: measured is an upper bound", warnings[0])
        self.assertIn("measured at most 6.0 MiB", output)
        for key, limit in (("peak_live", "5 MiB"), ("peak_driver", "5 MiB"), ("driver_calls", "20000")):
            code, warnings, _ = self.warned("--budget", self.budget(
                f"[budget]\n{key} = {limit}\n[ignore]\nsite = alpha\n"))
            self.assertEqual((code, len(warnings)), (1, 1))
            self.assertIn(f"[{key}]: measured is an upper bound", warnings[0])

    def test_parts_of_a_limited_trace(self):
        self.record("t.cupool", **LIMITED)
        code, warnings, _ = self.warned("--budget", self.budget("[phase decode]\ndevice_allocs = 4000\n"))
        self.assertEqual((code, len(warnings)), (0, 1))
        self.assertIn("[phase decode: device_allocs]: phases are measured from", warnings[0])
        budget = self.budget("[budget]\npeak_live = 14 MiB\n")
        for words in (("--phase", "decode"), ("--from", "1%"), ("--to", "99%")):
            code, warnings, _ = self.warned("--budget", budget, *words)
            self.assertEqual((code, len(warnings)), (0, 1))
            self.assertIn("events before", warnings[0])
        self.assertEqual(self.warned("--budget", budget, "--from", "99%")[:2], (0, []))
        # What was live when the part began is that of the site, too.
        self.check(0, f"[site beta]\npeak = {3 * MIB + 4096}\n[site alpha]\npeak = 1 MiB\n", "--from", "99%")
        self.check(1, f"[site beta]\npeak = {3 * MIB - 1}\n", "--from", "99%")

    def test_baseline_of_a_limited_trace(self):
        self.record("t.cupool", **LIMITED)
        self.record("l.cupool", **LIMITED)
        self.update("b.json", "t.cupool")
        self.assertEqual(json.loads(read(self.path("b.json")))["upper_bounds"], ["sites"])
        self.check(0, "[budget]\npeak_live_growth = +0%\n", "--baseline", "b.json", "--strict")
        budget = self.budget("[budget]\npeak_live_growth = +0%\n[ignore]\nsite = alpha\n")
        self.cupool("check", "--budget", budget, "--baseline", "i.json", "--update-baseline", "t.cupool")
        self.assertIn("peak_live", json.loads(read(self.path("i.json")))["upper_bounds"])
        self.record("t.cupool", **{**LIMITED, "CUPOOL_TEST_LIMIT": "0"})
        code, warnings, _ = self.warned("--budget", budget, "--baseline", "i.json")
        self.assertEqual((code, len(warnings)), (0, 1))
        self.assertIn("[peak_live_growth]: measured is an upper bound", warnings[0])
        for base, warned in (("b.json", True), ("l.cupool", True), ("t.cupool", False)):
            result = self.cupool("diff", base, "t.cupool")
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertEqual(f"{base}: early events were dropped (trace_max)" in result.stderr, warned)
        self.assertIn("events before", self.cupool("diff", "--phase", "decode", "l.cupool", "t.cupool").stderr)

    def test_incomplete_trace(self):
        self.record("t.cupool", CUPOOL_TEST_ABANDON="1")
        budget = self.budget("[budget]\npeak_live = 1 GiB\n")
        result = self.cupool("check", "--budget", budget, "t.cupool")
        self.assertEqual(result.returncode, 0)
        self.assertIn("warning: t.cupool: trace is incomplete", result.stderr)
        self.assert_error(self.cupool("check", "--strict", "--budget", budget, "t.cupool"),
                          "incomplete")
        self.assert_error(self.cupool("check", "--baseline", "b.json", "--update-baseline",
                                      "t.cupool"), "incomplete")
        self.assertFalse(os.path.exists(self.path("b.json")))

    def test_update_follows_a_link(self):
        self.record("t.cupool")
        os.mkdir(self.path("kept"))
        self.budget("{}", "kept/b.json")
        os.symlink("kept/b.json", self.path("b.json"))
        self.update("b.json", "t.cupool")
        self.assertTrue(os.path.islink(self.path("b.json")))
        self.assertIn(b"cupool.baseline/1", read(self.path("kept/b.json")))

    # outputs

    def test_junit(self):
        self.update("b.json", self.record("b.cupool"))
        odd = "t<&\"'\x01]]>\n.cupool"
        self.record("t.cupool")
        os.rename(self.path("t.cupool"), self.path(odd))
        result = self.cupool(
            "check", "--budget", self.budget(
                "[budget]\npeak_live = 1 MiB\nalloc_failures = 1\npeak_live_growth = +0%\n"
                "[site <al*&\">]\npeak = 0\n[site al*]\npeak = 0\n"),
            "--baseline", "b.json", "--junit", "j.xml", odd)
        self.assertEqual(result.returncode, 1)
        suite = xml.etree.ElementTree.parse(self.path("j.xml")).getroot().find("testsuite")
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")),
                         ("5", "2", "0"))
        cases = {case.get("name"): case for case in suite.findall("testcase")}
        self.assertEqual(list(cases), ["peak_live", "alloc_failures", "peak_live_growth",
                                       "site <al*&\">: peak", "site al*: peak"])
        self.assertEqual(cases["peak_live"].get("classname"), odd.replace("\x01", "\ufffd"))
        self.assertIn("measured 14.0 MiB, allowed 1.0 MiB",
                      cases["peak_live"].find("failure").get("message"))
        self.assertIsNone(cases["alloc_failures"].find("failure"))
        self.assertIn("no site matches", suite.find("system-err").text)

    def test_junit_of_an_update(self):
        self.record("t.cupool")
        self.check(0, "[budget]\npeak_live_growth = +0%\n", "--baseline", "b.json",
                   "--update-baseline", "--junit", "j.xml")
        suite = xml.etree.ElementTree.parse(self.path("j.xml")).getroot().find("testsuite")
        self.assertEqual((suite.get("tests"), suite.get("skipped")), ("1", "1"))
        self.assertIsNotNone(suite.find("testcase/skipped"))

    def test_markdown(self):
        self.update("b.json", self.record("b.cupool"))
        self.record("t.cupool", EVENTS.replace(f"{8 * MIB}", f"{9 * MIB}"))
        result = self.cupool(
            "check", "--budget", self.budget("[budget]\npeak_live = 1 MiB\nalloc_failures = 1\n"
                                             "[site al|*]\npeak = 1\n"),
            "--baseline", "b.json", "--markdown", "m.md", "t.cupool")
        self.assertEqual(result.returncode, 1)
        lines = read(self.path("m.md")).decode().splitlines()
        self.assertEqual(lines[0], "## Device memory: over budget: 1 of 3")
        rows = [line for line in lines if line.startswith("|")]
        self.assertTrue(any(re.match(r"\| alpha \(.*\) \| 10.0 MiB \| 11.0 MiB \| \+1.0 MiB", row)
                            for row in rows), rows)
        for row in rows:
            self.assertIn(row.count("|"), (6, 7), row)

    def test_markdown_is_cut(self):
        self.record("t.cupool")
        names = [f"a{'<' * 120}{number}" for number in range(800)]
        self.cupool("check", "--budget", self.budget("".join(
            f"[site {name}]\npeak = 1\n" for name in names)), "--markdown", "m.md", "t.cupool")
        text = read(self.path("m.md"))
        self.assertLess(len(text), 1024 * 1024)
        self.assertIn(b"Truncated here", text[-100:])

    def test_github(self):
        self.record("t.cupool")
        keys = ["peak_live", "leaked_at_exit", "alloc_failures", "invalid_frees", "allocations",
                "driver_calls"]
        lines = [line for line in self.check(
            1, "[budget]\n" + "".join(f"{key} = 0\n" for key in keys), "--github")
            if line.startswith("::")]
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[0].startswith("::error title=cupool peak_live::measured 14.0 MiB,"))
        self.assertIn("further budgets exceeded: 2", lines[4])
        lines = self.check(1, "[budget]\npool_hits = 50%\n[site a*]\npeak=0\n", "--github")
        self.assertIn("::error title=cupool pool_hits::measured 0 %25, allowed at least 50 %25, "
                      f"under by 50 %25; most: alpha ({os.path.basename(PRELOAD)}) 2", lines)
        self.assertTrue(any(line.startswith("::error title=cupool site a*%3A peak::")
                            for line in lines), lines)
        self.assertEqual(sum(line.startswith("::") for line in lines), 2)

    # diff

    def diff(self, code, *arguments):
        result = self.cupool("diff", *arguments)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout

    def diff_json(self, code, *arguments):
        return json.loads(self.diff(code, "-f", "json", *arguments))

    def test_diff_of_equals(self):
        self.record("a.cupool")
        self.update("b.json", self.record("b.cupool"))
        for base in ("a.cupool", "b.json"):
            for fresh in ("b.cupool", "b.json"):
                difference = self.diff_json(0, base, fresh)
                self.assertEqual((difference["grew"], difference["sites"]), (False, []))
        self.assertIn("nothing grew beyond +0%", self.diff(0, "a.cupool", "b.cupool"))

    def test_diff_names_the_regression_first(self):
        self.record("a.cupool")
        # Alpha's traffic grows more than beta's memory; beta is still first.
        self.record("b.cupool", EVENTS.replace(f"{3 * MIB}", f"{3 * MIB * 105 // 100}") +
                    f" alpha+{MIB} alpha-{MIB}" * 3)
        difference = self.diff_json(1, "a.cupool", "b.cupool")
        self.assertEqual(difference["sites"][0]["function"], "beta")
        self.assertEqual(difference["sites"][0]["peak_bytes"],
                         {"base": 4 * MIB, "new": MIB + 3 * MIB * 105 // 100})
        self.assertTrue(difference["metrics"]["peak_live"]["grew"])
        lines = self.diff(1, "a.cupool", "b.cupool").splitlines()
        first = lines[[line.startswith("SITE") for line in lines].index(True) + 1]
        self.assertTrue(first.startswith("beta ("), first)
        self.assertIn("grew", first)
        self.assertIn("**grew**", self.diff(1, "-f", "markdown", "a.cupool", "b.cupool"))
        self.diff(1, "--tolerance", "+3%, min 128 KiB", "a.cupool", "b.cupool")
        # allocations grew by 75 %
        self.diff(1, "--tolerance", "+3%, min 1 MiB", "a.cupool", "b.cupool")
        self.diff(0, "--tolerance", "+80%", "a.cupool", "b.cupool")
        self.diff(0, "b.cupool", "a.cupool")

    def test_diff_growth_of_a_site_within_the_same_peak(self):
        self.record("a.cupool", f"alpha+{4 * MIB} alpha-{4 * MIB} beta+{MIB} beta-{MIB}")
        self.record("b.cupool", f"alpha+{4 * MIB} alpha-{4 * MIB} beta+{2 * MIB} beta-{2 * MIB}")
        difference = self.diff_json(1, "a.cupool", "b.cupool")
        self.assertFalse(difference["metrics"]["peak_live"]["grew"])
        self.assertEqual([site["function"] for site in difference["sites"]], ["beta"])

    def test_diff_new_and_gone(self):
        self.record("a.cupool", f"alpha+{MIB} alpha-{MIB}")
        self.record("b.cupool", f"delta+{MIB} delta-{MIB}")
        text = self.diff(1, "a.cupool", "b.cupool")
        self.assertRegex(text, r"delta \(.*new, grew")
        self.assertRegex(text, r"alpha \(.*gone")

    def call_paths(self, name, **sites):
        """A baseline of sites as (own peak in MiB, of the overall peak, leaked, callers)."""
        self.update("empty.json", self.record("empty.cupool", "alpha?1"))
        baseline = json.loads(read(self.path("empty.json")))
        baseline["sites"] = [
            {"module": "server", "function": function, "file": None, "line": None,
             "related": callers, "peak_bytes": peak * MIB, "at_peak_bytes": at_peak * MIB,
             "leaked_bytes": leaked * MIB, "requested_bytes": peak * MIB, "allocations": 9}
            for function, (peak, at_peak, leaked, callers) in sorted(sites.items())]
        with open(self.path(name), "w") as file:
            json.dump(baseline, file)

    def grown(self, code, base, fresh):
        """Whether each changed site grew."""
        self.call_paths("a.json", **base)
        self.call_paths("b.json", **fresh)
        return {site["function"]: site["grew"]
                for site in self.diff_json(code, "a.json", "b.json")["sites"]}

    def test_diff_growth_beside_a_site_that_is_gone(self):
        helper = (1, 1, 1, ["serve"])
        # The peak of serve is not at the overall peak.
        self.assertEqual(self.grown(1, {"serve": (100, 0, 0, []), "helper": helper},
                                    {"serve": (3000, 0, 0, [])}), {"serve": True, "helper": False})
        self.assertEqual(self.grown(1, {"serve": (100, 90, 10, []), "helper": helper},
                                    {"serve": (100, 80, 12, [])}), {"serve": True, "helper": False})
        # Memory that moved in is no growth, whether or not it is at the peak.
        for at_peak in (0, 101):
            self.assertEqual(self.grown(0, {"serve": (100, 0, 10, []), "helper": helper},
                                        {"serve": (101, at_peak, 11, [])}),
                             {"serve": False, "helper": False})
        # A new site beside it: what was there before may be in it, no more.
        for peak in (101, 102):
            self.assertEqual(self.grown(peak > 101, {"serve": (100, 0, 0, []), "helper": helper},
                                        {"serve": (100, 0, 0, []), "worker": (peak, 0, 0, ["serve"])}),
                             {"helper": False, "worker": peak > 101})

    def test_diff_order_is_total(self):
        self.record("a.cupool", "alpha+4096 beta+4096 delta+4096")
        self.record("b.cupool", "delta+8192 alpha+8192 beta+8192")
        functions = [site["function"]
                     for site in self.diff_json(1, "a.cupool", "b.cupool")["sites"]]
        self.assertEqual(functions, ["alpha", "beta", "delta"])
        difference = self.diff_json(1, "--top", "1", "a.cupool", "b.cupool")
        self.assertEqual((len(difference["sites"]), difference["sites_left_out"]), (1, 2))
        self.assertIn("2 more: --top 3", self.diff(1, "--top", "1", "a.cupool", "b.cupool"))

    def test_diff_outlives_a_rebuild(self):
        os.mkdir(self.path("other"))
        rebuilt = shutil.copy(SHIFTED, self.path(f"other/{os.path.basename(PRELOAD)}"))
        self.record("a.cupool")
        self.record("b.cupool", library=rebuilt)
        places = [site for name in ("a.cupool", "b.cupool") for site in json.loads(
            self.cupool("report", "-f", "json", name).stdout)["sites"]
                  if site["function"].startswith("beta+")]
        self.assertNotEqual(places[0]["build_id"], places[1]["build_id"])
        self.assertNotEqual(places[0]["offset"], places[1]["offset"])
        self.assertEqual(self.diff_json(0, "a.cupool", "b.cupool")["sites"], [])

    def test_diff_bad_arguments(self):
        self.record("a.cupool")
        for arguments, words in (
                (["a.cupool"], ["two files"]),
                (["a.cupool", "missing"], ["missing", "No such file"]),
                (["-f", "html", "a.cupool", "a.cupool"], ["html", "markdown"]),
                (["--top", "0", "a.cupool", "a.cupool"], ["--top"]),
                (["--tolerance", "105%", "a.cupool", "a.cupool"], ["105%", "+5%, not 105%"]),
                (["--tolerance", "+5%, min 3 MB", "a.cupool", "a.cupool"], ["+5%, min 3 MB"])):
            self.assert_error(self.cupool("diff", *arguments), *words)
        self.budget('{"schema": "cupool.report/1"}', "r.json")
        self.assert_error(self.cupool("diff", "r.json", "a.cupool"), "cupool.report/1")

    def test_diff_warns_of_another_device(self):
        self.record("a.cupool")
        self.record("b.cupool", CUPOOL_TEST_DEVICE="Other GPU")
        result = self.cupool("diff", "a.cupool", "b.cupool")
        self.assertEqual(result.returncode, 0)
        self.assertIn("device or driver differs", result.stderr)

    # A real program on the simulated device.

    def infer(self, name, *arguments):
        result = self.cupool("run", "--sim", "-q", "--force", "-o", name, "--", TINYLLM, "--seed",
                             "7", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return name

    @unittest.skipUnless(TINYLLM, "no nvcc, so no tinyllm")
    def test_program(self):
        for name in ("a", "b"):
            self.update(f"{name}.json", self.infer(f"{name}.cupool", "--tokens", "16"))
        self.assertEqual(read(self.path("a.json")), read(self.path("b.json")))
        budget = "[budget]\npeak_live_growth = +1%, min 16 KiB\nleaked_at_exit = 0\n"
        self.check(0, budget, "--baseline", "a.json", "--strict", trace="b.cupool")
        # A vocabulary 5 % larger; the embedding's table grows by the same share.
        self.infer("c.cupool", "--tokens", "16", "--vocab", "1075")
        line = self.check(1, budget, "--baseline", "a.json", trace="c.cupool")[0]
        self.assertRegex(line, r"grew most: (tinyllm_model\.cuh:\d+ )?model_load_tensor \(tinyllm\) \+")
        difference = self.diff_json(1, "a.json", "c.cupool")
        self.assertTrue(difference["sites"][0]["function"].startswith("model_load_tensor("))

    @unittest.skipUnless(TINYLLM, "no nvcc, so no tinyllm")
    def test_documented_budget(self):
        document = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/ci.md")
        budget = re.search(r"```ini\n(.*?)```", read(document).decode(), re.DOTALL).group(1)
        self.update("b.json", self.infer("t.cupool", "--tokens", "8"))
        result = self.cupool("check", "--budget", self.budget(budget), "--baseline", "b.json",
                             "t.cupool")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "t.cupool: within budget: 8 checked\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

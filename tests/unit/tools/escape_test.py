#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests escaping by destination (the table in docs/cli.md): every code point below U+3000, and invalid UTF-8,
through every format of a report, of a check's outcome and of a difference, and through the tool's own
messages.

usage: escape_test.py CUPOOL PRELOAD
"""
import csv
import gzip
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
import unittest
import xml.etree.ElementTree

CUPOOL, PRELOAD = (os.path.abspath(path) for path in sys.argv[1:3])

FORMATS = ["text", "json", "html", "markdown", "csv", "openmetrics", "perfetto", "folded"]
BAD = "\ufffd"
MARKS = ({0x61c, 0x200e, 0x200f, 0xfeff} | set(range(0x202a, 0x202f)) | set(range(0x2066, 0x2070))
         | set(range(0xfff9, 0xfffc)) | set(range(0xe0000, 0xe1000)))
# Each is a command of a CI service at the begin of a line, or inside it.
COMMANDS = ["::error ::gone", "\n::error::gone", "\x1b[31m\n  ::error::gone", "\u00a0::error::gone",
            "\u2028::error::gone", "##[error]gone", "x ##vso[task.complete]", "\r::error::gone",
            "##teamcity[buildStop]", "###[error]", "\u3000::error::gone", "\x85::error::gone"]
CONTROLS = "\x1b]0;gone\x07\x1b[2J\x9b31m\x7f\u202e\u2066\u061c\ufeff\u2029"


def harmful(character):
    """Determined from Unicode's properties, not from the list in the source."""
    code = ord(character)
    return (character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")
            or unicodedata.bidirectional(character) in (
                "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
            or code in MARKS or code & 0xfffe == 0xfffe or 0xfdd0 <= code <= 0xfdef)


def safe(text):
    return "".join(BAD if harmful(character) else character for character in text)


def line(text):
    """Escaping inside a line of text, except for commands of CI services."""
    return re.sub("[\t\n\r]", " ", safe(text))


CODES = [chr(code) for code in range(1, 0x3000)] + ["\ufeff", "\ufff9", "\ufffe", "\ufdd0", "＝",
                                                    "\U000e0041", "\U0001f600"]
# Letters on both sides separate neighbours, and make begin and end of a text differ.
TEXTS = ["".join(f"a{code}" for code in CODES[at:at + 20]) + "z" for at in range(0, len(CODES), 20)]


class Escapes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="cupool-escape-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        cls.all = cls.record("all.cupool", TEXTS)

    @classmethod
    def run_cupool(cls, *arguments, text=True, **environment):
        return subprocess.run([CUPOOL, *arguments], cwd=cls.directory, timeout=120, check=False,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                                   "ASAN_OPTIONS": "verify_asan_link_order=0", **environment},
                              capture_output=True)

    @classmethod
    def record(cls, name, texts):
        path = os.path.join(cls.directory, "texts")
        with open(path, "wb") as file:
            for text in texts:
                file.write((text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
                           + b"\0")
        done = cls.run_cupool("run", "-q", "--force", "-o", name, "--", "true",
                              CUPOOL_LIBRARY=PRELOAD, CUPOOL_TEST_TEXTS=path)
        assert done.returncode == 0, done.stderr
        return name

    def decode(self, data, breaks="\n"):
        """UTF-8 without harmful characters, except line ends of the format itself."""
        text = data.decode("utf-8")
        for character in set(text):
            self.assertTrue(character in breaks or not (harmful(character) or character in "\t\r\n"),
                            f"U+{ord(character):04X}")
        return text

    def report(self, name, trace=None, breaks="\n"):
        done = self.run_cupool("report", "-f", name, "--top", "100000", trace or self.all)
        self.assertEqual((done.returncode, done.stderr), (0, b""), name)
        return self.decode(done.stdout, breaks)

    def expect_texts(self, found, expected):
        """All texts must be present; displayed names are cut, so their beginning is compared."""
        self.assertGreater(len(found), 0)
        missing = [text for text in expected if text not in found]
        self.assertEqual(missing[:3], [], f"{len(missing)} of {len(expected)}")

    # reports

    def test_json(self):
        report = json.loads(self.report("json"))
        self.assertEqual(report["process"]["command"], safe(TEXTS[0]))
        self.assertEqual(report["device"][0]["name"], safe(TEXTS[0]))
        functions = {row["function"] for row in report["sites"]}
        self.expect_texts(functions, [safe(text) for text in TEXTS])
        self.expect_texts({phase["name"] for phase in report["phases"]},
                          [safe(text) for text in TEXTS])

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.report("csv", breaks="\t\r\n"), newline="")))
        self.expect_texts({row["function"] for row in rows}, [
            re.sub("([;\t\n\r] ?)([=+@\t\r＝-])", r"\1'\2", safe(text)) for text in TEXTS])
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_csv_formulas(self):
        """No possible cell of a spreadsheet begins like a formula."""
        signs = "=+-@\t\r＝＋－＠"
        texts = [before + sign + "cmd|' /C calc'!A0" for sign in signs
                 for before in ("", ";", "a;", " ", "\u3000", "\t", "a\n", "a\r\n", ";;", "a; ")]
        rows = csv.DictReader(io.StringIO(self.report("csv", self.record("cells.cupool", texts),
                                                      breaks="\t\r\n"), newline=""))
        found = [row["function"] for row in rows]
        self.assertEqual(len(found), len(texts))
        for cell in found:
            for part in re.split("[;\t\r\n]", cell):
                self.assertNotRegex(part, r"^[ \u3000]*[=+@＝＋－＠-]", repr(cell))

    def test_html(self):
        text = html.unescape(self.report("html", breaks="\t\n"))
        for part in TEXTS[:40]:
            self.assertIn(safe(part)[:20].replace("\r", " "), text)

    def test_markdown(self):
        text = html.unescape(self.report("markdown"))
        for part in TEXTS[20:40]:
            self.assertIn(re.sub("([*_~!$\\[\\]])", r"\\\1", line(part))[:15], text)

    def test_openmetrics(self):
        for sample in self.report("openmetrics").split("\n")[:-1]:
            self.assertRegex(sample, r'^(# .*|[a-z_]+\{([a-z_]+="([^"\\]|\\[\\"n])*",?)*\} \S+)$|^# EOF$')

    def test_perfetto(self):
        events = json.loads(self.report("perfetto"))["traceEvents"]
        self.assertTrue(any(safe(TEXTS[0]) in str(event) or
                            event.get("args", {}).get("name", "").startswith(safe(TEXTS[0]))
                            for event in events))

    def test_folded(self):
        for stack in self.report("folded").splitlines():
            self.assertRegex(stack, r"^[^;]+(;[^;]+)* \d+$")

    def test_text(self):
        lines = self.report("text").splitlines()
        self.assertTrue(any(row.startswith(line(TEXTS[0])[:30]) for row in lines), lines[:2])

    def test_pprof(self):
        done = self.run_cupool("report", "-f", "pprof", self.all)
        if b"not built in" in done.stderr:
            self.skipTest("built without pprof")
        data = gzip.decompress(done.stdout)
        for text in TEXTS[:20]:
            self.assertIn(safe(text).encode(), data)
        for text in (code for code in "\u202e\u2066\u061c\u2028"):
            self.assertNotIn(text.encode(), data)

    def test_not_utf8(self):
        texts = [b"a\xff\xfeb", b"\xc3(", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"cut\xe2\x82"]
        trace = self.record("broken.cupool", texts)
        for name in FORMATS:
            self.assertIn(BAD, self.report(name, trace, breaks="\t\r\n"), name)
        functions = {row["function"] for row in json.loads(self.report("json", trace))["sites"]}
        self.assertIn("a" + BAD * 2 + "b", functions)
        self.assertIn("cut" + BAD * 2, functions)

    # replays

    def test_replay(self):
        """Names of traces and of devices, in every format."""
        for number, text in enumerate([*COMMANDS, "\udcff\udcc3(\udce2\udc82"]):
            name = (text + CONTROLS).replace("/", "_")
            device = re.sub("[#=\\n\\r]", "", "d" + name + "d")
            self.write(name, "id,lower,upper,size\n0,0,2,4096\n1,1,3,8192\n")
            self.write("devices", f"{device} = 1 GiB\n")
            for form in ("text", "markdown", "json"):
                done = self.run_cupool("replay", "-f", form, "--devices=devices", "--policy", "bfc", name)
                self.assertEqual((done.returncode, done.stderr), (0, b""), (form, name))
                report = self.decode(done.stdout)
                if form == "text":
                    self.expect_no_command(report, f"replay {number}")
                if form == "json":
                    trace = json.loads(report)["traces"][0]
                    self.assertEqual([trace["trace"], trace["devices"][0]["name"]], [safe(name), safe(device)])

    # the logs of CI services

    def expect_no_command(self, text, what):
        for row in re.split("[\n\r\x85\u2028\u2029]", text):
            self.assertFalse(row.strip().startswith("::"), f"{what}: {row!r}")
            self.assertNotIn("##[", row, what)
            self.assertNotIn("##vso[", row, what)
            self.assertNotIn("##teamcity[", row, what)

    def write(self, name, content):
        with open(os.path.join(os.fsencode(self.directory), os.fsencode(name)), "wb") as file:
            file.write(content.encode("utf-8", "surrogateescape"))
        return name

    def outcome(self, *arguments, codes=(0, 1)):
        done = self.run_cupool(*arguments)
        self.assertIn(done.returncode, codes, done.stderr)
        return self.decode(done.stdout) + self.decode(done.stderr)

    def test_check_and_diff(self):
        for number, text in enumerate(COMMANDS):
            trace = self.record("t.cupool", [text + CONTROLS])
            glob = re.sub("[\\n\\r]", "?", f"site *{text[-4:]}*")
            self.write("b", f"[budget]\npeak_live = 1\nfragmentation_overhead = 0%\n[{glob}]\npeak = 1\n")
            what = f"check {number}"
            self.expect_no_command(self.outcome("check", "--budget", "b", trace), what)
            plain = self.outcome("check", "--budget", "b", "--junit", "j", "--markdown", "m",
                                 "--github", trace)
            self.assertLessEqual(len([row for row in plain.split("\n") if row.startswith("::")]), 5)
            xml.etree.ElementTree.parse(os.path.join(self.directory, "j"))
            for name in ("j", "m"):
                with open(os.path.join(self.directory, name), "rb") as file:
                    self.decode(file.read())
            self.expect_no_command(self.outcome("report", trace), f"report {number}")
            self.expect_no_command(self.outcome("report", "--by", "phase", trace), f"phase {number}")
            self.expect_no_command(self.outcome("report", "-f", "folded", trace), f"folded {number}")
            other = self.record("u.cupool", [text + CONTROLS, text + "more"])
            for form in ("text", "markdown", "json"):
                done = self.outcome("diff", "-f", form, trace, other)
                if form == "text":
                    self.expect_no_command(done, f"diff {number}")
            self.outcome("check", "--baseline", f"base{number}", "--update-baseline", trace)

    def test_names_of_files(self):
        """Names of traces, budgets and baselines, as they come from the command line."""
        good = self.record("good.cupool", ["f"])
        self.write("b", "[budget]\npeak_live = 1\n")
        for number, text in enumerate(COMMANDS):
            name = (text + CONTROLS).replace("/", "_")
            os.link(os.path.join(self.directory, good), os.path.join(self.directory, name))
            for arguments in (["check", "--budget", "b", name], ["report", name],
                              ["report", name, good], ["diff", good, name],
                              ["check", "--baseline", f"{name}.base", "--update-baseline", name]):
                self.expect_no_command(self.outcome(*arguments), f"{arguments} {number}")
            self.run_cupool("run", "-o", name + "x", "--", "true")

    def test_messages(self):
        """Errors quote the wrong text, on a single line."""
        hostile = "x\n" + COMMANDS[1] + CONTROLS
        good = self.record("good.cupool", ["f"])
        self.write("budget", f"[budget]\npeak_live = 1{CONTROLS}##[error]\n")
        self.write("section", f"[bud{CONTROLS}##[error]]\n")
        self.write("base", json.dumps({"schema": hostile}))
        self.write("conf", f"mode = x{CONTROLS}##[error]\n")
        self.write("trace", CONTROLS)
        for arguments, environment in (
                (["report", hostile], {}), (["report", "-f", hostile, good], {}),
                (["report", "--by", hostile, good], {}), (["report", "--phase", hostile, good], {}),
                (["report", "--from", hostile, good], {}), (["report", f"--{hostile}", good], {}),
                (["check", "--budget", "budget", good], {}), (["check", "--budget", hostile, good], {}),
                (["check", "--budget", "section", good], {}), (["diff", "base", good], {}),
                (["diff", good, hostile], {}), (["pack", hostile], {}), (["pack", "trace"], {}),
                (["top", hostile], {}), (["metrics", hostile], {}), (["metrics", "--listen", hostile], {}),
                (["metrics", "--from", hostile, "--listen", hostile], {}),
                (["top", "--from", hostile, "7"], {}), (["doctor", "--static", "--", hostile], {}),
                (["options", hostile], {}), ([hostile], {}), (["help", hostile], {}),
                (["run", "-O", hostile.replace(":", ""), "--", "true"], {}),
                (["run", "--", "./" + hostile], {}),
                (["run", "-o", f"/no/{hostile}", "--", "true"], {}),
                (["run", "--sim", "--", "true"], {"CUPOOL_LIBRARY": "/" + hostile})):
            done = self.run_cupool(*arguments, **environment)
            self.assertNotEqual(done.returncode, 0, arguments)
            text = self.decode(done.stderr)
            self.assertEqual(text.count("\n"), 1, (arguments, text))
            self.expect_no_command(text, arguments)
        for environment in ({"CUPOOL_CONF": "conf"}, {"CUPOOL": hostile}, {"CUPOOL_MODE": hostile},
                            {"CUPOOL_CONF": hostile}):
            done = self.run_cupool("options", **environment)
            self.expect_no_command(self.decode(done.stderr) + self.decode(done.stdout), environment)

    def test_doctor_and_run(self):
        for number, text in enumerate(COMMANDS):
            name = (text + CONTROLS).replace("/", "_") + "p"
            path = os.path.join(self.directory, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh{CONTROLS}\nexit 0\n".replace("\n\n", "\n"))
            os.chmod(path, 0o755)
            toolkit = os.path.join(self.directory, f"toolkit{number}", text.replace("/", "_") + CONTROLS)
            os.makedirs(os.path.join(toolkit, "include"))
            self.write(os.path.join(toolkit, "include", "cuda.h"), "")
            done = self.run_cupool("doctor", "--static", "--", path, CUDA_HOME=toolkit)
            self.expect_no_command(self.decode(done.stdout), f"doctor {number}")
            self.assertIn("toolkit", done.stdout.decode())
            trace = self.write("texts", text + CONTROLS + "\0")
            done = self.run_cupool("run", "-o", name + "t", "--", "true", CUPOOL_LIBRARY=PRELOAD,
                                   CUPOOL_TEST_TEXTS=trace)
            summary = self.decode(done.stderr)
            self.expect_no_command(summary, f"run {number}")
            command = summary.rstrip("\n").rsplit("cupool: next: ", 1)[1]
            words = subprocess.run(["bash", "-c", f"printf '%s' {command.split(' ', 2)[2]}"],
                                   capture_output=True, check=True).stdout
            self.assertEqual(words.decode(), name + "t", "the word is not what the shell reads back")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

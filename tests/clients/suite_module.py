# SPDX-License-Identifier: MIT
"""Runs the tests of one module and writes the outcome of each, one JSON object per line.

usage: suite_module.py RESULTS MODULE

Runs under the Python with the module. Varying parts of messages are removed: addresses, and
fractions, because memory not written by kernels is arbitrary. Random numbers are fixed, and time
limits longer. A line {"begin": ID} precedes each test, so that a test that ends the process is
known.
"""

import importlib
import json
import random
import re
import sys
import unittest

CHANGING = ((re.compile(r"0x[0-9a-fA-F]+"), "0x…"),
            (re.compile(r"-?\b\d+\.\d*(e[-+]?\d+)?"), "0.0"),
            (re.compile(r"/tmp/\S+"), "/tmp/…"), (re.compile(r"\b\d{9,}\b"), "…"),
            (re.compile(r"\s+(?=[],])"), ""))

PATIENCE_S = 200
SEED = 1


def steady(text):
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


class Lines(unittest.TestResult):
    """Every outcome as soon as it is known."""

    def __init__(self, out):
        super().__init__()
        self.out = out

    def say(self, **values):
        print(json.dumps(values), file=self.out, flush=True)

    def outcome(self, test, name, message=""):
        self.say(test=test.id(), outcome=name, message=steady(message))

    @staticmethod
    def message(error):
        return f"{error[0].__name__}: {error[1]}"

    def startTest(self, test):
        super().startTest(test)
        random.seed(SEED)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(SEED)
        self.say(begin=test.id())

    def addSuccess(self, test):
        self.outcome(test, "ok")

    def addFailure(self, test, err):
        self.outcome(test, "failed", self.message(err))

    def addError(self, test, err):
        self.outcome(test, "error", self.message(err))

    def addSkip(self, test, reason):
        self.outcome(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.outcome(test, "failed as expected", self.message(err))

    def addUnexpectedSuccess(self, test):
        self.outcome(test, "ok unexpectedly")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.outcome(subtest, "failed", self.message(err))


def lengthen(module):
    """Leaves modules that cannot be imported to the loader."""
    try:
        tests = importlib.import_module(module)
    except ImportError:
        return
    if hasattr(tests, "FUTURE_TIMEOUT"):
        tests.FUTURE_TIMEOUT = PATIENCE_S


def main():
    path, module = sys.argv[1:]
    lengthen(module)
    with open(path, "w", encoding="utf-8") as out:
        unittest.defaultTestLoader.loadTestsFromName(module).run(Lines(out))


if __name__ == "__main__":  # not in what a test spawns
    main()

# SPDX-License-Identifier: MIT
"""Small trees with a planted fault, for tests of the checks."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
failures = []


@contextlib.contextmanager
def planted(files):
    """A directory with these files: text by path."""
    with tempfile.TemporaryDirectory() as name:
        # Ignored files are not checked, so the tree lies outside any repository.
        root = pathlib.Path(name).resolve()
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        yield root


def checked(check, root, *arguments):
    """Exit status and output of a check of that tree."""
    done = subprocess.run([sys.executable, HERE / f"check_{check}.py", "--root", root, *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def expect(what, got, status, *texts):
    """The status, and each text in the output."""
    if got[0] != status or not all(text in got[1] for text in texts):
        failures.append(what)
        print(f"{what}: expected status {status} and {texts}, got {got[0]}:\n{got[1]}")


def finish():
    sys.exit(1 if failures else 0)

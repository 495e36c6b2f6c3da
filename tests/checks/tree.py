# SPDX-License-Identifier: MIT
"""The files of the tree, for the checks beside this module."""

import fnmatch
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIP = 77


def files(*patterns):
    """Files that match a pattern, tracked or untracked but not ignored, as paths below the root."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--",
         *patterns], stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:  # an unpacked archive: no git
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
        # As in git, * also matches /; a pattern without / applies to the file name only.
        names = [name for name in names if not name.startswith("build") and any(
            fnmatch.fnmatch(name if "/" in pattern else name.rpartition("/")[2], pattern)
            for pattern in patterns)]
    return sorted({name for name in names if (ROOT / name).is_file()})


def finish(what, problems, checked):
    """Prints the problems and ends the check."""
    for problem in problems:
        print(problem)
    if not checked:
        problems = ["nothing was checked"]
    print(f"{what}: {checked} checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)

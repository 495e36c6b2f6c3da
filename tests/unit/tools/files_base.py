# SPDX-License-Identifier: MIT
"""What the tests of output files share: a directory with a trace and a budget, and every way in which the
tool writes a file."""
import os
import stat
import subprocess
import sys
import tempfile
import unittest

CUPOOL, PRELOAD = (os.path.abspath(path) for path in sys.argv[1:3])
NOBODY = 65533  # not 65534: in a user namespace that may be anybody
IS_ROOT = os.geteuid() == 0
PATIENCE_S = 60  # until a command counts as hanging

EVENTS = "alpha+1048576 beta+4096 alpha-1048576"


def content(path):
    with open(path, "rb") as file:
        return file.read()


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class Base(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="cupool-files-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.chmod(self.directory, 0o755)
        self.record("t.cupool")
        self.write("b", "[budget]\npeak_live = 1TiB\n")
        self.old_mask = os.umask(0o022)
        self.addCleanup(os.umask, self.old_mask)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def device(self, name):
        """A copy of a system device, so that an error does not replace the real one."""
        real, copy = f"/dev/{name}", self.path("devices", name)
        if os.geteuid() != 0:
            return real
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        try:
            if not os.path.exists(copy):
                os.mknod(copy, 0o666 | stat.S_IFCHR, os.stat(real).st_rdev)
            with open(copy, "rb"):
                return copy
        except OSError:  # devices cannot be created or opened here
            return real

    def devices(self):
        return ["devices"] if os.path.exists(self.path("devices")) else []

    def write(self, name, text, permissions=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), permissions)
        return self.path(name)

    def cupool(self, *arguments, user=None, **environment):
        return subprocess.run(
            [CUPOOL, *arguments], cwd=self.directory, text=True, timeout=PATIENCE_S,
            env={name: value for name, value in {
                "PATH": os.environ["PATH"], "CUPOOL_LIBRARY": PRELOAD, "CUPOOL_TEST_EVENTS": EVENTS,
                "ASAN_OPTIONS": "verify_asan_link_order=0", **environment}.items() if value},
            capture_output=True, check=False, stdin=subprocess.DEVNULL,
            **({"user": user, "group": user, "extra_groups": []} if user else {}))

    def record(self, name):
        done = self.cupool("run", "-q", "--force", "-o", name, "--", "true")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def writers(self, force=True):
        """Each way of writing a file: its name, the arguments without the file, and what of it."""
        more = ["--force"] if force else []
        yield "report", ["report", *more, "t.cupool", "-o"]
        yield "report -f html", ["report", *more, "-f", "html", "t.cupool", "-o"]
        yield "pack", ["pack", *more, "t.cupool", "-o"]
        if force:
            yield "junit", ["check", "--budget", "b", "t.cupool", "--junit"]
            yield "markdown", ["check", "--budget", "b", "t.cupool", "--markdown"]
            yield "baseline", ["check", "--update-baseline", "t.cupool", "--baseline"]

    def expect_nothing_else(self, *names):
        found = {name for name in os.listdir(self.directory) if name not in ("t.cupool", "b")}
        self.assertEqual(found, set(names))

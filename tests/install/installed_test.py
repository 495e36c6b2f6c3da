# SPDX-License-Identifier: MIT
"""An installed tree works without the build's: command, preload, manual, completion, pkg-config."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "endtoend"))

import preload  # noqa: E402

import linked_engine  # noqa: E402

MACHINE = preload.Machine(preload.arguments(__doc__).build)


def output(*command, **keywords):
    return subprocess.run(command, text=True, check=True, capture_output=True, timeout=60,
                          **keywords).stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="cupool-installed-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        output("meson", "install", "--no-rebuild", "-C", MACHINE.build, "--destdir", cls.root)
        cls.cupool = cls.one("bin/cupool")

    @classmethod
    def one(cls, name):
        found = list(cls.root.rglob(name))
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def test_a_program_runs_pooled_on_the_simulated_device(self):
        command = MACHINE.program("tinyllm", "--tokens", "4", "--seed", "7")
        bare = output(*command, env=MACHINE.environment())
        environment = MACHINE.environment(SIMGPU_TWINS=str(MACHINE.simgpu / "twins"))
        del environment["LD_LIBRARY_PATH"]
        record = self.root / "t.cupool"
        pooled = output(self.cupool, "run", "-q", "--sim", "-o", record, "--", *command,
                        env=environment)
        self.assertEqual(pooled, bare)
        self.assertIn("tinyllm", output(self.cupool, "report", record))

    def test_doctor_finds_what_was_installed(self):
        environment = MACHINE.environment()
        del environment["LD_LIBRARY_PATH"]
        told = output(self.cupool, "doctor", "--sim", env=environment)
        self.assertIn(str(self.one("libcupool.so")), told)
        self.assertIn(str(self.one("sim/libcuda.so.1")), told)
        self.assertNotIn(str(MACHINE.build), told)

    def test_a_moved_installation_finds_itself_whatever_its_folder_is_called(self):
        moved = self.root / "a[b]*\\c?{d,e}"
        prefix = self.cupool.parent.parent
        prefix.rename(moved)
        try:
            cupool = moved / "bin/cupool"
            environment = MACHINE.environment()
            del environment["LD_LIBRARY_PATH"]
            told = output(cupool, "doctor", "--sim", env=environment)
            self.assertIn(f"{moved}/lib", told)
            self.assertNotIn("does not load", told)
            refused = subprocess.run([cupool, "run", "--sim=none", "--", "true"], text=True,
                                     capture_output=True, check=False, env=environment)
            self.assertIn("h200, small", refused.stderr)
        finally:
            moved.rename(prefix)

    def test_the_manual_has_every_verb_and_option(self):
        page = self.one("cupool.1")
        told = subprocess.run(["man", "--warnings", "-l", page], text=True, capture_output=True,
                              env=os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        if told.returncode == 127 or not shutil.which("man"):
            self.skipTest("man is not installed")
        self.assertEqual(told.stderr, "")
        for verb in self.verbs():
            self.assertIn(f"cupool {verb} ", told.stdout)
        for key in self.keys():
            self.assertRegex(told.stdout, rf"(?m)^ +{key} +\(")

    def test_the_documents_and_files_that_pages_and_headers_name_are_there(self):
        page = self.one("cupool.1").read_text().replace("\\-", "-")
        named = re.findall(r"^\\fB(/\S*)\\fR$", page.partition(".SH FILES")[2], re.M)
        self.assertGreater(len(named), 4)
        for path in named:
            self.assertTrue((self.root / path.lstrip("/")).exists(), path)
        texts = [*self.root.rglob("man?/cupool*"), *self.root.rglob("include/**/*.h")]
        documents = {name for path in texts
                     for name in re.findall(r"docs/[a-z-]+\.md", path.read_text().replace("\\-", "-"))}
        self.assertIn("docs/ci.md", documents)
        for name in documents:
            self.assertTrue((self.one("doc/cupool") / name).is_file(), name)

    def test_pages_describe_every_function_of_their_header(self):
        pages = {path.stem: path.read_text() for path in self.root.rglob("man3/cupool_*.3")}
        for name, page in pages.items():
            header = self.one(f"include/cupool/{name.removeprefix('cupool_')}.h").read_text()
            code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
            functions = re.findall(r"(?:CUPOOL_API|^static inline)\s[\w\s*]*?\b(\w+)\(", code, re.M)
            self.assertGreater(len(functions), 2, name)
            for function in functions:
                self.assertRegex(page, rf"(?m)^\.B .*\b{function}\(", name)

    def verbs(self):
        lines = output(self.cupool, "--help").splitlines()
        return [line.split()[0] for line in lines
                if line.startswith("  ") and line[2].isalpha() and not line.startswith("  help")]

    def keys(self):
        lines = output(self.cupool, "options").split("\n\n")[0].splitlines()[1:]
        return [line.split()[0] for line in lines]

    def bash(self, *words):
        script = self.one("bash-completion/completions/cupool")
        return output("bash", HERE / "completion.bash", script, self.cupool, *words).split()

    @unittest.skipUnless(os.path.exists("/usr/share/bash-completion/bash_completion"),
                         "bash-completion is not installed")
    def test_bash_completes_verbs_options_formats_and_keys(self):
        self.assertEqual(set(self.verbs()) - set(self.bash("")), set())
        self.assertEqual(self.bash("repo"), ["report"])
        self.assertEqual(self.bash("report", "--form"), ["--format"])
        self.assertEqual(self.bash("report", "--format", "mark"), ["markdown"])
        self.assertEqual(self.bash("run", "-O", "limi"), ["limit:"])
        self.assertEqual(sorted(self.bash("run", "--mode", "")), ["observe", "off", "pool"])
        self.assertEqual(self.bash("help", "doc"), ["doctor"])

    def zsh(self, line):
        """What an interactive zsh makes of a line and the tabulator."""
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(TERM="dumb", PATH=f"{self.cupool.parent}:{os.environ['PATH']}")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        functions = self.one("site-functions/_cupool").parent
        os.write(terminal, f"PS1=READY; fpath=({functions} $fpath); autoload -U compinit; "
                           f"compinit -u -D; print loa''ded\n".encode())
        self.read_until(terminal, "loaded")
        os.write(terminal, f"{line}\t".encode())
        told = self.read_until(terminal, "\a\a", quiet=1.5)
        os.close(terminal)
        os.waitpid(child, 0)
        return told

    @staticmethod
    def read_until(terminal, mark, quiet=20):
        """What the terminal shows up to a mark, or until it has been quiet for so many seconds."""
        told, deadline = "", time.monotonic() + 20
        while mark not in told and time.monotonic() < deadline:
            if not select.select([terminal], [], [], quiet)[0]:
                break
            told += os.read(terminal, 65536).decode(errors="replace")
        return told

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_completes_verbs_options_formats_and_keys(self):
        for line, expected in {
            "cupool repo": "cupool report",
            "cupool report --form": "--format",
            "cupool report --format mark": "markdown",
            "cupool run -O limi": "limit:",
            "cupool help doc": "doctor",
        }.items():
            self.assertIn(expected, self.zsh(line), line)

    def test_pkg_config_names_the_preload(self):
        directory = self.one("cupool.pc").parent
        told = output("pkg-config", "--variable=preload", "cupool",
                      env=os.environ | {"PKG_CONFIG_PATH": str(directory),
                                        "PKG_CONFIG_SYSROOT_DIR": str(self.root)})
        self.assertEqual(pathlib.Path(told.strip()).name, "libcupool.so")
        self.assertTrue(self.root.joinpath(told.strip().lstrip("/")).exists()
                        or pathlib.Path(told.strip()).exists(), told)

    def has_engine(self):
        if not list(self.root.rglob("cupool-engine.pc")):
            self.skipTest("this build has no engine")

    def test_a_program_links_the_engine_without_what_the_engine_links(self):
        self.has_engine()
        source, program = self.root / "engine.c", self.root / "engine"
        source.write_text("#include <cupool/kv.h>\n#include <stdio.h>\n"
                          "int main(void) { struct cupool_kv_config config;\n"
                          "    cupool_kv_config_init(&config);\n"
                          "    return printf(\"%u\\n\", config.block_tokens) < 0; }\n")
        library = self.one("libcupool-engine.so.0").parent
        for form in ([], ["--static"]):
            output(linked_engine.compiler(), "-Wall", "-Werror", source,
                   *linked_engine.flags(self.root, *form), "-o", program)
            told = output(program, env=os.environ | {"LD_LIBRARY_PATH": str(library)})
            self.assertGreater(int(told), 0)

    def test_the_engine_computes_on_the_simulated_device(self):
        self.has_engine()
        scratch = self.root / "computes"
        scratch.mkdir()
        linked_engine.run_on_simulated_device(self.root, scratch, MACHINE.environment(),
                                              (MACHINE.build / "kernels/codec.fatbin").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)

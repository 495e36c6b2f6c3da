# SPDX-License-Identifier: MIT
"""Typical programs: the first finding of every report names the cause – the responsible function,
not the buffer class through which it allocates – at -O0 and -O2, with and without debug
information, in C++ and in Python. A clean program has no findings."""

import csv
import io
import json
import os
import subprocess
import sys
import urllib.parse

import preload
import sarif_check

# Program: kind of the first finding, responsible function, functions that must not be blamed.
CAUSES = {
    "leak": ("leak", "prefix_cache_insert"),
    "two_leaks": ("leak", "prefix_cache_insert"),
    "new_handler": ("leak", "open_stream"),
    "library_and_threads": ("leak", "worker_keeps"),
    "one_caller": ("leak", "handle_open"),
    "one_maker": ("leak", "adapter_load"),
    "unequal_loops": ("leak", "session_open"),
    "kv_by_copying": ("growth by copying", "append"),
    "entries_replaced": ("repeated allocation", "replace_entry"),
    "vector_of_blocks": ("growth", "append_block"),
    "decode_loop": ("repeated allocation", "decode_step"),
    "fragmentation": ("fragmentation", "keep_page"),
    "warm_up": ("short peak", "load_weights"),
    "rounding": ("rounding", "make_small_tables"),
    "burst": (None, None),
    "clean": (None, None),
}
PYTHON = {
    "leak": ("growth", "remember_prefix"),
    "kv_by_copying": ("growth by copying", "Cache.extend"),
    "decode_loop": ("repeated allocation", "decode"),
    "single_maker": ("growth", "remember_page"),
    "deep_layers": ("repeated allocation", "block_forward"),
    "clean": (None, None),
}
WRAPPERS = ("DeviceBuffer", "gpu_alloc", "operator new", "gpu_malloc", "Tensor")
EVERYWHERE = ("leak", "kv_by_copying")  # in all variants
VARIANTS = ("O0", "O0g", "O2", "O2g")


class Case:
    def __init__(self, machine, name, command, wanted):
        self.machine, self.name = machine, name
        self.kind, self.function = wanted
        self.trace = machine.scratch / f"{name}.cupool"
        done = machine.record(command, self.trace)
        preload.expect_equal(f"{name}: exit: {done.stderr}", done.returncode, 0)
        self.summary = done.stderr.decode()
        self.report = machine.report(self.trace)

    def output(self, *words):
        done = self.machine.run([str(self.machine.cupool), "report", str(self.trace), *words],
                                COLUMNS=1000)
        preload.expect_equal(f"{self.name}: report {words}: {done.stderr}", done.returncode, 0)
        return done.stdout.decode()

    def check(self):
        findings = self.report["findings"]
        if not self.kind:
            preload.expect_equal(f"{self.name}: findings", findings, [])
            preload.expect("Nothing found" in self.output(), f"{self.name}: not clean")
            return
        preload.expect(findings, f"{self.name}: no findings")
        first = findings[0]
        preload.expect_equal(f"{self.name}: {first['text']}", first["kind"], self.kind)
        function = (first["function"] or "").split("(")[0].split("+")[0].split("::")[-1]
        if "(anonymous namespace)" in (first["function"] or ""):
            function = first["key"].split("(anonymous namespace)::")[-1].split("(")[0].split("::")[-1]
        preload.expect_equal(f"{self.name}: {first['function']}", function,
                             self.function)
        sentence = first["text"]
        preload.expect(self.function in sentence, f"{self.name}: {sentence}")
        preload.expect(not any(name in sentence for name in WRAPPERS), f"{self.name}: {sentence}")
        for form in ("text", "markdown", "html"):
            text = self.output("-f", form)
            at = text.find("Findings")
            preload.expect(at >= 0 and self.function in text[at:at + 600],
                           f"{self.name}: {form}: {text[at:at + 600]}")
        preload.expect(self.function in self.summary, f"{self.name}: run: {self.summary}")


def check_forms(case):
    """Call paths with their bytes under the leaking site, in each format; --by stack and caller."""
    row = next(row for row in csv.DictReader(io.StringIO(case.output("-f", "csv"), newline=""))
               if case.function in row["key"])
    preload.expect_equal(f"{case.name}: csv: leaked", int(row["leaked_bytes"]), 100 * 400000)
    preload.expect_equal(f"{case.name}: csv: the caller's", int(row["caller_leaked_bytes"]),
                         100 * 400000)
    preload.expect("leak" in row["caller"] and "main" in row["caller"], row["caller"])
    preload.expect("DeviceBuffer" in row["through"] or "O2" in case.name, row["through"])
    site = next(site for site in case.report["sites"] if site["key"] == row["key"])
    path = site["callers"][0]
    preload.expect_equal(f"{case.name}: json: path", path["leaked_bytes"], 100 * 400000)
    preload.expect(any("main" in (frame["function"] or "") for frame in path["path"]), path)
    text = case.output()
    preload.expect("38.1 MiB from leak" in text, f"{case.name}: {text}")
    preload.expect(" < leak" in case.output("--by", "stack"), "--by stack")
    preload.expect(" leak" in "\n" + case.output("--by", "caller"), "--by caller")


def check_cut(case):
    """Stacks that are cut at different callers make no wrapper of the function below them."""
    found = {site["function"] for site in case.report["sites"]}
    preload.expect("block_forward" in found and not found & {"decoder_forward", "deep_layers"},
                   f"{case.name}: {found}")


def check_wrappers_option(case):
    """Functions matching --wrappers or [wrappers] are wrappers: sites lie at their callers."""
    done = case.machine.run([str(case.machine.cupool), "report", str(case.trace), "--wrappers",
                             "prefix_cache_*,nothing", "-f", "json"])
    keys = [site["key"] for site in json.loads(done.stdout)["sites"]]
    preload.expect(not any("prefix_cache" in key for key in keys), f"--wrappers: {keys}")
    budget = case.machine.scratch / "wrappers.budget"
    for text, wanted in (("[site *prefix_cache_insert]\nleaked = 1\n", 1),
                         ("[site *prefix_cache_insert]\nleaked = 1\n[wrappers]\n"
                          "function = prefix_cache_*\n", 0)):
        budget.write_text(text)
        done = case.machine.run([str(case.machine.cupool), "check", "--budget", str(budget),
                                 str(case.trace)])
        preload.expect_equal(f"check {text}: {done.stdout}{done.stderr}", done.returncode, wanted)


def check_ci_paths(machine):
    """Forges look for files from the root of the checkout; a compiler may run elsewhere in it."""
    root = machine.scratch / "checkout"
    for name in ("src", "build"):
        (root / name).mkdir(parents=True)
    (root / "src" / "keep.c").write_text("int cudaMalloc(void **to, unsigned long bytes);\n"
                                         "int main(void)\n{\n    void *kept;\n"
                                         "    return cudaMalloc(&kept, 1 << 20);\n}\n")
    budget = root / "x.budget"
    budget.write_text("[budget]\nleaked_at_exit = 0\n")
    files = [machine.scratch / f"path.{kind}" for kind in ("sarif", "quality")]
    for name, source in (("relative", "../src/keep.c"), ("odd", f"{root}/build/./..//src/keep.c")):
        subprocess.run(["cc", "-g", "-o", name, source, f"-L{machine.simgpu}", "-l:libcudart.so.13"],
                       cwd=root / "build", check=True,
                       env=machine.environment(CCACHE_DISABLE="1"))
        trace = root / f"{name}.cupool"
        machine.record([str(root / "build" / name)], str(trace), "-q")
        for where, wanted in ((root, "src/keep.c"), (root / "src", "keep.c"), (root / "build", source)):
            done = subprocess.run([machine.cupool, "check", "--budget", budget, "--github", "--sarif",
                                   files[0], "--code-quality", files[1], trace], cwd=where,
                                  env=machine.environment(), text=True, capture_output=True,
                                  check=False)
            place = json.loads(files[0].read_text())["runs"][0]["results"][0]["locations"][0]
            paths = {place["physicalLocation"]["artifactLocation"]["uri"],
                     json.loads(files[1].read_text())[0]["location"]["path"],
                     done.stdout.partition("::error file=")[2].partition(",")[0]}
            preload.expect_equal(f"path of {name} in {where}", paths, {wanted})


def check_ci(case):
    """Each exceeded budget names its site, with file and line if known."""
    machine, files = case.machine, {}
    budget = machine.scratch / "ci.budget"
    budget.write_text("[budget]\nleaked_at_exit = 0\npeak_live = 1 MiB\nallocations = 1\n"
                      "[site *mlp]\npeak = 1\n[phase steady]\npeak_live = 1\n")
    for kind in ("sarif", "code-quality"):
        files[kind] = machine.scratch / f"ci.{kind}"
    done = machine.run([str(machine.cupool), "check", "--budget", str(budget), "--github",
                        "--sarif", str(files["sarif"]), "--code-quality",
                        str(files["code-quality"]), str(case.trace)])
    output = done.stdout.decode()
    preload.expect_equal(f"check: {output}", done.returncode, 1)
    preload.expect(b"no phase matches" in done.stderr, f"a detected phase is not a gate: {done.stderr}")
    failed = [line for line in output.splitlines() if ": measured " in line]
    preload.expect_equal("budgets that name a site", [line for line in failed
                                                      if "usual.cc:" not in line], [])
    notes = [line for line in output.splitlines() if line.startswith("::error ")]
    preload.expect(notes and all("usual.cc,line=" in note for note in notes), f"{notes}")
    run = json.loads(files["sarif"].read_text())
    preload.expect_equal("sarif", sarif_check.errors(run), [])
    preload.expect_equal("sarif: version", run["version"], "2.1.0")
    results = run["runs"][0]["results"]
    rules = {rule["id"] for rule in run["runs"][0]["tool"]["driver"]["rules"]}
    preload.expect_equal("sarif: rules", {result["ruleId"] for result in results} - rules, set())
    quality = json.loads(files["code-quality"].read_text())
    preload.expect_equal("as many", (len(results), len(quality)), (len(notes), len(notes)))
    for result, row in zip(results, quality):
        place = result["locations"][0]["physicalLocation"]
        preload.expect(place["artifactLocation"]["uri"].endswith("usual.cc"), f"{place}")
        preload.expect_equal("line", place["region"]["startLine"], row["location"]["lines"]["begin"])
        preload.expect(place["region"]["startLine"] > 1, f"{place}")
        preload.expect(result["message"]["text"] in row["description"], row)
        preload.expect_equal("fingerprint", result["partialFingerprints"]["cupool/v1"],
                             row["fingerprint"])
    preload.expect_equal("fingerprints", len({row["fingerprint"] for row in quality}), len(quality))


def check_sarif(machine):
    """Names that are not valid references, budgets with the same name, a trace without sources."""
    place = machine.scratch / "a b%20#?c:d \u00e4"
    place.mkdir()
    script, trace = place / "50% #1: \u65e5.py", place / "t: x.cupool"
    script.write_text("import ctypes\nruntime = ctypes.CDLL('libcudart.so.13')\n"
                      "def keep():\n    pointer = ctypes.c_void_p()\n"
                      "    assert runtime.cudaMalloc(ctypes.byref(pointer), 1 << 20) == 0\n"
                      "keep()\n")
    done = machine.record([sys.executable, str(script)], str(trace).replace("%", "%%"), "-q")
    preload.expect_equal(f"the program: {done.stderr}", done.returncode, 0)
    budget = place / "x.budget"
    budget.write_text("[budget]\npeak_live = 1\nleaked_at_exit = 0\ninvalid_frees = 0\n"
                      "[site *keep]\npeak = 1\n[site *]\npeak = 1\n")
    for where, words in ((machine.scratch, (str(trace),)), (place, ("t: x.cupool",))):
        for more in ((), ("--anonymize",)):
            out = machine.scratch / "odd.sarif"
            done = subprocess.run([machine.cupool, "check", "--budget", budget, "--sarif", out, *more,
                                   *words], cwd=where, env=machine.environment(),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            preload.expect_equal(f"check: {done.stdout.decode()}", done.returncode, 1)
            log = json.loads(out.read_text())
            preload.expect_equal(f"sarif in {where} {more}", sarif_check.errors(log), [])
            uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"][
                "artifactLocation"]["uri"]
            if not more:
                wanted = script.name if where == place else f"{place.name}/{script.name}"
                preload.expect_equal("uri", urllib.parse.unquote(uri).removeprefix("./"), wanted)


def check_same_source(cases):
    """Builds of the same source compare as equal; a twentieth more memory is growth."""
    for base in cases:
        for fresh in cases:
            done = base.machine.run([str(base.machine.cupool), "diff", str(base.trace),
                                     str(fresh.trace)])
            preload.expect_equal(f"diff {base.name} {fresh.name}: {done.stdout.decode()}",
                                 done.returncode, 0)
    machine = cases[0].machine
    baseline = machine.scratch / "usual.json"
    budget = machine.scratch / "usual.budget"
    budget.write_text("[budget]\npeak_live_growth = +3%\nleaked_at_exit_growth = +0%\n")
    machine.run([str(machine.cupool), "check", "--baseline", str(baseline), "--update-baseline",
                 str(cases[0].trace)])
    for case in cases:
        done = machine.run([str(machine.cupool), "check", "--budget", str(budget), "--baseline",
                            str(baseline), str(case.trace)])
        preload.expect_equal(f"check {case.name}: {done.stdout}", done.returncode, 0)
    for program in (case.program for case in cases):
        more = machine.scratch / "more.cupool"
        machine.record([str(program), "leak", "more"], more)
        done = machine.run([str(machine.cupool), "diff", str(cases[0].trace), str(more)])
        preload.expect_equal(f"5 % more: {done.stdout.decode()}", done.returncode, 1)
        preload.expect("prefix_cache_insert" in done.stdout.decode(), done.stdout.decode())


def main():
    machine = preload.Machine(preload.arguments(__doc__).build)
    programs = {variant: machine.build / "tests" / "endtoend" / f"usual_{variant}"
                for variant in VARIANTS}
    if not programs["O0"].exists():
        preload.skip("the simulated runtime was not built")
    leaks = []
    for kind, wanted in CAUSES.items():
        for variant in VARIANTS if kind in EVERYWHERE else ("O0", "O2g"):
            case = Case(machine, f"{kind}.{variant}", [str(programs[variant]), kind], wanted)
            case.program = programs[variant]
            case.check()
            if kind == "leak":
                check_forms(case)
                leaks.append(case)
    check_wrappers_option(leaks[0])
    check_ci(leaks[VARIANTS.index("O2g")])
    check_ci_paths(machine)
    check_sarif(machine)
    check_same_source(leaks)
    script = os.path.join(os.path.dirname(__file__), "programs", "usual.py")
    for kind, wanted in PYTHON.items():
        case = Case(machine, f"python.{kind}", [os.sys.executable, script, kind], wanted)
        case.check()
        if kind == "deep_layers":
            check_cut(case)
        preload.expect("usual.py" in case.output("--by", "library"), "who called ctypes")


main()
